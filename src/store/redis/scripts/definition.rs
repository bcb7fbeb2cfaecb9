//! The definition of one script, its text with the positions of its values, and a call of it.

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
        let (constants, commands) = (constants_in(&body), commands_in(&body));
        let (lists, body) = replace_names(body, "ARG", "ARGV", self.args);
        // No list of keys exists. Locals are faster than the globals KEYS and ARGV.
        let (_, body) = replace_names(body, "KEY", "KEYS", self.keys);
        format!("-- {}\nlocal KEYS, ARGV = KEYS, ARGV\n{lists}{constants}{commands}{body}", self.file)
    }

    /// Builds the script, which computes its hash.
    pub(super) fn script(&self) -> Script {
        Script::new(&self.text())
    }
}

/// Replaces the names of positions by positions of `source`, which is KEYS or ARGV: `KEY.stream` becomes `KEYS[1]`.
/// Returns the lists that the text names, as Lua locals, and the text.
///
/// A table of names would be built by each call: 40 entries are a twentieth of the time of a join.
fn replace_names(body: String, name: &str, source: &str, positions: [&[Position]; 2]) -> (String, String) {
    let (mut lists, mut body) = (String::new(), body);
    for (i, position) in positions.into_iter().flatten().enumerate() {
        let number = i + 1;
        let value = if position.is_tail {
            lists += &format!("local {name}_{} = {{ unpack({source}, {number}) }}\n", position.name);
            format!("{name}_{}", position.name)
        } else {
            format!("{source}[{number}]")
        };
        body = replace_word(&body, &format!("{name}.{}", position.name), &value);
    }
    (lists, body)
}

/// Replaces a word where no longer word begins with it.
fn replace_word(text: &str, word: &str, value: &str) -> String {
    let mut parts = text.split(word);
    let mut replaced = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let is_longer = part.starts_with(|c: char| c.is_ascii_alphanumeric() || c == '_');
        replaced += if is_longer { word } else { value };
        replaced += part;
    }
    replaced
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
