//! The component called in a loop by wasmtime alone: pooled instances, no budget,
//! no interruption, no host functions. What is left is the price of the sandbox.

use std::sync::Arc;
use std::time::Instant;

use anyhow::{Context as _, ensure};
use qx_events::Envelope;
use wasmtime::component::{Component, ComponentExportIndex, InstancePre, Linker, Val};
use wasmtime::{
    Config, Enabled, Engine, InstanceAllocationStrategy, PoolingAllocationConfig, Store,
};

/// Instances that exist at once: one for each thread.
const INSTANCES: u32 = 64;

/// Memory that a slot keeps, as the host's sandbox does where the kernel can tell
/// which pages were written.
const KEEP_BYTES: usize = 2 << 20;

/// Whether an instance serves one call or all.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Instance {
    Fresh,
    Kept,
}

/// A component that is compiled and linked.
pub(super) struct Bare {
    pre: InstancePre<()>,
    export: ComponentExportIndex,
}

impl Bare {
    pub(super) fn new(bytes: &[u8]) -> anyhow::Result<Self> {
        let engine =
            Engine::new(&config(Enabled::Yes)).or_else(|_| Engine::new(&config(Enabled::No)))?;
        let component = Component::from_binary(&engine, bytes)?;
        let mut linker = Linker::new(&engine);
        linker.define_unknown_imports_as_traps(&component)?;
        let name = component
            .component_type()
            .exports(&engine)
            .find(|(_, item)| {
                matches!(
                    item.ty,
                    wasmtime::component::types::ComponentItem::ComponentFunc(_)
                )
            })
            .map(|(name, _)| name.to_owned())
            .context("the component exports no function")?;
        let export = component
            .get_export_index(None, &name)
            .context("the export is gone")?;
        Ok(Self {
            pre: linker.instantiate_pre(&component)?,
            export,
        })
    }

    fn enter(
        &self,
        store: &mut Store<()>,
        event: &Val,
        instance: Instance,
        calls: u64,
    ) -> anyhow::Result<()> {
        let started = self.pre.instantiate(&mut *store)?;
        let function = started
            .get_func(&mut *store, self.export)
            .context("no function")?;
        let rounds = match instance {
            Instance::Fresh => 1,
            Instance::Kept => calls,
        };
        for _ in 0..rounds {
            let mut answer = [Val::Bool(false)];
            function.call(&mut *store, std::slice::from_ref(event), &mut answer)?;
            ensure!(matches!(answer, [Val::Result(Ok(_))]), "{answer:?}");
        }
        Ok(())
    }

    fn run(&self, event: &Val, instance: Instance, calls: u64) -> anyhow::Result<()> {
        let times = match instance {
            Instance::Fresh => calls,
            Instance::Kept => 1,
        };
        for _ in 0..times {
            let mut store = Store::new(self.pre.engine(), ());
            self.enter(&mut store, event, instance, calls)?;
        }
        Ok(())
    }
}

fn config(scan: Enabled) -> Config {
    let mut pool = PoolingAllocationConfig::new();
    pool.total_component_instances(INSTANCES)
        .total_core_instances(INSTANCES * 4)
        .total_memories(INSTANCES)
        .total_tables(INSTANCES * 4)
        .pagemap_scan(scan)
        .linear_memory_keep_resident(KEEP_BYTES)
        .table_keep_resident(64 << 10);
    let mut config = Config::new();
    config
        .concurrency_support(false)
        .allocation_strategy(InstanceAllocationStrategy::Pooling(pool));
    config
}

/// The event as the contract has it.
fn event(envelope: &Envelope) -> Val {
    let text = |text: &str| Val::String(text.to_owned());
    let none = || Val::Option(None);
    let fields = [
        ("id", text(&envelope.event_id.to_string())),
        ("name", text(envelope.event_name.as_str())),
        ("version", Val::U32(envelope.event_version)),
        ("occurred-at", text(&envelope.occurred_at)),
        ("correlation-id", none()),
        ("causation-id", none()),
        ("tenant-id", none()),
        ("actor-id", none()),
        ("payload", text(envelope.payload.get())),
        ("traceparent", none()),
        ("tracestate", none()),
        ("attempt", Val::U32(1)),
    ];
    Val::Record(fields.map(|(name, value)| (name.to_owned(), value)).into())
}

/// Microseconds between two calls that end, over all threads.
pub(super) fn time(
    bare: &Arc<Bare>,
    envelope: &Envelope,
    threads: usize,
    calls: u64,
    instance: Instance,
) -> anyhow::Result<f64> {
    let round = |calls: u64| -> anyhow::Result<f64> {
        let begun = Instant::now();
        let threads: Vec<_> = (0..threads)
            .map(|_| {
                let (bare, event) = (Arc::clone(bare), event(envelope));
                std::thread::spawn(move || bare.run(&event, instance, calls))
            })
            .collect();
        let count = threads.len() as u64;
        for thread in threads {
            thread
                .join()
                .map_err(|_panic| anyhow::anyhow!("the thread panicked"))??;
        }
        Ok(begun.elapsed().as_secs_f64() * 1e6 / (calls * count) as f64)
    };
    round(calls / 10 + 1)?;
    round(calls)
}
