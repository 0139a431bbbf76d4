//! From the payload's text to the type that a handler asks for.

use serde::de::DeserializeOwned;

use crate::{Event, Failure};

/// JSON of any shape, for handlers that look at it rather than map it.
pub type Json = serde_json::Value;

/// The payload's text, byte for byte as it arrived and not parsed.
///
/// ```
/// use qx_guest::prelude::*;
///
/// #[handler("github.>")]
/// fn measure(event: Event<Text>) -> Result<(), Failure> {
///     log::info!("{} bytes", event.payload.as_str().len());
///     Ok(())
/// }
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Text(String);

impl Text {
    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The text, owned.
    pub fn into_string(self) -> String {
        self.0
    }
}

impl From<String> for Text {
    fn from(text: String) -> Self {
        Self(text)
    }
}

/// What an event's payload can be read as: everything that implements
/// `Deserialize`, and [`Text`].
#[diagnostic::on_unimplemented(
    message = "the payload of an event cannot be read as `{Self}`",
    note = "derive `Deserialize` for it, or take `Event<Json>` or `Event<Text>`"
)]
pub trait Payload: Sized {
    /// Reads it. A payload that does not fit is rejected: it will not fit the
    /// next time either.
    fn read(text: Text) -> Result<Self, Failure>;
}

impl<T: DeserializeOwned> Payload for T {
    fn read(text: Text) -> Result<Self, Failure> {
        serde_json::from_str(text.as_str()).map_err(|error| misfit::<T>(text.as_str(), &error))
    }
}

impl Payload for Text {
    fn read(text: Text) -> Result<Self, Failure> {
        Ok(text)
    }
}

/// Why it does not fit, with the path to the place. Reads it a second time,
/// because keeping track of the path costs what the usual event need not pay.
#[cold]
fn misfit<T: DeserializeOwned>(text: &str, error: &serde_json::Error) -> Failure {
    let mut json = serde_json::Deserializer::from_str(text);
    match serde_path_to_error::deserialize::<_, T>(&mut json) {
        Err(at) if at.path().iter().next().is_some() => Failure::reject(format_args!(
            "the payload does not fit: {}: {}",
            at.path(),
            without_position(at.inner())
        )),
        Err(_) | Ok(_) => Failure::reject(format_args!("the payload does not fit: {error}")),
    }
}

/// The path says where better than a column of a text on one line.
fn without_position(error: &serde_json::Error) -> String {
    let text = error.to_string();
    let position = format!(" at line {} column {}", error.line(), error.column());
    match text.strip_suffix(&position) {
        Some(what) => what.to_owned(),
        None => text,
    }
}

/// Reads the payload and calls the handler: the way of every event, in the
/// component and in a test.
pub(crate) fn call<T: Payload>(
    event: Event<Text>,
    handler: impl FnOnce(Event<T>) -> Result<(), Failure>,
) -> Result<(), Failure> {
    let (event, text) = event.with(());
    let (event, ()) = event.with(T::read(text)?);
    handler(event)
}
