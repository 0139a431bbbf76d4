//! The tables behind outbox, ledger and dead letters: one database, so that a
//! commit changes all of them or none.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use bytes::Bytes;
use qx_events::ports::{Due, StateValue, StreamState};
use qx_events::shard::Shard;
use qx_events::{ComponentName, DeadLetter, Digest, Envelope, Record, Row};
use tokio::time::Instant;
use uuid::Uuid;

use crate::history::{Effect, History};
use crate::mischief::{Door, Life, Mischief};

/// A row and what became of it.
pub(crate) struct StoredRow {
    pub(crate) row: Row,
    pub(crate) event: Uuid,
    pub(crate) causation: Option<Uuid>,
    pub(crate) published: Option<Instant>,
    /// When the stream was made that has it, and its position there.
    pub(crate) stored: Option<(Option<i64>, u64)>,
    pub(crate) aside: Option<String>,
    /// Not before then.
    pub(crate) due: Option<Instant>,
}

impl StoredRow {
    /// Whether the relay may take it.
    pub(crate) fn waits(&self) -> bool {
        self.published.is_none() && self.aside.is_none() && self.due.is_none()
    }
}

/// The lease as the table has it.
pub(crate) struct Term {
    pub(crate) holder: String,
    pub(crate) token: i64,
    pub(crate) ends: Instant,
}

/// A letter, and how far the request for its retry is.
pub(crate) struct StoredLetter {
    pub(crate) letter: DeadLetter,
    pub(crate) requested: bool,
    /// Handed out, and not answered yet.
    pub(crate) taken: Option<Instant>,
}

/// What is remembered of an event that is not handled.
#[derive(Debug, Default, Clone, Copy)]
pub(crate) struct Tried {
    pub(crate) attempts: u32,
    pub(crate) begun: u32,
    pub(crate) until: Option<Instant>,
    pub(crate) dead: bool,
}

impl Tried {
    pub(crate) fn record(&self) -> Record {
        let now = Instant::now();
        Record {
            attempts: self.attempts,
            begun: self.begun,
            wait: self.until.unwrap_or(now).saturating_duration_since(now),
            dead: self.dead,
        }
    }
}

/// Whose state, under which key.
pub(crate) type StateKey = (ComponentName, Option<Uuid>, String);

#[derive(Default)]
pub(crate) struct Tables {
    pub(crate) rows: BTreeMap<i64, StoredRow>,
    pub(crate) last_seq: i64,
    /// Transactions of producers that are not over, and their rows.
    pub(crate) open: BTreeMap<i64, Vec<StoredRow>>,
    last_number: i64,
    pub(crate) term: Option<Term>,
    /// The leases of the other parts of the outbox.
    pub(super) terms: BTreeMap<u16, Option<Term>>,
    pub(crate) last_token: i64,
    /// The leases but for the relay's, by name.
    pub(crate) leases: BTreeMap<String, Term>,
    /// How often somebody asked for it.
    pub(crate) lease_requests: u32,
    /// How long it takes to mark rows as published.
    pub(crate) mark_takes: Duration,
    /// How often it will fail to let rows wait again.
    pub(crate) forget_fails: u32,
    pub(crate) inbox: HashMap<(ComponentName, Uuid), Digest>,
    pub(crate) attempts: HashMap<(ComponentName, Uuid), Tried>,
    pub(crate) state: HashMap<StateKey, StateValue>,
    pub(crate) last_version: i64,
    pub(crate) letters: BTreeMap<Uuid, StoredLetter>,
    /// The answer to this many of the next commits is lost.
    pub(crate) commit_answers_lost: u32,
    /// Settlements of these events are refused for good.
    pub(crate) unsettleable: HashSet<Uuid>,
    /// Letters of these events are refused for good.
    pub(crate) unburiable: HashSet<Uuid>,
    /// This many of the next reports about a retry are not taken.
    pub(crate) reports_lost: u32,
    /// How long each commit takes.
    pub(crate) commit_takes: Duration,
    /// How large the groups were that were to be committed.
    pub(crate) groups: Vec<usize>,
}

impl Tables {
    pub(crate) fn insert(&mut self, envelope: &Envelope) -> i64 {
        let body = Bytes::from(envelope.encode());
        let name = envelope.event_name.to_string();
        let seq = self.insert_raw(&name, body, envelope.event_id, envelope.causation_id);
        if let (Some(row), Some(key)) = (self.rows.get_mut(&seq), &envelope.ordering_key) {
            row.row.ordering_key = Some(key.to_string());
        }
        seq
    }

    /// A row that is due then.
    pub(crate) fn insert_due(&mut self, envelope: &Envelope, due: Instant) {
        let seq = self.insert(envelope);
        if let Some(row) = self.rows.get_mut(&seq) {
            row.due = Some(due);
        }
    }

    /// A transaction that records nothing yet.
    pub(crate) fn begin(&mut self) -> i64 {
        self.last_number += 1;
        self.open.insert(self.last_number, Vec::new());
        self.last_number
    }

    /// Records an event in it: nobody sees the row before it is committed.
    pub(crate) fn insert_in(&mut self, transaction: i64, envelope: &Envelope) {
        let seq = self.insert(envelope);
        let row = self.rows.remove(&seq);
        let rows = self.open.get_mut(&transaction);
        rows.unwrap().extend(row);
    }

    /// Its rows are there.
    pub(crate) fn commit(&mut self, transaction: i64) {
        let rows = self.open.remove(&transaction).unwrap();
        let rows = rows.into_iter().map(|row| (row.row.seq, row));
        self.rows.extend(rows);
    }

    /// Puts rows whose time has come behind the others.
    pub(super) fn come_due(&mut self, limit: u32) -> Due {
        let now = Instant::now();
        let times = |row: &StoredRow| row.due.map(|due| (due, row.row.seq));
        let mut due: Vec<_> = self.rows.values().filter_map(times).collect();
        due.sort_unstable();
        let (past, later): (Vec<_>, Vec<_>) = due.into_iter().partition(|(due, _)| *due <= now);
        let mut came = 0;
        for (_, seq) in past.into_iter().take(limit as usize) {
            let Some(mut row) = self.rows.remove(&seq) else {
                continue;
            };
            self.last_seq += 1;
            (row.row.seq, row.due) = (self.last_seq, None);
            self.rows.insert(self.last_seq, row);
            came += 1;
        }
        let next = later.first().map(|(due, _)| *due - now);
        let waits = self.rows.values().any(StoredRow::waits);
        Due { came, next, waits }
    }

    fn insert_raw(&mut self, name: &str, body: Bytes, event: Uuid, causation: Option<Uuid>) -> i64 {
        self.last_seq += 1;
        let seq = self.last_seq;
        let row = Row {
            seq,
            id: Uuid::from_u128(0xF00D_0000 + u128::try_from(seq).unwrap()),
            event_name: name.to_owned(),
            event_version: 1,
            correlation_id: None,
            tenant_id: None,
            ordering_key: None,
            traceparent: None,
            tracestate: None,
            body,
        };
        let stored = StoredRow {
            row,
            event,
            causation,
            published: None,
            stored: None,
            aside: None,
            due: None,
        };
        self.rows.insert(seq, stored);
        seq
    }
}

/// The database, as one process reaches it. Its clones are one.
#[derive(Clone)]
pub(crate) struct Database {
    pub(crate) door: Door,
    pub(crate) history: History,
    /// The part of the outbox that is looked at.
    pub(super) shard: Shard,
    tables: Arc<Mutex<Tables>>,
}

impl Database {
    pub(crate) fn new(history: &History, mischief: &Arc<Mischief>) -> Self {
        Self {
            door: Door::new(Arc::clone(mischief)),
            history: history.clone(),
            shard: Shard::default(),
            tables: Arc::default(),
        }
    }

    pub(crate) fn of(&self, life: &Life) -> Self {
        Self {
            door: self.door.of(life),
            ..self.clone()
        }
    }

    /// The same, for the relay of a part.
    pub(crate) fn part(&self, shard: Shard) -> Self {
        Self {
            shard,
            ..self.clone()
        }
    }

    pub(crate) fn tables(&self) -> MutexGuard<'_, Tables> {
        self.tables.lock().unwrap()
    }

    /// A producer commits an event.
    pub(crate) fn insert(&self, envelope: &Envelope) -> i64 {
        let seq = self.tables().insert(envelope);
        let event = envelope.event_id.as_u128();
        self.history.push(Effect::Inserted { seq, event });
        seq
    }

    /// A producer commits something that is no event.
    pub(crate) fn insert_garbage(&self) -> i64 {
        let garbage = Bytes::from_static(b"{}");
        let seq = self
            .tables()
            .insert_raw("order.placed", garbage, Uuid::nil(), None);
        self.history.push(Effect::Inserted { seq, event: 0 });
        seq
    }

    /// Rows that wait.
    pub(crate) fn waiting(&self) -> usize {
        let tables = self.tables();
        let waits = |row: &&StoredRow| row.published.is_none() && row.aside.is_none();
        tables.rows.values().filter(waits).count()
    }

    /// Published rows whose message is lost, and nobody has noticed.
    pub(crate) fn lost(&self, stream: &StreamState) -> usize {
        let tables = self.tables();
        let stored = tables.rows.values().filter_map(|row| row.stored);
        let lost = stored.filter(|(created_ns, at)| stream.lost(*created_ns, *at));
        lost.count()
    }

    /// A component's state, of no tenant.
    pub(crate) fn state(&self, component: &str, key: &str) -> Option<String> {
        let name = ComponentName::parse(component).unwrap();
        let tables = self.tables();
        let found = tables.state.get(&(name, None, key.to_owned()));
        found.map(|state| state.value.clone())
    }

    /// Whether the inbox has it.
    pub(crate) fn handled(&self, component: &str, event: u128) -> bool {
        let name = ComponentName::parse(component).unwrap();
        let key = (name, Uuid::from_u128(event));
        self.tables().inbox.contains_key(&key)
    }

    /// The only letter there is.
    pub(crate) fn only_letter(&self) -> DeadLetter {
        let tables = self.tables();
        assert_eq!(tables.letters.len(), 1, "\n{}", self.history);
        tables.letters.values().next().unwrap().letter.clone()
    }

    pub(crate) fn letters(&self) -> usize {
        self.tables().letters.len()
    }

    /// Requests for a retry that are not answered.
    pub(crate) fn retries(&self) -> usize {
        let tables = self.tables();
        tables
            .letters
            .values()
            .filter(|stored| stored.requested)
            .count()
    }
}
