//! The routes' paths, for requests that end without a response of the application.

use std::{cell::OnceCell, rc::Rc};

use actix_web::dev::{ResourceMap, ServiceRequest};

/// The paths of a worker's app, copied from its first request. They name the route of an error, which has no request.
#[derive(Clone, Default)]
pub struct AppPaths(Rc<OnceCell<ResourceMap>>);

impl AppPaths {
    /// Copies the paths, if they are not copied yet.
    pub(super) fn read(&self, request: &ServiceRequest) {
        self.0.get_or_init(|| request.resource_map().clone());
    }

    /// Returns the route of a path; `None` if no route has it.
    pub(super) fn route_of(&self, path: &str) -> Option<String> {
        self.0.get()?.match_pattern(path)
    }
}
