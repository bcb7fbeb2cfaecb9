//! The script that makes several changes of one stream.

use std::sync::LazyLock;

use redis::Script;

use super::{
    change_script::PreparedChange,
    change_values::{ChangeArgs, ChangeKeys},
    changes::{Connect, Disconnect, IssueToken},
    definition::{ChangeFunction, Definition, Position, ScriptCall},
    sources::BATCH,
};

/// The changes that a batch may have.
const FUNCTIONS: &[ChangeFunction] = &[Connect::FUNCTION, Disconnect::FUNCTION, IssueToken::FUNCTION];

/// The script `batch.lua`. Its own argument is a list: for each change its name, the number of its own values, its
/// deduplication key, that key's TTL, and its own values.
pub(super) const DEFINITION: Definition = Definition {
    file: "changes/batch.lua",
    shared: BATCH,
    own: include_str!("../lua/changes/batch.lua"),
    functions: FUNCTIONS,
    makes_keys: true,
    keys: [ChangeKeys::POSITIONS, &[]],
    args: [ChangeArgs::POSITIONS, &[Position::of::<Vec<String>>("changes")]],
};

/// Whether a batch may have this change.
pub fn is_batched(change: &PreparedChange) -> bool {
    FUNCTIONS.iter().any(|function| function.name == change.name)
}

/// The call that makes changes in this order, each with its deduplication key and that key's TTL; both are empty
/// without one. `args` have no precondition and no deduplication key.
pub fn batch_call<'a>(
    changes: impl Iterator<Item = (&'a PreparedChange, [String; 2])>,
    keys: ChangeKeys,
    args: ChangeArgs,
) -> ScriptCall {
    static SCRIPT: LazyLock<Script> = LazyLock::new(|| DEFINITION.script());
    let mut call = ChangeArgs::shared_call(&SCRIPT, keys, args, 0);
    for (change, dedup) in changes {
        call.args.extend([change.name.to_owned(), change.values.len().to_string()]);
        call.args.extend(dedup);
        call.args.extend_from_slice(&change.values);
    }
    call
}
