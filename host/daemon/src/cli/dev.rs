//! `qx-host dev`: everything embedded in one process. Builds the handlers,
//! rebuilds them as their sources change, and prints what each event did.

mod project;
mod workspace;

use std::path::Path;
use std::time::Duration;
use std::{fs, io};

use super::args::DevArgs;
use super::exit::{Exit, Failure};
use super::run::{announce, finish, start_telemetry, stop_signal, surroundings};
use super::screen::{self, say};
use super::trigger;
use crate::app::{App, Roles, Running};
use crate::catalog::Watch;
use crate::guest::compile;
use crate::{account, open};
use project::Project;
use workspace::Workspace;

/// An editor writes several files in a row: wait for the last of them.
const DEBOUNCE: Duration = Duration::from_millis(150);

/// Pause between two looks at the sources where the system reports nothing: a
/// source that was not there at first, or a file system that cannot be watched.
const LOOK: Duration = Duration::from_secs(2);

pub(super) async fn dev(args: DevArgs) -> Result<Exit, Failure> {
    let mut projects = project::find(&args.projects)?;
    let workspace = Workspace::make(args.data.as_deref())?;
    say(&format!(
        "data      {}  (delete it to begin anew)",
        workspace.dir().display()
    ));
    for project in &mut projects {
        project.note_sources();
        build(project, workspace.components()).await;
    }
    let config = workspace.config()?;
    let telemetry = start_telemetry(&config)?;
    let listen = config.admin.listen;
    let running = App::build(config.clone(), surroundings(Roles::ALL, &telemetry, true))
        .await?
        .start()
        .await?;
    if let Some(listen) = listen {
        say(&format!(
            "admin     http://{listen}  (/metrics /readyz /api/handlers)"
        ));
    }
    say(&format!("handlers  {}", workspace.components().display()));
    if let Some(lines) = &args.events {
        let events = trigger::lines(lines)?;
        open::store(&config)
            .await?
            .record(&events)
            .await
            .map_err(|fault| Failure::failed("record the events", fault))?;
        say(&format!(
            "recorded  {} events of {}",
            events.len(),
            lines.display()
        ));
    } else if !args.until_drained {
        say(
            "try       qx-host trigger <event-name> --data '{\"some\": \"json\"}'   in another terminal, same folder",
        );
    }
    say("");
    follow(&mut projects, &workspace, &running, args.until_drained).await;
    if args.until_drained {
        account::print(&running).await?;
    }
    let exit = finish(running).await;
    telemetry.shutdown().await;
    exit
}

/// Rebuilds what changes, until there is a reason to end.
async fn follow(
    projects: &mut [Project],
    workspace: &Workspace,
    running: &Running,
    until_drained: bool,
) {
    let sources: Vec<_> = projects.iter().flat_map(Project::sources).collect();
    let sources: Vec<&Path> = sources
        .iter()
        .map(AsRef::as_ref)
        .filter(|path: &&Path| path.exists())
        .collect();
    let watch = Watch::trees(&sources);
    loop {
        tokio::select! {
            biased; // An end wins over a rebuild.
            signal = stop_signal() => return say(&format!("{signal}: finishing what was begun")),
            () = running.failed() => return screen::complain("a task failed that the host needs"),
            () = running.observer().drained(), if until_drained => return,
            () = watch.changed() => tokio::time::sleep(DEBOUNCE).await,
            () = tokio::time::sleep(LOOK) => {}
        }
        for project in projects.iter_mut() {
            if project.note_sources() {
                build(project, workspace.components()).await;
            }
        }
    }
}

/// Builds one project into the folder of the running host, with its settings. A build
/// that fails leaves what is in service in service.
async fn build(project: &Project, components: &Path) {
    say(&format!("build     {}", project.dir().display()));
    let (dir, out) = (project.dir().to_owned(), components.to_owned());
    let built = tokio::task::spawn_blocking(move || compile::build(&dir, &out)).await;
    match built {
        Ok(Ok(built)) => {
            announce(&built);
            let sidecar = project.sidecar_of(&built.name);
            if let Err(error) = settings(&sidecar, components) {
                screen::complain(&format!("{}: {error}", sidecar.display()));
            }
        }
        Ok(Err(error)) => screen::complain(&super::exit::chain(&error)),
        Err(panic) => screen::complain(&format!("the build ended unexpectedly: {panic}")),
    }
}

/// Puts the file of a component's settings beside it, if the project has one that says
/// something else than what is there.
fn settings(sidecar: &Path, components: &Path) -> io::Result<()> {
    let (Ok(text), Some(name)) = (fs::read(sidecar), sidecar.file_name()) else {
        return Ok(());
    };
    let path = components.join(name);
    if fs::read(&path).is_ok_and(|before| before == text) {
        return Ok(());
    }
    // Whole or not at all: the host looks at any time.
    let half = components.join(format!(".{}.half", name.to_string_lossy()));
    fs::write(&half, text)?;
    fs::rename(&half, &path)
}
