//! Messages on their way in: fetched, decoded, and looked up in the ledger.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use qx_events::ports::{Delivery, Receipt, Source};
use qx_events::{Care, Envelope, Fault, KeyField, Known, LaneKey};
use uuid::Uuid;

use crate::consumer::{Consumer, FETCH_WAIT};
use crate::heartbeat::with_heartbeat;

/// A message in hand.
pub(super) struct Held {
    /// The newest delivery of it: an older one may not extend it any more.
    delivery: Mutex<Arc<Delivery>>,
    /// `None`: it cannot be read.
    pub(super) envelope: Option<Arc<Envelope>>,
    /// What the ledger knew of it when it came.
    pub(super) known: Option<Known>,
    /// Whether somebody may have died of it a moment ago.
    pub(super) care: Care,
    /// What was known of it may be old: it ran since, or its event is in hand in
    /// another position too.
    is_old: AtomicBool,
}

impl Held {
    pub(super) fn new(arrived: Arrived, care: Care, is_old: bool) -> Self {
        Self {
            known: arrived.known,
            care,
            is_old: AtomicBool::new(is_old),
            delivery: Mutex::new(Arc::new(arrived.delivery)),
            envelope: arrived.envelope,
        }
    }

    pub(super) fn event_id(&self) -> Option<Uuid> {
        self.envelope.as_ref().map(|envelope| envelope.event_id)
    }

    pub(super) fn delivery(&self) -> Arc<Delivery> {
        let delivery = self.delivery.lock().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(&delivery)
    }

    /// It runs now. Whether the ledger is to be asked again first.
    pub(super) fn runs(&self) -> bool {
        self.is_old.swap(true, Ordering::Relaxed)
    }

    /// It was delivered once more while it is in hand. `false`: that is another
    /// message, in the same position.
    pub(super) fn renew(&self, copy: Arrived) -> bool {
        let same = match (&self.envelope, &copy.envelope) {
            (Some(own), Some(other)) => own.event_id == other.event_id,
            (None, None) => self.delivery().body == copy.delivery.body,
            (Some(_), None) | (None, Some(_)) => false,
        };
        if same {
            let mut delivery = self.delivery.lock().unwrap_or_else(PoisonError::into_inner);
            *delivery = Arc::new(copy.delivery);
        }
        same
    }
}

/// A message that has come.
pub(super) struct Arrived {
    pub(super) delivery: Delivery,
    pub(super) envelope: Option<Arc<Envelope>>,
    /// What the ledger knows of it.
    pub(super) known: Option<Known>,
}

impl Arrived {
    /// It was handled, or its dead letter is written: it is only acknowledged. What is
    /// dead stays dead until a person asks: its followers have gone on.
    pub(super) fn is_over(&self) -> bool {
        match self.known {
            Some(Known::Handled) => true,
            Some(Known::Attempted(record)) => record.dead,
            None => false,
        }
    }

    pub(super) fn event_id(&self) -> Option<Uuid> {
        self.envelope.as_ref().map(|envelope| envelope.event_id)
    }

    pub(super) fn key(&self, field: KeyField) -> Option<LaneKey> {
        field.of(self.envelope.as_ref()?, &self.delivery.headers)
    }
}

/// What a turn of the pump brought.
pub(super) enum Pumped {
    /// The source goes on.
    Arrived(Box<dyn Source>, Vec<Arrived>),
    Failed(Fault),
    /// The host is stopping.
    Stopped,
}

/// One turn: resumes the durable consumer when there is no source yet, else fetches.
/// Not to be dropped half-way by who wants to go on with the source.
pub(super) async fn pump(
    consumer: Arc<Consumer>,
    source: Option<Box<dyn Source>>,
    max: usize,
) -> Pumped {
    let Some(mut source) = source else {
        let resumed = consumer.stream.resume(&consumer.config.subscription).await;
        return match resumed {
            Ok(source) => Pumped::Arrived(source, Vec::new()),
            Err(fault) => Pumped::Failed(fault),
        };
    };
    // None is taken while no build of the component is in service.
    let mediator = consumer.dispatcher.mediator();
    mediator.in_service(consumer.name()).await;
    let deliveries = match source.fetch(max, FETCH_WAIT).await {
        Ok(deliveries) => deliveries,
        Err(fault) => return Pumped::Failed(fault),
    };
    match consumer.look_up(deliveries).await {
        Some(arrived) => Pumped::Arrived(source, arrived),
        None => Pumped::Stopped,
    }
}

impl Consumer {
    /// What is known of these. Waits for the database, with the deliveries kept alive.
    async fn look_up(&self, deliveries: Vec<Delivery>) -> Option<Vec<Arrived>> {
        if deliveries.is_empty() {
            return Some(Vec::new());
        }
        let decoded = deliveries.into_iter().map(|delivery| {
            let envelope = Envelope::of_message(&delivery.body, &delivery.headers);
            (delivery, envelope.ok().map(Arc::new))
        });
        let decoded: Vec<(Delivery, Option<Arc<Envelope>>)> = decoded.collect();
        let ids = decoded.iter().filter_map(|(_, envelope)| envelope.as_ref());
        let ids: Vec<Uuid> = ids.map(|envelope| envelope.event_id).collect();
        let receipts: Vec<&dyn Receipt> = decoded
            .iter()
            .map(|(delivery, _)| &*delivery.receipt)
            .collect();
        let known = with_heartbeat(&receipts, self.heartbeat(), self.known_of(&ids)).await?;
        let arrived = decoded.into_iter().map(|(delivery, envelope)| {
            let id = envelope.as_ref().map(|envelope| envelope.event_id);
            Arrived {
                known: id.and_then(|id| known.get(&id).copied()),
                delivery,
                envelope,
            }
        });
        Some(arrived.collect())
    }

    /// What the ledger knows of these events. `None`: the host is stopping.
    pub(super) async fn known_of(&self, ids: &[Uuid]) -> Option<HashMap<Uuid, Known>> {
        if ids.is_empty() {
            return Some(HashMap::new());
        }
        let ledger = &self.dispatcher.services().ledger;
        let ask = || ledger.known(self.name(), ids);
        self.dispatcher.insist(self.name(), ask).await
    }
}
