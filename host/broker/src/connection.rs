//! Connections to the server: a steady one that comes back by itself for ever, and
//! one for publishing that is used once and then replaced.
//!
//! Each change is logged once, in our words. Never: gives up, or logs an attempt.

use std::error::Error;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use async_nats::client::Client;
use async_nats::{ConnectError, ConnectErrorKind, ConnectOptions, Event, ServerAddr, rustls};
use tokio::sync::watch;

use crate::address::Addresses;
use crate::config::{Credentials, NatsConfig, Tls};
use crate::error::BrokerError;
use crate::identity;

/// First pause between two attempts to reconnect; it doubles from there.
const RECONNECT_PAUSE_MIN: Duration = Duration::from_millis(50);
/// Longest pause between two attempts: the most that is added to an outage.
const RECONNECT_PAUSE_MAX: Duration = Duration::from_secs(5);
/// A connection that is silent for so long is asked; unanswered twice, it is dead.
const PING_INTERVAL: Duration = Duration::from_secs(10);
/// Commands that wait for the socket; senders wait when it is full.
const COMMANDS_MAX: usize = 1024;

/// Knows how to reach the server, and who we are.
#[derive(Debug)]
pub(crate) struct Dialer {
    servers: Vec<ServerAddr>,
    shown: String,
    credentials: Arc<Credentials>,
    tls: Tls,
    connect_timeout: Duration,
    request_timeout: Duration,
}

/// Whether a connection stands, and how often it was lost.
#[derive(Debug, Clone)]
pub(crate) struct Link(watch::Receiver<LinkState>);

#[derive(Debug, Clone, Copy, Default)]
struct LinkState {
    up: bool,
    losses: u64,
    /// Attempts that failed since the last loss.
    failures: u64,
}

impl Link {
    /// How often the connection was lost so far.
    pub(crate) fn losses(&self) -> u64 {
        self.0.borrow().losses
    }

    /// Waits until it was lost more often than that.
    pub(crate) async fn lost(&mut self, since: u64) {
        // An error means that the client is gone, which is a loss too.
        drop(self.0.wait_for(|state| state.losses > since).await);
    }

    /// Waits until it stands; `false` when it never will again.
    pub(crate) async fn up(&mut self) -> bool {
        self.0.wait_for(|state| state.up).await.is_ok()
    }
}

impl Dialer {
    pub(crate) fn new(config: &NatsConfig) -> Result<Self, BrokerError> {
        let faults = config.faults();
        let addresses = Addresses::read(&config.servers, &config.credentials);
        let (Ok(addresses), []) = (addresses, faults.as_slice()) else {
            return Err(BrokerError::Config(faults));
        };
        let shown: Vec<&str> = addresses
            .servers
            .iter()
            .map(ServerAddr::as_url_str)
            .collect();
        Ok(Self {
            shown: shown.join(", "),
            servers: addresses.servers,
            credentials: Arc::new(addresses.credentials),
            tls: config.tls.clone(),
            connect_timeout: config.connect_timeout,
            request_timeout: config.request_timeout,
        })
    }

    /// The servers, without credentials.
    pub(crate) fn shown(&self) -> &str {
        &self.shown
    }

    /// A connection that reconnects for ever.
    pub(crate) async fn steady(&self) -> Result<(Client, Link), BrokerError> {
        let (options, link) = watched(self.options(Arc::default()), self.shown.clone(), true);
        let options =
            options.reconnect_delay_callback(|attempts| reconnect_pause(attempts, fastrand::f64()));
        Ok((self.connect(options).await?, link))
    }

    /// A connection that is not restored when it is lost: what was waiting to be
    /// sent on it is never sent. To a restored one the client library would first
    /// send what was given up long ago, ahead of what was lost on the way.
    pub(crate) async fn once(&self) -> Result<(Client, Link), BrokerError> {
        let spent = Arc::new(AtomicBool::new(false));
        let (options, link) = watched(self.options(Arc::clone(&spent)), self.shown.clone(), false);
        let options = options
            .reconnect_delay_callback(|_| Duration::ZERO)
            .max_reconnects(self.servers.len());
        let client = self.connect(options).await?;
        spent.store(true, Ordering::Release);
        Ok((client, link))
    }

    async fn connect(&self, options: ConnectOptions) -> Result<Client, BrokerError> {
        let connected = options.connect(self.servers.as_slice()).await;
        connected.map_err(|error| self.explain(error))
    }

    /// `spent` closes the door to every later connection.
    fn options(&self, spent: Arc<AtomicBool>) -> ConnectOptions {
        let credentials = Arc::clone(&self.credentials);
        let mut options = ConnectOptions::with_auth_callback(move |nonce| {
            let answer = if spent.load(Ordering::Acquire) {
                Err(async_nats::AuthError::new(
                    "this connection is not restored",
                ))
            } else {
                identity::answer(&credentials, &nonce)
            };
            async move { answer }
        })
        .name("qx-host")
        .require_tls(self.tls.required)
        .ping_interval(PING_INTERVAL)
        .client_capacity(COMMANDS_MAX)
        .connection_timeout(self.connect_timeout)
        .request_timeout(Some(self.request_timeout));
        if let Some(file) = &self.tls.ca_file {
            options = options.add_root_certificates(file.clone());
        }
        if let Some(client) = &self.tls.client {
            options =
                options.add_client_certificate(client.cert_file.clone(), client.key_file.clone());
        }
        options
    }

    fn explain(&self, error: ConnectError) -> BrokerError {
        let servers = self.shown.clone();
        let kind = error.kind();
        let source = Box::new(error);
        match kind {
            ConnectErrorKind::AuthorizationViolation | ConnectErrorKind::Authentication => {
                BrokerError::Unauthorized {
                    servers,
                    tried: identity::shown(&self.credentials),
                    remedy: identity::remedy(&self.credentials),
                    source,
                }
            }
            ConnectErrorKind::Tls => BrokerError::Tls { servers, source },
            ConnectErrorKind::Io if is_tls(source.as_ref()) => BrokerError::Tls { servers, source },
            ConnectErrorKind::Io
            | ConnectErrorKind::ServerParse
            | ConnectErrorKind::Dns
            | ConnectErrorKind::TimedOut
            | ConnectErrorKind::MaxReconnects => BrokerError::NoServer { servers, source },
        }
    }
}

/// Half of the exponential pause is certain, half is chance, so that hosts which
/// lost a server together do not return together.
fn reconnect_pause(attempts: usize, dice: f64) -> Duration {
    let Some(doublings) = attempts.checked_sub(2) else {
        return Duration::ZERO;
    };
    let doublings = u32::try_from(doublings).unwrap_or(u32::MAX).min(16);
    let whole = RECONNECT_PAUSE_MIN
        .saturating_mul(1 << doublings)
        .min(RECONNECT_PAUSE_MAX);
    whole.mul_f64(0.5 + 0.5 * dice.clamp(0.0, 1.0))
}

/// Whether the library of TLS is somewhere among the causes.
fn is_tls(error: &(dyn Error + 'static)) -> bool {
    let inner = |error: &(dyn Error + 'static)| {
        let io = error.downcast_ref::<std::io::Error>()?;
        Some(io.get_ref()?.is::<rustls::Error>())
    };
    let mut next = Some(error);
    while let Some(error) = next {
        if error.is::<rustls::Error>() || inner(error) == Some(true) {
            return true;
        }
        next = error.source();
    }
    false
}

/// Makes the connection's events known, and tells of them when `aloud`.
fn watched(options: ConnectOptions, servers: String, aloud: bool) -> (ConnectOptions, Link) {
    let (sender, receiver) = watch::channel(LinkState {
        up: true,
        ..LinkState::default()
    });
    let options = options.event_callback(move |event| {
        let before = *sender.borrow();
        note(&sender, &event);
        if aloud {
            tell(&servers, before, &event);
        }
        async {}
    });
    (options, Link(receiver))
}

fn note(link: &watch::Sender<LinkState>, event: &Event) {
    match event {
        Event::Connected => link.send_modify(|state| state.up = true),
        Event::Disconnected | Event::Closed => link.send_modify(|state| {
            *state = LinkState {
                up: false,
                losses: state.losses + 1,
                failures: 0,
            };
        }),
        Event::ClientError(_) => link.send_modify(|state| state.failures += 1),
        Event::LameDuckMode | Event::Draining | Event::SlowConsumer(_) | Event::ServerError(_) => {}
    }
}

fn tell(servers: &str, before: LinkState, event: &Event) {
    match event {
        Event::Connected if before.losses == 0 => tracing::info!(servers, "connected to NATS"),
        Event::Connected => tracing::info!(
            servers,
            failed_attempts = before.failures,
            "connected to NATS again"
        ),
        Event::Disconnected => {
            tracing::warn!(servers, "connection to NATS lost, reconnecting");
        }
        Event::LameDuckMode => tracing::info!(servers, "the NATS server is going to stop"),
        Event::SlowConsumer(_) => {
            tracing::warn!(servers, "messages of NATS were not taken in time");
        }
        Event::ServerError(error) => tracing::warn!(servers, %error, "error from NATS"),
        // The first of an outage says why; the others come every few seconds.
        Event::ClientError(error) if before.failures == 0 => {
            tracing::warn!(servers, %error, "no connection to NATS yet, trying on");
        }
        Event::ClientError(error) => tracing::debug!(servers, %error, "no connection to NATS yet"),
        Event::Draining | Event::Closed => tracing::debug!(servers, %event, "connection to NATS"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_pause_grows_and_is_never_the_same_for_all() {
        let whole: Vec<u128> = (0..12)
            .map(|attempts| reconnect_pause(attempts, 1.0).as_millis())
            .collect();
        let expected = [0, 0, 50, 100, 200, 400, 800, 1600, 3200, 5000, 5000, 5000];
        assert_eq!(whole, expected);
        assert_eq!(reconnect_pause(3, 0.0), Duration::from_millis(50));
        assert_eq!(reconnect_pause(usize::MAX, 1.0), RECONNECT_PAUSE_MAX);
    }
}
