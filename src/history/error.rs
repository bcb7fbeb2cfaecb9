//! Errors of the history.

/// Error of a [`HistoryStore`](super::HistoryStore). No message contains the database's address or a value of a row.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum HistoryError {
    /// The database does not answer, or refuses for now.
    #[error("the database does not answer: {0}")]
    Unavailable(String),
    /// A newer version of this program has changed the schema.
    #[error(
        "the database has migration {found} of its schema, and this version knows only those up to {known}: \
         run the version that made it, or a newer one"
    )]
    SchemaNewer {
        /// Newest migration of the database.
        found: i64,
        /// Newest migration of this program.
        known: i64,
    },
    /// The database has another schema than the one of this program's migrations.
    #[error("the schema of the database was not made by this program: migration {0} differs")]
    SchemaDiffers(i64),
    /// The database has refused a statement because of a value of its rows.
    #[error("the database has refused a row: {0}")]
    RowRefused(String),
    /// The database has refused a statement.
    #[error("the database has refused a statement: {0}")]
    Refused(String),
    /// A stored value cannot be parsed.
    #[error("the history has an invalid value of `{0}`")]
    Corrupt(&'static str),
}
