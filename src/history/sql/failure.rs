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
/// Classes of SQLSTATE codes for rows that are refused: data exceptions, constraints, limits such as that of an index.
const ROW_CLASSES: [&str; 3] = ["22", "23", "54"];
/// Result codes of SQLite: constraint, mismatch of types, too large.
const ROW_RESULTS: [&str; 3] = ["19", "20", "18"];
/// Result codes of SQLite: busy, locked, read-only, I/O error, full, cannot open.
const TEMPORARY_RESULTS: [&str; 6] = ["5", "6", "8", "10", "13", "14"];

impl From<Error> for HistoryError {
    fn from(error: Error) -> Self {
        match &error {
            Error::Database(database) => of_database(&**database),
            Error::Io(_)
            | Error::Tls(_)
            | Error::Protocol(_)
            | Error::PoolTimedOut
            | Error::PoolClosed
            | Error::WorkerCrashed => Self::Unavailable(error.to_string()),
            _ => Self::Refused(error.to_string()),
        }
    }
}

fn of_database(error: &dyn DatabaseError) -> HistoryError {
    if is_one_of(error, &TEMPORARY_CLASSES, &TEMPORARY_RESULTS) {
        HistoryError::Unavailable(error.to_string())
    } else if is_one_of(error, &ROW_CLASSES, &ROW_RESULTS) {
        HistoryError::RowRefused(error.to_string())
    } else {
        HistoryError::Refused(error.to_string())
    }
}

fn is_one_of(error: &dyn DatabaseError, classes: &[&str], results: &[&str]) -> bool {
    let code = error.code().unwrap_or_default();
    // SQLSTATE codes have five characters. Extended results of SQLite have the result in their lowest byte.
    match code.parse::<u32>() {
        Ok(result) if code.len() < 5 => results.contains(&(result & 0xff).to_string().as_str()),
        _ => classes.iter().any(|class| code.starts_with(class)),
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
