//! The engine: one for the process, configured for strangers.
//!
//! Off: threads, shared memory, garbage collection, exceptions, async components.
//! What they would add to the surface no handler needs.

use wasmtime::{
    Config, Enabled, Engine, InstanceAllocationStrategy, PoolingAllocationConfig, Strategy,
    WasmBacktraceDetails,
};

use crate::error::SandboxError;
use crate::ticker::Ticker;

/// Whether the steps of a guest are counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Metering {
    /// They are not: nothing is slower.
    #[default]
    Off,
    /// They are, in fuel. For tests: what counts takes longer, and native code of an
    /// engine that does not is of no use to it.
    Fuel,
}

/// Stack of a guest. Interpreters compiled to WebAssembly stay below it.
pub(crate) const GUEST_STACK_BYTES: usize = 512 << 10;

/// Stack of a call: the guest's, and the rest for host functions, which are
/// shallow. An overflow there would end the process.
const CALL_STACK_BYTES: usize = 2 << 20;

/// Memories of one component. `QuickJS` has three, everything else one.
pub(crate) const MEMORIES_PER_INSTANCE: u32 = 4;

/// Memories of all instances together, beyond one each: a slot reserves 4 GiB of
/// addresses, of which a process has 128 TiB.
const MEMORIES_MAX: u32 = 4_096;

/// Tables of one component. Three were seen.
pub(crate) const TABLES_PER_INSTANCE: u32 = 8;

/// Core instances of one component. Python has the most, some 20 of them real.
pub(crate) const CORE_INSTANCES_PER_INSTANCE: u32 = 100;

/// Elements of one table. `SpiderMonkey` has 7,689.
pub(crate) const TABLE_ELEMENTS_MAX: usize = 20_000;

/// Bytes of metadata of one instance, its core instances included.
const INSTANCE_BYTES_MAX: usize = 4 << 20;

/// Memory that a slot keeps between two instances, where the kernel can tell which
/// pages were written (Linux 6.7): resetting those is cheaper than giving back all.
const KEEP_RESIDENT_BYTES_SCANNED: usize = 2 << 20;

/// The same where it cannot: everything kept is overwritten, so keep little.
const KEEP_RESIDENT_BYTES: usize = 64 << 10;

/// Tables kept between two instances.
const KEEP_RESIDENT_TABLE_BYTES: usize = 64 << 10;

/// One of the counts above, as the store's limiter wants it.
pub(crate) const fn count(each: u32) -> usize {
    each as usize
}

/// Builds the engine. Falls back to memory on demand, which is slower, when the
/// address space for the pool cannot be reserved.
pub(crate) fn build(
    instances_max: u32,
    memory_bytes_max: usize,
    metering: Metering,
) -> Result<Engine, SandboxError> {
    let mut config = base();
    config.consume_fuel(metering == Metering::Fuel);
    for scan in [Enabled::Yes, Enabled::No] {
        let pool = pool(instances_max, memory_bytes_max, scan);
        config.allocation_strategy(InstanceAllocationStrategy::Pooling(pool));
        match Engine::new(&config) {
            Ok(engine) => return Ok(engine),
            Err(error) => tracing::debug!(error = %format_args!("{error:#}"), "no such pool"),
        }
    }
    tracing::warn!(
        instances_max,
        "cannot reserve address space for the pool of instances, so each takes its memory from \
         the system and handlers start more slowly: raise the limit on virtual memory \
         (`ulimit -v unlimited`), or lower the number of instances"
    );
    config.allocation_strategy(InstanceAllocationStrategy::OnDemand);
    Engine::new(&config).map_err(SandboxError::Engine)
}

/// An engine that only compiles: it reserves nothing, and its code fits the other.
pub(crate) fn for_compiling() -> wasmtime::Result<Engine> {
    let mut config = base();
    config.allocation_strategy(InstanceAllocationStrategy::OnDemand);
    Engine::new(&config)
}

fn base() -> Config {
    let mut config = Config::new();
    config
        .strategy(Strategy::Cranelift)
        .epoch_interruption(true)
        .concurrency_support(false)
        .wasm_threads(false)
        .shared_memory(false)
        .wasm_gc(false)
        .wasm_exceptions(false)
        .wasm_memory64(false)
        .max_wasm_stack(GUEST_STACK_BYTES)
        .async_stack_size(CALL_STACK_BYTES)
        .memory_init_cow(true)
        // Names are enough; debug information is a stranger's too, and parsed.
        .wasm_backtrace_details(WasmBacktraceDetails::Disable);
    config
}

fn pool(instances_max: u32, memory_bytes_max: usize, scan: Enabled) -> PoolingAllocationConfig {
    let mut pool = PoolingAllocationConfig::new();
    let keep = match scan {
        Enabled::Yes | Enabled::Auto => KEEP_RESIDENT_BYTES_SCANNED,
        Enabled::No => KEEP_RESIDENT_BYTES,
    };
    let times = |each: u32| instances_max.saturating_mul(each);
    pool.total_component_instances(instances_max)
        .total_stacks(instances_max)
        .total_core_instances(times(CORE_INSTANCES_PER_INSTANCE))
        .total_memories(times(MEMORIES_PER_INSTANCE).min(MEMORIES_MAX.max(instances_max)))
        .total_tables(times(TABLES_PER_INSTANCE))
        .total_gc_heaps(instances_max)
        .max_core_instances_per_component(CORE_INSTANCES_PER_INSTANCE)
        .max_memories_per_component(MEMORIES_PER_INSTANCE)
        .max_tables_per_component(TABLES_PER_INSTANCE)
        .max_memories_per_module(MEMORIES_PER_INSTANCE)
        .max_tables_per_module(TABLES_PER_INSTANCE)
        .max_component_instance_size(INSTANCE_BYTES_MAX)
        .max_core_instance_size(INSTANCE_BYTES_MAX)
        .table_elements(TABLE_ELEMENTS_MAX)
        .max_memory_size(memory_bytes_max)
        .pagemap_scan(scan)
        .linear_memory_keep_resident(keep)
        .table_keep_resident(KEEP_RESIDENT_TABLE_BYTES);
    pool
}

/// Starts the clock that interrupts guests. It ends with the engine.
pub(crate) fn start_ticker(engine: &Engine) -> Result<Ticker, SandboxError> {
    let engine = engine.weak();
    let tick = move || {
        let engine = engine.upgrade();
        engine.is_some_and(|engine| {
            engine.increment_epoch();
            true
        })
    };
    Ticker::start(tick).map_err(SandboxError::Ticker)
}

#[cfg(test)]
mod tests {
    use std::hash::{DefaultHasher, Hash, Hasher};

    use super::*;

    fn hash(engine: &Engine) -> u64 {
        let mut hasher = DefaultHasher::new();
        engine.precompile_compatibility_hash().hash(&mut hasher);
        hasher.finish()
    }

    #[test]
    fn what_one_engine_compiles_the_other_runs() {
        let pooled = build(1, 1 << 20, Metering::Off).unwrap();
        assert_eq!(hash(&pooled), hash(&for_compiling().unwrap()));
        let metered = build(1, 1 << 20, Metering::Fuel).unwrap();
        assert_ne!(
            hash(&pooled),
            hash(&metered),
            "one would run the other's code"
        );
    }
}
