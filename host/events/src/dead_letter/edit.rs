//! What a person may make of a dead letter's body: another payload, in the same
//! envelope, or an envelope for a body that was none. The event stays the one it
//! was, so that its effects still happen once.
//!
//! Never: changes the letter. The answer is a body, for the port to write.

use bytes::Bytes;
use serde_json::value::RawValue;
use uuid::Uuid;

use super::DeadLetter;
use crate::envelope::{Envelope, Malformed};

/// Longest body that an edit may make: what a broker takes as one message, so that
/// a letter is never larger than what could have led to it.
pub const EDITED_BYTES_MAX: usize = 1 << 20;

/// What was given cannot take the place of the body.
#[derive(Debug, thiserror::Error)]
pub enum InvalidEdit {
    /// It is not JSON.
    #[error("the payload is not JSON; correct it, or quote it for the shell")]
    NotJson(#[source] serde_json::Error),
    /// There is nothing that a payload could be put into.
    #[error(
        "the letter's body is no envelope, which a payload could be put into; give a whole one with --envelope"
    )]
    NoEnvelope(#[source] Malformed),
    /// The new envelope is none.
    #[error("what is given is no envelope either")]
    Malformed(#[source] Malformed),
    /// An edit changes what an event says, not which one it is.
    #[error("the envelope's {field} is `{given}`, and the letter's is `{own}`: an edit keeps it")]
    AnotherEvent {
        /// Name of the field.
        field: &'static str,
        /// What the letter has.
        own: String,
        /// What was given.
        given: String,
    },
    /// It is larger than any message.
    #[error("the body would have {bytes} bytes; the most is {EDITED_BYTES_MAX}")]
    TooLarge {
        /// Size.
        bytes: usize,
    },
}

impl DeadLetter {
    /// The letter's body with this payload, as JSON text, in the place of its own;
    /// and the event's id.
    pub fn with_payload(&self, payload: &str) -> Result<(Uuid, Bytes), InvalidEdit> {
        let payload: &RawValue = serde_json::from_str(payload).map_err(InvalidEdit::NotJson)?;
        let mut envelope = Envelope::decode(&self.body, None).map_err(InvalidEdit::NoEnvelope)?;
        payload.clone_into(&mut envelope.payload);
        bounded(&envelope)
    }

    /// This envelope, as JSON text, in the place of the letter's body; and the
    /// event's id. Id, tenant and name of the event are the letter's, as far as it
    /// has them.
    pub fn with_envelope(&self, envelope: &str) -> Result<(Uuid, Bytes), InvalidEdit> {
        let envelope =
            Envelope::decode(envelope.as_bytes(), None).map_err(InvalidEdit::Malformed)?;
        same("event_id", self.event_id, Some(envelope.event_id))?;
        if self.event_id.is_some() {
            same(
                "tenant_id",
                Some(nil(self.tenant_id)),
                Some(nil(envelope.tenant_id)),
            )?;
            let given = envelope.event_name.as_str();
            same("event_name", Some(self.event_name.as_str()), Some(given))?;
        }
        bounded(&envelope)
    }
}

fn nil(id: Option<Uuid>) -> Uuid {
    id.unwrap_or(Uuid::nil())
}

fn same<T: ToString + PartialEq>(
    field: &'static str,
    own: Option<T>,
    given: Option<T>,
) -> Result<(), InvalidEdit> {
    match (own, given) {
        (Some(own), Some(given)) if own != given => Err(InvalidEdit::AnotherEvent {
            field,
            own: own.to_string(),
            given: given.to_string(),
        }),
        (Some(_) | None, Some(_) | None) => Ok(()),
    }
}

fn bounded(envelope: &Envelope) -> Result<(Uuid, Bytes), InvalidEdit> {
    let body = envelope.encode();
    if body.len() > EDITED_BYTES_MAX {
        return Err(InvalidEdit::TooLarge { bytes: body.len() });
    }
    Ok((envelope.event_id, body.into()))
}

#[cfg(test)]
mod tests;
