//! Events, and handlers to play with: what a test arranges, in one line each.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures::FutureExt;
use qx_events::ports::{Invocation, StateValue};
use qx_events::{
    Breach, Digest, Effects, Envelope, EventName, Fault, NewEvent, Outcome, StateRead, StateWrite,
};
use serde_json::value::RawValue;
use tokio::sync::Semaphore;
use uuid::Uuid;

use crate::models::handler::Act;

/// The digest of build number `build`.
pub(crate) fn digest(build: u8) -> Digest {
    Digest::new([build; 32])
}

/// The number of a build.
pub(crate) fn build_of(build: Digest) -> u8 {
    (0..=u8::MAX).find(|n| digest(*n) == build).unwrap()
}

/// Event number `id`.
pub(crate) fn event(name: &str, id: u128) -> Envelope {
    Envelope {
        event_id: Uuid::from_u128(id),
        event_name: EventName::parse(name).unwrap(),
        event_version: 1,
        occurred_at: "2026-03-01T10:00:00+00:00".into(),
        correlation_id: None,
        causation_id: None,
        tenant_id: None,
        actor_id: None,
        payload: RawValue::from_string("{}".to_owned()).unwrap(),
        ordering_key: None,
        trace: None,
    }
}

/// `order.placed` number `id`.
pub(crate) fn placed(id: u128) -> Envelope {
    event("order.placed", id)
}

/// The same, of that key.
pub(crate) fn keyed(id: u128, key: u128) -> Envelope {
    Envelope {
        correlation_id: Some(Uuid::from_u128(key)),
        ..placed(id)
    }
}

fn plain(act: impl Fn(&Invocation) -> Outcome + Send + Sync + 'static) -> Act {
    Arc::new(move |invocation| std::future::ready(act(&invocation)).boxed())
}

/// Changes nothing.
pub(crate) fn done() -> Act {
    plain(|_| Outcome::Done(Effects::default()))
}

/// Never succeeds; asks for no pause of its own.
pub(crate) fn retry() -> Act {
    plain(|_| retry_outcome())
}

fn retry_outcome() -> Outcome {
    Outcome::Retry {
        reason: "busy".to_owned(),
        after: None,
    }
}

/// Asks to be called again after this pause.
pub(crate) fn retry_after(pause: Duration) -> Act {
    plain(move |_| Outcome::Retry {
        reason: "busy".to_owned(),
        after: Some(pause),
    })
}

/// Succeeds at attempt number `nth`.
pub(crate) fn retry_until(nth: u32) -> Act {
    plain(move |invocation| {
        if invocation.attempt < nth {
            retry_outcome()
        } else {
            Outcome::Done(Effects::default())
        }
    })
}

/// Rejects every event.
pub(crate) fn reject() -> Act {
    plain(|_| Outcome::Rejected {
        reason: "no such order".to_owned(),
    })
}

/// Traps.
pub(crate) fn trap() -> Act {
    plain(|_| Outcome::Failed {
        breach: Breach::Trap,
        detail: "unreachable".to_owned(),
    })
}

/// Plays `acts` in turn, one a call, and then the last of them for ever.
pub(crate) fn one_by_one(acts: Vec<Act>) -> Act {
    let calls = Mutex::new(0);
    Arc::new(move |invocation| {
        let mut calls = calls.lock().unwrap();
        let nth = usize::min(*calls, acts.len() - 1);
        *calls += 1;
        (acts[nth])(invocation)
    })
}

/// The host cannot serve the call.
pub(crate) fn host_fault() -> Act {
    plain(|_| Outcome::HostFault(Fault::transient("read state", "nobody there")))
}

/// Takes that long, then does `then`.
pub(crate) fn slowly(takes: Duration, then: Act) -> Act {
    Arc::new(move |invocation| {
        let then = Arc::clone(&then);
        async move {
            tokio::time::sleep(takes).await;
            then(invocation).await
        }
        .boxed()
    })
}

/// Waits for a permit of `gate`, then does `then`.
pub(crate) fn gated(gate: &Arc<Semaphore>, then: Act) -> Act {
    let gate = Arc::clone(gate);
    Arc::new(move |invocation| {
        let (gate, then) = (Arc::clone(&gate), Arc::clone(&then));
        async move {
            gate.acquire().await.unwrap().forget();
            then(invocation).await
        }
        .boxed()
    })
}

/// Appends the event's id to the text under `key(id)`: who looks finds every
/// effect, and how often it happened. Takes some time between read and write.
pub(crate) fn appends(key: fn(u128) -> String, takes: Duration) -> Act {
    Arc::new(move |invocation| {
        async move {
            let id = invocation.envelope.event_id.as_u128();
            let key = key(id);
            let found = match invocation.state.read(&key).await {
                Ok(found) => found,
                Err(fault) => return Outcome::HostFault(fault),
            };
            tokio::time::sleep(takes).await;
            let seen = found.as_ref().map(StateValue::seen);
            let before = found.map_or_else(String::new, |state| state.value);
            Outcome::Done(Effects {
                reads: vec![StateRead {
                    key: key.clone(),
                    seen,
                }],
                writes: vec![StateWrite {
                    key,
                    value: Some(format!("{before}{id} ")),
                }],
                emitted: Vec::new(),
            })
        }
        .boxed()
    })
}

/// Does `first`, and lets an event of that name leave with the commit: a new one
/// for each call, as a guest's would be, numbered from `base`.
pub(crate) fn emits(name: &'static str, base: u64, first: Act) -> Act {
    let next_id = Arc::new(AtomicU64::new(base));
    Arc::new(move |invocation| {
        let (first, next_id) = (Arc::clone(&first), Arc::clone(&next_id));
        async move {
            let cause = invocation.envelope.event_id;
            let outcome = first(invocation).await;
            let Outcome::Done(mut effects) = outcome else {
                return outcome;
            };
            let mut emitted = event(name, u128::from(next_id.fetch_add(1, Ordering::SeqCst)));
            emitted.causation_id = Some(cause);
            effects.emitted.push(NewEvent::of(emitted));
            Outcome::Done(effects)
        }
        .boxed()
    })
}
