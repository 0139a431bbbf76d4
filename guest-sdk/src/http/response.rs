//! What a server answered.

use std::time::Duration;

use serde::de::DeserializeOwned;

use super::Error;
use crate::host::{Answered, Body};

/// An answer, whatever its status.
#[derive(Clone)]
pub struct Response {
    answer: Answered,
    place: String,
}

impl Response {
    pub(super) fn new(answer: Answered, place: String) -> Self {
        Self { answer, place }
    }

    /// Its status.
    pub fn status(&self) -> u16 {
        self.answer.status
    }

    /// The first value of this header, in any case.
    pub fn header(&self, name: &str) -> Option<&str> {
        let mut headers = self.answer.headers.iter();
        let found = headers.find(|(own, _)| own.eq_ignore_ascii_case(name));
        found.map(|(_, value)| value.as_str())
    }

    /// Every header, names in lower case.
    pub fn headers(&self) -> impl Iterator<Item = (&str, &str)> {
        let headers = self.answer.headers.iter();
        headers.map(|(name, value)| (name.as_str(), value.as_str()))
    }

    /// Its body as text, if it is UTF-8.
    pub fn text(&self) -> Result<&str, Error> {
        match &self.answer.body {
            Body::Text(text) => Ok(text),
            Body::Bytes(_) => Err(Error::NoText {
                place: self.place.clone(),
            }),
        }
    }

    /// Its body.
    pub fn bytes(&self) -> &[u8] {
        match &self.answer.body {
            Body::Text(text) => text.as_bytes(),
            Body::Bytes(bytes) => bytes,
        }
    }

    /// Its body, read from JSON.
    pub fn json<T: DeserializeOwned>(&self) -> Result<T, Error> {
        serde_json::from_slice(self.bytes()).map_err(|source| Error::Misfit {
            place: self.place.clone(),
            source,
        })
    }

    /// The answer, if its status is from 200 to 299. With `?`, what may be better the
    /// next time becomes a retry, not before the server's `retry-after`; the others
    /// become a rejection.
    pub fn ensure_ok(self) -> Result<Self, Error> {
        let status = self.status();
        if (200..300).contains(&status) {
            return Ok(self);
        }
        let after = self.header("retry-after");
        let after = after.and_then(|text| text.trim().parse().ok());
        Err(Error::Status {
            status,
            after: after.map(Duration::from_secs),
            place: self.place,
        })
    }
}

/// Status and size: the rest may be secret.
impl std::fmt::Debug for Response {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Response")
            .field("place", &self.place)
            .field("status", &self.status())
            .field("bytes", &self.bytes().len())
            .finish_non_exhaustive()
    }
}
