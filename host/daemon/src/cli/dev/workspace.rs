//! Where a `dev` run keeps its data, and the configuration it leaves there for
//! the other commands. What a person adds to that, such as grants, stays.

use std::io::ErrorKind;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use toml_edit::{DocumentMut, Item, Table, value};

use crate::cli::exit::Failure;
use crate::config::Config;

/// The folder of a `dev` run.
pub(super) struct Workspace {
    dir: PathBuf,
    components: PathBuf,
}

impl Workspace {
    /// Makes it: folder, components, configuration.
    pub(super) fn make(dir: Option<&Path>) -> Result<Self, Failure> {
        let dir = dir.unwrap_or(Path::new(".qx")).to_owned();
        let components = dir.join("components");
        let wrong = |error| Failure::failed(&format!("make {}", dir.display()), error);
        std::fs::create_dir_all(&components).map_err(wrong)?;
        std::fs::write(dir.join(".gitignore"), "*\n").map_err(wrong)?;
        let path = dir.join(Config::FILE_NAME);
        let before = match std::fs::read_to_string(&path) {
            Err(error) if error.kind() == ErrorKind::NotFound => FIRST.to_owned(),
            read => read.map_err(wrong)?,
        };
        let text = text(&before, free_address())
            .with_context(|| format!("{}: correct it, or delete it", path.display()))
            .map_err(|error| Failure::usage(format!("{error:#}")))?;
        std::fs::write(&path, text).map_err(wrong)?;
        Ok(Self { dir, components })
    }

    pub(super) fn dir(&self) -> &Path {
        &self.dir
    }

    pub(super) fn components(&self) -> &Path {
        &self.components
    }

    /// The configuration, as the other commands read it.
    pub(super) fn config(&self) -> Result<Config, Failure> {
        let path = self.dir.join(Config::FILE_NAME);
        Ok(Config::load(Some(&path), crate::open::environment(), &[])?)
    }
}

/// What the file begins with, for the person who reads it.
const FIRST: &str = "# `qx-host dev` sets what stands here at each start, and the other commands find it here.\n\
                     # What you add stays: [secrets], [grants.<component>].\n\
                     [database]\n";

/// What the log says, unless the file says something else: that a build is in service,
/// what handlers say, and what goes wrong.
const LEVEL: &str = "warn,qx_host::catalog=info,qx_guest=info";

/// The configuration: what it was, with what `dev` needs.
fn text(before: &str, admin: SocketAddr) -> anyhow::Result<String> {
    let mut document: DocumentMut = before.parse()?;
    let admin = admin.to_string();
    for (section, key, needed) in [
        ("database", "url", value("sqlite://qx.db")),
        ("stream", "kind", value("embedded")),
        ("components", "dir", value("components")),
        ("components", "cache_dir", value("cache")),
        ("components", "unsigned", value("allow")),
        ("admin", "listen", value(admin)),
    ] {
        table(&mut document, section)?.insert(key, needed);
    }
    table(&mut document, "telemetry")?
        .entry("level")
        .or_insert(value(LEVEL));
    Ok(document.to_string())
}

fn table<'a>(document: &'a mut DocumentMut, section: &str) -> anyhow::Result<&'a mut Table> {
    let item = document
        .entry(section)
        .or_insert_with(|| Item::Table(Table::new()));
    item.as_table_mut()
        .with_context(|| format!("{section}: expected a section, [{section}]"))
}

/// The usual address, or another one if a host runs there already.
fn free_address() -> SocketAddr {
    let usual = SocketAddr::from((Ipv4Addr::LOCALHOST, 7420));
    let any = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
    TcpListener::bind(usual)
        .or_else(|_taken| TcpListener::bind(any))
        .and_then(|listener| listener.local_addr())
        .unwrap_or(usual)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_person_added_stays_and_what_dev_needs_is_set() {
        let admin = SocketAddr::from((Ipv4Addr::LOCALHOST, 1));
        let first = text(FIRST, admin).unwrap();
        assert!(first.starts_with(FIRST), "{first}");
        assert_eq!(text(&first, admin).unwrap(), first);
        let grants = "\n[grants.hello]\ncapabilities = [\"http\"] # for the chat\n";
        let changed = first.replace("sqlite://qx.db", "sqlite://prod.db") + grants;
        let other = SocketAddr::from((Ipv4Addr::LOCALHOST, 2));
        let second = text(&changed, other).unwrap();
        assert_eq!(second, first.replace("127.0.0.1:1", "127.0.0.1:2") + grants);
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(Config::FILE_NAME);
        Config::parse(&path, &second, [], &[]).unwrap();
    }

    #[test]
    fn a_file_that_is_no_configuration_is_not_written_over() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(Config::FILE_NAME);
        for (wrong, said) in [("[grants", "correct it"), ("admin = 1\n", "[admin]")] {
            std::fs::write(&path, wrong).unwrap();
            let Err(refused) = Workspace::make(Some(folder.path())) else {
                panic!("{wrong} was taken");
            };
            assert!(refused.to_string().contains(said), "{refused}");
            assert_eq!(std::fs::read_to_string(&path).unwrap(), wrong);
        }
    }
}
