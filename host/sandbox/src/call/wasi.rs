//! WASI 0.2, inert: linked so that ordinary toolchains work, with nothing behind
//! it but clocks, random numbers and the component's own log.
//!
//! No file, no environment, no argument, no socket, an empty standard input. Built
//! only when a guest asks for it: most never do.

use std::convert::Infallible;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use bytes::Bytes;
use qx_events::Breach;
use rand::rngs::StdRng;
use rand::{SeedableRng, TryRng};
use wasmtime::component::ResourceTable;
use wasmtime_wasi::cli::{IsTerminal, StdoutStream};
use wasmtime_wasi::p2::{OutputStream, Pollable, StreamResult};
use wasmtime_wasi::{WasiCtx, WasiCtxView, WasiView};

use crate::call::context::{Context, Stop};
use crate::call::log::{GuestLog, Stdio};

/// Handles that one call may have open: streams, clocks, descriptors. The same for
/// those that the component model itself keeps.
pub(crate) const HANDLES_MAX: usize = 1_000;

/// Most random bytes for one request.
pub(crate) const RANDOM_BYTES_MAX: usize = 64 << 10;

/// Most random bytes of one call: a seed for everything, and keys for many.
pub(crate) const RANDOM_BYTES_TOTAL_MAX: usize = 1 << 20;

/// Bytes that a guest may write to an output stream at once.
const WRITE_BYTES_MAX: usize = 64 << 10;

/// What one instance has of WASI.
pub(crate) struct Wasi {
    ctx: WasiCtx,
    table: ResourceTable,
    random_bytes: Arc<AtomicU64>,
}

impl Wasi {
    fn new(log: &Arc<GuestLog>) -> Self {
        let stream = |stdio| GuestStream {
            log: Arc::clone(log),
            stdio,
        };
        let random_bytes = Arc::new(AtomicU64::new(0));
        let counted = |rng| Counted {
            rng,
            bytes: Arc::clone(&random_bytes),
        };
        let ctx = WasiCtx::builder()
            .stdout(stream(Stdio::Out))
            .stderr(stream(Stdio::Err))
            .max_random_size(RANDOM_BYTES_MAX as u64)
            .secure_random(counted(StdRng::from_rng(&mut rand::rng())))
            .insecure_random(counted(StdRng::from_rng(&mut rand::rng())))
            .allow_tcp(false)
            .allow_udp(false)
            .allow_ip_name_lookup(false)
            .build();
        let mut table = ResourceTable::new();
        table.set_max_capacity(HANDLES_MAX);
        Self {
            ctx,
            table,
            random_bytes,
        }
    }

    /// The same for the next call. Its streams are those of the instance's log, its
    /// clocks run on, its generators go on.
    pub(crate) fn renewed(self) -> Self {
        self.random_bytes.store(0, Ordering::Relaxed);
        self
    }

    /// Handles that are open.
    pub(crate) fn handles(&mut self) -> usize {
        self.table.iter_mut().count()
    }
}

impl WasiView for Context {
    fn ctx(&mut self) -> WasiCtxView<'_> {
        // Every WASI function comes through here. It cannot fail, so that one too
        // many is stopped at the next tick of the epoch.
        drop(self.enter());
        let drawn = self
            .wasi
            .as_ref()
            .map_or(0, |wasi| wasi.random_bytes.load(Ordering::Relaxed));
        if drawn > RANDOM_BYTES_TOTAL_MAX as u64 {
            let what = format!("drew more than {RANDOM_BYTES_TOTAL_MAX} random bytes");
            drop(self.end(Stop::Limit(Breach::Random, what)));
        }
        let wasi = self.wasi.get_or_insert_with(|| Wasi::new(&self.log));
        WasiCtxView {
            ctx: &mut wasi.ctx,
            table: &mut wasi.table,
        }
    }
}

/// A generator that counts what a call draws from it.
struct Counted {
    rng: StdRng,
    bytes: Arc<AtomicU64>,
}

impl Counted {
    fn count(&self, bytes: usize) {
        let bytes = u64::try_from(bytes).unwrap_or(u64::MAX);
        self.bytes.fetch_add(bytes, Ordering::Relaxed);
    }
}

impl TryRng for Counted {
    type Error = Infallible;

    fn try_next_u32(&mut self) -> Result<u32, Infallible> {
        self.count(size_of::<u32>());
        self.rng.try_next_u32()
    }

    fn try_next_u64(&mut self) -> Result<u64, Infallible> {
        self.count(size_of::<u64>());
        self.rng.try_next_u64()
    }

    fn try_fill_bytes(&mut self, into: &mut [u8]) -> Result<(), Infallible> {
        self.count(into.len());
        self.rng.try_fill_bytes(into)
    }
}

/// Standard output or error of a guest: lines of its log.
#[derive(Clone)]
struct GuestStream {
    log: Arc<GuestLog>,
    stdio: Stdio,
}

impl IsTerminal for GuestStream {
    fn is_terminal(&self) -> bool {
        false
    }
}

impl StdoutStream for GuestStream {
    fn async_stream(&self) -> Box<dyn tokio::io::AsyncWrite + Send + Sync> {
        Box::new(tokio::io::sink()) // Only WASI 0.3 asks, and it is not linked.
    }

    fn p2_stream(&self) -> Box<dyn OutputStream> {
        Box::new(self.clone())
    }
}

impl OutputStream for GuestStream {
    fn write(&mut self, bytes: Bytes) -> StreamResult<()> {
        self.log.write(self.stdio, &bytes);
        Ok(())
    }

    fn flush(&mut self) -> StreamResult<()> {
        Ok(())
    }

    fn check_write(&mut self) -> StreamResult<usize> {
        Ok(WRITE_BYTES_MAX)
    }
}

#[async_trait::async_trait]
impl Pollable for GuestStream {
    async fn ready(&mut self) {}
}
