//! The admin address: bound before the host starts, served until it stops.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use super::control::Control;
use super::door::Door;
use super::insight::Insight;
use super::listener::Bounded;
use super::pages::{self, Shown};
use super::pulse::Pulse;
use crate::telemetry::Metrics;

/// How long requests that are being answered may go on once the host stops.
const LAST_ANSWERS_WAIT: Duration = Duration::from_millis(500);

/// The admin address cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum AdminError {
    /// Somebody listens there.
    #[error(
        "listen on {address}: the port is in use, perhaps by another qx-host; stop that one, or set admin.listen (QX_ADMIN__LISTEN) to another port, or to \"\" for none"
    )]
    InUse {
        /// The address.
        address: SocketAddr,
        /// What the system says.
        #[source]
        source: io::Error,
    },
    /// The machine does not have it, or does not give it to us.
    #[error(
        "listen on {address}: set admin.listen (QX_ADMIN__LISTEN) to an address of this machine and a port above 1023, for instance \"127.0.0.1:7420\""
    )]
    Unusable {
        /// The address.
        address: SocketAddr,
        /// What the system says.
        #[source]
        source: io::Error,
    },
}

/// A bound admin address; nothing is answered yet.
pub struct Admin {
    listener: TcpListener,
    address: SocketAddr,
    shown: Shown,
}

impl Admin {
    /// Binds the address. Port 0 is any that is free, see [`address`](Self::address).
    pub async fn bind(
        listen: SocketAddr,
        insight: Arc<dyn Insight>,
        metrics: Option<Metrics>,
    ) -> Result<Self, AdminError> {
        let bound = TcpListener::bind(listen).await;
        let (listener, address) = bound
            .and_then(|listener| listener.local_addr().map(|address| (listener, address)))
            .map_err(|error| AdminError::new(listen, error))?;
        let pulse = Arc::new(Pulse::new());
        Ok(Self {
            listener,
            address,
            shown: Shown {
                insight,
                control: None,
                metrics,
                pulse,
            },
        })
    }

    /// The same, where an operator can pause components too.
    #[must_use]
    pub fn with_control(mut self, control: Arc<dyn Control>) -> Self {
        self.shown.control = Some(control);
        self
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Answers until `stop`.
    pub async fn run(self, stop: CancellationToken) {
        let Self {
            listener,
            address,
            shown,
        } = self;
        let pulse = Arc::clone(&shown.pulse);
        let router = pages::router(shown, Door::new(address.ip()));
        let stopped = stop.clone();
        let serve = axum::serve(Bounded::new(listener), router)
            .with_graceful_shutdown(stop.cancelled_owned());
        let too_late = async {
            stopped.cancelled().await;
            tokio::time::sleep(LAST_ANSWERS_WAIT).await;
        };
        tokio::select! {
            served = serve => if let Err(error) = served {
                tracing::error!(%error, "the admin address is served no longer");
            },
            () = too_late => {}
            () = pulse.run() => {}
        }
    }
}

impl AdminError {
    fn new(address: SocketAddr, source: io::Error) -> Self {
        if source.kind() == io::ErrorKind::AddrInUse {
            Self::InUse { address, source }
        } else {
            Self::Unusable { address, source }
        }
    }
}

#[cfg(test)]
mod tests;
