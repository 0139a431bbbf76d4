//! One request and its answer over one connection, which is closed with it.
//!
//! The connection is driven by the same future as the request: nothing of it is left
//! when that is dropped, whatever the server does.

use std::pin::pin;
use std::task::Poll;

use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::body::{Body, Incoming};
use hyper::client::conn::http1;
use hyper::header::HeaderMap;
use hyper::{Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use qx_events::ports::{HttpError, HttpResponse};
use tokio::io::{AsyncRead, AsyncWrite};

/// Headers of one answer.
pub const RESPONSE_HEADERS_MAX: usize = 100;

/// Bytes of them, the first line included.
pub const RESPONSE_HEADER_BYTES_MAX: usize = 32 << 10;

/// What the client says of a head that is longer, or has more headers, than it takes.
const TOO_LARGE: &str = "too large";

/// Sends the request and reads the answer, up to this many bytes of its body.
pub(crate) async fn exchange<S>(
    stream: S,
    request: Request<Full<Bytes>>,
    bytes_max: usize,
) -> Result<HttpResponse, HttpError>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let (mut sender, connection) = http1::Builder::new()
        .max_headers(RESPONSE_HEADERS_MAX)
        .max_buf_size(RESPONSE_HEADER_BYTES_MAX)
        .handshake(TokioIo::new(stream))
        .await
        .map_err(said)?;
    let mut connection = pin!(connection);
    let mut answer = pin!(async move {
        let response = sender.send_request(request).await.map_err(said)?;
        collect(response, bytes_max).await
    });
    let mut driven = true;
    std::future::poll_fn(|context| {
        // An error of the connection reaches the answer by itself.
        if driven && connection.as_mut().poll(context).is_ready() {
            driven = false;
        }
        match answer.as_mut().poll(context) {
            Poll::Ready(answer) => Poll::Ready(answer),
            Poll::Pending => Poll::Pending,
        }
    })
    .await
}

async fn collect(
    response: Response<Incoming>,
    bytes_max: usize,
) -> Result<HttpResponse, HttpError> {
    let (head, mut incoming) = response.into_parts();
    if head.status == StatusCode::SWITCHING_PROTOCOLS {
        return Err(HttpError::Protocol(
            "the server wants to speak something else than HTTP".to_owned(),
        ));
    }
    let announced = incoming.size_hint().lower();
    if usize::try_from(announced).map_or(true, |bytes| bytes > bytes_max) {
        return Err(too_large(bytes_max));
    }
    let mut body = Vec::new();
    while let Some(frame) = incoming.frame().await {
        let Ok(data) = frame.map_err(said)?.into_data() else {
            continue; // Trailers are nothing that a guest sees.
        };
        if data.len() > bytes_max.saturating_sub(body.len()) {
            return Err(too_large(bytes_max));
        }
        body.extend_from_slice(&data);
    }
    Ok(HttpResponse {
        status: head.status.as_u16(),
        headers: shown(&head.headers),
        body,
    })
}

fn shown(headers: &HeaderMap) -> Vec<(String, String)> {
    let one = |(name, value): (&hyper::header::HeaderName, &hyper::header::HeaderValue)| {
        let value = String::from_utf8_lossy(value.as_bytes()).into_owned();
        (name.as_str().to_owned(), value)
    };
    headers.iter().map(one).collect()
}

/// The body of an answer has more bytes than this.
pub fn too_large(bytes_max: usize) -> HttpError {
    let kilobytes = bytes_max >> 10;
    HttpError::Limit {
        word: "http_response_kb",
        message: format!("the answer has more than {kilobytes} KiB (limits.http_response_kb)"),
    }
}

/// What went wrong on the way, without a part of the request in it.
#[expect(clippy::needless_pass_by_value, reason = "for `map_err`")]
fn said(error: hyper::Error) -> HttpError {
    if error.is_parse() && error.to_string().contains(TOO_LARGE) {
        let kilobytes = RESPONSE_HEADER_BYTES_MAX >> 10;
        return HttpError::Limit {
            word: "http_response_headers",
            message: format!(
                "the answer has more than {RESPONSE_HEADERS_MAX} headers or {kilobytes} KiB of them"
            ),
        };
    }
    let cause = std::error::Error::source(&error).map(ToString::to_string);
    HttpError::Protocol(match cause {
        Some(cause) => format!("{error}: {cause}"),
        None => error.to_string(),
    })
}
