//! The command line: one file for each command, and what they share.

mod args;
mod audit;
mod build;
mod deploy;
mod dev;
mod dlq;
mod doctor;
mod exit;
mod handlers;
mod history;
mod keygen;
mod migrate;
mod new;
mod outbox;
mod password;
mod run;
mod schema;
pub(crate) mod screen;
mod sign;
mod test;
mod trigger;
mod verify;

use std::process::ExitCode;

pub use args::Cli;
use args::{Command, DlqCommand, HandlersCommand, OutboxCommand};
pub(crate) use exit::chain;
pub use exit::{Exit, Failure, report};

impl From<crate::open::StartError> for Failure {
    fn from(error: crate::open::StartError) -> Self {
        if error.is_unreachable() {
            Self::unreachable("start", error)
        } else {
            Self::failed("start", error)
        }
    }
}

/// Compiles a component, if that is what this process was started for: before
/// anything else of the host exists.
pub fn compile_component(cli: &Cli) -> Option<ExitCode> {
    let Command::CompileComponent(args) = &cli.command else {
        return None;
    };
    Some(qx_sandbox::compile_as_child(
        args.memory_bytes,
        args.seconds,
    ))
}

/// Runs what was asked for.
pub fn run(cli: Cli) -> Result<Exit, Failure> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .map_err(|error| Failure::failed("start the runtime", error))?;
    let config = cli.config.as_deref();
    runtime.block_on(async {
        match cli.command {
            Command::Dev(args) => Box::pin(dev::dev(args)).await,
            Command::Run(args) => Box::pin(run::run(config, args)).await,
            Command::Migrate(args) => migrate::migrate(config, &args).await,
            Command::New(args) => new::new(&args),
            Command::Build(args) => build::build(&args),
            Command::Keygen(args) => keygen::keygen(&args),
            Command::Sign(args) => sign::sign(&args),
            Command::Verify(args) => verify::verify(config, &args),
            Command::Schema(args) => schema::schema(config, &args).await,
            Command::Test(args) => test::test(config, &args).await,
            Command::Trigger(args) => trigger::trigger(config, args).await,
            Command::Handlers(HandlersCommand::List(output)) => {
                handlers::list(config, output.output).await
            }
            Command::Handlers(HandlersCommand::Load(args)) => deploy::load(config, &args).await,
            Command::Handlers(HandlersCommand::Swap(args)) => deploy::swap(config, &args).await,
            Command::Handlers(HandlersCommand::Rollback(args)) => {
                deploy::rollback(config, &args).await
            }
            Command::Handlers(HandlersCommand::History(args)) => {
                history::history(config, &args).await
            }
            Command::Handlers(HandlersCommand::Pause(args)) => {
                handlers::change(config, "pause", &args).await
            }
            Command::Handlers(HandlersCommand::Resume(args)) => {
                handlers::change(config, "resume", &args).await
            }
            Command::Outbox(OutboxCommand::Status(output)) => {
                outbox::status(config, output.output).await
            }
            Command::Dlq(DlqCommand::List(args)) => dlq::list(config, args).await,
            Command::Dlq(DlqCommand::Show(args)) => dlq::show(config, &args).await,
            Command::Dlq(DlqCommand::Retry(args)) => dlq::retry(config, args).await,
            Command::Dlq(DlqCommand::Edit(args)) => dlq::edit(config, &args).await,
            Command::Dlq(DlqCommand::Drop(args)) => dlq::drop_letters(config, args).await,
            Command::CompileComponent(_) => Err(Failure::usage(
                "compile-component is what the host starts for itself",
            )),
            Command::Audit(output) => audit::audit(config, output.output).await,
            Command::Doctor(output) => doctor::doctor(config, output.output).await,
        }
    })
}
