//! `qx-host handlers load | swap | rollback`: puts a build into the folder of the
//! running host, and waits for what becomes of it.
//!
//! The file is written by this process: who may write to the folder may deploy, and
//! nobody can over the network. The host is told who does it and how the build is to
//! come into service, and asked what became of it.

use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

use qx_events::{ComponentName, Digest};
use serde::Serialize;
use tokio::time::Instant;

use super::args::{LoadArgs, Output, RollbackArgs, SwapArgs};
use super::exit::{Exit, Failure};
use super::handlers::listen_of;
use super::history::goes_back_to;
use super::screen;
use crate::admin::HandlerView;
use crate::admin::client::{self, ClientError};
use crate::catalog::{Announcement, Builds, Parts, host_name};
use crate::config::Config;
use crate::open;

/// Between two questions to the host.
const LOOK: Duration = Duration::from_millis(50);
/// What a load may take beside its compilation.
const WAIT: Duration = Duration::from_mins(1);

/// A build on its way.
struct Deploy {
    name: ComponentName,
    parts: Parts,
    by: String,
    rollback: bool,
    at_once: bool,
}

impl Deploy {
    /// Of a build that somebody brings, and not of one that was there before.
    fn onward((name, parts): (ComponentName, Parts), named: Option<&str>, at_once: bool) -> Self {
        Self {
            name,
            parts,
            by: by(named),
            rollback: false,
            at_once,
        }
    }
}

/// What became of it.
#[derive(Debug, Serialize)]
struct Became {
    component: String,
    digest: String,
    /// `serving`, `canary` or `broken`.
    state: &'static str,
    /// The build that took events before.
    #[serde(skip_serializing_if = "Option::is_none")]
    replaced: Option<String>,
    /// Of a canary: its share of the events, in percent.
    #[serde(skip_serializing_if = "Option::is_none")]
    percent: Option<u8>,
    /// Of a broken one: where it was found.
    #[serde(skip_serializing_if = "Option::is_none")]
    step: Option<String>,
    /// Of a broken one: why.
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<String>,
}

/// `load`.
pub(super) async fn load(config: Option<&Path>, args: &LoadArgs) -> Result<Exit, Failure> {
    let config = open::config(config)?;
    let stem = args.file.file_stem().unwrap_or_default().to_string_lossy();
    let name = parse(args.name.as_deref().unwrap_or(&stem))?;
    let parts = parts_of(&config, &name, (&args.file, args.sidecar.as_deref()))?;
    if args.force {
        let store = open::existing_store(&config).await?;
        let allowed = store.deployments().allow(&name, parts.digest()).await;
        allowed.map_err(|fault| Failure::failed("take the refusal back", fault))?;
    }
    let deploy = Deploy::onward((name, parts), args.by.as_deref(), args.at_once);
    run(&config, deploy, args.output).await
}

/// `swap`.
pub(super) async fn swap(config: Option<&Path>, args: &SwapArgs) -> Result<Exit, Failure> {
    let config = open::config(config)?;
    let name = parse(&args.component)?;
    let parts = parts_of(&config, &name, (&args.file, None))?;
    let listed = listed(listen_of(&config)?, &name).await?;
    if listed.is_none_or(|view| view.digest.is_none()) {
        let text = format!(
            "{name} is not in service, and nothing was changed; `qx-host handlers load` puts it there"
        );
        return Err(Failure::failed("swap", text));
    }
    let deploy = Deploy::onward((name, parts), args.by.as_deref(), args.at_once);
    run(&config, deploy, args.output).await
}

/// `rollback`.
pub(super) async fn rollback(config: Option<&Path>, args: &RollbackArgs) -> Result<Exit, Failure> {
    let config = open::config(config)?;
    let name = parse(&args.component)?;
    let listed = listed(listen_of(&config)?, &name).await?;
    let components = &config.components;
    let builds = Builds::new(components.builds_dir.clone(), components.builds_max);
    let digest = goes_back_to(
        &config,
        (&name, listed.as_ref()),
        args.to.as_deref(),
        &builds,
    );
    let digest = digest.await?;
    let parts = builds.read(&name, digest);
    let deploy = Deploy {
        parts: parts.map_err(|error| Failure::failed("roll back", error))?,
        name,
        by: by(args.by.as_deref()),
        rollback: true,
        at_once: true,
    };
    run(&config, deploy, args.output).await
}

/// Announces it, puts it there, and waits.
async fn run(config: &Config, deploy: Deploy, output: Output) -> Result<Exit, Failure> {
    let listen = listen_of(config)?;
    let before = listed(listen, &deploy.name).await?;
    let announcement = Announcement {
        digest: deploy.parts.digest().to_string(),
        by: deploy.by.clone(),
        rollback: deploy.rollback,
        at_once: deploy.at_once,
    };
    let json = serde_json::to_string(&announcement)
        .map_err(|error| Failure::failed("ask the running host", error))?;
    let path = format!("/api/handlers/{}/announce", deploy.name);
    client::post(listen, &path, &json).await.map_err(refused)?;
    let (dir, name) = (&config.components.dir, &deploy.name);
    deploy.parts.put(dir, name).map_err(|error| {
        let dir = dir.display();
        let text = format!("{error}: do it as a user who may write to {dir}");
        Failure::failed("put the component into the folder", text)
    })?;
    let patience = config.components.compile_time + WAIT;
    let became = becomes(listen, &deploy, before.as_ref(), patience).await?;
    match output {
        Output::Json => screen::json(&became)?,
        Output::Text => became.say(),
    }
    Ok(if became.state == "broken" {
        Exit::Failed
    } else {
        Exit::Done
    })
}

async fn becomes(
    listen: SocketAddr,
    deploy: &Deploy,
    before: Option<&HandlerView>,
    patience: Duration,
) -> Result<Became, Failure> {
    let digest = deploy.parts.digest();
    let deadline = Instant::now() + patience;
    loop {
        let view = listed(listen, &deploy.name).await?;
        if let Some(became) = view.and_then(|view| Became::of(view, digest, before)) {
            return Ok(became);
        }
        if Instant::now() >= deadline {
            let text = format!(
                "the host has not decided after {} s; look with `qx-host handlers list`",
                patience.as_secs()
            );
            return Err(Failure::failed("see the component in service", text));
        }
        tokio::time::sleep(LOOK).await;
    }
}

impl Became {
    /// `None`: nothing is decided yet.
    fn of(view: HandlerView, digest: Digest, before: Option<&HandlerView>) -> Option<Self> {
        let digest = digest.to_string();
        if view.loading.as_ref() == Some(&digest) {
            return None;
        }
        let is = |other: Option<&String>| other == Some(&digest);
        let canary = view
            .canary
            .as_ref()
            .filter(|canary| canary.digest == digest);
        let state = match (is(view.digest.as_ref()), canary) {
            (true, _) => "serving",
            (false, Some(_)) => "canary",
            (false, None) => "broken",
        };
        let is_broken = state == "broken";
        let replaced = before.and_then(|before| before.digest.clone());
        let another = || "another file was put in its place".to_owned();
        Some(Self {
            replaced: replaced.filter(|old| state == "serving" && *old != digest),
            percent: canary.map(|canary| canary.percent),
            step: view.step.filter(|_| is_broken),
            reason: is_broken.then(|| view.reason.unwrap_or_else(another)),
            component: view.component,
            state,
            digest,
        })
    }

    fn say(&self) {
        let short: String = self.digest.chars().take(12).collect();
        let name = &self.component;
        match (&self.reason, self.percent) {
            (Some(reason), _) => {
                let step = self.step.as_deref().unwrap_or("load");
                screen::complain(&format!(
                    "{name}: {short} is not in service; {step}: {}",
                    screen::plain(reason)
                ));
            }
            (None, Some(percent)) => screen::say(&format!(
                "{name}: {short} is tried with {percent} % of its events; `qx-host handlers list` shows how it does"
            )),
            (None, None) => match &self.replaced {
                Some(old) => {
                    let old: String = old.chars().take(12).collect();
                    screen::say(&format!("{name}: {short} is in service, in place of {old}"));
                }
                None => screen::say(&format!("{name}: {short} is in service")),
            },
        }
    }
}

/// What the host says of a component.
pub(super) async fn listed(
    listen: SocketAddr,
    name: &ComponentName,
) -> Result<Option<HandlerView>, Failure> {
    let views = client::handlers(listen).await.map_err(refused)?;
    let mut views = views.into_iter();
    Ok(views.find(|view| view.component == name.as_str()))
}

fn refused(error: ClientError) -> Failure {
    if matches!(error, ClientError::Refused { .. }) {
        Failure::failed("ask the running host", error)
    } else {
        Failure::unreachable("ask the running host", error)
    }
}

/// The file, with the signature beside it. Settings that lie in the folder stay,
/// unless others are named.
fn parts_of(
    config: &Config,
    name: &ComponentName,
    (file, sidecar): (&Path, Option<&Path>),
) -> Result<Parts, Failure> {
    let read = |path: &Path| {
        let read = std::fs::read(path);
        read.map_err(|error| Failure::failed(&format!("read {}", path.display()), error))
    };
    let own = config.components.dir.join(format!("{name}.toml"));
    let sidecar = sidecar.or_else(|| own.is_file().then_some(&own));
    let mut signature = file.as_os_str().to_owned();
    signature.push(".minisig");
    let signature = Path::new(&signature);
    Ok(Parts {
        wasm: read(file)?,
        sidecar: sidecar.map(read).transpose()?,
        signature: signature.is_file().then(|| read(signature)).transpose()?,
    })
}

fn parse(name: &str) -> Result<ComponentName, Failure> {
    ComponentName::parse(name)
        .map_err(|error| Failure::usage(format!("{error}; or say under which with --name")))
}

/// Who does it: the user of this system, unless they call themselves otherwise.
fn by(named: Option<&str>) -> String {
    let user = || std::env::var("USER").unwrap_or_else(|_| "somebody".to_owned());
    named.map_or_else(|| format!("{}@{}", user(), host_name()), ToOwned::to_owned)
}
