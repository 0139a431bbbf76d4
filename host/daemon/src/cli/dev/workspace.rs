//! Where a `dev` run keeps its data, and the configuration it leaves there for
//! the other commands.

use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::{Path, PathBuf};

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
        std::fs::write(dir.join(Config::FILE_NAME), text(free_address())).map_err(wrong)?;
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

fn text(admin: SocketAddr) -> String {
    format!(
        "# Written by `qx-host dev` at each start; the other commands find it here.\n\
         [database]\nurl = \"sqlite://qx.db\"\n\n\
         [stream]\nkind = \"embedded\"\n\n\
         [components]\ndir = \"components\"\ncache_dir = \"cache\"\nunsigned = \"allow\"\n\n\
         [admin]\nlisten = \"{admin}\"\n\n\
         [telemetry]\nlevel = \"warn,qx_guest=info\"\n"
    )
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
