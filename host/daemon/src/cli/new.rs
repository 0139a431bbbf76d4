//! `qx-host new`: the project of a new handler.

use super::args::NewArgs;
use super::exit::{Exit, Failure};
use super::screen;
use crate::guest::scaffold;

pub(super) fn new(args: &NewArgs) -> Result<Exit, Failure> {
    let dir = args
        .path
        .clone()
        .unwrap_or_else(|| args.name.clone().into());
    scaffold::new(&args.name, &dir).map_err(|error| Failure::failed("make the project", error))?;
    let dir = dir.display();
    screen::say(&format!("made {dir}. Next:"));
    screen::say(&format!("  cd {dir}"));
    screen::say("  cargo test           # the handler, natively");
    screen::say("  qx-host build        # the component");
    screen::say("  qx-host dev          # everything, reloaded as you type");
    Ok(Exit::Done)
}
