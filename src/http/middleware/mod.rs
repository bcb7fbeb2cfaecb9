//! Middleware of every request, and of the routes of the API.

mod app_paths;
mod check_site;
mod guard;
mod idempotency;
mod observe;
mod slice_body;

pub use self::{
    app_paths::AppPaths,
    check_site::check_site,
    guard::{RoutePolicy, guard},
    observe::observe,
    slice_body::slice_body,
};
