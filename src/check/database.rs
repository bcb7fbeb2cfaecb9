//! Examination of the history's database: it answers, and this program may use its schema.

use std::time::Instant;

use super::finding::{Finding, Subject};
use crate::history::{self, DatabaseAddress, HistoryError};

/// Examines the database; writes nothing.
pub(super) async fn examine(address: &DatabaseAddress) -> Vec<Finding> {
    let started = Instant::now();
    let info = match history::open(address).examine().await {
        Ok(info) => info,
        Err(error) => return vec![Subject::Database.failure(describe(&error))],
    };
    let millis = started.elapsed().as_secs_f64() * 1_000.0;
    let version = &info.version;
    let answers = format!("{version} answers; connecting and the first answer took {millis:.1} ms");
    let schema = match (info.migrations, info.may_create) {
        (applied, _) if applied == info.known => Subject::Database.ok("has the schema of this version"),
        (0, true) => Subject::Database.ok("has no schema yet: the first instance creates it"),
        (_, true) => {
            Subject::Database.ok("has an older schema: the first instance of this version changes it")
        }
        (_, false) => Subject::Database.failure(
            "needs a change of its schema, and the user of DATABASE_URL may create no tables: \
             grant CREATE on the schema",
        ),
    };
    vec![Subject::Database.ok(answers), schema]
}

fn describe(error: &HistoryError) -> String {
    format!("cannot be used: {error}")
}
