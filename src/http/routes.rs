//! Route table: paths, methods, handlers, admission control and errors.

use actix_web::{
    FromRequest, Handler, Resource, Responder, Route,
    guard::Header,
    http::Method,
    middleware::from_fn,
    web::{ServiceConfig, resource, route, to},
};

use super::{
    backstage, blocks, docs, events, health,
    middleware::{RoutePolicy, guard},
    pages, participants,
    problem::Problem,
    streams, webhook_endpoints as endpoints, webhooks, websocket,
};
use crate::{access::Action, admission::RateLimitClass, domain::ErrorCode};

/// A path with its operations.
pub struct Path {
    /// Pattern in the syntax that actix and OpenAPI share.
    pub pattern: &'static str,
    /// Operations, in the order of `Allow`.
    pub operations: Vec<Operation>,
    resource: Resource,
}

/// A method of a path.
pub struct Operation {
    /// HTTP method.
    pub method: Method,
    /// Admission control of the operation; `None` if it is open to every client.
    pub policy: Option<RoutePolicy>,
    /// Errors that only this operation has, for the OpenAPI document.
    pub errors: &'static [ErrorCode],
}

impl Path {
    fn at(pattern: &'static str) -> Self {
        Self { pattern, operations: Vec::new(), resource: resource(pattern) }
    }

    fn on<F, A>(mut self, method: Method, policy: impl Into<Option<RoutePolicy>>, handler: F) -> Self
    where
        F: Handler<A>,
        A: FromRequest + 'static,
        F::Output: Responder + 'static,
    {
        let policy = policy.into();
        self.resource = self.resource.route(guarded(Route::new().method(method.clone()).to(handler), policy));
        self.operations.push(Operation { method, policy, errors: &[] });
        self
    }

    /// Adds GET, and HEAD with the response of GET without its body.
    fn read<F, A>(self, policy: impl Into<Option<RoutePolicy>>, handler: F) -> Self
    where
        F: Handler<A>,
        A: FromRequest + 'static,
        F::Output: Responder + 'static,
    {
        let policy = policy.into();
        self.on(Method::GET, policy, handler.clone()).on(Method::HEAD, policy, handler)
    }

    /// Declares the errors of the last added operation; after [`Self::read`], of GET and HEAD.
    fn errors(mut self, errors: &'static [ErrorCode]) -> Self {
        for operation in self.operations.iter_mut().rev() {
            operation.errors = errors;
            if operation.method != Method::HEAD {
                break;
            }
        }
        self
    }

    /// Builds the actix resource; other methods get 405 with `Allow`.
    fn resource(self) -> Resource {
        let methods: Vec<_> = self.operations.iter().map(|operation| operation.method.as_str()).collect();
        let allow = methods.join(", ");
        let refuse = move || {
            let problem = Problem::method_not_allowed(&allow);
            async { Err::<String, _>(problem) }
        };
        self.resource.default_service(to(refuse))
    }
}

/// Applies admission control to a route that has a policy.
fn guarded(route: Route, policy: Option<RoutePolicy>) -> Route {
    match policy {
        Some(policy) => route.wrap(from_fn(move |request, next| guard(policy, request, next))),
        None => route,
    }
}

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

/// Returns every path of the API; `/metrics` only if `with_metrics`.
pub fn table(with_metrics: bool) -> Vec<Path> {
    let mut paths = streams();
    paths.extend(webhook_endpoints());
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
