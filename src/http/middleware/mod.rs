//! What happens to every request.

mod observe;

pub use observe::observe;
