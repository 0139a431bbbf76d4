//! What can be said on the command line. These names are fixed: operators'
//! scripts depend on them.

mod deploys;
mod migrate;

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};
use uuid::Uuid;

use crate::guest::project::Language;
pub(super) use deploys::{HistoryArgs, LoadArgs, RollbackArgs, SwapArgs};
pub(super) use migrate::MigrateArgs;

/// Runs event handlers that are WebAssembly components: from a transactional
/// outbox, over NATS JetStream, with effects that happen once.
#[derive(Debug, Parser)]
#[command(
    name = "qx-host",
    version,
    after_help = "Exit codes: 0 done, 1 failed, 2 wrong usage or configuration, 3 a server does not answer, 4 stopped with deliveries unfinished."
)]
pub struct Cli {
    /// The configuration. Without it: `qx-host.toml` here, then that of a running
    /// `qx-host dev`, then the defaults.
    #[arg(long, global = true, env = "QX_CONFIG", value_name = "FILE")]
    pub config: Option<PathBuf>,
    #[command(subcommand)]
    pub command: Command,
}

/// The commands.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Everything embedded in one process: builds handlers, reloads them as their
    /// sources change, and prints what each event did.
    Dev(DevArgs),
    /// The daemon.
    Run(RunArgs),
    /// Creates or updates the tables in the database.
    Migrate(MigrateArgs),
    /// Makes the project of a new handler.
    New(NewArgs),
    /// Compiles a handler to a component.
    Build(BuildArgs),
    /// Makes a key that signs components, and the one that checks its signatures.
    Keygen(KeygenArgs),
    /// Signs components: writes `<file>.minisig` beside each.
    Sign(SignArgs),
    /// Checks signatures of components against the trusted keys.
    Verify(VerifyArgs),
    /// Builds handlers and gives them the events of their scenarios, `cases/*.json`, in
    /// the sandbox, without a server.
    Test(TestArgs),
    /// Prints the types of the events that a component takes: their contract.
    Schema(SchemaArgs),
    /// Records events in the outbox.
    Trigger(TriggerArgs),
    /// Components of the running host.
    #[command(subcommand)]
    Handlers(HandlersCommand),
    /// The outbox.
    #[command(subcommand)]
    Outbox(OutboxCommand),
    /// Dead letters.
    #[command(subcommand)]
    Dlq(DlqCommand),
    /// Counts rows, handled events and dead letters, from the tables.
    Audit(OutputArgs),
    /// Compiles one component, from standard input to standard output: what the
    /// daemon starts for each.
    #[command(hide = true)]
    CompileComponent(CompileArgs),
    /// Looks for what is wrong with the configuration, the servers and the tools.
    Doctor(OutputArgs),
}

/// How a listing is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Output {
    /// For people.
    Text,
    /// For programs.
    Json,
}

#[derive(Debug, Args)]
pub struct CompileArgs {
    /// Most bytes that it maps.
    pub memory_bytes: u64,
    /// Most seconds that it takes on each processor.
    pub seconds: u64,
}

#[derive(Debug, Args)]
pub struct OutputArgs {
    /// How the listing is written.
    #[arg(long, short, value_enum, default_value = "text")]
    pub output: Output,
}

#[derive(Debug, Args)]
pub struct DevArgs {
    /// Projects of handlers, or folders of such projects.
    #[arg(default_value = ".")]
    pub projects: Vec<PathBuf>,
    /// Records these events at the start: JSON lines as for `trigger --lines`.
    #[arg(long, value_name = "FILE")]
    pub events: Option<PathBuf>,
    /// Ends when every event has come to its end, with an account of all of them.
    #[arg(long)]
    pub until_drained: bool,
    /// Where the data of this run lie; without it `.qx` here.
    #[arg(long, value_name = "DIR")]
    pub data: Option<PathBuf>,
}

/// What a process of the daemon does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Role {
    /// Outbox to stream.
    Relay,
    /// Stream to handlers.
    Consumer,
}

#[derive(Debug, Args)]
pub struct RunArgs {
    /// What this process does.
    #[arg(
        long,
        value_enum,
        value_delimiter = ',',
        default_value = "relay,consumer"
    )]
    pub roles: Vec<Role>,
    /// Ends when every event has come to its end.
    #[arg(long)]
    pub until_drained: bool,
    /// Prints a line for what each event did.
    #[arg(long)]
    pub live: bool,
}

#[derive(Debug, Args)]
pub struct NewArgs {
    /// Name of the handler: lower-case letters, digits and hyphens.
    pub name: String,
    /// What it is to be written in.
    #[arg(long, value_enum, default_value = "rust")]
    pub lang: Language,
    /// Folder to make; without it one of the handler's name.
    #[arg(long, value_name = "DIR")]
    pub path: Option<PathBuf>,
}

#[derive(Debug, Args)]
pub struct BuildArgs {
    /// The handler's project.
    #[arg(default_value = ".")]
    pub project: PathBuf,
    /// Folder for the component, for instance that of a running host.
    #[arg(long, short, value_name = "DIR", default_value = ".")]
    pub out: PathBuf,
    /// First sees to it that this machine can compile to wasm, installing what it
    /// lacks.
    #[arg(long)]
    pub install_toolchain: bool,
}

/// Where a key's password comes from. Without any of it the terminal is asked.
#[derive(Debug, Args)]
pub struct PasswordArgs {
    /// The password is the first line of this file. Without it: the variable
    /// `QX_SIGNING_PASSWORD`, then the terminal.
    #[arg(long, value_name = "FILE")]
    pub password_file: Option<PathBuf>,
}

#[derive(Debug, Args)]
pub struct KeygenArgs {
    /// The secret key; the public one is put beside it, with the ending `.pub`.
    #[arg(long, value_name = "FILE", default_value = "qx-signing.key")]
    pub key: PathBuf,
    /// Without a password: whoever can read the file can sign.
    #[arg(long, short = 'W', conflicts_with = "password_file")]
    pub no_password: bool,
    #[command(flatten)]
    pub password: PasswordArgs,
    /// Replaces a key that is there.
    #[arg(long)]
    pub force: bool,
    /// How the answer is written.
    #[arg(long, short, value_enum, default_value = "text")]
    pub output: Output,
}

#[derive(Debug, Args)]
pub struct SignArgs {
    /// What is to be signed.
    #[arg(required = true)]
    pub files: Vec<PathBuf>,
    /// The secret key, of `qx-host keygen` or `minisign -G`.
    #[arg(
        long,
        value_name = "FILE",
        env = "QX_SIGNING_KEY",
        default_value = "qx-signing.key"
    )]
    pub key: PathBuf,
    #[command(flatten)]
    pub password: PasswordArgs,
    /// How the answer is written.
    #[arg(long, short, value_enum, default_value = "text")]
    pub output: Output,
}

#[derive(Debug, Args)]
pub struct VerifyArgs {
    /// What was signed; the signature of each is in `<file>.minisig`.
    #[arg(required = true)]
    pub files: Vec<PathBuf>,
    /// A public key, `RWQ…` or its file, several times for several. Without it those
    /// that the configuration trusts.
    #[arg(long, value_name = "KEY")]
    pub key: Vec<String>,
    /// How the answer is written.
    #[arg(long, short, value_enum, default_value = "text")]
    pub output: Output,
}

#[derive(Debug, Args)]
#[command(
    after_help = "Exit codes: 0 every scenario holds, 1 one does not or there is no component to run it, 2 wrong \
                  usage, a scenario that cannot be read, or none. What a scenario can say: docs/testing.md."
)]
pub struct TestArgs {
    /// Projects of handlers, or folders of such projects.
    #[arg(default_value = ".")]
    pub projects: Vec<PathBuf>,
    /// A component that is built already, with its `<name>.toml` beside it. The
    /// scenarios are then those of `--cases`, or of `cases` here.
    #[arg(long, value_name = "FILE", conflicts_with = "projects")]
    pub component: Option<PathBuf>,
    /// Scenarios, or folders of them; without it those in the project's `cases`.
    #[arg(long, value_name = "PATH")]
    pub cases: Vec<PathBuf>,
    /// Only scenarios with this text in their name.
    #[arg(long, value_name = "TEXT")]
    pub filter: Option<String>,
    /// Writes what came of a scenario into its file where that says something else, or
    /// nothing. Look at what changed before you commit it.
    #[arg(long)]
    pub update: bool,
    /// Writes a report for CI as well.
    #[arg(long, value_name = "FILE")]
    pub junit: Option<PathBuf>,
    /// How the report is written.
    #[arg(long, short, value_enum, default_value = "text")]
    pub output: Output,
}

/// In what form a type is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum SchemaFormat {
    /// As WIT: one interface with every type.
    Wit,
    /// As JSON Schema, draft 2020-12: one for each event.
    JsonSchema,
}

#[derive(Debug, Args)]
pub struct SchemaArgs {
    /// The component, its `<name>.toml` beside it.
    pub component: PathBuf,
    /// Only this event, or pattern as the component has it. With `json-schema` the schema
    /// alone is written.
    #[arg(long, value_name = "NAME")]
    pub event: Option<String>,
    /// In what form.
    #[arg(long, short, value_enum, default_value = "wit")]
    pub format: SchemaFormat,
}

#[derive(Debug, Args)]
pub struct TriggerArgs {
    /// Name of the event, for instance `github.star.created`.
    #[arg(required_unless_present = "lines")]
    pub event_name: Option<String>,
    /// The payload: JSON, `@file`, or `-` for standard input.
    #[arg(long, default_value = "{}")]
    pub data: String,
    /// Version of the payload's shape.
    #[arg(long, default_value_t = 1)]
    pub event_version: u32,
    /// Whose event it is.
    #[arg(long)]
    pub tenant: Option<Uuid>,
    /// What it belongs to.
    #[arg(long)]
    pub correlation: Option<Uuid>,
    /// W3C trace context.
    #[arg(long)]
    pub traceparent: Option<String>,
    /// Many events: a file of JSON lines, each `{"event_name": …, "payload": …}`;
    /// `-` for standard input.
    #[arg(long, value_name = "FILE", conflicts_with_all = ["event_name", "data"])]
    pub lines: Option<PathBuf>,
}

#[derive(Debug, Subcommand)]
pub enum HandlersCommand {
    /// What is in service, what is paused, and what cannot be loaded and why.
    List(OutputArgs),
    /// Puts a component into the folder of the running host, and waits until it is in
    /// service, or broken.
    Load(LoadArgs),
    /// The same, for a component that is in service already.
    Swap(SwapArgs),
    /// Puts an earlier build back into the folder; with one that is tried: ends that.
    Rollback(RollbackArgs),
    /// Which build was in service, when and by whom.
    History(HistoryArgs),
    /// Gives a component no more messages, on every host, until it is resumed.
    Pause(PauseArgs),
    /// Gives it messages again, also when its breaker is open.
    Resume(PauseArgs),
}

#[derive(Debug, Args)]
pub struct PauseArgs {
    /// The component.
    pub component: String,
    /// Why, for those who find it paused.
    #[arg(long, default_value = "")]
    pub reason: String,
    /// Who says so; without it the user's name.
    #[arg(long, env = "USER", default_value = "somebody")]
    pub by: String,
}

#[derive(Debug, Subcommand)]
pub enum OutboxCommand {
    /// How many rows wait, were published, were set aside.
    Status(OutputArgs),
}

#[derive(Debug, Subcommand)]
pub enum DlqCommand {
    /// The dead letters, newest first.
    List(DlqListArgs),
    /// One dead letter, with headers and body.
    Show(DlqShowArgs),
    /// Asks the running host to call the component again, once for each letter.
    Retry(DlqManyArgs),
    /// Puts another body in the place of a letter's, for its next retry. It stays
    /// the same event, and the message's own body is kept beside it.
    Edit(DlqEditArgs),
    /// Deletes for good.
    Drop(DlqManyArgs),
}

/// Which dead letters are meant: those for which all of it is true.
#[derive(Debug, Args)]
pub struct DlqWhich {
    /// Of this component.
    #[arg(long)]
    pub component: Option<String>,
    /// Of this event name, or of a pattern such as `order.*` or `order.>`.
    #[arg(long, value_name = "NAME")]
    pub event: Option<String>,
    /// Of this class of reasons: rejected, exhausted, `unknown_version`, malformed,
    /// `crash_loop`, unsettleable.
    #[arg(long, value_name = "CLASS")]
    pub kind: Option<String>,
    /// Of this tenant.
    #[arg(long, value_name = "UUID")]
    pub tenant: Option<Uuid>,
    /// Given up longer ago: `90s`, `15m`, `12h`, `7d`, or before a time such as
    /// `2026-01-31T12:00:00Z`.
    #[arg(long, value_name = "AGE")]
    pub older_than: Option<String>,
    /// Given up less long ago, or since a time.
    #[arg(long, value_name = "AGE")]
    pub newer_than: Option<String>,
    /// With this text in the reason, in capitals or not.
    #[arg(long, value_name = "TEXT")]
    pub reason: Option<String>,
}

#[derive(Debug, Args)]
pub struct DlqEditArgs {
    /// Its id, or the beginning of it.
    pub id: String,
    /// The new payload: JSON, `@file`, or `-` for standard input. The rest of the
    /// envelope stays.
    #[arg(long, value_name = "JSON", required_unless_present = "envelope")]
    pub payload: Option<String>,
    /// A whole envelope, given in the same ways: for a letter whose body is none.
    #[arg(long, value_name = "JSON", conflicts_with = "payload")]
    pub envelope: Option<String>,
    /// Asks the running host to call the component with it.
    #[arg(long)]
    pub retry: bool,
    /// How the answer is written.
    #[arg(long, short, value_enum, default_value = "text")]
    pub output: Output,
}

#[derive(Debug, Args)]
pub struct DlqListArgs {
    #[command(flatten)]
    pub which: DlqWhich,
    /// How many at most.
    #[arg(long, default_value_t = 100)]
    pub limit: u32,
    /// How the listing is written.
    #[arg(long, short, value_enum, default_value = "text")]
    pub output: Output,
}

#[derive(Debug, Args)]
pub struct DlqShowArgs {
    /// Its id, or the beginning of it.
    pub id: String,
    /// How it is written.
    #[arg(long, short, value_enum, default_value = "text")]
    pub output: Output,
}

#[derive(Debug, Args)]
pub struct DlqManyArgs {
    /// Their ids, or the beginnings of them.
    pub ids: Vec<String>,
    /// All that match, without naming each.
    #[arg(long, conflicts_with = "ids")]
    pub all: bool,
    #[command(flatten)]
    pub which: DlqWhich,
    /// Says how many and which would be meant, and does nothing.
    #[arg(long)]
    pub dry_run: bool,
    /// How the answer is written.
    #[arg(long, short, value_enum, default_value = "text")]
    pub output: Output,
}
