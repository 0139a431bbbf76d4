//! Loads components: checks what they are and want, compiles, links and binds
//! them. What comes out can be called.
//!
//! One compile at a time, on a thread of its own. Nothing of the guest runs here.

use std::path::PathBuf;
use std::sync::Arc;

use qx_events::ports::{Clock, Handler};
use qx_events::{Binding, Component as ServedComponent, ComponentName, Digest};
use sha2::{Digest as _, Sha256};
use tokio::sync::Semaphore;
use wasmtime::Engine;
use wasmtime::component::{Component, HasSelf, Linker};

use crate::bind::{Bound, bind};
use crate::cache::Cache;
use crate::call::ComponentHandler;
use crate::call::context::{Context, Shared};
use crate::contract;
use crate::error::{LoadError, SandboxError};
use crate::imports;
use crate::inspect::{candidates, check_memory, check_world, indices};
use crate::log_sink::LogSink;
use crate::manifest::Manifest;
use crate::routes_section::{self, Route};
use crate::surface::Surface;

/// Largest component by default. Python's have 18 MB.
const COMPONENT_BYTES_MAX: usize = 64 << 20;

/// Instances of the process by default. Times the memory of a component's budget,
/// this is the most that handlers use.
const INSTANCES_MAX: u32 = 256;

/// Most memory that a component can be given by default: all that a guest of 32
/// bits can address.
const MEMORY_BYTES_MAX: usize = 4 << 30;

/// How the sandbox is built.
#[derive(Clone)]
pub struct SandboxConfig {
    /// Where compiled components are kept; `None` compiles at every load.
    pub cache_dir: Option<PathBuf>,
    /// Instances that exist at once in the process; further calls wait.
    pub instances_max: u32,
    /// Most memory that a component's limits can give it, in bytes.
    pub memory_bytes_max: usize,
    /// Largest file that is compiled, in bytes.
    pub component_bytes_max: usize,
    /// Time of emitted events.
    pub clock: Arc<dyn Clock>,
    /// Sees the lines that guests log, beside the host's own log.
    pub log_sink: Option<Arc<dyn LogSink>>,
}

impl SandboxConfig {
    /// The defaults: no cache, nobody who looks at the lines.
    pub fn new(clock: Arc<dyn Clock>) -> Self {
        Self {
            cache_dir: None,
            instances_max: INSTANCES_MAX,
            memory_bytes_max: MEMORY_BYTES_MAX,
            component_bytes_max: COMPONENT_BYTES_MAX,
            clock,
            log_sink: None,
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
    compiling: Arc<Semaphore>,
    instances: Arc<Semaphore>,
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
            imports,
            handler: _,
        } = self;
        f.debug_struct("Loaded")
            .field("digest", digest)
            .field("bindings", bindings)
            .field("exports", exports)
            .field("imports", imports)
            .finish_non_exhaustive()
    }
}

impl Sandbox {
    /// Starts the engine. A cache that cannot be trusted is left out, with a
    /// warning.
    pub fn new(config: SandboxConfig) -> Result<Self, SandboxError> {
        let engine = crate::engine::build(config.instances_max, config.memory_bytes_max)?;
        let linker = linker(&engine).map_err(SandboxError::Contract)?;
        crate::engine::start_ticker(&engine)?;
        let cache = config.cache_dir.as_deref().and_then(|folder| {
            Cache::open(folder)
                .inspect_err(|refused| {
                    let error: &dyn std::error::Error = refused;
                    tracing::warn!(folder = %folder.display(), %refused, cause = error.source(),
                        "compiled components are not kept, so that starting takes longer");
                })
                .ok()
        });
        let instances = usize::try_from(config.instances_max).unwrap_or(usize::MAX);
        let instances = instances.clamp(1, Semaphore::MAX_PERMITS);
        Ok(Self {
            inner: Arc::new(Inner {
                engine,
                linker,
                cache,
                compiling: Arc::new(Semaphore::new(1)),
                instances: Arc::new(Semaphore::new(instances)),
                config,
            }),
        })
    }

    /// Loads a component. What is in service is not touched.
    pub async fn load(&self, bytes: Vec<u8>, manifest: Manifest) -> Result<Loaded, LoadError> {
        let turn = Arc::clone(&self.inner.compiling).acquire_owned().await;
        let inner = Arc::clone(&self.inner);
        tokio::task::spawn_blocking(move || {
            let _turn = turn;
            inner.load(&bytes, manifest)
        })
        .await
        .map_err(LoadError::Compiler)?
    }
}

fn linker(engine: &Engine) -> wasmtime::Result<Linker<Context>> {
    let mut linker = Linker::new(engine);
    wasmtime_wasi::p2::add_to_linker_async(&mut linker)?;
    contract::types::add_to_linker::<_, HasSelf<Context>>(&mut linker, |context| context)?;
    contract::log::add_to_linker::<_, HasSelf<Context>>(&mut linker, |context| context)?;
    contract::config::add_to_linker::<_, HasSelf<Context>>(&mut linker, |context| context)?;
    contract::state::add_to_linker::<_, HasSelf<Context>>(&mut linker, |context| context)?;
    contract::emit::add_to_linker::<_, HasSelf<Context>>(&mut linker, |context| context)?;
    Ok(linker)
}

impl Inner {
    fn load(&self, bytes: &[u8], manifest: Manifest) -> Result<Loaded, LoadError> {
        self.check_sizes(bytes, &manifest)?;
        let surface = Surface::read(bytes)?;
        check_world(&surface)?;
        imports::check(&surface.imports, &manifest)?;
        let routes = routes(&surface, &manifest)?;
        let digest = Digest::new(Sha256::digest(bytes).into());
        let component = self.compile(bytes, digest)?;
        check_memory(&component, &manifest)?;
        let pre = self
            .linker
            .instantiate_pre(&component)
            .map_err(LoadError::Link)?;
        let (candidates, others) = candidates(&component);
        let Bound { exports, bindings } = bind(&manifest.name, &candidates, &others, &routes)?;
        let handler: Arc<dyn Handler> = Arc::new(ComponentHandler {
            pre,
            exports: indices(&component, &exports)?,
            shared: Arc::new(Shared {
                name: manifest.name.clone(),
                settings: manifest.settings.clone(),
                clock: Arc::clone(&self.config.clock),
            }),
            log_sink: self.config.log_sink.clone(),
            instances: Arc::clone(&self.instances),
        });
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
        Ok(Loaded {
            digest,
            bindings,
            exports,
            imports: surface.imports,
            handler,
        })
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

    fn compile(&self, bytes: &[u8], digest: Digest) -> Result<Component, LoadError> {
        let kept = self.cache.as_ref();
        if let Some(component) = kept.and_then(|cache| cache.get(&self.engine, digest)) {
            return Ok(component);
        }
        let component = Component::from_binary(&self.engine, bytes).map_err(refused)?;
        if let Some(Err(error)) = kept.map(|cache| cache.put(&component, digest)) {
            tracing::warn!(%error, %digest, "cannot keep the compiled component");
        }
        Ok(component)
    }
}

/// What the engine says against a component: that it is not valid, or too large for
/// the pool of instances.
fn refused(error: wasmtime::Error) -> LoadError {
    let cause = error.root_cause().to_string();
    if OVER_THE_POOL.iter().any(|text| cause.contains(text)) {
        return LoadError::TooComplex { what: cause };
    }
    LoadError::Invalid(error)
}

/// What the engine says of a component that no slot of the pool can hold.
const OVER_THE_POOL: [&str; 3] = [
    "pooling allocator",
    "which exceeds the ",
    "exceeds the per-instance limit",
];

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
