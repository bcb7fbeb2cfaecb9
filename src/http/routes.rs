//! The table of routes. Each path has a fixed set of methods; any other is 405 with `Allow`.

use actix_web::{
    FromRequest, Handler, Resource, Responder, Route,
    guard::Header,
    http::Method,
    middleware::from_fn,
    web::{ServiceConfig, resource, route, to},
};

use super::{
    docs, events, health,
    middleware::{RoutePolicy, guard},
    pages, participants,
    problem::Problem,
    streams, webhooks, websocket,
};
use crate::{access::Action, admission::RateLimitClass, domain::ErrorCode};

/// A path with its methods, and what each asks of a caller: nothing where the route is open.
pub struct Path {
    /// As actix and OpenAPI write it.
    pub pattern: &'static str,
    /// The methods in the order of `Allow`.
    pub methods: Vec<(Method, Option<RoutePolicy>)>,
    resource: Resource,
}

impl Path {
    fn at(pattern: &'static str) -> Self {
        Self { pattern, methods: Vec::new(), resource: resource(pattern) }
    }

    fn route(mut self, method: Method, policy: Option<RoutePolicy>, route: Route) -> Self {
        let route = route.method(method.clone());
        self.resource = self.resource.route(match policy {
            // Nothing behind it is reached by a caller who may not do what it is for.
            Some(policy) => route.wrap(from_fn(move |request, next| guard(policy, request, next))),
            None => route,
        });
        self.methods.push((method, policy));
        self
    }

    fn on<F, A>(self, method: Method, policy: impl Into<Option<RoutePolicy>>, handler: F) -> Self
    where
        F: Handler<A>,
        A: FromRequest + 'static,
        F::Output: Responder + 'static,
    {
        self.route(method, policy.into(), Route::new().to(handler))
    }

    /// A path that can be read. A HEAD is answered as the GET would be, without the body.
    fn read<F, A>(self, policy: impl Into<Option<RoutePolicy>>, handler: F) -> Self
    where
        F: Handler<A>,
        A: FromRequest + 'static,
        F::Output: Responder + 'static,
    {
        let policy = policy.into();
        self.on(Method::GET, policy, handler.clone()).on(Method::HEAD, policy, handler)
    }

    /// The resource, with a word to those who try another method.
    fn resource(self) -> Resource {
        let methods: Vec<_> = self.methods.iter().map(|(method, _)| method.as_str()).collect();
        let allow = methods.join(", ");
        let refuse = move || {
            let problem = Problem::method_not_allowed(&allow);
            async { Err::<String, _>(problem) }
        };
        self.resource.default_service(to(refuse))
    }
}

const fn reads(actions: &'static [Action]) -> RoutePolicy {
    RoutePolicy {
        actions,
        rate_limit_class: RateLimitClass::Read,
        token_in_query: false,
        accepts_idempotency_key: false,
    }
}

/// A feed, which browsers open without headers of their own.
const fn follows(actions: &'static [Action]) -> RoutePolicy {
    RoutePolicy { token_in_query: true, ..reads(actions) }
}

const fn changes(actions: &'static [Action]) -> RoutePolicy {
    RoutePolicy {
        actions,
        rate_limit_class: RateLimitClass::Write,
        token_in_query: false,
        accepts_idempotency_key: true,
    }
}

const fn joins(actions: &'static [Action]) -> RoutePolicy {
    RoutePolicy { rate_limit_class: RateLimitClass::Join, ..changes(actions) }
}

/// Who may follow anything at all; what exactly is looked at with the request.
const FOLLOW: &[Action] = &[Action::Read, Action::FollowAll];

/// Every path there is.
pub fn table(with_metrics: bool) -> Vec<Path> {
    let mut paths = streams();
    paths.extend(feeds());
    paths.extend(files());
    paths.extend([
        Path::at("/webhooks/livekit").on(Method::POST, None, webhooks::receive),
        Path::at("/webhook").on(Method::POST, None, webhooks::receive),
        Path::at("/health").read(None, health::summary),
        Path::at("/health/live").read(None, health::live),
        Path::at("/health/ready").read(None, health::ready),
        Path::at("/openapi.json").read(None, docs::openapi),
    ]);
    if with_metrics {
        paths.push(Path::at("/metrics").read(None, health::metrics));
    }
    paths
}

fn streams() -> Vec<Path> {
    vec![
        Path::at("/streams").read(reads(&[Action::List]), streams::list).on(
            Method::POST,
            changes(&[Action::Create]),
            streams::create,
        ),
        Path::at("/streams/{id}")
            .read(reads(&[Action::Read]), streams::get)
            .on(Method::PATCH, changes(&[Action::Update, Action::Stop]), streams::patch)
            .on(Method::DELETE, changes(&[Action::Stop]), streams::stop),
        Path::at("/streams/{id}/state").read(reads(&[Action::Read]), streams::state),
        Path::at("/streams/{id}/participants").read(reads(&[Action::Read]), participants::list),
        Path::at("/streams/{id}/join").on(Method::POST, joins(&[Action::Join]), participants::join),
        Path::at("/streams/{id}/leave").on(
            Method::POST,
            changes(&[Action::Leave, Action::Remove]),
            participants::leave,
        ),
    ]
}

fn feeds() -> Vec<Path> {
    vec![
        Path::at("/events").on(Method::GET, follows(FOLLOW), events::follow),
        Path::at("/events/{id}").read(reads(&[Action::Read]), events::history),
        Path::at("/sse/{id}/updates").on(Method::GET, follows(&[Action::Read]), events::follow_state),
        Path::at("/ws").on(Method::GET, follows(FOLLOW), websocket::upgrade),
    ]
}

fn files() -> Vec<Path> {
    let policy = follows(FOLLOW);
    let upgrade =
        Route::new().method(Method::GET).guard(Header("upgrade", "websocket")).to(websocket::upgrade);
    let mut root = Path::at("/");
    // The page, or a WebSocket where one is asked for.
    root.resource =
        root.resource.route(upgrade.wrap(from_fn(move |request, next| guard(policy, request, next))));
    vec![
        root.read(None, pages::index),
        Path::at("/index.html").read(None, pages::index),
        Path::at("/room.html").read(None, pages::room),
        Path::at("/assets/{file}").read(None, pages::asset),
        Path::at("/vendor/{file}").read(None, pages::vendor),
        Path::at("/docs").read(None, docs::page),
        Path::at("/docs/{file}").read(None, docs::file),
    ]
}

/// Everything.
pub fn configure(config: &mut ServiceConfig, with_metrics: bool) {
    for path in table(with_metrics) {
        config.service(path.resource());
    }
    config.default_service(unknown());
}

/// `/metrics` alone.
pub fn configure_metrics(config: &mut ServiceConfig) {
    config.service(Path::at("/metrics").read(None, health::metrics).resource()).default_service(unknown());
}

fn unknown() -> Route {
    route().to(|| async { Err::<String, _>(Problem::new(ErrorCode::RouteNotFound)) })
}
