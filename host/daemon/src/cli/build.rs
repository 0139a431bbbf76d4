//! `qx-host build`: a handler's project to a component.

use super::args::BuildArgs;
use super::exit::{Exit, Failure};
use super::run::announce;
use crate::guest::{compile, toolchain};

pub(super) fn build(args: &BuildArgs) -> Result<Exit, Failure> {
    if args.install_toolchain {
        toolchain::install().map_err(|error| Failure::failed("install the toolchain", error))?;
    }
    let built = compile::build(&args.project, &args.out)
        .map_err(|error| Failure::failed("build the component", error))?;
    announce(&built);
    Ok(Exit::Done)
}
