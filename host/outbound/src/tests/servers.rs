//! Servers on threads, that say what they are told to, and see who comes.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::PathBuf;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};

/// Longest wait for what must come.
const PATIENCE: Duration = Duration::from_secs(30);

/// A server of this machine.
pub(super) struct Server {
    address: SocketAddr,
    seen: Arc<Mutex<Vec<String>>>,
    connections: Arc<Mutex<usize>>,
    left: Receiver<()>,
}

impl Server {
    /// Says this, whatever it is asked, and hangs up.
    pub(super) fn answering(answer: &str) -> Self {
        let answer = answer.to_owned();
        Self::with(move |mut stream, _| {
            drop(stream.write_all(answer.as_bytes()));
        })
    }

    /// Says this and nothing more, until the other side hangs up.
    pub(super) fn stuck_after(beginning: &str) -> Self {
        let beginning = beginning.to_owned();
        Self::with(move |mut stream, left| {
            drop(stream.write_all(beginning.as_bytes()));
            // Ends when the client is gone, in one way or the other.
            while matches!(stream.read(&mut [0; 64]), Ok(1..)) {}
            left.send(()).unwrap_or_default(); // Nobody may be waiting.
        })
    }

    /// Says this, and then more and more.
    pub(super) fn endless(head: &str, more: &str) -> Self {
        let (head, more) = (head.to_owned(), more.to_owned());
        Self::with(move |mut stream, left| {
            drop(stream.write_all(head.as_bytes()));
            while stream.write_all(more.as_bytes()).is_ok() {}
            left.send(()).unwrap_or_default(); // Nobody may be waiting.
        })
    }

    fn with(talk: impl Fn(TcpStream, &Sender<()>) + Send + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let (seen, connections) = (
            Arc::<Mutex<Vec<_>>>::default(),
            Arc::<Mutex<usize>>::default(),
        );
        let (leaving, left) = channel();
        let (notes, count) = (Arc::clone(&seen), Arc::clone(&connections));
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let mut stream = stream.unwrap();
                if is_closing(&stream) {
                    return;
                }
                *count.lock().unwrap() += 1;
                if let Some(request) = read_request(&mut stream) {
                    notes.lock().unwrap().push(request);
                }
                talk(stream, &leaving);
            }
        });
        Self {
            address,
            seen,
            connections,
            left,
        }
    }

    pub(super) fn origin(&self) -> String {
        format!("http://{}", self.address)
    }

    pub(super) fn port(&self) -> u16 {
        self.address.port()
    }

    pub(super) fn connections(&self) -> usize {
        *self.connections.lock().unwrap()
    }

    /// The requests as they came.
    pub(super) fn requests(&self) -> Vec<String> {
        self.seen.lock().unwrap().clone()
    }

    /// Waits until whoever was talked to has hung up.
    pub(super) fn is_left_alone(&self) {
        self.left.recv_timeout(PATIENCE).unwrap();
    }
}

/// What a server is told so that it stops listening.
const CLOSE: &[u8] = b"close now";

impl Drop for Server {
    fn drop(&mut self) {
        // A server that is stuck with a client does not hear it, and ends with the test.
        if let Ok(mut stream) = TcpStream::connect(self.address) {
            drop(stream.write_all(CLOSE));
        }
    }
}

fn is_closing(stream: &TcpStream) -> bool {
    let mut beginning = [0; CLOSE.len()];
    matches!(stream.peek(&mut beginning), Ok(read) if beginning[..read] == *CLOSE)
}

/// Head and body, by its length.
fn read_request(stream: &mut impl Read) -> Option<String> {
    let mut bytes = Vec::new();
    let mut byte = [0];
    while !bytes.ends_with(b"\r\n\r\n") {
        stream.read_exact(&mut byte).ok()?;
        bytes.push(byte[0]);
    }
    let head = String::from_utf8_lossy(&bytes).to_lowercase();
    let length = head.split("content-length: ").nth(1);
    let length = length.and_then(|rest| rest.lines().next()?.parse().ok());
    let mut body = vec![0; length.unwrap_or(0)];
    stream.read_exact(&mut body).ok()?;
    bytes.extend(body);
    Some(String::from_utf8_lossy(&bytes).into_owned())
}

/// A server with a certificate that only its own authority knows.
pub(super) struct TlsServer {
    server: Server,
    folder: tempfile::TempDir,
}

impl TlsServer {
    pub(super) fn named(name: &str) -> Self {
        let made = rcgen::generate_simple_self_signed(vec![name.to_owned()]).unwrap();
        let folder = tempfile::tempdir().unwrap();
        let pem = made.cert.pem();
        std::fs::write(folder.path().join("ca.pem"), &pem).unwrap();
        let chain = vec![CertificateDer::from_pem_slice(pem.as_bytes()).unwrap()];
        let key = PrivateKeyDer::from_pem_slice(made.signing_key.serialize_pem().as_bytes());
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config = rustls::ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(chain, key.unwrap())
            .unwrap();
        Self {
            server: Server::speaking_tls(Arc::new(config)),
            folder,
        }
    }

    pub(super) fn port(&self) -> u16 {
        self.server.port()
    }

    pub(super) fn requests(&self) -> Vec<String> {
        self.server.requests()
    }

    /// The file with its authority.
    pub(super) fn authority(&self) -> PathBuf {
        self.folder.path().join("ca.pem")
    }
}

impl Server {
    fn speaking_tls(config: Arc<rustls::ServerConfig>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let seen = Arc::<Mutex<Vec<_>>>::default();
        let notes = Arc::clone(&seen);
        let (_, left) = channel();
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let stream = stream.unwrap();
                if is_closing(&stream) {
                    return;
                }
                let connection = rustls::ServerConnection::new(Arc::clone(&config)).unwrap();
                let mut stream = rustls::StreamOwned::new(connection, stream);
                // A client that does not trust this server is gone here.
                let Some(request) = read_request(&mut stream) else {
                    continue;
                };
                notes.lock().unwrap().push(request);
                drop(stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"));
                drop(stream.flush());
            }
        });
        Self {
            address,
            seen,
            connections: Arc::default(),
            left,
        }
    }
}
