//! `qx-host doctor`: tries everything a host needs, and says what would help.

mod dead_letters;
mod order;
mod rights;
mod roles;

use std::path::Path;

use serde::Serialize;

use super::args::Output;
use super::exit::{Exit, Failure, chain};
use super::screen;
use crate::config::{Config, DatabaseUrl};
use crate::guest::toolchain;
use crate::open;
use crate::signing::Unsigned;

/// One thing that was tried.
#[derive(Debug, Serialize)]
struct Finding {
    what: &'static str,
    state: State,
    detail: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
enum State {
    /// It works.
    Ok,
    /// It works, but somebody should know.
    Warning,
    /// It does not work.
    Broken,
}

impl Finding {
    fn ok(what: &'static str, detail: impl Into<String>) -> Self {
        Self {
            what,
            state: State::Ok,
            detail: detail.into(),
        }
    }

    fn warning(what: &'static str, detail: impl Into<String>) -> Self {
        Self {
            what,
            state: State::Warning,
            detail: detail.into(),
        }
    }

    fn broken(what: &'static str, detail: impl Into<String>) -> Self {
        Self {
            what,
            state: State::Broken,
            detail: detail.into(),
        }
    }
}

pub(super) async fn doctor(config: Option<&Path>, output: Output) -> Result<Exit, Failure> {
    // A faulty configuration is said in full, as by every other command.
    let config = open::config(config)?;
    let mut findings = vec![
        Finding::ok("configuration", described(&config)),
        database(&config).await,
    ];
    findings.extend(order::look(&config).await);
    findings.extend(dead_letters::look(&config).await);
    findings.extend(stream(&config).await);
    findings.extend([components(&config), signatures(&config)]);
    findings.extend(rights::look(&config));
    findings.extend(roles::look(&config).await);
    findings.push(wasm());
    match output {
        Output::Json => screen::json(&findings)?,
        Output::Text => {
            for finding in &findings {
                let mark = match finding.state {
                    State::Ok => "ok",
                    State::Warning => "warning",
                    State::Broken => "BROKEN",
                };
                let detail = screen::plain(&finding.detail);
                screen::say(&format!("{:<14} {mark:<8} {detail}", finding.what));
            }
        }
    }
    let broken = findings
        .iter()
        .any(|finding| finding.state == State::Broken);
    Ok(if broken { Exit::Failed } else { Exit::Done })
}

fn described(config: &Config) -> String {
    let stream = match &config.stream.kind {
        crate::config::StreamKind::Nats(nats) => format!("stream {} on NATS", nats.stream),
        crate::config::StreamKind::Embedded(embedded) => {
            format!("embedded stream {}", embedded.path.display())
        }
    };
    format!(
        "{}, {stream}, components in {}",
        config.database.url,
        config.components.dir.display()
    )
}

async fn database(config: &Config) -> Finding {
    let what = "database";
    let store = match open::existing_store(config).await {
        Ok(store) => store,
        // `run` makes and migrates it by itself.
        Err(error) if matches!(config.database.url, DatabaseUrl::Sqlite(_)) && error.is_new() => {
            return Finding::warning(what, chain(&error));
        }
        Err(error) => return Finding::broken(what, chain(&error)),
    };
    match store.outbox().status().await {
        Ok(status) if status.failed > 0 => Finding::warning(
            what,
            format!(
                "{} rows were set aside: see last_error where failed_at is set",
                status.failed
            ),
        ),
        Ok(status) => Finding::ok(
            what,
            format!("tables are up to date, {} rows wait", status.pending),
        ),
        Err(fault) => Finding::broken(what, fault.chain()),
    }
}

async fn stream(config: &Config) -> Vec<Finding> {
    let what = "stream";
    let opened = match open::stream(config).await {
        Ok(opened) => opened,
        // A running host owns the embedded stream: that is as it should be.
        Err(error) => {
            return vec![match config.stream.kind {
                crate::config::StreamKind::Embedded(_) => Finding::warning(what, chain(&error)),
                crate::config::StreamKind::Nats(_) => Finding::broken(what, chain(&error)),
            }];
        }
    };
    if let Err(fault) = opened.stream.check().await {
        return vec![Finding::broken(what, fault.chain())];
    }
    let mut findings = vec![Finding::ok(what, "answers")];
    if let Some(broker) = &opened.broker {
        findings.extend(durability(broker, config).await);
    }
    findings
}

/// What the broker may lose that it has confirmed.
async fn durability(broker: &qx_broker::Broker, config: &Config) -> Vec<Finding> {
    let what = "durability";
    match broker.risks(config.relay.retention).await {
        Ok(risks) => {
            let found = risks.found.into_iter();
            let mut findings: Vec<Finding> =
                found.map(|risk| Finding::warning(what, risk)).collect();
            findings.push(Finding::ok(what, risks.unknown));
            findings
        }
        Err(error) => vec![Finding::broken(what, chain(&error))],
    }
}

fn components(config: &Config) -> Finding {
    let dir = &config.components.dir;
    match std::fs::read_dir(dir) {
        Ok(entries) => {
            let wasm = entries
                .filter_map(Result::ok)
                .filter(|entry| entry.path().extension().is_some_and(|kind| kind == "wasm"))
                .count();
            Finding::ok("components", format!("{wasm} files in {}", dir.display()))
        }
        Err(error) => Finding::warning(
            "components",
            format!(
                "{} cannot be read ({error}): make it, or set [components] dir",
                dir.display()
            ),
        ),
    }
}

/// Who decides which components run here.
fn signatures(config: &Config) -> Finding {
    let (what, trust) = ("signatures", &config.components.trust);
    let dir = config.components.dir.display();
    match (trust.unsigned, trust.keys.is_empty()) {
        (Unsigned::Deny, false) => Finding::ok(
            what,
            format!("components signed with {} only", trust.names()),
        ),
        (Unsigned::Deny, true) => Finding::broken(
            what,
            "unsigned components are denied and no key is trusted, so that nothing can be loaded: make one with `qx-host keygen` and name it in [components] trusted_keys",
        ),
        (Unsigned::Warn | Unsigned::Allow, true) => Finding::warning(
            what,
            format!(
                "who can write to {dir} decides what runs here: make a key with `qx-host keygen` and name it in [components] trusted_keys"
            ),
        ),
        (Unsigned::Warn | Unsigned::Allow, false) => Finding::warning(
            what,
            "unsigned components are taken although there is a trusted key: remove [components] unsigned when all are signed",
        ),
    }
}

fn wasm() -> Finding {
    match toolchain::find() {
        Ok(found) => Finding::ok("toolchain", found.to_string()),
        Err(error) => Finding::warning("toolchain", chain(&error)),
    }
}
