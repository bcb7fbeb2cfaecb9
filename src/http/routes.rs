//! The table of routes. Each path has a fixed set of methods; any other is 405 with `Allow`.

use actix_web::{
    Resource, Route,
    guard::Header,
    middleware::from_fn,
    web::{ServiceConfig, delete, get, head, patch, post, resource, route, to},
};

use super::{
    events, health,
    middleware::{Demand, guard},
    pages, participants,
    problem::Problem,
    streams, webhooks, websocket,
};
use crate::{access::Action, admission::Budget, domain::ErrorCode};

/// A path with its routes, and a word to those who try another method.
fn path(pattern: &str, allow: &'static str, routes: Vec<Route>) -> Resource {
    let resource = routes.into_iter().fold(resource(pattern), Resource::route);
    resource.default_service(to(move || async move { Err::<String, _>(Problem::method_not_allowed(allow)) }))
}

/// A path that can only be read. A HEAD is answered as the GET would be, without the body.
macro_rules! readable {
    ($pattern:expr, $handler:expr) => {
        path($pattern, "GET, HEAD", vec![get().to($handler), head().to($handler)])
    };
}

/// As `readable`, for a caller who may do `action`.
macro_rules! readable_by {
    ($action:expr, $pattern:expr, $handler:expr) => {
        path(
            $pattern,
            "GET, HEAD",
            vec![guarded(get().to($handler), reads($action)), guarded(head().to($handler), reads($action))],
        )
    };
}

/// A route of the API: nothing behind it is reached by a caller who may not do what it is for.
fn guarded(route: Route, demand: Demand) -> Route {
    route.wrap(from_fn(move |request, next| guard(demand, request, next)))
}

const fn reads(actions: &'static [Action]) -> Demand {
    Demand { actions, budget: Budget::Read, token_in_query: false, repeatable: false }
}

/// A feed, which browsers open without headers of their own.
const fn follows(actions: &'static [Action]) -> Demand {
    Demand { token_in_query: true, ..reads(actions) }
}

const fn changes(actions: &'static [Action]) -> Demand {
    Demand { actions, budget: Budget::Write, token_in_query: false, repeatable: true }
}

const fn joins(actions: &'static [Action]) -> Demand {
    Demand { budget: Budget::Join, ..changes(actions) }
}

/// Who may follow anything at all; what exactly is looked at with the request.
const FOLLOW: &[Action] = &[Action::Read, Action::FollowAll];

/// Everything.
pub fn configure(config: &mut ServiceConfig, with_metrics: bool) {
    configure_streams(config);
    configure_feeds(config);
    config
        .service(path("/webhooks/livekit", "POST", vec![post().to(webhooks::receive)]))
        .service(path("/webhook", "POST", vec![post().to(webhooks::receive)]))
        .service(readable!("/health", health::summary))
        .service(readable!("/health/live", health::live))
        .service(readable!("/health/ready", health::ready))
        .service(readable!("/index.html", pages::index))
        .service(readable!("/room.html", pages::room))
        .service(readable!("/assets/{file}", pages::asset))
        .service(readable!("/vendor/{file}", pages::vendor));
    if with_metrics {
        config.service(readable!("/metrics", health::metrics));
    }
    config.default_service(unknown());
}

fn configure_streams(config: &mut ServiceConfig) {
    config
        .service(path(
            "/streams",
            "GET, HEAD, POST",
            vec![
                guarded(get().to(streams::list), reads(&[Action::List])),
                guarded(head().to(streams::list), reads(&[Action::List])),
                guarded(post().to(streams::create), changes(&[Action::Create])),
            ],
        ))
        .service(path(
            "/streams/{id}",
            "GET, HEAD, PATCH, DELETE",
            vec![
                guarded(get().to(streams::get), reads(&[Action::Read])),
                guarded(head().to(streams::get), reads(&[Action::Read])),
                guarded(patch().to(streams::patch), changes(&[Action::Update, Action::Stop])),
                guarded(delete().to(streams::stop), changes(&[Action::Stop])),
            ],
        ))
        .service(readable_by!(&[Action::Read], "/streams/{id}/state", streams::state))
        .service(readable_by!(&[Action::Read], "/streams/{id}/participants", participants::list))
        .service(path(
            "/streams/{id}/join",
            "POST",
            vec![guarded(post().to(participants::join), joins(&[Action::Join]))],
        ))
        .service(path(
            "/streams/{id}/leave",
            "POST",
            vec![guarded(post().to(participants::leave), changes(&[Action::Leave, Action::Remove]))],
        ));
}

fn configure_feeds(config: &mut ServiceConfig) {
    config
        .service(path("/events", "GET", vec![guarded(get().to(events::follow), follows(FOLLOW))]))
        .service(readable_by!(&[Action::Read], "/events/{id}", events::history))
        .service(path(
            "/sse/{id}/updates",
            "GET",
            vec![guarded(get().to(events::follow_state), follows(&[Action::Read]))],
        ))
        .service(path("/ws", "GET", vec![guarded(get().to(websocket::upgrade), follows(FOLLOW))]))
        .service(path(
            "/",
            "GET, HEAD",
            vec![
                guarded(get().guard(Header("upgrade", "websocket")).to(websocket::upgrade), follows(FOLLOW)),
                get().to(pages::index),
                head().to(pages::index),
            ],
        ));
}

/// `/metrics` alone.
pub fn configure_metrics(config: &mut ServiceConfig) {
    config.service(readable!("/metrics", health::metrics)).default_service(unknown());
}

fn unknown() -> Route {
    route().to(|| async { Err::<String, _>(Problem::new(ErrorCode::RouteNotFound)) })
}
