//! Sections of the report, each with a table of its own.

use tokio::runtime::Runtime;

use super::{archive, audience, partitions, scale::Scale};

/// A section of the report.
#[derive(Clone, Copy)]
pub enum Section {
    Audience,
    Partitions,
    Archive,
}

impl Section {
    pub const ALL: &'static [Self] = &[Self::Audience, Self::Partitions, Self::Archive];

    /// Returns the name, as an argument of `scripts/bench`.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Audience => "audience",
            Self::Partitions => "partitions",
            Self::Archive => "archive",
        }
    }

    /// Measures, and returns the lines of the table.
    pub fn measure(self, scale: &Scale, runtime: &Runtime) -> Vec<String> {
        match self {
            Self::Audience => audience::measure(scale, runtime),
            Self::Partitions => partitions::measure(scale, runtime),
            Self::Archive => archive::measure(scale, runtime),
        }
    }

    /// Returns the text before the table.
    pub fn intro(self, scale: &Scale) -> String {
        match self {
            Self::Audience => {
                include_str!("audience.md").replace("{seconds}", &scale.audience.seconds.to_string())
            }
            Self::Partitions => partitions::intro(scale),
            Self::Archive => archive::intro(scale),
        }
    }

    /// Returns the head of the table.
    pub const fn head(self) -> &'static str {
        match self {
            Self::Audience => audience::HEAD,
            Self::Partitions => partitions::HEAD,
            Self::Archive => archive::HEAD,
        }
    }
}
