//! What a handler is given of an event: the event as it is, lent, or values of the
//! type that its export has for the payload.

use qx_events::{Envelope, TraceContext};
use uuid::Uuid;
use wasmtime::Store;
use wasmtime::component::{ComponentExportIndex, Instance, Val};

use crate::call::context::Context;
use crate::contract::{Event, Failure, types};
use crate::typed::{Mismatch, PayloadType};

/// A handler of a component.
#[derive(Clone)]
pub(crate) struct Export {
    pub(crate) name: String,
    pub(crate) index: ComponentExportIndex,
    pub(crate) takes: Takes,
}

/// What a handler takes.
#[derive(Clone)]
pub(crate) enum Takes {
    Event,
    Payload(PayloadType),
    PayloadAndContext(PayloadType),
}

/// An export, and the values of one payload where it takes values.
pub(crate) struct Entry {
    index: ComponentExportIndex,
    values: Values,
}

enum Values {
    None,
    Payload(Val),
    PayloadAndContext(Val),
}

/// A guest's answer, or what became of the call.
type Answer = wasmtime::Result<Result<(), Failure>>;

impl Takes {
    /// The type of the payload, where there is one.
    pub(crate) const fn payload(&self) -> Option<&PayloadType> {
        match self {
            Self::Event => None,
            Self::Payload(payload) | Self::PayloadAndContext(payload) => Some(payload),
        }
    }
}

impl Export {
    /// Reads the payload, if its values are taken.
    pub(crate) fn entry(&self, envelope: &Envelope) -> Result<Entry, Mismatch> {
        let json = envelope.payload.get();
        let values = match &self.takes {
            Takes::Event => Values::None,
            Takes::Payload(payload) => Values::Payload(payload.read(json)?),
            Takes::PayloadAndContext(payload) => Values::PayloadAndContext(payload.read(json)?),
        };
        Ok(Entry {
            index: self.index,
            values,
        })
    }
}

/// An event that is handed to a guest.
pub(crate) struct Given<'a> {
    envelope: &'a Envelope,
    ids: Ids,
    trace: Option<&'a TraceContext>,
    attempt: u32,
}

impl<'a> Given<'a> {
    pub(crate) fn new(
        envelope: &'a Envelope,
        trace: Option<&'a TraceContext>,
        attempt: u32,
    ) -> Self {
        Self {
            envelope,
            ids: Ids::of(envelope),
            trace,
            attempt,
        }
    }

    /// Calls the export of an instance with it.
    pub(crate) async fn enter(
        &self,
        entry: Entry,
        instance: &Instance,
        store: &mut Store<Context>,
    ) -> Answer {
        let params = match entry.values {
            Values::None => return self.lend(&entry.index, instance, store).await,
            Values::Payload(payload) => vec![payload],
            Values::PayloadAndContext(payload) => vec![payload, self.context()],
        };
        let function = instance.get_func(&mut *store, entry.index);
        let function = function.ok_or_else(|| wasmtime::format_err!("the export is not there"))?;
        let mut results = [Val::Bool(false)];
        function
            .call_async(&mut *store, &params, &mut results)
            .await?;
        let [answer] = results;
        failure(answer).ok_or_else(|| wasmtime::format_err!("the answer is of another type"))
    }

    async fn lend(
        &self,
        index: &ComponentExportIndex,
        instance: &Instance,
        store: &mut Store<Context>,
    ) -> Answer {
        let handle =
            instance.get_typed_func::<(Event<'_>,), (Result<(), Failure>,)>(&mut *store, index)?;
        let (answer,) = handle.call_async(&mut *store, (self.event(),)).await?;
        Ok(answer)
    }

    /// The generic event.
    fn event(&self) -> Event<'_> {
        let Self {
            envelope,
            ids,
            trace,
            attempt,
        } = self;
        Event {
            id: as_str(&ids.event),
            name: envelope.event_name.as_str(),
            version: envelope.event_version,
            occurred_at: &envelope.occurred_at,
            correlation_id: ids.correlation.as_ref().map(as_str),
            causation_id: ids.causation.as_ref().map(as_str),
            tenant_id: ids.tenant.as_ref().map(as_str),
            actor_id: envelope.actor_id.as_deref(),
            payload: envelope.payload.get(),
            traceparent: trace.map(TraceContext::traceparent),
            tracestate: trace.and_then(TraceContext::tracestate),
            attempt: *attempt,
        }
    }

    /// `context` of the contract: the event without its payload.
    fn context(&self) -> Val {
        let event = self.event();
        let text = |text: &str| Val::String(text.to_owned());
        let optional = |value: Option<&str>| Val::Option(value.map(|value| Box::new(text(value))));
        let fields = [
            ("id", text(event.id)),
            ("name", text(event.name)),
            ("version", Val::U32(event.version)),
            ("occurred-at", text(event.occurred_at)),
            ("correlation-id", optional(event.correlation_id)),
            ("causation-id", optional(event.causation_id)),
            ("tenant-id", optional(event.tenant_id)),
            ("actor-id", optional(event.actor_id)),
            ("traceparent", optional(event.traceparent)),
            ("tracestate", optional(event.tracestate)),
            ("attempt", Val::U32(event.attempt)),
        ];
        Val::Record(fields.map(|(name, value)| (name.to_owned(), value)).into())
    }
}

/// `result<_, failure>` as the engine hands it over. It was checked at load.
#[expect(
    clippy::wildcard_enum_match_arm,
    reason = "a foreign list of every value there is"
)]
fn failure(answer: Val) -> Option<Result<(), Failure>> {
    let Val::Result(answer) = answer else {
        return None;
    };
    let Err(failure) = answer else {
        return Some(Ok(()));
    };
    let Val::Variant(case, Some(carried)) = *failure? else {
        return None;
    };
    match (case.as_str(), *carried) {
        ("reject", Val::String(reason)) => Some(Err(Failure::Reject(reason))),
        ("retry", Val::Record(fields)) => {
            let mut retry = types::Retry {
                reason: String::new(),
                after: None,
            };
            for (name, value) in fields {
                match (name.as_str(), value) {
                    ("reason", Val::String(reason)) => retry.reason = reason,
                    ("after", Val::Option(Some(after))) => match *after {
                        Val::U64(after) => retry.after = Some(after),
                        _ => return None,
                    },
                    _ => {}
                }
            }
            Some(Err(Failure::Retry(retry)))
        }
        _ => None,
    }
}

/// The text of an event's ids, on the stack.
struct Ids {
    event: [u8; UUID_BYTES],
    correlation: Option<[u8; UUID_BYTES]>,
    causation: Option<[u8; UUID_BYTES]>,
    tenant: Option<[u8; UUID_BYTES]>,
}

/// Length of a UUID's text.
const UUID_BYTES: usize = uuid::fmt::Hyphenated::LENGTH;

impl Ids {
    fn of(envelope: &Envelope) -> Self {
        Self {
            event: text(envelope.event_id),
            correlation: envelope.correlation_id.map(text),
            causation: envelope.causation_id.map(text),
            tenant: envelope.tenant_id.map(text),
        }
    }
}

fn text(id: Uuid) -> [u8; UUID_BYTES] {
    let mut text = [0; UUID_BYTES];
    id.hyphenated().encode_lower(&mut text);
    text
}

/// Hexadecimal digits and hyphens: always text.
fn as_str(text: &[u8; UUID_BYTES]) -> &str {
    str::from_utf8(text).unwrap_or_default()
}
