//! WASI 0.2, inert: linked so that ordinary toolchains work, with nothing behind
//! it but clocks, random numbers and the component's own log.
//!
//! No file, no environment, no argument, no socket, an empty standard input. Built
//! only when a guest asks for it: most never do.

use std::sync::Arc;

use bytes::Bytes;
use wasmtime::component::ResourceTable;
use wasmtime_wasi::cli::{IsTerminal, StdoutStream};
use wasmtime_wasi::p2::{OutputStream, Pollable, StreamResult};
use wasmtime_wasi::{WasiCtx, WasiCtxView, WasiView};

use crate::call::context::Context;
use crate::call::log::{GuestLog, Stdio};

/// Handles that one call may have open: streams, clocks, descriptors.
const HANDLES_MAX: usize = 1_000;

/// Most random bytes for one request.
const RANDOM_BYTES_MAX: u64 = 64 << 10;

/// Bytes that a guest may write to an output stream at once.
const WRITE_BYTES_MAX: usize = 64 << 10;

/// What one call has of WASI.
pub(crate) struct Wasi {
    ctx: WasiCtx,
    table: ResourceTable,
}

impl Wasi {
    fn new(log: &Arc<GuestLog>) -> Self {
        let stream = |stdio| GuestStream {
            log: Arc::clone(log),
            stdio,
        };
        let ctx = WasiCtx::builder()
            .stdout(stream(Stdio::Out))
            .stderr(stream(Stdio::Err))
            .max_random_size(RANDOM_BYTES_MAX)
            .allow_tcp(false)
            .allow_udp(false)
            .allow_ip_name_lookup(false)
            .build();
        let mut table = ResourceTable::new();
        table.set_max_capacity(HANDLES_MAX);
        Self { ctx, table }
    }
}

impl WasiView for Context {
    fn ctx(&mut self) -> WasiCtxView<'_> {
        // Every WASI function comes through here. It cannot fail, so that one too
        // many is stopped at the next tick of the epoch.
        drop(self.enter());
        let wasi = self.wasi.get_or_insert_with(|| Wasi::new(&self.log));
        WasiCtxView {
            ctx: &mut wasi.ctx,
            table: &mut wasi.table,
        }
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
