//! Databases of the tests of the history.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::sync::Arc;

use livestream_orchestrator::history::{DatabaseAddress, HistoryStore, RowLimit, open};

use crate::support::{servers::shared_postgres_database, unique};

/// Returns the bound of a page of any number of bytes.
pub const fn rows(rows: u32) -> RowLimit {
    RowLimit { rows, bytes: usize::MAX }
}

/// A database of one test.
pub struct Database {
    pub address: DatabaseAddress,
    pub store: Arc<dyn HistoryStore>,
    /// File of an SQLite database, which is removed on drop.
    file: Option<std::path::PathBuf>,
}

impl Drop for Database {
    fn drop(&mut self) {
        for suffix in ["", "-wal", "-shm"] {
            let path = self.file.iter().map(|file| format!("{}{suffix}", file.display()));
            path.for_each(|path| drop(std::fs::remove_file(path)));
        }
    }
}

impl Database {
    pub async fn postgres() -> Self {
        let url = shared_postgres_database().await;
        let address = DatabaseAddress::parse(&url.into()).unwrap();
        Self { store: open(&address), address, file: None }
    }

    pub fn sqlite() -> Self {
        let file = std::env::temp_dir().join(unique("history.sqlite"));
        let address = DatabaseAddress::file(&file);
        Self { store: open(&address), address, file: Some(file) }
    }

    pub async fn migrated(self) -> Self {
        self.store.migrate().await.unwrap();
        self
    }
}

macro_rules! on_both_databases {
    ($($test:ident),* $(,)?) => {
        mod on_postgres {
            $(#[tokio::test]
            async fn $test() {
                super::$test(crate::history_databases::Database::postgres().await.migrated().await).await;
            })*
        }

        mod on_sqlite {
            $(#[tokio::test]
            async fn $test() {
                super::$test(crate::history_databases::Database::sqlite().migrated().await).await;
            })*
        }
    };
}
pub(crate) use on_both_databases;
