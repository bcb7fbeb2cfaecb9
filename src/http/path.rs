//! Paths of the API: their operations, each with its handler, admission control and errors.

use actix_web::{
    FromRequest, Handler, Resource, Responder, Route,
    http::Method,
    middleware::from_fn,
    web::{resource, to},
};

use super::{
    middleware::{RoutePolicy, guard},
    problem::Problem,
};
use crate::domain::ErrorCode;

/// A path with its operations.
pub struct Path {
    /// Pattern in the syntax that actix and OpenAPI share.
    pub pattern: &'static str,
    /// Operations, in the order of `Allow`.
    pub operations: Vec<Operation>,
    pub(super) resource: Resource,
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
    pub(super) fn at(pattern: &'static str) -> Self {
        Self { pattern, operations: Vec::new(), resource: resource(pattern) }
    }

    pub(super) fn on<F, A>(
        mut self,
        method: Method,
        policy: impl Into<Option<RoutePolicy>>,
        handler: F,
    ) -> Self
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
    pub(super) fn read<F, A>(self, policy: impl Into<Option<RoutePolicy>>, handler: F) -> Self
    where
        F: Handler<A>,
        A: FromRequest + 'static,
        F::Output: Responder + 'static,
    {
        let policy = policy.into();
        self.on(Method::GET, policy, handler.clone()).on(Method::HEAD, policy, handler)
    }

    /// Declares the errors of the last added operation; after [`Self::read`], of GET and HEAD.
    pub(super) fn errors(mut self, errors: &'static [ErrorCode]) -> Self {
        for operation in self.operations.iter_mut().rev() {
            operation.errors = errors;
            if operation.method != Method::HEAD {
                break;
            }
        }
        self
    }

    /// Builds the actix resource; other methods get 405 with `Allow`.
    pub(super) fn resource(self) -> Resource {
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
pub(super) fn guarded(route: Route, policy: Option<RoutePolicy>) -> Route {
    match policy {
        Some(policy) => route.wrap(from_fn(move |request, next| guard(policy, request, next))),
        None => route,
    }
}
