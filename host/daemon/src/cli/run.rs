//! `qx-host run`: the daemon.

use std::path::Path;
use std::sync::Arc;

use tokio::signal::unix::{SignalKind, signal};

use super::args::{Role, RunArgs};
use super::exit::{Exit, Failure};
use super::screen;
use crate::app::{App, Roles, Running, Surroundings};
use crate::config::Config;
use crate::guest::compile::Built;
use crate::supervise::Drained;
use crate::telemetry::{self, All, Console, Telemetry};
use crate::{account, open};

pub(super) async fn run(config: Option<&Path>, args: RunArgs) -> Result<Exit, Failure> {
    let config = open::config(config)?;
    let roles = Roles {
        relay: args.roles.contains(&Role::Relay),
        consumer: args.roles.contains(&Role::Consumer),
    };
    if args.until_drained && roles != Roles::ALL {
        return Err(Failure::usage(
            "--until-drained needs both roles: relay,consumer",
        ));
    }
    let telemetry = start_telemetry(&config)?;
    let around = surroundings(roles, &telemetry, args.live);
    let exit = serve(config, around, args.until_drained).await;
    telemetry.shutdown().await;
    exit
}

/// Logs, metrics and spans, as configured.
pub(super) fn start_telemetry(config: &Config) -> Result<Telemetry, Failure> {
    telemetry::init(&config.telemetry).map_err(|error| Failure::failed("start telemetry", error))
}

/// What a host of the command line is told apart from its configuration.
pub(super) fn surroundings(roles: Roles, telemetry: &Telemetry, live: bool) -> Surroundings {
    let mut witnesses = vec![telemetry.metered(), telemetry.logged()];
    if live {
        witnesses.push(Arc::new(Console::stdout()));
    }
    Surroundings {
        roles,
        witness: Arc::new(All::new(witnesses)),
        propagation: telemetry.propagation(),
        compiler: open::Compiler::ThisProgram,
        metrics: Some(telemetry.metrics()),
    }
}

/// Runs a host until a signal, or until nothing is left to do.
async fn serve(config: Config, around: Surroundings, until_drained: bool) -> Result<Exit, Failure> {
    let running = App::build(config, around).await?.start().await?;
    tokio::select! {
        signal = stop_signal() => tracing::info!(signal, "stopping"),
        () = running.failed() => tracing::error!("stopping: a task failed that the host needs"),
        () = running.observer().drained(), if until_drained => {}
    }
    if until_drained {
        account::print(&running).await?;
    }
    finish(running).await
}

/// Drains, and says if something was cut off.
pub(super) async fn finish(running: Running) -> Result<Exit, Failure> {
    match running.drain().await {
        Drained::Clean => Ok(Exit::Done),
        Drained::Abandoned { tasks } => {
            screen::complain(&format!(
                "stopped with {tasks} tasks unfinished; their messages come again. A longer [host] grace_ms lets them finish."
            ));
            Ok(Exit::Abandoned)
        }
    }
}

/// Says that a component was built.
pub(super) fn announce(built: &Built) {
    let (path, kilobytes) = (built.path.display(), built.bytes.div_ceil(1024));
    screen::say(&format!(
        "{path} ({kilobytes} KB) in {:.1} s",
        built.seconds
    ));
}

/// Waits for SIGTERM or SIGINT; says which it was.
pub(super) async fn stop_signal() -> &'static str {
    let (Ok(mut term), Ok(mut int)) = (
        signal(SignalKind::terminate()),
        signal(SignalKind::interrupt()),
    ) else {
        // Without handlers the signals end the process by themselves.
        return std::future::pending().await;
    };
    tokio::select! {
        _ = term.recv() => "SIGTERM",
        _ = int.recv() => "SIGINT",
    }
}
