//! The history in SQL databases. What both backends share is in `shared.rs`; how they write many rows is in their own
//! files.

mod address;
mod failure;
mod postgres;
mod reads;
mod removals;
mod schema;
mod shared;
mod sqlite;
mod statements;
mod values;

use std::sync::Arc;

pub use self::address::{DatabaseAddress, InvalidAddress};
use self::{postgres::PostgresHistory, sqlite::SqliteHistory};
use super::store::HistoryStore;

/// Opens the history at an address. Connects to nothing.
pub fn open(address: &DatabaseAddress) -> Arc<dyn HistoryStore> {
    match address {
        DatabaseAddress::Postgres(options) => Arc::new(PostgresHistory::new(options)),
        DatabaseAddress::Sqlite(options) => Arc::new(SqliteHistory::new(options)),
    }
}
