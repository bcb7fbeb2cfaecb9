//! What all scripts of changes have in common, and their declaration.

use redis::Script;

#[cfg(test)]
use super::definition::Position;
use super::{
    change_values::{ChangeArgs, ChangeKeys},
    definition::ScriptCall,
};

/// The keys and arguments that not every change uses.
#[cfg(test)]
pub(super) const SHARED: [&[Position]; 2] = [ChangeKeys::POSITIONS, ChangeArgs::POSITIONS];

/// A change's own arguments.
pub trait ChangeScript {
    /// The change's script and its own arguments as texts.
    fn prepare(self) -> PreparedChange;
}

/// A change that can be called alone, and with others if a batch has it.
pub struct PreparedChange {
    /// Name of the script's file, without its folder.
    pub(super) name: &'static str,
    pub(super) script: &'static Script,
    pub(super) values: Vec<String>,
}

impl PreparedChange {
    /// The change's name, for metrics too.
    pub const fn name(&self) -> &'static str {
        self.name
    }

    /// Bytes of the change's own arguments.
    pub fn bytes(&self) -> usize {
        self.values.iter().map(String::len).sum()
    }

    /// The call of this change alone.
    pub fn call(&self, keys: ChangeKeys, args: ChangeArgs) -> ScriptCall {
        let count = ChangeArgs::POSITIONS.len() + self.values.len();
        let mut call = ChangeArgs::shared_call(self.script, keys, args, count);
        call.args.extend_from_slice(&self.values);
        call
    }
}

/// Declares scripts of changes: the struct of each has its own arguments.
macro_rules! change_scripts {
    ($($(#[$meta:meta])* $shared:ident $name:ident = $file:literal
        { $($(#[$field_meta:meta])* $field:ident: $type:ty),* $(,)? })*) => {
        $(
            positions! { $(#[$meta])* $name { $($(#[$field_meta])* $field: $type,)* } }

            impl $name {
                const DEFINITION: Definition = Definition {
                    file: concat!("changes/", $file, ".lua"),
                    shared: $shared,
                    own: Self::FUNCTION.own,
                    functions: &[],
                    makes_keys: true,
                    keys: [ChangeKeys::POSITIONS, &[]],
                    args: [ChangeArgs::POSITIONS, Self::POSITIONS],
                };

                pub(super) const FUNCTION: ChangeFunction = ChangeFunction {
                    name: $file,
                    own: include_str!(concat!("../lua/changes/", $file, ".lua")),
                    args: Self::POSITIONS,
                };
            }

            impl ChangeScript for $name {
                fn prepare(self) -> PreparedChange {
                    static SCRIPT: LazyLock<Script> = LazyLock::new(|| $name::DEFINITION.script());
                    let mut values = Vec::with_capacity(Self::POSITIONS.len());
                    self.append_to(&mut values);
                    PreparedChange { name: $file, script: &SCRIPT, values }
                }
            }
        )*

        #[cfg(test)]
        pub(super) const ALL: &[Definition] = &[$($name::DEFINITION),*];
    };
}
pub(super) use change_scripts;
