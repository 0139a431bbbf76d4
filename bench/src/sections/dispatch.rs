//! A fresh instance for each event, in this process: with nothing around it, as
//! wasmtime alone does it, and as the host's sandbox does it with its budget of
//! time, memory and calls. On one thread, and on as many as there are processors.

use std::sync::Arc;
use std::time::Instant;

use anyhow::{Context as _, ensure};
use async_trait::async_trait;
use chrono::{DateTime, Utc};
use qx_events::ports::{Clock, Invocation, NoStatements, StateReader, StateValue};
use qx_events::{ComponentName, Envelope, ExportIndex, Fault, Outcome};
use qx_sandbox::{Manifest, Sandbox, SandboxConfig};

use crate::events::{ENVELOPE_BYTES, order};
use crate::lab::Lab;
use crate::report::Report;
use crate::sections::Section;

mod bare;

const HERE: Section = Section::Dispatch;

/// Calls of one thread in a full run; a tenth as many come before them.
const CALLS: u64 = 60_000;

/// The bench's clock.
struct Wall;

impl Clock for Wall {
    fn now(&self) -> DateTime<Utc> {
        crate::events::now()
    }
}

/// State that is empty.
struct Empty;

#[async_trait]
impl StateReader for Empty {
    async fn read(&self, _key: &str) -> Result<Option<StateValue>, Fault> {
        Ok(None)
    }
}

pub(crate) async fn run(lab: &Lab, report: &mut Report) -> anyhow::Result<()> {
    let bytes = lab.component("bench-noop")?;
    let calls = lab.size.of(CALLS);
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let mut sandbox_config = SandboxConfig::new(Arc::new(Wall));
    sandbox_config.instances_max = 64;
    let sandbox = Sandbox::new(sandbox_config)?;
    let manifest = Manifest::new(ComponentName::parse("bench-noop")?);
    let handler = sandbox.load(bytes.clone(), manifest).await?.handler;
    let envelope = Arc::new(order(7, ENVELOPE_BYTES)?.0);
    let bare = Arc::new(bare::Bare::new(&bytes)?);
    let mut threads = vec![1];
    if cores > 1 {
        threads.push(cores);
    }
    for _ in 0..lab.runs {
        for threads in &threads {
            let on = format!("{threads} thread{}", if *threads == 1 { "" } else { "s" });
            let us = bare::time(&bare, &envelope, *threads, calls, bare::Instance::Fresh)?;
            report.add(
                HERE,
                &format!("bare call, fresh instance, {on}"),
                "µs/call",
                us,
            );
            let ours = {
                let (handler, envelope) = (Arc::clone(&handler), Arc::clone(&envelope));
                let threads = *threads;
                // A runtime of its own, with so many threads.
                std::thread::spawn(move || time(&handler, &envelope, threads, calls))
            };
            let us = ours
                .join()
                .map_err(|_panic| anyhow::anyhow!("the thread panicked"))??;
            report.add(
                HERE,
                &format!("sandbox, fresh instance, {on}"),
                "µs/call",
                us,
            );
            let us = bare::time(&bare, &envelope, *threads, calls, bare::Instance::Kept)?;
            report.add(
                HERE,
                &format!("bare call, kept instance, {on}"),
                "µs/call",
                us,
            );
        }
    }
    Ok(())
}

/// Microseconds between two calls that end, over all threads.
fn time(
    handler: &Arc<dyn qx_events::ports::Handler>,
    envelope: &Arc<Envelope>,
    threads: usize,
    calls: u64,
) -> anyhow::Result<f64> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(threads)
        .enable_all()
        .build()?;
    runtime.block_on(async {
        all(handler, envelope, threads, calls / 10).await?;
        let begun = Instant::now();
        all(handler, envelope, threads, calls).await?;
        Ok(begun.elapsed().as_secs_f64() * 1e6 / (calls * threads as u64) as f64)
    })
}

async fn all(
    handler: &Arc<dyn qx_events::ports::Handler>,
    envelope: &Arc<Envelope>,
    threads: usize,
    calls: u64,
) -> anyhow::Result<()> {
    let mut tasks = tokio::task::JoinSet::new();
    for _ in 0..threads {
        let (handler, envelope) = (Arc::clone(handler), Arc::clone(envelope));
        tasks.spawn(async move {
            for _ in 0..calls {
                let invocation = Invocation {
                    sql: Arc::new(NoStatements),
                    envelope: Arc::clone(&envelope),
                    attempt: 1,
                    trace: None,
                    state: Arc::new(Empty),
                };
                let outcome = handler.call(ExportIndex(0), invocation).await;
                ensure!(matches!(outcome, Outcome::Done(_)), "{}", outcome.as_str());
            }
            anyhow::Ok(())
        });
    }
    while let Some(done) = tasks.join_next().await {
        done.context("a caller panicked")??;
    }
    Ok(())
}
