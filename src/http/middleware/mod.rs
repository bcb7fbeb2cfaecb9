//! Middleware of every request, and of the routes of the API.

mod guard;
mod idempotency;
mod observe;

pub use self::{
    guard::{RoutePolicy, guard},
    observe::observe,
};
