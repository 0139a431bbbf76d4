//! What can be said of builds: `qx-host handlers load`, `swap`, `rollback` and
//! `history`. As fixed as the other names.

use std::path::PathBuf;

use clap::Args;

use super::Output;

#[derive(Debug, Args)]
pub struct LoadArgs {
    /// The component.
    pub file: PathBuf,
    /// Its name; without it that of the file.
    #[arg(long)]
    pub name: Option<String>,
    /// Its settings; without them those in the folder stay.
    #[arg(long, value_name = "FILE")]
    pub sidecar: Option<PathBuf>,
    /// Who does it; without it user@host.
    #[arg(long)]
    pub by: Option<String>,
    /// Replaces the build in service at once, also where `[canary]` says otherwise.
    #[arg(long)]
    pub at_once: bool,
    /// Also a build that was tried and taken back.
    #[arg(long)]
    pub force: bool,
    /// How the answer is written.
    #[arg(long, short, value_enum, default_value = "text")]
    pub output: Output,
}

#[derive(Debug, Args)]
pub struct SwapArgs {
    /// Which component.
    pub component: String,
    /// Its new build.
    pub file: PathBuf,
    /// Who does it; without it user@host.
    #[arg(long)]
    pub by: Option<String>,
    /// Replaces the build in service at once, also where `[canary]` says otherwise.
    #[arg(long)]
    pub at_once: bool,
    /// How the answer is written.
    #[arg(long, short, value_enum, default_value = "text")]
    pub output: Output,
}

#[derive(Debug, Args)]
pub struct RollbackArgs {
    /// Which component.
    pub component: String,
    /// To which build: the first digits of its digest. Without it to the one that was
    /// in service before.
    #[arg(long, value_name = "DIGEST")]
    pub to: Option<String>,
    /// Who does it; without it user@host.
    #[arg(long)]
    pub by: Option<String>,
    /// How the answer is written.
    #[arg(long, short, value_enum, default_value = "text")]
    pub output: Output,
}

#[derive(Debug, Args)]
pub struct HistoryArgs {
    /// Which component.
    pub component: String,
    /// How the listing is written.
    #[arg(long, short, value_enum, default_value = "text")]
    pub output: Output,
}
