//! Requests to the outside: counted and measured here, held against the grants and
//! sent by whoever is behind the port.
//!
//! A request ends before its call does, so that the handler can say what it makes of
//! a server that does not answer.

use std::sync::Arc;
use std::time::Duration;

use qx_events::ports::{HttpError, HttpRequest, HttpResponse};

use crate::call::context::{Context, Purpose};
use crate::call::text::visible;
use crate::contract::http::{Body, Error, Header, Host, Request, Response};

/// Bytes of a text about a request: it may quote the server.
const WHY_BYTES_MAX: usize = 600;

impl Host for Context {
    async fn send(&mut self, request: Request) -> wasmtime::Result<Result<Response, Error>> {
        self.enter()?;
        let (request, client) = match self.admit(request) {
            Ok(admitted) => admitted,
            Err(refused) => return Ok(Err(refused)),
        };
        Ok(match client.send(request).await {
            Ok(response) => Ok(response.into()),
            Err(error) => Err(self.declined(&error)),
        })
    }
}

impl Context {
    /// The request as it may be sent, if it may.
    fn admit(
        &mut self,
        request: Request,
    ) -> Result<(HttpRequest, Arc<dyn qx_events::ports::Http>), Error> {
        if self.purpose == Purpose::Rehearsal {
            return Err(Error::Denied(
                "no event is being handled: a component that is only tried sends no requests, send them from the handler"
                    .to_owned(),
            ));
        }
        let limits = &self.shared.settings.limits;
        let Some(client) = self.shared.outside.http.as_ref().map(Arc::clone) else {
            let component = &self.shared.name;
            return Err(Error::Denied(format!(
                "`{component}` may send no requests: add `http` under `[grants.{component}]` of qx-host.toml"
            )));
        };
        if self.requests >= limits.http_requests {
            let max = limits.http_requests;
            let why = format!("a call sends at most {max} requests (limits.http_requests)");
            return Err(Error::Limit(self.over("http_requests", why)));
        }
        let body = match request.body {
            Some(Body::Text(text)) => text.into_bytes(),
            Some(Body::Bytes(bytes)) => bytes,
            None => Vec::new(),
        };
        let (bytes, max) = (body.len(), limits.value_bytes);
        if bytes > max {
            let why =
                format!("a body has at most {max} bytes, this one has {bytes} (limits.value_kb)");
            return Err(Error::Limit(self.over("value_kb", why)));
        }
        self.requests += 1;
        let asked = request.timeout.map_or(Duration::MAX, Duration::from_millis);
        let headers = request.headers.into_iter();
        let request = HttpRequest {
            method: request.method,
            url: request.url,
            headers: headers.map(|header| (header.name, header.value)).collect(),
            body,
            timeout: asked.min(self.time_left()),
            response_bytes_max: limits.http_response_bytes,
            trace: self.invocation.trace.clone(),
        };
        Ok((request, client))
    }

    fn declined(&self, error: &HttpError) -> Error {
        let words = |text: &str| visible(text, WHY_BYTES_MAX);
        match error {
            HttpError::Denied(why) => Error::Denied(words(why)),
            HttpError::Invalid(why) => Error::Invalid(words(why)),
            HttpError::Limit { word, message } => Error::Limit(self.over(word, words(message))),
            HttpError::Timeout(why) => Error::Timeout(words(why)),
            HttpError::Connect(why) => Error::Connect(words(why)),
            HttpError::Tls(why) => Error::Tls(words(why)),
            HttpError::Protocol(why) => Error::Protocol(words(why)),
        }
    }
}

impl From<HttpResponse> for Response {
    fn from(response: HttpResponse) -> Self {
        let headers = response.headers.into_iter();
        Self {
            status: response.status,
            headers: headers
                .map(|(name, value)| Header { name, value })
                .collect(),
            body: match String::from_utf8(response.body) {
                Ok(text) => Body::Text(text),
                Err(error) => Body::Bytes(error.into_bytes()),
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_is_text_where_it_is_utf_8_and_bytes_where_it_is_not() {
        let answer = |body: &[u8]| {
            Response::from(HttpResponse {
                status: 200,
                headers: Vec::new(),
                body: body.to_vec(),
            })
        };
        let text = answer("größe".as_bytes()).body;
        assert!(matches!(text, Body::Text(text) if text == "größe"));
        let bytes = answer(&[0xff, 0xfe]).body;
        assert!(matches!(bytes, Body::Bytes(bytes) if bytes == [0xff, 0xfe]));
    }
}
