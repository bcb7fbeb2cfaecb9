//! The Lua scripts: one struct for each, whose fields are its keys and arguments.
//!
//! The structs are declared once, in `changes` and `calls`. A declaration yields both sides of a call. In Rust, a
//! script cannot be called with a missing, extra or misplaced value. The Lua files name each value: `KEY.stream`,
//! `ARG.limit`, and `CONST.close_batch` for constants of the Rust code.
//!
//! Import direction: `argument ← definition ← calls, change_values ← changes ← batch`, with `constants`,
//! `linking` and `sources` left of `definition`.

mod argument;
mod batch;
mod calls;
mod change_values;
mod changes;
mod constants;
mod definition;
mod linking;
mod sources;
#[cfg(test)]
mod tests;

pub use self::{
    batch::{batch_call, is_batched},
    calls::*,
    change_values::{ChangeArgs, ChangeKeys},
    changes::*,
    constants::{BLOCK_JOB, IDLE_JOB, JOINING_JOB, OPERATION_JOB},
    definition::ScriptCall,
};
