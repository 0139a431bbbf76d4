//! The stream and its publisher. Drops a second message with the same id while it
//! remembers the first, accepts a stale acknowledgement, and confirms some that
//! it then forgets.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use async_trait::async_trait;
use qx_events::ports::{
    Lag, Published, Publisher, Source, StoredAt, Stream, StreamState, Subscription,
};
use qx_events::wire::Outgoing;
use qx_events::{ComponentName, EventName, Fault};
use tokio::sync::Notify;
use tokio::time::Instant;

use uuid::Uuid;

use super::durable::Durable;
use super::receipt::ModelReceipt;
use super::source::ModelSource;
use crate::history::{Effect, History};
use crate::mischief::{Door, Life, Mischief};

pub(super) const PREFIX: &str = "svc";

#[derive(Default)]
pub(crate) struct Books {
    pub(crate) messages: Vec<Outgoing>,
    remembered: HashMap<Uuid, u64>,
    pub(crate) durables: BTreeMap<ComponentName, Durable>,
    /// Messages with these ids are never accepted.
    pub(crate) refused: HashSet<Uuid>,
    /// Messages with these ids are stored, and never answered for.
    pub(crate) silent: HashSet<Uuid>,
    /// Answers to this many of the next messages are lost; they are stored.
    pub(crate) answers_lost: u32,
    /// How long the next requests to publish take, each.
    pub(crate) publish_takes: Vec<Duration>,
    /// Every source that exists now is broken: it has to be subscribed anew.
    pub(crate) epoch: u32,
    /// How often messages were lost. A delivery from before settles nothing: its
    /// position may be another message's.
    pub(super) falls: u32,
    /// How often the stream was made anew.
    made: i64,
    /// Connections that were lost so far.
    connection: u64,
}

impl Books {
    /// What is not on the disk is gone: the broker comes back with so many messages.
    fn truncate(&mut self, kept: usize) {
        self.messages.truncate(kept);
        let end = self.messages.len() as u64;
        self.remembered.retain(|_, sequence| *sequence <= end);
        for durable in self.durables.values_mut() {
            durable.fall_back(end);
        }
        self.epoch += 1;
        self.falls += 1;
    }
}

/// The broker, as one process reaches it. Its clones are one.
#[derive(Clone)]
pub(crate) struct Broker {
    pub(crate) door: Door,
    pub(super) history: History,
    books: Arc<Mutex<Books>>,
    pub(super) arrived: Arc<Notify>,
}

impl Broker {
    pub(crate) fn new(history: &History, mischief: &Arc<Mischief>) -> Self {
        Self {
            door: Door::new(Arc::clone(mischief)),
            history: history.clone(),
            books: Arc::default(),
            arrived: Arc::default(),
        }
    }

    pub(crate) fn of(&self, life: &Life) -> Self {
        Self {
            door: self.door.of(life),
            ..self.clone()
        }
    }

    pub(crate) fn books(&self) -> MutexGuard<'_, Books> {
        self.books.lock().unwrap()
    }

    /// Every source is broken from now on.
    pub(crate) fn break_sources(&self) {
        self.books().epoch += 1;
        self.arrived.notify_waiters();
    }

    /// The power fails, and the last messages go with it.
    pub(crate) fn lose_tail(&self, messages: usize) {
        let mut books = self.books();
        let kept = books.messages.len().saturating_sub(messages);
        books.truncate(kept);
        books.connection += 1;
        self.note(&format!("the stream falls back to {kept}"));
    }

    /// The same behind a connection that stands: another server of the cluster
    /// takes over, which has less.
    pub(crate) fn lose_tail_unnoticed(&self, messages: usize) {
        let mut books = self.books();
        let kept = books.messages.len().saturating_sub(messages);
        books.truncate(kept);
        self.note(&format!(
            "the stream falls back to {kept}, behind a connection"
        ));
    }

    /// It restarts, and has forgotten every count and every pause.
    pub(crate) fn restart(&self) {
        let now = Instant::now();
        let mut books = self.books();
        for durable in books.durables.values_mut() {
            durable.restart(now);
        }
        books.epoch += 1;
        books.connection += 1;
        self.note("the broker restarts");
    }

    /// The stream is deleted and made anew, without its consumers.
    pub(crate) fn make_anew(&self) {
        let mut books = self.books();
        books.truncate(0);
        books.durables.clear();
        books.made += 1;
        self.note("the stream is made anew");
    }

    /// The disk is wiped.
    pub(crate) fn wipe(&self) {
        self.make_anew();
        self.books().connection += 1;
    }

    /// The stream as it is.
    pub(crate) fn now(&self) -> StreamState {
        let books = self.books();
        StreamState {
            name: "QX".to_owned(),
            created_ns: books.made,
            last_seq: books.messages.len() as u64,
        }
    }

    fn note(&self, what: &str) {
        self.history.push(Effect::Note(what.to_owned()));
        self.arrived.notify_waiters();
    }

    /// Somebody who is not the relay writes to the stream.
    pub(crate) fn write(&self, message: Outgoing) {
        self.books().messages.push(message);
        self.arrived.notify_waiters();
    }

    /// The ids on the stream, in order.
    pub(crate) fn ids(&self) -> Vec<u128> {
        let books = self.books();
        books
            .messages
            .iter()
            .map(|m| m.message_id.as_u128())
            .collect()
    }

    /// Whether nothing is left to do for anybody.
    pub(crate) fn is_drained(&self) -> bool {
        let books = self.books();
        let stored = books.messages.len() as u64;
        books
            .durables
            .values()
            .all(|durable| durable.lag(stored) == Lag::default())
    }

    /// Stores one message. `overtakes`: one before it was lost on the way. Whether it
    /// is on the stream, whatever the answer.
    fn store(&self, message: &Outgoing, overtakes: bool) -> (Published, bool) {
        let mut books = self.books();
        if books.refused.contains(&message.message_id) {
            return (Published::Refused("too large".to_owned()), false);
        }
        if self.door.mischief.strikes() {
            return (Published::Unknown("lost on the way".to_owned()), false);
        }
        let known = books.remembered.get(&message.message_id).copied();
        let sequence = known.unwrap_or(books.messages.len() as u64 + 1);
        if known.is_none() {
            // Behind the look at the ids, as NATS does.
            if overtakes {
                let why = "the stream does not end where it should";
                return (Published::Unknown(why.to_owned()), false);
            }
            books.messages.push(message.clone());
            // Misbehaves: its window for duplicates is over already.
            if !self.door.mischief.strikes() {
                books.remembered.insert(message.message_id, sequence);
            }
        }
        let (event, duplicate) = (message.message_id.as_u128(), known.is_some());
        self.history.push(Effect::Stored { event, duplicate });
        if books.silent.contains(&message.message_id) {
            return (Published::Unknown("no answer".to_owned()), true);
        }
        if books.answers_lost > 0 {
            books.answers_lost -= 1;
            return (Published::Unknown("the answer was lost".to_owned()), true);
        }
        let stream = "QX".to_owned();
        let at = StoredAt {
            stream,
            sequence,
            duplicate,
        };
        (Published::Stored(at), true)
    }

    /// A chain: each message is stored behind the one before it, or not at all. One
    /// that is lost in the middle takes all new ones behind it along.
    fn store_all(&self, messages: &[Outgoing]) -> Vec<Published> {
        let mut lost = false;
        let store = |message| {
            let (answer, is_there) = self.store(message, lost);
            lost |= !is_there && matches!(answer, Published::Unknown(_));
            answer
        };
        messages.iter().map(store).collect()
    }

    pub(super) fn settle(&self, receipt: &ModelReceipt, settle: impl FnOnce(&mut Durable)) {
        let mut books = self.books();
        let is_known = books.falls == receipt.falls;
        let durable = books.durables.get_mut(&receipt.component);
        if let Some(durable) = durable.filter(|_| is_known) {
            settle(durable);
        }
        self.arrived.notify_waiters();
    }
}

#[async_trait]
impl Publisher for Broker {
    async fn publish(&self, messages: &[Outgoing]) -> Vec<Published> {
        let unknown = |fault: &Fault| {
            let why = fault.chain();
            messages
                .iter()
                .map(|_| Published::Unknown(why.clone()))
                .collect()
        };
        let connection = self.connection();
        if let Err(fault) = self.door.enter("publish").await {
            return unknown(&fault);
        }
        if connection != self.connection() {
            return unknown(&Fault::transient("publish", "the connection broke"));
        }
        let answers = self.store_all(messages);
        self.arrived.notify_waiters();
        let takes = self.books().publish_takes.pop();
        if let Some(takes) = takes {
            tokio::time::sleep(takes).await;
        }
        match self.door.leave("publish").await {
            Ok(()) => answers,
            Err(fault) => unknown(&fault),
        }
    }

    async fn state(&self) -> Result<StreamState, Fault> {
        self.door.enter("look at the stream").await?;
        let state = self.now();
        self.door.leave("look at the stream").await?;
        Ok(state)
    }

    fn connection(&self) -> u64 {
        self.books().connection
    }
}

#[async_trait]
impl Stream for Broker {
    async fn subscribe(&self, subscription: &Subscription) -> Result<Box<dyn Source>, Fault> {
        self.door.enter("subscribe").await?;
        let component = subscription.component.clone();
        let epoch = {
            let mut books = self.books();
            let new = || Durable::new(subscription);
            let durable = books.durables.entry(component.clone()).or_insert_with(new);
            durable.patterns.clone_from(&subscription.patterns);
            books.epoch
        };
        self.history.push(Effect::Subscribed {
            component: component.to_string(),
        });
        self.door.leave("subscribe").await?;
        let broker = self.clone();
        Ok(Box::new(ModelSource {
            broker,
            component,
            epoch,
            made: None,
        }))
    }

    async fn resume(&self, subscription: &Subscription) -> Result<Box<dyn Source>, Fault> {
        self.door.enter("resume").await?;
        let component = subscription.component.clone();
        let (epoch, made) = {
            let mut books = self.books();
            let new = || Durable::new(subscription);
            let durable = books.durables.entry(component.clone()).or_insert_with(new);
            durable.patterns.clone_from(&subscription.patterns);
            durable.make_anew();
            (books.epoch, books.durables[&component].made)
        };
        self.history.push(Effect::Resumed {
            component: component.to_string(),
        });
        self.arrived.notify_waiters();
        self.door.leave("resume").await?;
        let broker = self.clone();
        Ok(Box::new(ModelSource {
            broker,
            component,
            epoch,
            made: Some(made),
        }))
    }

    async fn lag(&self, component: &ComponentName) -> Result<Option<Lag>, Fault> {
        let books = self.books();
        let stored = books.messages.len() as u64;
        Ok(books
            .durables
            .get(component)
            .map(|durable| durable.lag(stored)))
    }

    async fn check(&self) -> Result<(), Fault> {
        self.door.enter("check").await
    }
}

/// A message as somebody else would write it.
pub(crate) fn foreign(event_name: &str, message_id: u128, body: &'static [u8]) -> Outgoing {
    Outgoing {
        message_id: Uuid::from_u128(message_id),
        event_name: EventName::parse(event_name).unwrap(),
        headers: qx_events::wire::Headers::default(),
        body: bytes::Bytes::from_static(body),
    }
}
