//! Which database, from the URL that an operator writes.

use std::fmt;
use std::path::{Path, PathBuf};

use url::Url;

use super::secret::Secret;

/// The outbox and the ledger.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum DatabaseUrl {
    /// A PostgreSQL server; the URL may carry a password.
    Postgres(Secret),
    /// A SQLite file.
    Sqlite(PathBuf),
}

const REMEDY: &str = "write postgres://user@host:5432/database or sqlite://path/to/file.db";

impl DatabaseUrl {
    /// Reads a URL. A relative SQLite path begins at `folder`. The error does not
    /// repeat the URL, because it may carry a password.
    pub(super) fn parse(raw: &str, folder: &Path) -> Result<Self, String> {
        let Some((scheme, rest)) = raw.split_once(':') else {
            return Err(format!("not a URL; {REMEDY}"));
        };
        // The predecessor's URLs name their driver: `postgresql+asyncpg://…`.
        match scheme.split_once('+').unwrap_or((scheme, "")) {
            ("postgres" | "postgresql", _) => postgres(rest),
            ("sqlite", "") => sqlite(rest, folder).map(Self::Sqlite),
            ("sqlite", _) => Err("names a driver; write sqlite://path/to/file.db".to_owned()),
            (other, _) => Err(format!("no database is called `{other}`; {REMEDY}")),
        }
    }

    /// The URL for a driver, password included.
    pub fn expose(&self) -> String {
        match self {
            Self::Postgres(url) => url.expose().to_owned(),
            Self::Sqlite(path) => format!("sqlite://{}", path.display()),
        }
    }
}

/// For logs and errors: without password and parameters.
impl fmt::Display for DatabaseUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Postgres(secret) => {
                let Ok(mut url) = Url::parse(secret.expose()) else {
                    return f.write_str("postgres://…");
                };
                url.set_query(None);
                url.set_fragment(None);
                match url.set_password(None) {
                    Ok(()) => write!(f, "{url}"),
                    Err(()) => f.write_str("postgres://…"),
                }
            }
            Self::Sqlite(path) => write!(f, "sqlite://{}", path.display()),
        }
    }
}

fn postgres(rest: &str) -> Result<DatabaseUrl, String> {
    let url = format!("postgres:{rest}");
    match Url::parse(&url) {
        Ok(parsed) if parsed.path().len() > 1 || parsed.query().is_some() => {
            Ok(DatabaseUrl::Postgres(Secret::new(url)))
        }
        Ok(_) => Err(format!("names no database; {REMEDY}")),
        Err(error) => Err(format!(
            "not a URL ({error}); {REMEDY}, with special characters of the password percent-encoded"
        )),
    }
}

fn sqlite(rest: &str, folder: &Path) -> Result<PathBuf, String> {
    let path = rest.strip_prefix("//").unwrap_or(rest);
    let (path, parameters) = path.split_once('?').unwrap_or((path, ""));
    if !["", "mode=rwc"].contains(&parameters) {
        return Err("has parameters; leave out the part from `?`, the host sets them".to_owned());
    }
    match path {
        "" => Err("names no file; write sqlite://path/to/file.db".to_owned()),
        ":memory:" => Err(
            "a database in memory is lost with the process; write sqlite://path/to/file.db"
                .to_owned(),
        ),
        path => Ok(folder.join(path)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(raw: &str) -> Result<DatabaseUrl, String> {
        DatabaseUrl::parse(raw, Path::new("/srv"))
    }

    #[test]
    fn both_databases_are_known_by_their_url() {
        let table = [
            ("sqlite://qx.db", "sqlite:///srv/qx.db"),
            ("sqlite:///var/qx.db", "sqlite:///var/qx.db"),
            ("sqlite:qx.db", "sqlite:///srv/qx.db"),
            ("sqlite://qx.db?mode=rwc", "sqlite:///srv/qx.db"),
            ("postgres://h/qx", "postgres://h/qx"),
            ("postgresql://h/qx", "postgres://h/qx"),
            ("postgresql+asyncpg://u@h:1/qx", "postgres://u@h:1/qx"),
            ("postgres:///qx?host=/run/pg", "postgres:///qx?host=/run/pg"),
        ];
        for (raw, expected) in table {
            assert_eq!(parsed(raw).unwrap().expose(), expected, "{raw}");
        }
    }

    #[test]
    fn what_is_no_database_says_what_to_write_and_hides_the_url() {
        for bad in [
            "qx.db",
            "mysql://s3cret@h/qx",
            "sqlite://",
            "sqlite::memory:",
            "sqlite://qx.db?s3cret",
            "sqlite+aiosqlite:///qx.db",
            "postgres://u:s3cret@h",
            "postgres://u:s3cret@h:port/qx",
        ] {
            let error = parsed(bad).unwrap_err();
            assert!(
                error.contains("write") || error.contains("leave out"),
                "{bad}: {error}"
            );
            assert!(!error.contains("s3cret"), "{bad}: {error}");
        }
    }

    #[test]
    fn a_password_is_neither_displayed_nor_printed() {
        let url = parsed("postgres://u:s3cret@h/qx?password=s3cret").unwrap();
        assert_eq!(url.to_string(), "postgres://u@h/qx");
        assert!(!format!("{url:?}").contains("s3cret"));
    }
}
