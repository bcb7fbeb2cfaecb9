//! Rules of [`Change`](super::Change) in plain Rust: a stream, its participants, and the effect of each change on them.
//!
//! The memory store runs this code. The Redis store runs the same rules as Lua scripts. A property test makes random
//! changes on both and compares the results.

mod apply;
mod backstage;
mod blocks;
mod departures;
mod egresses;
mod ended_sessions;
mod hands;
mod ingresses;
mod operation_lock;
mod participant_update;
mod recorder;
mod removal;
mod rtmp_targets;
mod sessions;
mod state;
mod status;
mod tally;
mod tokens;

pub use self::state::Aggregate;
