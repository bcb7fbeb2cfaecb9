//! Addresses of databases.

use std::{fmt, path::Path};

use secrecy::{ExposeSecret, SecretString};
use sqlx::{postgres::PgConnectOptions, sqlite::SqliteConnectOptions};

/// Address of the history's database, with its credentials.
#[derive(Clone)]
pub enum DatabaseAddress {
    /// A Postgres database.
    Postgres(Box<PgConnectOptions>),
    /// An SQLite database, which is part of this process.
    Sqlite(Box<SqliteConnectOptions>),
}

/// The text is not the URL of a Postgres database. The error does not repeat it, because it has a password.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("must be postgres://user:password@host:port/database")]
pub struct InvalidAddress;

impl DatabaseAddress {
    /// Parses the URL of a Postgres database. `sslmode` and the other parameters are those of libpq.
    ///
    /// # Errors
    /// [`InvalidAddress`] for another text.
    pub fn parse(url: &SecretString) -> Result<Self, InvalidAddress> {
        let url = url.expose_secret();
        let is_postgres = ["postgres://", "postgresql://"].iter().any(|scheme| url.starts_with(scheme));
        let options = url.parse::<PgConnectOptions>().ok().filter(|_| is_postgres);
        options.map(|options| Self::Postgres(Box::new(options))).ok_or(InvalidAddress)
    }

    /// Returns the address of an SQLite file, which is created if it does not exist.
    pub fn file(path: &Path) -> Self {
        Self::Sqlite(Box::new(SqliteConnectOptions::new().filename(path).create_if_missing(true)))
    }

    /// Returns the address of an SQLite database that ends with its history.
    pub fn in_memory() -> Self {
        Self::Sqlite(Box::new(SqliteConnectOptions::new().in_memory(true)))
    }
}

impl fmt::Debug for DatabaseAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Postgres(options) => write!(f, "Postgres({}:{})", options.get_host(), options.get_port()),
            Self::Sqlite(options) => write!(f, "Sqlite({})", options.get_filename().display()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_postgres_urls_are_addresses_and_passwords_are_not_shown() {
        for url in ["postgres://ann:hunter2@db:5433/history?sslmode=require", "postgresql:///history"] {
            let address = DatabaseAddress::parse(&url.into()).unwrap();
            assert!(!format!("{address:?}").contains("hunter2"));
        }
        for url in ["mysql://hunter2@db/x", "db:5432/x", "sqlite:x", "", "postgres://db:port/x"] {
            let error = DatabaseAddress::parse(&url.into()).unwrap_err();
            assert!(!error.to_string().contains("hunter2"), "{url}");
        }
    }
}
