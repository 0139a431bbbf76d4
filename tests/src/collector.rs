//! A collector of spans: OTLP over gRPC, as the host exports it.
//!
//! HTTP/2 by hand, since an answer is five bytes and a trailer.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use h2::RecvStream;
use h2::server::SendResponse;
use hyper::body::Bytes;
use hyper::http::{HeaderMap, HeaderValue, Request, Response};
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::trace::v1::Span;
use prost::Message;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;

/// Before each message: whether it is compressed, and its length.
const PREFIX_BYTES: usize = 5;

/// A collector of this machine.
pub struct Collector {
    address: SocketAddr,
    received: Arc<Mutex<Vec<Vec<u8>>>>,
    _accepting: JoinSet<()>,
}

/// A span, as far as tests look at it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Seen {
    /// Its name.
    pub name: String,
    /// Its kind, by the number of the protocol: 3 is a client.
    pub kind: i32,
    /// Its attributes, in the order of their names.
    pub attributes: Vec<(String, String)>,
    /// The span that it is a child of.
    pub parent: Vec<u8>,
    /// Its own id.
    pub id: Vec<u8>,
}

impl Collector {
    /// Listens on a port of its own.
    pub async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("an address");
        let received = Arc::<Mutex<Vec<Vec<u8>>>>::default();
        let keeps = Arc::clone(&received);
        let mut accepting = JoinSet::new();
        accepting.spawn(async move {
            let mut hosts = JoinSet::new();
            while let Ok((socket, _)) = listener.accept().await {
                hosts.spawn(serve(socket, Arc::clone(&keeps)));
            }
        });
        Self {
            address,
            received,
            _accepting: accepting,
        }
    }

    /// `http://127.0.0.1:…`.
    pub fn endpoint(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Every message so far, as it came.
    pub fn received(&self) -> Vec<Vec<u8>> {
        self.received.lock().expect("the messages").clone()
    }

    /// Every span so far.
    pub fn spans(&self) -> Vec<Seen> {
        let messages = self.received();
        let all = messages.iter().flat_map(|message| {
            let request = ExportTraceServiceRequest::decode(message.as_slice());
            request.expect("spans").resource_spans
        });
        let scopes = all.flat_map(|resource| resource.scope_spans);
        scopes.flat_map(|scope| scope.spans).map(seen).collect()
    }
}

fn seen(span: Span) -> Seen {
    let text = |value: Option<Value>| match value {
        Some(Value::StringValue(text)) => text,
        Some(Value::IntValue(number)) => number.to_string(),
        Some(Value::BoolValue(is)) => is.to_string(),
        other => format!("{other:?}"),
    };
    let attributes = span.attributes.into_iter();
    let attribute = |pair: opentelemetry_proto::tonic::common::v1::KeyValue| {
        (pair.key, text(pair.value.and_then(|any| any.value)))
    };
    let mut attributes: Vec<_> = attributes.map(attribute).collect();
    attributes.sort();
    Seen {
        name: span.name,
        kind: span.kind,
        attributes,
        parent: span.parent_span_id,
        id: span.span_id,
    }
}

/// Takes messages until the host hangs up.
async fn serve(socket: TcpStream, received: Arc<Mutex<Vec<Vec<u8>>>>) {
    let Ok(mut connection) = h2::server::handshake(socket).await else {
        return;
    };
    let mut answering = JoinSet::new();
    while let Some(Ok((request, respond))) = connection.accept().await {
        answering.spawn(answer(request, respond, Arc::clone(&received)));
    }
}

/// One message: taken, and said to be taken.
async fn answer(
    request: Request<RecvStream>,
    mut respond: SendResponse<Bytes>,
    received: Arc<Mutex<Vec<Vec<u8>>>>,
) {
    let mut body = request.into_body();
    let mut bytes = Vec::new();
    while let Some(Ok(chunk)) = body.data().await {
        drop(body.flow_control().release_capacity(chunk.len()));
        bytes.extend_from_slice(&chunk);
    }
    let message = bytes.split_off(PREFIX_BYTES.min(bytes.len()));
    received.lock().expect("the messages").push(message);
    let mut head = Response::new(());
    let grpc = HeaderValue::from_static("application/grpc");
    head.headers_mut().insert("content-type", grpc);
    let Ok(mut send) = respond.send_response(head, false) else {
        return; // The host is gone.
    };
    drop(send.send_data(Bytes::from_static(&[0; PREFIX_BYTES]), false));
    let mut trailers = HeaderMap::new();
    trailers.insert("grpc-status", HeaderValue::from_static("0"));
    drop(send.send_trailers(trailers));
}
