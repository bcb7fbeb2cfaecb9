//! The Lua scripts: one struct for each, whose fields are its keys and arguments.
//!
//! The structs are declared once, in `changes`, `egress_changes` and `calls`. A declaration yields both sides of a
//! call. In Rust, a script cannot be called with a missing, extra or misplaced value. The Lua files name each value:
//! `KEY.stream`, `ARG.limit`, and `CONST.close_batch` for constants of the Rust code.
//!
//! Import direction: `argument ← definition ← calls, change_values ← change_script ← changes ← batch`, with
//! `constants`, `linking` and `sources` left of `definition`, and `egress_changes` beside `changes`.

mod argument;
mod batch;
mod calls;
mod change_script;
mod change_values;
mod changes;
mod constants;
mod definition;
mod egress_changes;
mod linking;
mod sources;
#[cfg(test)]
mod tests;

pub use self::{
    batch::{batch_call, is_batched},
    calls::*,
    change_script::{ChangeScript, PreparedChange},
    change_values::{ChangeArgs, ChangeKeys},
    changes::*,
    constants::{BLOCK_JOB, IDLE_JOB, JOINING_JOB, OPERATION_JOB},
    definition::ScriptCall,
    egress_changes::*,
};
