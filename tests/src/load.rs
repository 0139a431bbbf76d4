//! Producers: applications that record events in transactions of their own, some of
//! which roll back, over connections that may break at any moment.
//!
//! Each writes down what it knows of every event: committed, not committed, or
//! unknown because the answer to the commit was lost.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use fastrand::Rng;
use serde_json::{Value, json};
use sqlx::{Connection as _, PgConnection};
use tokio::task::JoinSet;
use tokio::time::MissedTickBehavior;
use uuid::Uuid;

use crate::history::{Entry, History, Outcome};
use crate::trial::PRODUCERS;

/// The event that component `tally` takes.
pub const MARKED: &str = "tally.marked";

/// Keys of one producer.
const KEYS: usize = 4;
/// Events of one transaction, at most.
const EVENTS_MAX: u64 = 3;
/// One in so many transactions rolls back.
const ROLLS_BACK: u32 = 10;
/// One in so many events is to be handled at its second attempt.
const RETRIES: u64 = 19;
/// One in so many events is to become a dead letter.
const REJECTS: u64 = 53;
/// Between two transactions of a producer, and before it connects again.
const PACE: Duration = Duration::from_millis(80);

/// An event, as an application records it.
pub(crate) const INSERT: &str = "INSERT INTO qx_outbox_events (id, event_name, payload, correlation_id, occurred_at) \
                      VALUES ($1, $2, $3::jsonb, $4, now())";

/// Who records the events of a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Keys {
    /// One producer, one transaction after the other.
    Own,
    /// All of them, in transactions that overlap and lock nothing.
    Shared,
}

/// In one of so many transactions on shared keys something else is done before it
/// commits, for this long at most.
const DAWDLES: u32 = 3;
const DAWDLE_MS_MAX: u32 = 60;

/// Producers at work.
pub struct Load {
    stop: Arc<AtomicBool>,
    committed: Arc<AtomicUsize>,
    producers: JoinSet<()>,
}

/// One of them.
struct Producer {
    name: usize,
    keys: Keys,
    url: String,
    rng: Rng,
    n: u64,
    history: History,
    committed: Arc<AtomicUsize>,
}

/// An event that is being recorded.
struct Mark {
    event: Uuid,
    key: String,
    n: u64,
}

/// The body of an event that `tally` takes, as an application writes it.
pub fn marked(event: Uuid, payload: &Value) -> Value {
    json!({"event_id": event, "event_name": MARKED, "payload": payload})
}

/// One UUID for each key: what the events of a key belong to.
pub fn correlation(key: &str) -> Uuid {
    Uuid::new_v5(&Uuid::NAMESPACE_OID, key.as_bytes())
}

impl Load {
    /// Starts them, by the dice of a seed.
    pub fn start(url: &str, keys: Keys, seed: u64, history: &History) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let committed = Arc::new(AtomicUsize::new(0));
        let mut tasks = JoinSet::new();
        for name in 0..PRODUCERS {
            let producer = Producer {
                name,
                keys,
                url: url.to_owned(),
                rng: Rng::with_seed(seed.wrapping_add(name as u64)),
                n: 0,
                history: history.clone(),
                committed: Arc::clone(&committed),
            };
            tasks.spawn(producer.run(Arc::clone(&stop)));
        }
        Self {
            stop,
            committed,
            producers: tasks,
        }
    }

    /// Events committed so far.
    pub fn committed(&self) -> usize {
        self.committed.load(Ordering::SeqCst)
    }

    /// Lets them finish what they have begun.
    pub async fn stop(self) {
        self.stop.store(true, Ordering::SeqCst);
        for ended in self.producers.join_all().await {
            let () = ended;
        }
    }
}

impl Producer {
    async fn run(mut self, stop: Arc<AtomicBool>) {
        let mut pace = tokio::time::interval(PACE);
        pace.set_missed_tick_behavior(MissedTickBehavior::Delay);
        while !stop.load(Ordering::SeqCst) {
            pace.tick().await;
            let Ok(mut database) = PgConnection::connect(&self.url).await else {
                continue; // The database is down.
            };
            while !stop.load(Ordering::SeqCst) && self.transaction(&mut database).await.is_ok() {
                pace.tick().await;
            }
        }
    }

    async fn transaction(&mut self, database: &mut PgConnection) -> Result<(), sqlx::Error> {
        let owner = match self.keys {
            Keys::Own => format!("p{}", self.name),
            Keys::Shared => "all".to_owned(),
        };
        let key = format!("{owner}-{}", self.rng.usize(..KEYS));
        let dawdles = self.keys == Keys::Shared && self.rng.u32(..DAWDLES) == 0;
        let dawdle = dawdles.then(|| self.rng.u32(..DAWDLE_MS_MAX));
        let count = self.rng.u64(1..=EVENTS_MAX);
        let rolls_back = self.rng.u32(..ROLLS_BACK) == 0;
        let marks: Vec<Mark> = (1..=count)
            .map(|nth| Mark {
                event: Uuid::from_u128(self.rng.u128(..)),
                key: key.clone(),
                // Different for each of a key, whoever records it.
                n: (self.n + nth) * PRODUCERS as u64 + self.name as u64,
            })
            .collect();
        self.n += count;
        let recorded = record(database, &marks, dawdle, rolls_back).await;
        let (outcome, goes_on) = match recorded {
            Ok(outcome) => (outcome, Ok(())),
            Err((outcome, error)) => (outcome, Err(error)),
        };
        if outcome == Outcome::Ok {
            self.committed.fetch_add(marks.len(), Ordering::SeqCst);
        }
        for Mark { event, key, n } in marks {
            let name = MARKED.to_owned();
            self.history.push(Entry::Produced {
                event,
                name,
                key,
                n,
                outcome,
            });
        }
        goes_on
    }
}

/// One transaction, and what is known of it.
async fn record(
    database: &mut PgConnection,
    marks: &[Mark],
    dawdle_ms: Option<u32>,
    rolls_back: bool,
) -> Result<Outcome, (Outcome, sqlx::Error)> {
    let failed = |error| (Outcome::Failed, error);
    let mut transaction = database.begin().await.map_err(failed)?;
    for mark in marks {
        let insert = sqlx::query(INSERT)
            .bind(mark.event)
            .bind(MARKED)
            .bind(marked(mark.event, &payload(mark)).to_string())
            .bind(correlation(&mark.key));
        insert.execute(&mut *transaction).await.map_err(failed)?;
    }
    if let Some(ms) = dawdle_ms {
        let other = sqlx::query("SELECT pg_sleep($1)").bind(f64::from(ms) / 1e3);
        other.execute(&mut *transaction).await.map_err(failed)?;
    }
    if rolls_back {
        transaction.rollback().await.map_err(failed)?;
        return Ok(Outcome::Failed);
    }
    let committed = transaction.commit().await;
    committed.map_err(|error| (Outcome::Unknown, error))?;
    Ok(Outcome::Ok)
}

fn payload(mark: &Mark) -> Value {
    let act = match mark.n {
        n if n % REJECTS == 7 => "reject",
        n if n % RETRIES == 3 => "retry",
        _ => "count",
    };
    json!({"key": mark.key, "n": mark.n, "act": act})
}
