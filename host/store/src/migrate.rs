//! The migrations, compiled in: forward only, in a table of their own name,
//! because applications keep theirs in the same database.
//!
//! A database that a newer version migrated is fine: changes only add.

use std::collections::HashMap;

use sqlx::SqlSafeStr;
use sqlx::migrate::{AppliedMigration, Migrate, MigrateError, Migration, MigrationType, Migrator};

use crate::error::StoreError;

/// Where the applied migrations are noted.
pub(crate) const TABLE: &str = "qx_migrations";

/// A file of `migrations/`: its name and text.
type File = (&'static str, &'static str);

macro_rules! files {
    ($folder:literal: $($name:literal),+ $(,)?) => {
        &[$(($name, include_str!(concat!("../../../migrations/", $folder, "/", $name)))),+]
    };
}

const POSTGRES: &[File] = files!(
    "postgres": "0001_outbox.sql", "0002_dead_letters.sql", "0003_ledger.sql",
    "0004_stream_identity.sql", "0005_ordering_key.sql", "0006_attempts.sql",
    "0007_letters.sql", "0008_due.sql", "0009_pauses.sql", "0011_shards.sql",
    "0012_deployments.sql", "0014_state_sizes.sql", "0015_settle.sql",
);
const SQLITE: &[File] = files!(
    "sqlite": "0001_outbox.sql", "0002_dead_letters.sql", "0003_ledger.sql",
    "0004_stream_identity.sql", "0005_ordering_key.sql", "0006_attempts.sql",
    "0007_letters.sql", "0008_due.sql", "0009_pauses.sql", "0011_shards.sql",
    "0012_deployments.sql", "0014_state_sizes.sql",
);
const STREAM: &[File] = files!("stream": "0001_stream.sql", "0002_identity.sql");

/// One of the three schemas.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Schema {
    Postgres,
    Sqlite,
    Stream,
}

impl Schema {
    const fn files(self) -> &'static [File] {
        match self {
            Self::Postgres => POSTGRES,
            Self::Sqlite => SQLITE,
            Self::Stream => STREAM,
        }
    }

    fn migrator(self) -> Migrator {
        let migrations = self.files().iter().filter_map(|(name, sql)| {
            let (number, rest) = name.split_once('_')?;
            let description = rest.trim_end_matches(".sql").replace('_', " ");
            let version = number.parse().ok()?;
            let kind = MigrationType::Simple;
            Some(Migration::new(
                version,
                description.into(),
                kind,
                sql.into_sql_str(),
                false,
            ))
        });
        let mut migrator = Migrator::with_migrations(migrations.collect());
        migrator.dangerous_set_table_name(TABLE);
        // The caller holds a transaction and a lock that goes with it: sqlx's own
        // lock belongs to a session, which a pooler may take away.
        migrator.set_locking(false);
        migrator.set_ignore_missing(true);
        migrator
    }

    /// Applies what is missing. The connection is inside a transaction that the
    /// caller commits, so that all of it happens or nothing.
    pub(crate) async fn apply<C: Migrate>(self, conn: &mut C) -> Result<(), MigrateError> {
        self.migrator().run_direct(None, conn, false).await
    }

    /// Compares what is applied with what this version knows.
    pub(crate) fn compare(self, applied: &[AppliedMigration]) -> Result<(), StoreError> {
        let applied: HashMap<_, _> = applied
            .iter()
            .map(|one| (one.version, &one.checksum))
            .collect();
        let migrator = self.migrator();
        let mut missing = 0;
        for own in migrator.iter() {
            match applied.get(&own.version) {
                None => missing += 1,
                Some(checksum) if **checksum != own.checksum => {
                    return Err(StoreError::Modified(own.version));
                }
                Some(_) => {}
            }
        }
        if missing == 0 {
            return Ok(());
        }
        Err(StoreError::Unmigrated {
            missing,
            known: migrator.iter().count(),
        })
    }
}

/// The error underneath, where there is one.
#[expect(
    clippy::wildcard_enum_match_arm,
    reason = "MigrateError is non-exhaustive; everything else is a text"
)]
pub(crate) fn cause(error: MigrateError) -> Result<sqlx::Error, StoreError> {
    match error {
        MigrateError::Execute(error) | MigrateError::ExecuteMigration(error, _) => Ok(error),
        MigrateError::VersionMismatch(version) => Err(StoreError::Modified(version)),
        other => Ok(sqlx::Error::Migrate(Box::new(other))),
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::path::Path;

    use super::*;

    #[test]
    fn every_file_of_the_folder_is_compiled_in_and_has_its_number() {
        for (folder, schema) in [
            ("postgres", Schema::Postgres),
            ("sqlite", Schema::Sqlite),
            ("stream", Schema::Stream),
        ] {
            let path = Path::new(env!("CARGO_MANIFEST_DIR"))
                .join("../../migrations")
                .join(folder);
            let on_disk: BTreeSet<String> = std::fs::read_dir(path)
                .unwrap()
                .map(|entry| entry.unwrap().file_name().into_string().unwrap())
                .collect();
            let compiled: BTreeSet<String> = schema
                .files()
                .iter()
                .map(|(name, _)| (*name).to_owned())
                .collect();
            assert_eq!(on_disk, compiled);
            let versions: Vec<i64> = schema.migrator().iter().map(|own| own.version).collect();
            let grow = versions.windows(2).all(|pair| pair[0] < pair[1]);
            assert!(
                grow && versions.len() == compiled.len(),
                "{folder}: {versions:?}"
            );
        }
    }
}
