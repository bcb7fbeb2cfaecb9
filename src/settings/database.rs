//! Settings of the history.

use std::time::Duration;

use super::{Arguments, reader::Reader};
use crate::history::DatabaseAddress;

/// Default of HISTORY_RETENTION: 90 days.
const RETENTION: Duration = Duration::from_secs(90 * 86_400);

impl Arguments {
    /// Returns the database of the history; `None` without one. Dev mode has a file, unless another database is named:
    /// one for each port, and in memory with an unknown port.
    pub(super) fn parse_database(&self, reader: &mut Reader) -> Option<DatabaseAddress> {
        let Some(url) = &self.database_url else { return self.dev.then(|| self.database_of_dev_mode()) };
        let parsed = DatabaseAddress::parse(url);
        parsed.map_err(|rule| reader.problem::<()>("DATABASE_URL", &rule.to_string())).ok()
    }

    fn database_of_dev_mode(&self) -> DatabaseAddress {
        let port = self.port.as_deref().unwrap_or("default");
        if port == "0" {
            return DatabaseAddress::in_memory();
        }
        let name = format!("livestream-orchestrator-dev-{}.sqlite", port.replace(['/', '\\'], "_"));
        DatabaseAddress::file(&std::env::temp_dir().join(name))
    }

    pub(super) fn parse_history_retention(&self, reader: &mut Reader) -> Option<Duration> {
        reader.duration_or_unlimited("HISTORY_RETENTION", self.history_retention.as_ref(), RETENTION)
    }
}
