//! What can be said of `qx-host migrate`.

use clap::Args;

#[derive(Debug, Args)]
pub struct MigrateArgs {
    /// Counts the state of every component anew, which `state_keys` and `state_mb` bound:
    /// after somebody changed the table `qx_state` by hand, or hosts of an older version
    /// ran beside newer ones.
    #[arg(long)]
    pub count_state: bool,
}
