//! The definition of one script, its text with the positions of its values, and a call of it.

use redis::Script;

use super::{
    super::script_keys::{SHARED_KEYS, STREAM_KEYS},
    argument::Argument,
    constants,
    linking::{CHECK, indented, linked},
};

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

/// A change's script as a function of the script of a batch.
pub(super) struct ChangeFunction {
    /// Name of the function, and of the file without its folder.
    pub(super) name: &'static str,
    pub(super) own: &'static str,
    pub(super) args: &'static [Position],
}

impl ChangeFunction {
    /// The Lua function. The values of its call are in the batch's argument, from the position `at` on.
    fn text(&self) -> String {
        function(self.name, &self.body())
    }

    /// The Lua function of the change's part in front of its last check of permissions, which returns nil if the change
    /// needs more.
    fn early_text(&self) -> String {
        let body = self.body();
        let early = body.rsplit_once(CHECK).map_or(&*body, |(early, _)| early);
        function(&format!("{}_early", self.name), early)
    }

    fn body(&self) -> String {
        let names = self.args.iter().enumerate();
        names.fold(self.own.to_owned(), |body, (i, position)| {
            replace_word(&body, &format!("ARG.{}", position.name), &format!("ARG.changes[at + {i}]"))
        })
    }
}

/// A Lua function without the checks of its body: the batch's script checks the permissions of all changes at once.
fn function(name: &str, body: &str) -> String {
    let body: String =
        body.lines().filter(|line| line.trim() != CHECK.trim()).map(|line| format!("{line}\n")).collect();
    format!("local function {name}()\n{}end\n", indented(&body))
}

/// A script: its files and the names of its values.
pub(super) struct Definition {
    /// Path under `lua/`.
    pub(super) file: &'static str,
    /// The texts in front of the script's own, in order.
    pub(super) shared: &'static [&'static str],
    pub(super) own: &'static str,
    /// The changes that the script of a batch has as functions.
    pub(super) functions: &'static [ChangeFunction],
    /// Whether the script names keys that it makes itself, see [`STREAM_KEYS`].
    pub(super) makes_keys: bool,
    /// Keys and arguments in order; the shared ones of all changes first.
    pub(super) keys: [&'static [Position]; 2],
    pub(super) args: [&'static [Position]; 2],
}

impl Definition {
    /// The Lua text that Redis runs. Its first line names the file.
    pub(super) fn text(&self) -> String {
        let body = if self.makes_keys {
            with_made_keys(linked(self.shared, &self.own_text(), &self.deferred_text()))
        } else {
            self.shared.concat() + self.own
        };
        let (constants, body) = with_constants(body);
        let (lists, body) = replace_names(body, "ARG", "ARGV", self.args);
        // No list of keys exists.
        let (_, body) = replace_names(body, "KEY", "KEYS", self.keys);
        format!("-- {}\n{lists}{constants}{body}", self.file)
    }

    /// The script's own text behind the early parts of its changes.
    pub(super) fn own_text(&self) -> String {
        self.functions.iter().map(ChangeFunction::early_text).collect::<String>() + self.own
    }

    /// The functions of its changes.
    pub(super) fn deferred_text(&self) -> String {
        self.functions.iter().map(ChangeFunction::text).collect()
    }

    /// The names of all keys, those that the script makes included.
    #[cfg(test)]
    pub(super) fn key_names(&self) -> Vec<&'static str> {
        let made = STREAM_KEYS.iter().chain(&SHARED_KEYS).map(|(name, _)| *name).filter(|_| self.makes_keys);
        self.keys.into_iter().flatten().map(|position| position.name).chain(made).collect()
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

/// Replaces the names of keys that a change's script makes itself: `KEY.log` becomes `(KEY.stream .. ':log')`, and
/// `KEY.tail` becomes `(ARG.key_prefix .. 'tail')`.
fn with_made_keys(body: String) -> String {
    let of_stream = STREAM_KEYS.iter().map(|(name, suffix)| (name, format!("(KEY.stream .. '{suffix}')")));
    let shared = SHARED_KEYS.iter().map(|(name, rest)| (name, format!("(ARG.key_prefix .. '{rest}')")));
    of_stream
        .chain(shared)
        .fold(body, |body, (name, value)| replace_word(&body, &format!("KEY.{name}"), &value))
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

/// Replaces the names of constants by their values: `CONST.close_batch` becomes `100`. Returns the constants that are
/// tables, as Lua locals, and the text.
fn with_constants(mut body: String) -> (String, String) {
    let mut tables = String::new();
    for (name, value) in constants::all() {
        let word = format!("CONST.{name}");
        if value.starts_with('{') && body.contains(&word) {
            tables += &format!("local CONST_{name} = {value}\n");
            body = replace_word(&body, &word, &format!("CONST_{name}"));
        } else {
            body = replace_word(&body, &word, &value);
        }
    }
    (tables, body)
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
            pub(super) const POSITIONS: &[Position] = &[$(Position::of::<$type>(stringify!($field)),)*];

            #[allow(unused_variables, clippy::ptr_arg, reason = "some scripts have no arguments of their own")]
            fn append_to(self, values: &mut Vec<String>) {
                $(self.$field.append_to(values);)*
            }
        }
    };
}
pub(super) use positions;
