//! From a name to addresses, once for each request.

use std::io;
use std::net::IpAddr;

use async_trait::async_trait;

/// Knows the addresses of names.
#[async_trait]
pub trait Resolve: Send + Sync {
    /// All addresses of a name.
    async fn resolve(&self, name: &str, port: u16) -> io::Result<Vec<IpAddr>>;
}

/// What the system knows: its files, and whom it asks.
#[derive(Debug, Clone, Copy, Default)]
pub struct SystemResolver;

#[async_trait]
impl Resolve for SystemResolver {
    async fn resolve(&self, name: &str, port: u16) -> io::Result<Vec<IpAddr>> {
        let found = tokio::net::lookup_host((name, port)).await?;
        Ok(found.map(|address| address.ip()).collect())
    }
}
