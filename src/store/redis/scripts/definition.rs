//! The definition of one script, the header that names its values, and a call of it.

use std::collections::BTreeSet;

use redis::Script;

use super::{argument::Argument, constants};

/// A position of KEYS or ARGV.
#[derive(Clone, Copy, Debug)]
pub(super) struct Position {
    pub(super) name: &'static str,
    /// The name stands for all positions from this one to the end.
    pub(super) is_tail: bool,
}

impl Position {
    pub(super) const fn of<T: Argument>(name: &'static str) -> Self {
        Self { name, is_tail: T::IS_TAIL }
    }
}

/// A script: its files and the names of its values.
pub(super) struct Definition {
    /// Path under `lua/`.
    pub(super) file: &'static str,
    /// The texts in front of the script's own, in order.
    pub(super) shared: &'static [&'static str],
    pub(super) own: &'static str,
    /// Keys and arguments in order; the shared ones of all changes first.
    pub(super) keys: [&'static [Position]; 2],
    pub(super) args: [&'static [Position]; 2],
}

impl Definition {
    /// The Lua text that Redis runs. Its first line names the file.
    pub(super) fn text(&self) -> String {
        let body = self.shared.concat() + self.own;
        let (keys, args) = (table("KEY", "KEYS", self.keys), table("ARG", "ARGV", self.args));
        let (constants, commands) = (constants_in(&body), commands_in(&body));
        format!("-- {}\n{keys}{args}{constants}{commands}{body}", self.file)
    }

    /// Builds the script, which computes its hash.
    pub(super) fn script(&self) -> Script {
        Script::new(&self.text())
    }
}

/// A Lua table with the names of all positions of `source`, which is KEYS or ARGV.
fn table(name: &str, source: &str, positions: [&[Position]; 2]) -> String {
    let entry = |(i, position): (usize, &Position)| {
        let (name, number) = (position.name, i + 1);
        if position.is_tail {
            format!("{name} = {{ unpack({source}, {number}) }}")
        } else {
            format!("{name} = {source}[{number}]")
        }
    };
    let entries: Vec<_> = positions.into_iter().flatten().enumerate().map(entry).collect();
    if entries.is_empty() { String::new() } else { format!("local {name} = {{ {} }}\n", entries.join(", ")) }
}

/// A Lua table with the constants that a text names.
fn constants_in(text: &str) -> String {
    let named = constants::all().into_iter().filter(|(name, _)| text.contains(&format!("CONST.{name}")));
    let entries: Vec<_> = named.map(|(name, value)| format!("{name} = {value}")).collect();
    if entries.is_empty() { String::new() } else { format!("local CONST = {{ {} }}\n", entries.join(", ")) }
}

/// A Lua list of the commands that a text runs, if it names `COMMANDS`. It lacks `PUBLISH`, whose permission depends on
/// a channel.
fn commands_in(text: &str) -> String {
    if !text.contains("COMMANDS") {
        return String::new();
    }
    let run = text.split("redis.call('").skip(1).filter_map(|rest| rest.split('\'').next());
    let run: BTreeSet<_> =
        run.filter(|command| *command != "PUBLISH").map(|name| format!("'{name}'")).collect();
    format!("local COMMANDS = {{ {} }}\n", run.into_iter().collect::<Vec<_>>().join(", "))
}

/// One call of a script.
pub struct ScriptCall {
    pub(in crate::store::redis) script: &'static Script,
    pub(in crate::store::redis) keys: Vec<String>,
    pub(in crate::store::redis) args: Vec<String>,
    /// The script only reads, and only the keys of the call. Any other script is called with one more key, which never
    /// exists: during a slot migration both nodes then refuse the script before it begins. Otherwise it could fail at
    /// its first access to a migrated key with half of its changes made, or treat a migrated key as missing.
    pub(in crate::store::redis) reads_declared_keys_only: bool,
}

/// Declares structs whose fields are positions of KEYS or ARGV, in the order of the fields.
macro_rules! positions {
    ($(#[$meta:meta])* $name:ident { $($(#[$field_meta:meta])* $field:ident: $type:ty),* $(,)? }) => {
        $(#[$meta])*
        pub struct $name { $($(#[$field_meta])* pub(in crate::store::redis) $field: $type,)* }

        impl $name {
            const POSITIONS: &[Position] = &[$(Position::of::<$type>(stringify!($field)),)*];

            #[allow(unused_variables, clippy::ptr_arg, reason = "some scripts have no arguments of their own")]
            fn append_to(self, values: &mut Vec<String>) {
                $(self.$field.append_to(values);)*
            }
        }
    };
}
pub(super) use positions;
