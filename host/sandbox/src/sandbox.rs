//! Loads components: checks what they are and want, compiles, links and binds
//! them. What comes out can be called.
//!
//! One compile at a time, in a process of its own or on a thread that may be
//! blocked; what is compiled already does not wait for it. Last, one instance is made
//! on the budget of a call and thrown away: what does not come up is not loaded.

use std::path::PathBuf;
use std::sync::Arc;

use qx_events::ports::{Clock, Handler};
use qx_events::{Binding, Component as ServedComponent, ComponentName, Digest};
use sha2::{Digest as _, Sha256};
use tokio::sync::Semaphore;
use wasmtime::Engine;
use wasmtime::component::{HasSelf, Linker};

use crate::bind::{Bound, bind};
use crate::cache::Cache;
use crate::call::context::{Context, Shared};
use crate::call::instance::Instance;
use crate::call::{Build, ComponentHandler, Ran};
use crate::compile::{self, Compilation};
use crate::contract;
use crate::engine::Metering;
use crate::error::{LoadError, SandboxError};
use crate::imports;
use crate::inspect::{check_memory, check_world, exports, handlers};
use crate::log_sink::LogSink;
use crate::manifest::Manifest;
use crate::native::Native;
use crate::routes_section::{self, Route};
use crate::slots::{self, Slots};
use crate::surface::Surface;
use crate::threads::Threads;
use crate::ticker::Ticker;
use crate::typed::PayloadType;

/// Largest component by default. Python's have 18 MB.
const COMPONENT_BYTES_MAX: usize = 64 << 20;

/// Instances of the process by default. Times the memory of a component's budget,
/// this is the most that handlers use.
const INSTANCES_MAX: u32 = 256;

/// Most memory that a component can be given by default: all that a guest of 32
/// bits can address.
const MEMORY_BYTES_MAX: usize = 4 << 30;

/// Memory of instances that are kept between calls, by default.
const KEPT_BYTES_MAX: usize = 1 << 30;

/// How the sandbox is built.
#[derive(Clone)]
pub struct SandboxConfig {
    /// Where compiled components are kept; `None` compiles at every load.
    pub cache_dir: Option<PathBuf>,
    /// Instances that exist at once in the process, those that are kept for the next
    /// call included; further calls wait.
    pub instances_max: u32,
    /// Most memory that a component's limits can give it, in bytes.
    pub memory_bytes_max: usize,
    /// Most memory of instances that are kept between calls, taken together.
    pub kept_bytes_max: usize,
    /// Threads for guests that compute for longer than a turn.
    pub threads: usize,
    /// Where components are compiled.
    pub compilation: Compilation,
    /// Largest file that is compiled, in bytes.
    pub component_bytes_max: usize,
    /// Time of emitted events.
    pub clock: Arc<dyn Clock>,
    /// Why no component can run SQL here; `None`: those can that have a role.
    pub sql_missing: Option<&'static str>,
    /// Sees the lines that guests log, beside the host's own log.
    pub log_sink: Option<Arc<dyn LogSink>>,
    /// Whether steps are counted. Counting compiles in this process.
    pub metering: Metering,
}

impl SandboxConfig {
    /// The defaults: no cache, compiled in this process, nobody who looks at the lines.
    pub fn new(clock: Arc<dyn Clock>) -> Self {
        Self {
            cache_dir: None,
            compilation: Compilation::InProcess,
            instances_max: INSTANCES_MAX,
            memory_bytes_max: MEMORY_BYTES_MAX,
            kept_bytes_max: KEPT_BYTES_MAX,
            threads: std::thread::available_parallelism().map_or(1, usize::from),
            component_bytes_max: COMPONENT_BYTES_MAX,
            clock,
            sql_missing: None,
            log_sink: None,
            metering: Metering::Off,
        }
    }
}

/// One for the process. Clones share it.
#[derive(Clone)]
pub struct Sandbox {
    inner: Arc<Inner>,
}

struct Inner {
    engine: Engine,
    linker: Linker<Context>,
    cache: Option<Cache>,
    /// One compile at a time: it takes all the processor it gets.
    compiling: Semaphore,
    slots: Arc<Slots<Instance>>,
    threads: Arc<Threads<Ran>>,
    ticker: Arc<Ticker>,
    config: SandboxConfig,
}

/// A component that can be put in service.
pub struct Loaded {
    /// SHA-256 of its bytes.
    pub digest: Digest,
    /// Which events go to which export.
    pub bindings: Vec<Binding>,
    /// Its handler exports, in the order that a binding counts.
    pub exports: Vec<String>,
    /// The types of their payloads; `None` for one that takes the generic event.
    pub payloads: Vec<Option<PayloadType>>,
    /// Its imports, by name.
    pub imports: Vec<String>,
    /// Calls it.
    pub handler: Arc<dyn Handler>,
}

impl std::fmt::Debug for Loaded {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self {
            digest,
            bindings,
            exports,
            payloads,
            imports,
            handler: _,
        } = self;
        f.debug_struct("Loaded")
            .field("digest", digest)
            .field("bindings", bindings)
            .field("exports", exports)
            .field("payloads", payloads)
            .field("imports", imports)
            .finish_non_exhaustive()
    }
}

impl Sandbox {
    /// Starts the engine. A cache that cannot be trusted is left out, with a
    /// warning.
    pub fn new(config: SandboxConfig) -> Result<Self, SandboxError> {
        let engine = crate::engine::build(
            config.instances_max,
            config.memory_bytes_max,
            config.metering,
        )?;
        let linker = linker(&engine).map_err(SandboxError::Contract)?;
        let ticker = Arc::new(crate::engine::start_ticker(&engine)?);
        let cache = config.cache_dir.as_deref().and_then(|folder| {
            Cache::open(folder)
                .inspect_err(|refused| {
                    let error: &dyn std::error::Error = refused;
                    tracing::warn!(folder = %folder.display(), %refused, cause = error.source(),
                        "compiled components are not kept, so that starting takes longer");
                })
                .ok()
        });
        let slots = Arc::new(Slots::new(config.instances_max, config.kept_bytes_max));
        slots::start_sweeper(&slots).map_err(SandboxError::Ticker)?;
        let threads = Threads::start(config.threads).map_err(SandboxError::Ticker)?;
        Ok(Self {
            inner: Arc::new(Inner {
                engine,
                linker,
                cache,
                compiling: Semaphore::new(1),
                slots,
                threads: Arc::new(threads),
                ticker,
                config,
            }),
        })
    }

    /// Loads a component. What is in service is not touched.
    pub async fn load(&self, bytes: Vec<u8>, manifest: Manifest) -> Result<Loaded, LoadError> {
        let (manifest, checked) = self
            .aside(move |inner| {
                let checked = inner.check(bytes, &manifest)?;
                Ok((manifest, checked))
            })
            .await?;
        let _turn = match &checked {
            Checked::Kept { .. } => None,
            // Held to the end. The semaphore is never closed.
            Checked::New(_) | Checked::Compiled { .. } => self.inner.compiling.acquire().await.ok(),
        };
        let checked = match (&self.inner.config.compilation, checked) {
            (Compilation::Child(compiler), Checked::New(new))
                if self.inner.config.metering == Metering::Off =>
            {
                let code = compiler.compile(&new.bytes).await?;
                Checked::Compiled { new, code }
            }
            (Compilation::InProcess | Compilation::Child(_), checked) => checked,
        };
        let (loaded, handler, native) = self
            .aside(move |inner| inner.finish(checked, manifest))
            .await?;
        handler.rehearse().await?;
        native.give_back();
        Ok(loaded)
    }

    /// Runs what takes long on a thread that may be blocked.
    async fn aside<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Inner) -> Result<T, LoadError> + Send + 'static,
    ) -> Result<T, LoadError> {
        let inner = Arc::clone(&self.inner);
        tokio::task::spawn_blocking(move || work(&inner))
            .await
            .map_err(LoadError::Compiler)?
    }
}

/// How far a component is on its way.
enum Checked {
    /// Its native code was there already.
    Kept { native: Native, named: Named },
    /// To be compiled.
    New(New),
    /// Compiled elsewhere.
    Compiled { new: New, code: Vec<u8> },
}

/// A component whose names were found good.
struct New {
    bytes: Vec<u8>,
    named: Named,
}

/// What a component's names say.
struct Named {
    digest: Digest,
    imports: Vec<String>,
    routes: Vec<Route>,
}

fn linker(engine: &Engine) -> wasmtime::Result<Linker<Context>> {
    let mut linker = Linker::new(engine);
    wasmtime_wasi::p2::add_to_linker_async(&mut linker)?;
    contract::types::add_to_linker::<_, HasSelf<Context>>(&mut linker, |context| context)?;
    contract::log::add_to_linker::<_, HasSelf<Context>>(&mut linker, |context| context)?;
    contract::config::add_to_linker::<_, HasSelf<Context>>(&mut linker, |context| context)?;
    contract::state::add_to_linker::<_, HasSelf<Context>>(&mut linker, |context| context)?;
    contract::emit::add_to_linker::<_, HasSelf<Context>>(&mut linker, |context| context)?;
    contract::sql::add_to_linker::<_, HasSelf<Context>>(&mut linker, |context| context)?;
    contract::secrets::add_to_linker::<_, HasSelf<Context>>(&mut linker, |context| context)?;
    contract::http::add_to_linker::<_, HasSelf<Context>>(&mut linker, |context| context)?;
    Ok(linker)
}

impl Inner {
    /// Everything that can be said before it is compiled; and the native code, when
    /// it is kept.
    fn check(&self, bytes: Vec<u8>, manifest: &Manifest) -> Result<Checked, LoadError> {
        self.check_sizes(&bytes, manifest)?;
        let surface = Surface::read(&bytes)?;
        check_world(&surface)?;
        imports::check(&surface.imports, manifest)?;
        imports::check_sql(&surface.imports, manifest, self.config.sql_missing)?;
        let named = Named {
            digest: Digest::new(Sha256::digest(&bytes).into()),
            routes: routes(&surface, manifest)?,
            imports: surface.imports,
        };
        let kept = self.cache.as_ref();
        Ok(
            match kept.and_then(|cache| cache.get(&self.engine, named.digest)) {
                Some(native) => Checked::Kept { native, named },
                None => Checked::New(New { bytes, named }),
            },
        )
    }

    fn finish(
        &self,
        checked: Checked,
        manifest: Manifest,
    ) -> Result<(Loaded, Arc<ComponentHandler>, Native), LoadError> {
        let (native, named) = match checked {
            Checked::Kept { native, named } => (native, named),
            Checked::Compiled { new, code } => (self.keep(&code, new.named.digest)?, new.named),
            Checked::New(new) => {
                let code = compile::in_process(&self.engine, &new.bytes)?;
                (self.keep(&code, new.named.digest)?, new.named)
            }
        };
        let Named {
            digest,
            imports,
            routes,
        } = named;
        let component = &native.component;
        check_memory(component, &manifest)?;
        let pre = self
            .linker
            .instantiate_pre(component)
            .map_err(LoadError::Link)?;
        let mut found = exports(component);
        let Bound { exports, bindings } =
            bind(&manifest.name, &found.candidates, &found.others, &routes)?;
        let handlers = handlers(component, &exports, &mut found.typed)?;
        let payloads = handlers
            .iter()
            .map(|h| h.takes.payload().cloned())
            .collect();
        let build = Build {
            pre,
            exports: handlers,
            shared: Arc::new(Shared {
                name: manifest.name.clone(),
                settings: manifest.settings.clone(),
                clock: Arc::clone(&self.config.clock),
                outside: manifest.outside.clone(),
            }),
            log_sink: self.config.log_sink.clone(),
            metering: self.config.metering,
            owner: self.slots.owner(),
            slots: Arc::clone(&self.slots),
            ticker: Arc::clone(&self.ticker),
        };
        let callable = Arc::new(ComponentHandler {
            build: Arc::new(build),
            threads: Arc::clone(&self.threads),
            pace: Arc::default(),
        });
        let handler: Arc<dyn Handler> = Arc::clone(&callable) as _;
        let name = manifest.name.clone();
        // Only to see whether the bindings clash: the rule is the table's.
        ServedComponent::new(
            manifest.name,
            digest,
            manifest.settings,
            Arc::clone(&handler),
            bindings.clone(),
        )?;
        warn_of_unbound(&name, &exports, &bindings);
        let loaded = Loaded {
            digest,
            bindings,
            exports,
            payloads,
            imports,
            handler,
        };
        Ok((loaded, callable, native))
    }

    fn check_sizes(&self, bytes: &[u8], manifest: &Manifest) -> Result<(), LoadError> {
        let max = self.config.component_bytes_max;
        if bytes.len() > max {
            return Err(LoadError::TooLarge {
                bytes: bytes.len(),
                max,
            });
        }
        let (limit, max) = (
            manifest.settings.limits.memory_bytes,
            self.config.memory_bytes_max,
        );
        if limit > max {
            return Err(LoadError::MemoryLimit {
                limit,
                max,
                component: manifest.name.to_string(),
            });
        }
        Ok(())
    }

    /// Keeps native code for the next start, and takes it into this process.
    fn keep(&self, code: &[u8], digest: Digest) -> Result<Native, LoadError> {
        if let Some(cache) = &self.cache {
            match cache.put(&self.engine, code, digest) {
                // Mapped from the file, it is shared between processes.
                Ok(()) => {
                    if let Some(native) = cache.get(&self.engine, digest) {
                        return Ok(native);
                    }
                }
                Err(error) => {
                    tracing::warn!(%error, %digest, "cannot keep the compiled component");
                }
            }
        }
        compile::take(&self.engine, code).map(Native::own)
    }
}

/// A handler that no event reaches is no error, and seldom meant.
fn warn_of_unbound(component: &ComponentName, exports: &[String], bindings: &[Binding]) {
    for (index, export) in exports.iter().enumerate() {
        if !bindings.iter().any(|binding| binding.export.0 == index) {
            tracing::warn!(%component, export, "handler has no route and is never called");
        }
    }
}

/// The sidecar's routes, else the component's own.
fn routes(surface: &Surface, manifest: &Manifest) -> Result<Vec<Route>, LoadError> {
    let Some(routes) = &manifest.routes else {
        return routes_section::parse(&surface.routes);
    };
    let each = routes.iter().flat_map(|route| {
        route.patterns.iter().map(|pattern| Route {
            pattern: pattern.clone(),
            versions: route.versions.clone(),
            export: route.export.clone(),
        })
    });
    Ok(each.collect())
}
