//! History: every event and every stream, in a database that outlives Redis.
//!
//! Two backends implement [`HistoryStore`] and pass the same tests (`tests/contract/history_store.rs`): Postgres for
//! production, SQLite for dev mode.
//!
//! Import direction; this file only declares and re-exports:
//! ```text
//! erasure, error, records ← batch ← store ← sql, failure ← archiving, visit_archiving ← archiver ← service
//!             ← catching_up ← reading ← past
//! ```

mod archiver;
mod archiving;
mod batch;
mod catching_up;
mod erasure;
mod error;
mod failure;
mod past;
mod reading;
mod records;
mod service;
mod sql;
mod store;
mod visit_archiving;

pub use self::{
    batch::Batch,
    error::HistoryError,
    reading::{MAX_POINTS, Point, ReadError, StreamSummary},
    records::{
        EventRecord, Gap, Log, RowLimit, Rows, StreamRecord, StreamSelection, ViewerStep, WatchTime,
        WatchTimes,
    },
    service::History,
    sql::{DatabaseAddress, InvalidAddress, open},
    store::{ArchiveOutcome, DatabaseInfo, HistoryStore},
};
