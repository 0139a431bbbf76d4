//! Why a database cannot be used, with what to do about it. Never: a password.

use std::path::PathBuf;

use qx_events::Fault;
use qx_events::shard::Split;

/// Opening, checking or migrating a database failed.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// Not a URL of a database that is known here.
    #[error(
        "database url is not usable: {0}; write postgres://user:password@host:5432/database or sqlite://folder/file.db"
    )]
    Url(String),

    /// Nothing listens, or the host name is unknown.
    #[error(
        "no PostgreSQL server answers at {server}; start it, or correct host and port in the database url"
    )]
    Unreachable {
        /// Host and port.
        server: String,
        /// The cause.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },

    /// User or password.
    #[error(
        "PostgreSQL at {server} does not let user `{user}` in; correct user and password in the database url (and pg_hba.conf)"
    )]
    Refused {
        /// Host and port.
        server: String,
        /// Who.
        user: String,
        /// The cause.
        #[source]
        source: sqlx::Error,
    },

    /// There is no such database.
    #[error(
        "PostgreSQL at {server} has no database `{database}`; create it with `createdb {database}`, or correct its name in the database url"
    )]
    NoDatabase {
        /// Host and port.
        server: String,
        /// Its name.
        database: String,
    },

    /// The folder of the file is not there.
    #[error("folder {} of the database file does not exist; create it with `mkdir -p {}`", .0.display(), .0.display())]
    NoFolder(PathBuf),

    /// The file is not there.
    #[error("database file {} does not exist; run `qx-host migrate`, or correct the path", .0.display())]
    NoFile(PathBuf),

    /// The file or its folder cannot be written.
    #[error(
        "database file {} cannot be opened for writing; give this user the right to write the file and its folder (SQLite creates files beside it)",
        path.display()
    )]
    NotWritable {
        /// The file.
        path: PathBuf,
        /// The cause.
        #[source]
        source: sqlx::Error,
    },

    /// The file is something else.
    #[error("file {} is not a SQLite database; correct the path, or move the file away", .0.display())]
    NotADatabase(PathBuf),

    /// Tables are missing.
    #[error("database lacks {missing} of {known} migrations; run `qx-host migrate`")]
    Unmigrated {
        /// How many are missing.
        missing: usize,
        /// How many this version knows.
        known: usize,
    },

    /// A migration that was applied is not the one this version has.
    #[error(
        "migration {0} of the database differs from the one in this version of qx-host; use the version that migrated it, or a later release"
    )]
    Modified(i64),

    /// The outbox cannot be split otherwise while somebody works on it.
    #[error(
        "the outbox is in {now}, and {wanted} are wanted; but `{holder}` is at work (lease {lease}): stop every host, and run `qx-host migrate` again"
    )]
    AtWork {
        /// As it is.
        now: Split,
        /// As it is to be.
        wanted: Split,
        /// What somebody holds.
        lease: String,
        /// Who.
        holder: String,
    },

    /// The outbox was not split.
    #[error("outbox cannot be split into {wanted}; nothing was changed")]
    NotSplit {
        /// As it is to be.
        wanted: Split,
        /// Why.
        #[source]
        source: Fault,
    },

    /// A file has no parts.
    #[error(
        "SQLite has one writer at a time, so that parts of the outbox would wait for each other; set relay.shards = 1, or use PostgreSQL"
    )]
    OneWriter,

    /// Rights to create tables are missing.
    #[error(
        "user `{user}` may not change the tables; run `qx-host migrate` as their owner, or grant it the right to create in the schema"
    )]
    NoRight {
        /// Who.
        user: String,
        /// The cause.
        #[source]
        source: sqlx::Error,
    },

    /// A table is in use for too long.
    #[error(
        "the tables are in use by another transaction or another migration; end it, and run `qx-host migrate` again"
    )]
    Busy(#[source] sqlx::Error),

    /// The stream's file belongs to another process.
    #[error(
        "embedded stream {} is in use by {owner}; stop that process, or set stream.kind = \"nats\" to share a stream between processes",
        path.display()
    )]
    StreamInUse {
        /// The stream's file.
        path: PathBuf,
        /// Who, as far as it can be told.
        owner: String,
    },

    /// The lock file of the stream cannot be opened.
    #[error("lock file {} cannot be opened; give this user the right to write it and its folder", path.display())]
    Lock {
        /// The lock file.
        path: PathBuf,
        /// The cause.
        #[source]
        source: std::io::Error,
    },

    /// The stream's file was opened, and a question was not answered.
    #[error("embedded stream {} cannot be used; if its file is damaged, move it away", path.display())]
    StreamUnusable {
        /// The stream's file.
        path: PathBuf,
        /// The cause.
        #[source]
        source: Fault,
    },

    /// The server was there, and a question was not answered.
    #[error("PostgreSQL at {server} could not be checked")]
    Unchecked {
        /// Host and port.
        server: String,
        /// The cause.
        #[source]
        source: Fault,
    },

    /// Anything else.
    #[error("database failed to {doing}")]
    Database {
        /// What was being done.
        doing: &'static str,
        /// The cause.
        #[source]
        source: sqlx::Error,
    },
}

impl StoreError {
    /// Whether a server does not answer that may answer later, rather than a setting
    /// that is wrong.
    pub fn is_away(&self) -> bool {
        matches!(self, Self::Unreachable { .. })
            || matches!(self, Self::Unchecked { source, .. } if source.is_transient())
    }
}
