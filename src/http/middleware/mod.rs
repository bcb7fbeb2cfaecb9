//! Middleware of every request, and of the routes of the API.

mod check_site;
mod guard;
mod idempotency;
mod observe;

pub use self::{
    check_site::check_site,
    guard::{RoutePolicy, guard},
    observe::{AppPaths, observe},
};
