//! Role of a participant.

use std::str::FromStr;

use serde::Serialize;

use super::name::{self, UnknownName};

/// Role of a participant: a host publishes, a viewer only subscribes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// May publish audio, video and data.
    Host,
    /// May only subscribe.
    Viewer,
}

impl Role {
    /// Returns the name used in JSON.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Host => "host",
            Self::Viewer => "viewer",
        }
    }
}

impl FromStr for Role {
    type Err = UnknownName;

    /// Parses a name in any case of letters.
    fn from_str(text: &str) -> Result<Self, UnknownName> {
        name::find_in_any_case(&[Self::Host, Self::Viewer], Self::as_str, text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn role_in_any_case_parses() {
        assert_eq!("HOST".parse(), Ok(Role::Host));
        assert_eq!("Viewer".parse(), Ok(Role::Viewer));
        assert_eq!("admin".parse::<Role>(), Err(UnknownName));
    }
}
