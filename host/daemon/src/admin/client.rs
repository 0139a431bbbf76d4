//! Asks a running host, for the command line: one request, one answer, in bounded
//! time and memory. No HTTP library: the other side is ours.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::insight::HandlerView;

/// From the first packet to the last byte: a little more than a page may take.
const WAIT: Duration = Duration::from_secs(5);
/// Far more than the longest listing.
const ANSWER_BYTES_MAX: u64 = 16 << 20;

/// A running host could not be asked.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// Nobody listens there.
    #[error(
        "no host answers at {address}: start one with `qx-host run` or `qx-host dev`, or name its address with admin.listen (QX_ADMIN__LISTEN)"
    )]
    NobodyThere {
        /// The address.
        address: SocketAddr,
        /// What the system says.
        #[source]
        source: io::Error,
    },
    /// Somebody listens there and says nothing.
    #[error(
        "the host at {address} does not answer in {} s: see its log, and `/livez` there",
        WAIT.as_secs()
    )]
    Silent {
        /// The address.
        address: SocketAddr,
    },
    /// The answer is an error of the host.
    #[error("the host at {address} says: {status} {text}")]
    Refused {
        /// The address.
        address: SocketAddr,
        /// HTTP status.
        status: u16,
        /// Its words.
        text: String,
    },
    /// What answers is something else.
    #[error(
        "what answers at {address} is no qx-host of this version: check admin.listen (QX_ADMIN__LISTEN)"
    )]
    Stranger {
        /// The address.
        address: SocketAddr,
        /// What could not be read.
        #[source]
        source: Option<serde_json::Error>,
    },
}

/// What the host at this address has in its catalog.
pub async fn handlers(listen: SocketAddr) -> Result<Vec<HandlerView>, ClientError> {
    let body = get(listen, "/api/handlers").await?;
    serde_json::from_slice(&body).map_err(|error| {
        let source = Some(error);
        ClientError::Stranger {
            address: reachable(listen),
            source,
        }
    })
}

/// The body of a page of the host at this address.
pub async fn get(listen: SocketAddr, path: &str) -> Result<Vec<u8>, ClientError> {
    ask(listen, "GET", path, "").await
}

/// Asks the host at this address to change something; returns its words.
pub async fn post(listen: SocketAddr, path: &str, json: &str) -> Result<Vec<u8>, ClientError> {
    ask(listen, "POST", path, json).await
}

async fn ask(
    listen: SocketAddr,
    method: &str,
    path: &str,
    json: &str,
) -> Result<Vec<u8>, ClientError> {
    let address = reachable(listen);
    let answer = tokio::time::timeout(WAIT, exchange(address, method, path, json)).await;
    let answer = match answer {
        Ok(Ok(answer)) => answer,
        Ok(Err(source)) => return Err(ClientError::NobodyThere { address, source }),
        Err(_elapsed) => return Err(ClientError::Silent { address }),
    };
    let stranger = ClientError::Stranger {
        address,
        source: None,
    };
    match parse(&answer) {
        None => Err(stranger),
        Some((200, body)) => Ok(body.to_vec()),
        Some((status, body)) => {
            let text = String::from_utf8_lossy(body);
            let text = text.trim().escape_debug().take(200).collect();
            Err(ClientError::Refused {
                address,
                status,
                text,
            })
        }
    }
}

/// HTTP/1.0, so that the answer ends where the connection does.
async fn exchange(
    address: SocketAddr,
    method: &str,
    path: &str,
    json: &str,
) -> io::Result<Vec<u8>> {
    let mut stream = TcpStream::connect(address).await?;
    let about = if json.is_empty() {
        String::new()
    } else {
        let length = json.len();
        format!("Content-Type: application/json\r\nContent-Length: {length}\r\n")
    };
    let request =
        format!("{method} {path} HTTP/1.0\r\nHost: {address}\r\nAccept: */*\r\n{about}\r\n{json}");
    stream.write_all(request.as_bytes()).await?;
    let mut answer = Vec::new();
    stream
        .take(ANSWER_BYTES_MAX)
        .read_to_end(&mut answer)
        .await?;
    Ok(answer)
}

/// Status and body; `None` when this is no HTTP.
fn parse(answer: &[u8]) -> Option<(u16, &[u8])> {
    let end = answer.windows(4).position(|four| four == b"\r\n\r\n")?;
    let (head, rest) = answer.split_at_checked(end)?;
    let line = std::str::from_utf8(head).ok()?.lines().next()?;
    let mut words = line.split(' ');
    let status = words
        .next()?
        .starts_with("HTTP/1.")
        .then(|| words.next())??;
    Some((status.parse().ok()?, rest.get(4..)?))
}

/// A host that listens on all interfaces is asked on the loopback.
fn reachable(listen: SocketAddr) -> SocketAddr {
    let loopback = match listen.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(ip) if ip.is_unspecified() => Ipv6Addr::LOCALHOST.into(),
        ip @ (IpAddr::V4(_) | IpAddr::V6(_)) => ip,
    };
    SocketAddr::new(loopback, listen.port())
}

#[cfg(test)]
mod tests {
    use tokio::net::TcpListener;

    use super::*;

    /// Answers one request with these bytes; `None` is never.
    async fn answer(with: Option<&'static str>) -> Result<Vec<HandlerView>, ClientError> {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let serve = async {
            let (mut stream, _) = listener.accept().await.unwrap();
            if let Some(text) = with {
                stream.write_all(text.as_bytes()).await.unwrap();
                stream.shutdown().await.unwrap();
            }
            // Held open: what ends is the answer, not the connection.
            std::future::pending::<()>().await;
        };
        tokio::select! {
            answer = handlers(address) => answer,
            () = serve => unreachable!(),
        }
    }

    #[tokio::test]
    async fn nobody_there_says_how_to_start_somebody() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let free = listener.local_addr().unwrap();
        drop(listener);
        let error = handlers(free).await.unwrap_err();
        assert!(
            matches!(error, ClientError::NobodyThere { .. }),
            "{error:?}"
        );
        assert!(error.to_string().contains("qx-host run"), "{error}");
    }

    #[tokio::test]
    async fn something_else_on_the_port_is_recognised() {
        for text in [
            "",
            "SSH-2.0-x\r\n\r\n",
            "HTTP/1.1 200 OK\r\n\r\n<html>",
            "HTTP/1.1 x\r\n\r\n",
        ] {
            let error = answer(Some(text)).await.unwrap_err();
            assert!(
                matches!(error, ClientError::Stranger { .. }),
                "{text}: {error:?}"
            );
        }
    }

    #[tokio::test]
    async fn the_words_of_a_refusal_are_passed_on_without_control_characters() {
        let error = answer(Some("HTTP/1.1 503 No\r\n\r\nnot\u{1b} now\n"))
            .await
            .unwrap_err();
        assert!(
            error.to_string().ends_with("says: 503 not\\u{1b} now"),
            "{error}"
        );
    }

    #[tokio::test(start_paused = true)]
    async fn silence_ends_in_time() {
        let error = answer(None).await.unwrap_err();
        assert!(matches!(error, ClientError::Silent { .. }), "{error:?}");
    }

    #[test]
    fn a_host_on_all_interfaces_is_asked_on_the_loopback() {
        assert_eq!(
            reachable("0.0.0.0:1".parse().unwrap()),
            "127.0.0.1:1".parse().unwrap()
        );
        assert_eq!(
            reachable("[::]:1".parse().unwrap()),
            "[::1]:1".parse().unwrap()
        );
        assert_eq!(
            reachable("10.0.0.7:1".parse().unwrap()),
            "10.0.0.7:1".parse().unwrap()
        );
    }
}
