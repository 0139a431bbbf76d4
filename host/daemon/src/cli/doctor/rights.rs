//! What each component of the folder may do, and grants that nobody has. Names of
//! secrets, never their values.

use std::collections::BTreeSet;

use super::Finding;
use crate::admin::RightsView;
use crate::config::{Config, Sidecar};

/// What the line is called.
const WHAT: &str = "rights";

/// One finding for each component, and for each that is granted something and is
/// not there.
pub(super) fn look(config: &Config) -> Vec<Finding> {
    let host = &config.components;
    let Ok(entries) = std::fs::read_dir(&host.dir) else {
        return Vec::new(); // Said of the folder already.
    };
    let stem = |entry: std::fs::DirEntry| {
        let path = entry.path();
        let is_wasm = path.extension().is_some_and(|kind| kind == "wasm");
        let stem = path.file_stem()?.to_str()?.to_owned();
        (is_wasm && !stem.starts_with('.')).then_some(stem)
    };
    let there: BTreeSet<String> = entries.filter_map(Result::ok).filter_map(stem).collect();
    let mut findings: Vec<Finding> = there
        .iter()
        .map(|component| {
            let file = host.dir.join(format!("{component}.toml"));
            match Sidecar::load(&file, host) {
                Ok(sidecar) => {
                    let line = RightsView::of(&sidecar.settings.rights).line();
                    Finding::ok(WHAT, format!("{component}: {line}"))
                }
                Err(faults) => Finding::broken(WHAT, format!("{component}: {faults}")),
            }
        })
        .collect();
    let absent = host
        .grants
        .components()
        .filter(|name| !there.contains(*name));
    findings.extend(absent.map(|name| {
        let text = format!("[grants.{name}] is for a component that is not there (yet)");
        Finding::warning(WHAT, text)
    }));
    findings
}
