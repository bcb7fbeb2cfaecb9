//! Errors of databases as errors of the history.

use std::time::Duration;

use sqlx::{
    error::{DatabaseError, Error},
    migrate::MigrateError,
};
use tokio::time::timeout;

use crate::history::error::HistoryError;

/// Maximum time of one transaction. Longer than the timeouts of `postgres.rs`, so that Postgres ends it first.
const TIMEOUT: Duration = Duration::from_secs(20);

/// Classes of SQLSTATE codes for failures that may end without a change of the statement: connections, authorization,
/// unknown databases, conflicts of transactions, resources, objects in use, operators, system errors.
const TEMPORARY_CLASSES: [&str; 10] = ["08", "25", "28", "3D", "40", "53", "55", "57", "58", "XX"];
/// Result codes of SQLite: busy, locked, read-only, I/O error, full, cannot open.
const TEMPORARY_RESULTS: [&str; 6] = ["5", "6", "8", "10", "13", "14"];

impl From<Error> for HistoryError {
    fn from(error: Error) -> Self {
        match &error {
            Error::Database(database) if !is_temporary(&**database) => Self::Refused(error.to_string()),
            Error::Database(_)
            | Error::Io(_)
            | Error::Tls(_)
            | Error::Protocol(_)
            | Error::PoolTimedOut
            | Error::PoolClosed
            | Error::WorkerCrashed => Self::Unavailable(error.to_string()),
            _ => Self::Refused(error.to_string()),
        }
    }
}

fn is_temporary(error: &dyn DatabaseError) -> bool {
    let code = error.code().unwrap_or_default();
    // SQLSTATE codes have five characters. Extended results of SQLite have the result in their lowest byte.
    match code.parse::<u32>() {
        Ok(result) if code.len() < 5 => TEMPORARY_RESULTS.contains(&(result & 0xff).to_string().as_str()),
        _ => TEMPORARY_CLASSES.iter().any(|class| code.starts_with(class)),
    }
}

/// Explains why the schema was not brought to `known`, the newest migration of this program.
pub(super) fn of_migration(error: MigrateError, known: i64) -> HistoryError {
    match error {
        MigrateError::Execute(error) | MigrateError::ExecuteMigration(error, _) => error.into(),
        MigrateError::VersionMissing(found) if found > known => HistoryError::SchemaNewer { found, known },
        MigrateError::VersionMissing(version) | MigrateError::VersionMismatch(version) => {
            HistoryError::SchemaDiffers(version)
        }
        error => HistoryError::Refused(error.to_string()),
    }
}

/// Bounds the time of a transaction.
pub(super) async fn bounded<T>(
    transaction: impl Future<Output = Result<T, HistoryError>>,
) -> Result<T, HistoryError> {
    let late = |_| HistoryError::Unavailable(format!("no answer within {} s", TIMEOUT.as_secs()));
    timeout(TIMEOUT, transaction).await.map_err(late)?
}
