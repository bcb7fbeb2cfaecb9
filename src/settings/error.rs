//! The error for invalid settings.

use std::fmt;

/// All problems of the settings. Each names a setting and what is accepted, never a value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SettingsError(pub Vec<String>);

impl fmt::Display for SettingsError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "the settings are invalid:")?;
        for problem in &self.0 {
            writeln!(f, "  - {problem}")?;
        }
        write!(f, "--help lists all settings; --dev needs none")
    }
}

impl std::error::Error for SettingsError {}
