//! The migrations of the schema. They only go forward, and a migration that was released never changes.

use sqlx::{
    SqlSafeStr,
    migrate::{Migration, MigrationType, Migrator},
};

/// Migrations of Postgres, in order.
pub(super) const POSTGRES: &[(&str, &str)] =
    &[("events", include_str!("../migrations/postgres/0001_events.sql"))];
/// The same migrations of SQLite.
pub(super) const SQLITE: &[(&str, &str)] =
    &[("events", include_str!("../migrations/sqlite/0001_events.sql"))];

/// Returns the number of the newest migration.
pub(super) fn newest(migrations: &[(&str, &str)]) -> i64 {
    i64::try_from(migrations.len()).unwrap_or(i64::MAX)
}

/// Returns what runs the migrations, numbered from 1.
pub(super) fn migrator(migrations: &'static [(&'static str, &'static str)]) -> Migrator {
    let numbered = (1..).zip(migrations);
    let migrations = numbered.map(|(version, &(name, sql))| {
        Migration::new(version, name.into(), MigrationType::Simple, sql.into_sql_str(), false)
    });
    Migrator::with_migrations(migrations.collect())
}
