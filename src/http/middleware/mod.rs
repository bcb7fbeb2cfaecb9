//! What happens to every request, and to those of the API.

mod guard;
mod idempotency;
mod observe;

pub use self::{
    guard::{RoutePolicy, guard},
    observe::observe,
};
