//! `qx-host new`: the project of a new handler.

use super::args::NewArgs;
use super::exit::{Exit, Failure};
use super::screen;
use crate::guest::project::Language;
use crate::guest::scaffold;

pub(super) fn new(args: &NewArgs) -> Result<Exit, Failure> {
    let dir = args
        .path
        .clone()
        .unwrap_or_else(|| args.name.clone().into());
    scaffold::new(&args.name, args.lang, &dir)
        .map_err(|error| Failure::failed("make the project", error))?;
    let dir = dir.display();
    screen::say(&format!("made {dir}. Next:"));
    screen::say(&format!("  cd {dir}"));
    if let Some(test) = native_test(args.lang) {
        screen::say(test);
    }
    screen::say("  qx-host test         # the component, in the sandbox, against cases/*.json");
    screen::say("  qx-host build        # the component");
    screen::say("  qx-host dev          # everything, reloaded as you type");
    Ok(Exit::Done)
}

/// How a project tests its handler without a component.
const fn native_test(language: Language) -> Option<&'static str> {
    match language {
        Language::Rust => Some("  cargo test           # the handler, natively"),
        Language::TypeScript => Some("  npm install && npm test    # the handler, natively"),
        Language::Python => Some("  python3 -m unittest  # the handler, natively"),
        Language::C => None,
    }
}
