//! Route table: paths, methods, handlers, admission control and errors.

use actix_web::{
    Route,
    guard::Header,
    http::Method,
    web::{ServiceConfig, route},
};

use super::{
    backstage, blocks, broadcasts, docs, egresses, events, health, history, ingresses,
    middleware::RoutePolicy,
    pages, participants,
    path::{Path, guarded},
    problem::Problem,
    recordings, streams, webhook_endpoints as endpoints, webhooks, websocket,
};
use crate::{access::Action, admission::RateLimitClass, domain::ErrorCode};

const fn reads(actions: &'static [Action]) -> RoutePolicy {
    RoutePolicy {
        actions,
        rate_limit_class: RateLimitClass::Read,
        further_units: 0,
        token_in_query: false,
        accepts_idempotency_key: false,
    }
}

/// Policy of a feed. Browsers open feeds without headers, so the token may be in the query.
const fn follows(actions: &'static [Action]) -> RoutePolicy {
    RoutePolicy { token_in_query: true, ..reads(actions) }
}

const fn changes(actions: &'static [Action]) -> RoutePolicy {
    RoutePolicy {
        actions,
        rate_limit_class: RateLimitClass::Write,
        further_units: 0,
        token_in_query: false,
        accepts_idempotency_key: true,
    }
}

const fn joins(actions: &'static [Action]) -> RoutePolicy {
    RoutePolicy { rate_limit_class: RateLimitClass::Join, ..changes(actions) }
}

/// Actions of a feed. The handler checks which of them the request needs.
const FOLLOW: &[Action] = &[Action::Read, Action::FollowAll];

/// Actions of a hand: the token's own, or that of another identity.
const HAND: &[Action] = &[Action::RaiseHand, Action::Moderate];

/// Policy of raising a hand. Of all changes that a viewer may make, this one alone sends an event to every follower of
/// a counted stream, so it costs ten units.
const RAISE_HAND: RoutePolicy = RoutePolicy { further_units: 9, ..changes(HAND) };

/// Policy of the start of a recording or a broadcast, each of which occupies a worker of LiveKit: ten units.
const START_EGRESS: RoutePolicy = RoutePolicy { further_units: 9, ..changes(&[Action::Record]) };

/// Returns every path of the API; `/metrics` only if `with_metrics`.
pub fn table(with_metrics: bool) -> Vec<Path> {
    let mut paths = streams();
    paths.extend(media_jobs());
    paths.extend(webhook_endpoints());
    paths.extend(history());
    paths.extend(feeds());
    paths.extend(files());
    paths.extend([
        Path::at("/webhooks/livekit").on(Method::POST, None, webhooks::receive).errors(webhooks::ERRORS),
        Path::at("/webhook").on(Method::POST, None, webhooks::receive).errors(webhooks::ERRORS),
        Path::at("/health").read(None, health::summary),
        Path::at("/health/live").read(None, health::live),
        Path::at("/health/ready").read(None, health::ready).errors(health::READY_ERRORS),
        Path::at("/openapi.json").read(None, docs::openapi),
    ]);
    if with_metrics {
        paths.push(metrics());
    }
    paths
}

fn metrics() -> Path {
    Path::at("/metrics").read(None, health::metrics).errors(health::METRICS_ERRORS)
}

fn streams() -> Vec<Path> {
    let read = reads(&[Action::Read]);
    vec![
        Path::at("/streams")
            .read(reads(&[Action::List]), streams::list)
            .on(Method::POST, changes(&[Action::Create]), streams::create)
            .errors(streams::CREATE_ERRORS),
        Path::at("/streams/{id}")
            .read(read, streams::get)
            .on(Method::PATCH, changes(&[Action::Update, Action::Stop]), streams::patch)
            .errors(streams::PATCH_ERRORS)
            .on(Method::DELETE, changes(&[Action::Stop]), streams::stop)
            .errors(streams::STOP_ERRORS),
        Path::at("/streams/{id}/state").read(read, streams::state),
        Path::at("/streams/{id}/participants").read(read, participants::list),
        Path::at("/streams/{id}/participants/{identity}")
            .read(read, participants::one::get)
            .errors(participants::one::GET_ERRORS)
            .on(Method::PATCH, changes(&[Action::Moderate]), participants::one::patch)
            .errors(participants::one::PATCH_ERRORS)
            .on(Method::DELETE, changes(&[Action::Remove]), participants::one::remove)
            .errors(participants::one::REMOVE_ERRORS),
        Path::at("/streams/{id}/participants/{identity}/hand")
            .on(Method::PUT, RAISE_HAND, participants::hand::raise)
            .errors(participants::hand::RAISE_ERRORS)
            .on(Method::DELETE, changes(HAND), participants::hand::lower)
            .errors(participants::hand::LOWER_ERRORS),
        Path::at("/streams/{id}/participants/{identity}/mute")
            .on(Method::POST, changes(&[Action::Moderate]), participants::mute::one)
            .errors(participants::mute::ONE_ERRORS),
        Path::at("/streams/{id}/mute")
            .on(Method::POST, changes(&[Action::Moderate]), participants::mute::all)
            .errors(participants::mute::ALL_ERRORS),
        Path::at("/streams/{id}/blocks").read(reads(&[Action::Moderate]), blocks::list),
        Path::at("/streams/{id}/blocks/{identity}")
            .on(Method::PUT, changes(&[Action::Moderate]), blocks::block)
            .errors(blocks::BLOCK_ERRORS)
            .on(Method::DELETE, changes(&[Action::Moderate]), blocks::unblock)
            .errors(blocks::UNBLOCK_ERRORS),
        Path::at("/streams/{id}/go_live")
            .on(Method::POST, changes(&[Action::SetLive]), backstage::go_live)
            .errors(backstage::ERRORS),
        Path::at("/streams/{id}/stop_live")
            .on(Method::POST, changes(&[Action::SetLive]), backstage::stop_live)
            .errors(backstage::ERRORS),
        Path::at("/streams/{id}/join")
            .on(Method::POST, joins(&[Action::Join]), participants::join)
            .errors(participants::JOIN_ERRORS),
        Path::at("/streams/{id}/leave")
            .on(Method::POST, changes(&[Action::Leave, Action::Remove]), participants::leave)
            .errors(participants::LEAVE_ERRORS),
    ]
}

/// Ingresses, recordings and broadcasts of streams.
fn media_jobs() -> Vec<Path> {
    let (read, change) = (reads(&[Action::ReadEgresses]), changes(&[Action::Record]));
    vec![
        Path::at("/streams/{id}/ingresses")
            .read(reads(&[Action::ReadIngresses]), ingresses::list)
            .on(Method::POST, changes(&[Action::ManageIngresses]), ingresses::create)
            .errors(ingresses::CREATE_ERRORS),
        Path::at("/streams/{id}/ingresses/{ingressId}")
            .read(reads(&[Action::ReadIngresses]), ingresses::get)
            .errors(ingresses::GET_ERRORS)
            .on(Method::DELETE, changes(&[Action::ManageIngresses]), ingresses::delete)
            .errors(ingresses::DELETE_ERRORS),
        Path::at("/streams/{id}/recordings")
            .read(read, recordings::list)
            .on(Method::POST, START_EGRESS, recordings::start)
            .errors(egresses::START_ERRORS),
        Path::at("/streams/{id}/recordings/{recordingId}")
            .read(read, recordings::get)
            .errors(recordings::GET_ERRORS)
            .on(Method::DELETE, change, recordings::stop)
            .errors(recordings::STOP_ERRORS),
        Path::at("/streams/{id}/broadcasts")
            .read(read, broadcasts::list)
            .on(Method::POST, START_EGRESS, broadcasts::start)
            .errors(egresses::START_ERRORS),
        Path::at("/streams/{id}/broadcasts/{broadcastId}")
            .read(read, broadcasts::get)
            .errors(broadcasts::GET_ERRORS)
            .on(Method::PATCH, change, broadcasts::patch)
            .errors(broadcasts::PATCH_ERRORS)
            .on(Method::DELETE, change, broadcasts::stop)
            .errors(broadcasts::STOP_ERRORS),
    ]
}

fn webhook_endpoints() -> Vec<Path> {
    let manage: &'static [Action] = &[Action::ManageWebhooks];
    let test = RoutePolicy { accepts_idempotency_key: false, ..changes(manage) };
    vec![
        Path::at("/webhook-endpoints")
            .read(reads(manage), endpoints::list)
            .on(Method::POST, changes(manage), endpoints::create)
            .errors(endpoints::CREATE_ERRORS),
        Path::at("/webhook-endpoints/{endpointId}")
            .read(reads(manage), endpoints::get)
            .errors(endpoints::GET_ERRORS)
            .on(Method::PATCH, changes(manage), endpoints::patch)
            .errors(endpoints::CHANGE_ERRORS)
            .on(Method::DELETE, changes(manage), endpoints::delete)
            .errors(endpoints::CHANGE_ERRORS),
        Path::at("/webhook-endpoints/{endpointId}/rotate-secret")
            .on(Method::POST, changes(manage), endpoints::rotate_secret)
            .errors(endpoints::CHANGE_ERRORS),
        Path::at("/webhook-endpoints/{endpointId}/test")
            .on(Method::POST, test, endpoints::test)
            .errors(endpoints::TEST_ERRORS),
        Path::at("/webhook-endpoints/{endpointId}/replay")
            .on(Method::POST, changes(manage), endpoints::replay)
            .errors(endpoints::REPLAY_ERRORS),
    ]
}

fn history() -> Vec<Path> {
    let read = reads(&[Action::ReadHistory]);
    let erase = RoutePolicy { accepts_idempotency_key: false, ..changes(&[Action::ErasePerson]) };
    vec![
        Path::at("/history/streams").read(read, history::streams).errors(history::ERRORS),
        Path::at("/history/streams/{id}").read(read, history::stream).errors(history::ERRORS),
        Path::at("/history/streams/{id}/visits").read(read, history::visits).errors(history::ERRORS),
        Path::at("/history/streams/{id}/events").read(read, history::events).errors(history::EVENTS_ERRORS),
        Path::at("/history/participants/{identity}")
            .on(Method::DELETE, erase, history::erase)
            .errors(history::ERASE_ERRORS),
        Path::at("/history/streams/{id}/viewers").read(read, history::viewers).errors(history::ERRORS),
    ]
}

fn feeds() -> Vec<Path> {
    vec![
        Path::at("/events").on(Method::GET, follows(FOLLOW), events::follow).errors(events::FOLLOW_ERRORS),
        Path::at("/events/{id}").read(reads(&[Action::Read]), events::history).errors(events::HISTORY_ERRORS),
        Path::at("/sse/{id}/updates")
            .on(Method::GET, follows(&[Action::Read]), events::follow_state)
            .errors(events::FOLLOW_STATE_ERRORS),
        Path::at("/ws").on(Method::GET, follows(FOLLOW), websocket::upgrade).errors(websocket::ERRORS),
    ]
}

fn files() -> Vec<Path> {
    let upgrade = Route::new().method(Method::GET).guard(Header("upgrade", "websocket"));
    let mut root = Path::at("/");
    // Before the page, because actix takes the first route that matches.
    root.resource = root.resource.route(guarded(upgrade.to(websocket::upgrade), Some(follows(FOLLOW))));
    vec![
        root.read(None, pages::index),
        Path::at("/index.html").read(None, pages::index),
        Path::at("/room.html").read(None, pages::room),
        Path::at("/history.html").read(None, pages::history),
        Path::at("/assets/{file}").read(None, pages::asset).errors(pages::FILE_ERRORS),
        Path::at("/vendor/{file}").read(None, pages::vendor).errors(pages::FILE_ERRORS),
        Path::at("/docs").read(None, docs::page),
        Path::at("/docs/{file}").read(None, docs::file).errors(docs::FILE_ERRORS),
    ]
}

/// Registers every path of the API.
pub fn configure(config: &mut ServiceConfig, with_metrics: bool) {
    for path in table(with_metrics) {
        config.service(path.resource());
    }
    config.default_service(unknown());
}

/// Registers `/metrics` only.
pub fn configure_metrics(config: &mut ServiceConfig) {
    config.service(metrics().resource()).default_service(unknown());
}

fn unknown() -> Route {
    route().to(|| async { Err::<String, _>(Problem::new(ErrorCode::RouteNotFound)) })
}
