//! Why a file is not in service: what was found, what was expected, and what its
//! author or operator can do about it.
//!
//! A load error never touches what is in service already.

use qx_events::{Capability, Clash, Fault};

/// The sandbox cannot be built: there is nothing to run components with.
#[derive(Debug, thiserror::Error)]
pub enum SandboxError {
    /// The engine refuses its configuration, or the machine.
    #[error("start the WebAssembly engine")]
    Engine(#[source] wasmtime::Error),
    /// The host functions do not fit the contract they were generated from.
    #[error("link the guest contract")]
    Contract(#[source] wasmtime::Error),
    /// No thread for guests, or for the clock that interrupts them.
    #[error("start the threads that run and interrupt guests")]
    Ticker(#[source] std::io::Error),
}

/// A component cannot be loaded.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    /// Larger than the host compiles.
    #[error(
        "the file has {bytes} bytes, the host takes at most {max}: build it for release and strip it"
    )]
    TooLarge {
        /// What it has.
        bytes: usize,
        /// What is allowed.
        max: usize,
    },
    /// Nothing in it.
    #[error("the file is empty: build the handler with `qx-host build`")]
    Empty,
    /// Text, or another format.
    #[error(
        "the file is {what}, not a WebAssembly component (it begins with `{beginning}`): build the handler with `qx-host build`"
    )]
    NotWasm {
        /// What it looks like.
        what: &'static str,
        /// Its first characters.
        beginning: String,
    },
    /// WebAssembly, but without the component's types.
    #[error(
        "the file is a core WebAssembly module, not a component: build it with `qx-host build`, which makes a component of it"
    )]
    CoreModule,
    /// It stops in the middle.
    #[error(
        "the file is cut off after {bytes} bytes: copy it again, under another name first, and rename it when it is complete"
    )]
    Truncated {
        /// Its length.
        bytes: usize,
    },
    /// It is not valid WebAssembly, or uses what the host leaves out.
    #[error(
        "the component is not valid here (threads, garbage collection, exceptions and async are left out): build it again with a current toolchain"
    )]
    Invalid(#[source] wasmtime::Error),
    /// It is made of more parts than an instance may have.
    #[error(
        "the component needs more than the host gives any instance, see docs/limits.md: {what}"
    )]
    TooComplex {
        /// Of what, and the limit.
        what: String,
    },
    /// It imports and exports more than anybody writes.
    #[error("the component imports and exports more than {max} names: see docs/limits.md")]
    TooManyNames {
        /// The limit.
        max: usize,
    },
    /// The bytes cannot be read as a component.
    #[error("the file is damaged: build it again")]
    Damaged(#[source] wasmparser::Error),
    /// A component for something else.
    #[error(
        "the component is made for another world: it exports {exports}; a handler exports `qx:events/handler@1.0.0` or functions `func(event: event) -> result<_, failure>`"
    )]
    OtherWorld {
        /// What it exports.
        exports: String,
    },
    /// Made for another version of the contract.
    #[error(
        "`{name}` is a version of the contract that this host does not serve; it serves {served}: build the component against that version, or update the host"
    )]
    UnservedVersion {
        /// The import or export.
        name: String,
        /// What is served.
        served: String,
    },
    /// It wants something that no handler gets.
    #[error("the component imports `{import}`, which {why}")]
    UnknownImport {
        /// Its name.
        import: String,
        /// Why not, and what instead.
        why: &'static str,
    },
    /// It runs SQL, and there is no database for it.
    #[error("`{component}` runs SQL (qx:events/sql), which {why}")]
    NoSql {
        /// Its name.
        component: String,
        /// What is missing.
        why: &'static str,
    },
    /// It runs SQL, and nobody said as whom.
    #[error(
        "`{component}` runs SQL (qx:events/sql) and has no role in the database: write sql = \"its role\" under [grants.{component}] in qx-host.toml"
    )]
    NoRole {
        /// Its name.
        component: String,
    },
    /// It wants something that this handler does not get.
    #[error(
        "the component imports `{import}`, which is not granted: {}, or build it without", how_to_grant(*.capability, component)
    )]
    NotGranted {
        /// Its name.
        import: String,
        /// The word to add.
        capability: Capability,
        /// Whose rights.
        component: String,
    },
    /// The imports have the right names and the wrong types.
    #[error("the component's imports do not fit the contract: build it against wit/1.0.0")]
    Link(#[source] wasmtime::Error),
    /// An export that is meant as a handler is none.
    #[error(
        "the export `{export}` has the wrong signature: expected {expected} (types of qx:events/types@1.0.0), found `{found}`"
    )]
    Signature {
        /// Its name.
        export: String,
        /// What it must be.
        expected: &'static str,
        /// What it is.
        found: String,
    },
    /// Its payload has a type that no JSON is of.
    #[error(
        "the export `{export}` cannot be given its payload: its type {why}; what has which form is in docs/typed-handlers.md"
    )]
    Payload {
        /// Its name.
        export: String,
        /// Where in the type, and what.
        why: String,
    },
    /// Nothing in it takes events.
    #[error(
        "the component exports no handler, only {exports}: export `qx:events/handler@1.0.0`, or functions `func(event: event) -> result<_, failure>`"
    )]
    NoHandler {
        /// What it exports.
        exports: String,
    },
    /// It carries routes that cannot be read.
    #[error("the component's own routes (section `qx:routes`) are not legal: {what}")]
    Routes {
        /// Which record, and why.
        what: String,
    },
    /// It takes every event it subscribes to, and says nothing of which.
    #[error(
        "the component exports `qx:events/handler@1.0.0` and carries no routes: say which events it takes with `[[routes]]` in `{component}.toml`"
    )]
    NeedsRoutes {
        /// Whose sidecar.
        component: String,
    },
    /// The name of an export does not say which event it takes.
    #[error(
        "the export `{export}` does not say which event it takes: {why}; add `[[routes]]` with `export = \"{export}\"` to `{component}.toml`"
    )]
    Ambiguous {
        /// Its name.
        export: String,
        /// What it could mean.
        why: String,
        /// Whose sidecar.
        component: String,
    },
    /// A route leads nowhere.
    #[error(
        "the route for `{pattern}` leads to the export `{export}`, which is not there: the component exports {exports}"
    )]
    NoSuchExport {
        /// What the route takes.
        pattern: String,
        /// Where it leads.
        export: String,
        /// What there is.
        exports: String,
    },
    /// A route does not say where it leads, and there are several ways.
    #[error(
        "the route for `{pattern}` must say to which `export`: the component exports {exports}"
    )]
    WhichExport {
        /// What the route takes.
        pattern: String,
        /// What there is.
        exports: String,
    },
    /// Two routes claim the same event.
    #[error("the routes clash")]
    Clash(#[from] Clash),
    /// It wants more memory than it is given, before it does anything.
    #[error(
        "the component begins with {needed} bytes of memory, more than its limit of {limit}: raise `memory_mb` under `[limits]` in `{component}.toml`"
    )]
    Memory {
        /// What it begins with.
        needed: u64,
        /// What it is given.
        limit: usize,
        /// Whose sidecar.
        component: String,
    },
    /// Its limit is more than the host has room for.
    #[error(
        "the component's memory limit of {limit} bytes is more than the host gives any component, {max}: lower `memory_mb` under `[limits]` in `{component}.toml`"
    )]
    MemoryLimit {
        /// What the sidecar says.
        limit: usize,
        /// What there is.
        max: usize,
        /// Whose sidecar.
        component: String,
    },
    /// It takes too long to compile.
    #[error(
        "compiling the component took longer than {seconds} s: raise [components] compile_timeout_s if it is meant to be, or build it smaller"
    )]
    CompileTime {
        /// The cap.
        seconds: f64,
    },
    /// It takes too much memory to compile.
    #[error(
        "compiling the component took more than {megabytes} MB: raise [components] compile_memory_mb if it is meant to be, or build it smaller"
    )]
    CompileMemory {
        /// The cap.
        megabytes: u64,
    },
    /// The compiling process did not do what it is there for.
    #[error(
        "the compiler ended with {how}; the host and what is in service go on: build the component again, and report it with the file if that does not help"
    )]
    CompilerEnded {
        /// How, and what it said.
        how: String,
    },
    /// There is no compiling process.
    #[error("start the process that compiles components")]
    CompilerNotStarted(#[source] std::io::Error),
    /// No instance of it comes up: a start function that traps, or takes more than a
    /// call may.
    #[error(
        "no instance of the component comes up ({why}): mend what it does before its first event, or raise that limit in its `.toml`"
    )]
    DoesNotStart {
        /// The limit or trap, in words.
        why: String,
    },
    /// The host could not try it.
    #[error(
        "the host cannot make an instance of the component at present: put the file in place again"
    )]
    NotTried(#[source] Fault),
    /// The compiler failed in a way that it should not.
    #[error(
        "the compiler gave up on the component: this is a fault of the host, please report it with the file"
    )]
    Compiler(#[source] tokio::task::JoinError),
}

/// Where the word has to stand, for the one who can write it there.
fn how_to_grant(capability: Capability, component: &str) -> String {
    format!(
        "add \"{capability}\" to `capabilities` under `[grants.{component}]` of qx-host.toml, \
            and to `grants` in `{component}.toml` if that file has them"
    )
}

/// The steps of loading a component, in their order. What fails at one of them
/// leaves what is in service where it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum LoadStep {
    /// The file is read, with what lies beside it.
    Read,
    /// Its signature is looked at.
    Verify,
    /// What it is, what it imports and which events it takes is compared with what it
    /// is granted.
    Check,
    /// It is made native code.
    Compile,
    /// One instance of it is made, and thrown away.
    Instantiate,
}

impl LoadStep {
    /// The word for it in listings.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Read => "read",
            Self::Verify => "verify",
            Self::Check => "check",
            Self::Compile => "compile",
            Self::Instantiate => "instantiate",
        }
    }
}

impl LoadError {
    /// Where it was found.
    pub const fn step(&self) -> LoadStep {
        match self {
            Self::TooLarge { .. }
            | Self::Empty
            | Self::NotWasm { .. }
            | Self::CoreModule
            | Self::Truncated { .. }
            | Self::TooComplex { .. }
            | Self::TooManyNames { .. }
            | Self::Damaged(_)
            | Self::OtherWorld { .. }
            | Self::UnservedVersion { .. }
            | Self::UnknownImport { .. }
            | Self::NotGranted { .. }
            | Self::NoSql { .. }
            | Self::NoRole { .. }
            | Self::Link(_)
            | Self::Payload { .. }
            | Self::Signature { .. }
            | Self::NoHandler { .. }
            | Self::Routes { .. }
            | Self::NeedsRoutes { .. }
            | Self::Ambiguous { .. }
            | Self::NoSuchExport { .. }
            | Self::WhichExport { .. }
            | Self::Clash(_)
            | Self::Memory { .. }
            | Self::MemoryLimit { .. } => LoadStep::Check,
            Self::Invalid(_)
            | Self::CompileTime { .. }
            | Self::CompileMemory { .. }
            | Self::CompilerEnded { .. }
            | Self::CompilerNotStarted(_)
            | Self::Compiler(_) => LoadStep::Compile,
            Self::DoesNotStart { .. } | Self::NotTried(_) => LoadStep::Instantiate,
        }
    }
}
