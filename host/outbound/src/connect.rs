//! To one of the addresses that were checked: TCP, and TLS where the scheme says so.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use qx_events::ports::HttpError;
use qx_events::web::Origin;
use rustls::ClientConfig;
use rustls::pki_types::ServerName;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

/// How long one of several addresses may take before the next is tried. The last one
/// has all the time that the request has left.
const ADDRESS_TIME: Duration = Duration::from_secs(2);

/// A way to the server.
pub(crate) enum Connection {
    Plain(TcpStream),
    Tls(Box<TlsStream<TcpStream>>),
}

/// Connects. The addresses are those that were checked, and no others.
pub(crate) async fn connect(
    origin: &Origin,
    addresses: &[IpAddr],
    tls: Arc<ClientConfig>,
) -> Result<Connection, HttpError> {
    let stream = tcp(origin, addresses).await?;
    if !origin.is_https() {
        return Ok(Connection::Plain(stream));
    }
    let host = origin.host().to_string();
    let name = match origin.address() {
        Some(address) => ServerName::from(address),
        None => ServerName::try_from(host)
            .map_err(|_illegal| HttpError::Tls(format!("{origin} has no name for TLS")))?,
    };
    let stream = TlsConnector::from(tls).connect(name, stream).await;
    stream
        .map(|stream| Connection::Tls(Box::new(stream)))
        .map_err(|error| HttpError::Tls(format!("{origin}: {error}")))
}

async fn tcp(origin: &Origin, addresses: &[IpAddr]) -> Result<TcpStream, HttpError> {
    let mut last = "it has no address".to_owned();
    for (index, address) in addresses.iter().enumerate() {
        let to = SocketAddr::new(*address, origin.port());
        let connecting = TcpStream::connect(to);
        let connected = if index + 1 < addresses.len() {
            match tokio::time::timeout(ADDRESS_TIME, connecting).await {
                Ok(connected) => connected,
                Err(_elapsed) => {
                    last = format!("{to} does not answer");
                    continue;
                }
            }
        } else {
            connecting.await
        };
        match connected {
            Ok(stream) => {
                // Requests are whole when they are sent: waiting to fill packets only
                // delays them. A socket that does not know the option works too.
                drop(stream.set_nodelay(true));
                return Ok(stream);
            }
            Err(error) => last = format!("{to}: {error}"),
        }
    }
    Err(HttpError::Connect(format!(
        "{origin} cannot be reached: {last}"
    )))
}
