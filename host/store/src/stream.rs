//! The embedded stream: messages, durable consumers and what is in flight, in a
//! SQLite file of its own. Same port and same suite as a broker's.
//!
//! One process owns the file as a stream; others may look at its status. A
//! message is on the disk when it was answered for. What is lost with the power
//! are the last acknowledgements and counts, so messages come again, as they do
//! from a broker. A message id is remembered as long as its message is kept, see
//! [`EmbeddedStream::clean_up`].

mod group;
mod owner;
mod publish;
mod receipt;
mod retention;
mod source;
mod status;
mod subscribe;
mod take;

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::atomic::AtomicI64;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use qx_events::ports::{Lag, Source, Stream, Subscription};
use qx_events::{ComponentName, Fault, Pattern};
use sqlx::sqlite::SqliteConnection;
use tokio::sync::Notify;

use crate::error::StoreError;
use crate::fault::{self, NoAnswer};
use crate::migrate::Schema;
use crate::sqlite::{self, File, begin};
use crate::store::IfMissing;

pub use status::{ConsumerStatus, StreamStatus};

/// Longest that a call may take; see the same of the database.
const CALL_TIME_MAX: Duration = Duration::from_secs(20);

/// Where the stream is, and what it is called.
#[derive(Debug, Clone)]
pub struct StreamConfig {
    /// Its file. Made if it is not there; its folder is not.
    pub path: PathBuf,
    /// Name of the stream, as in `StoredAt`.
    pub name: String,
    /// What stands before the event name in a subject.
    pub subject_prefix: String,
}

/// The stream, opened by its owner. Clones share it.
#[derive(Clone)]
pub struct EmbeddedStream {
    shared: Arc<Shared>,
}

struct Shared {
    file: File,
    name: String,
    subject_prefix: String,
    consumers: Mutex<HashMap<ComponentName, Arc<Consumer>>>,
    changes: group::Queue,
    /// Held as long as anybody can write.
    _owner: owner::Lock,
}

/// A durable consumer, as this process knows it.
struct Consumer {
    component: ComponentName,
    settings: Mutex<Settings>,
    /// The position up to which messages were delivered or passed over. The file
    /// has it too, but not always as far: passing over writes nothing.
    passed: AtomicI64,
    /// Something may be there for it: a message, a hand-back, room.
    woken: Notify,
}

/// What can change from subscription to subscription.
#[derive(Clone)]
struct Settings {
    patterns: Arc<[Pattern]>,
    ack_wait: Duration,
    in_flight_max: usize,
}

/// What must be on the disk when a call returns.
#[derive(Clone, Copy)]
enum Durable {
    /// Everything: the disk is waited for.
    Now,
    /// It survives the process, and the power only a little later. Losing it
    /// makes messages come again, never go.
    Soon,
}

impl EmbeddedStream {
    /// Opens the stream as its owner. What an earlier owner had delivered and not
    /// settled is due at once.
    pub async fn open(config: &StreamConfig) -> Result<Self, StoreError> {
        let folder = config
            .path
            .parent()
            .filter(|folder| !folder.as_os_str().is_empty());
        if let Some(folder) = folder.filter(|folder| !folder.is_dir()) {
            return Err(StoreError::NoFolder(folder.to_path_buf()));
        }
        let owner = owner::Lock::take(&config.path)?;
        let file = sqlite::open(&config.path, IfMissing::Create).await?;
        file.migrate(Schema::Stream).await?;
        let shared = Shared {
            file,
            name: config.name.clone(),
            subject_prefix: config.subject_prefix.clone(),
            consumers: Mutex::default(),
            changes: group::Queue::default(),
            _owner: owner,
        };
        let due = shared.write(Durable::Soon, "release deliveries", async |conn| {
            let due = "UPDATE qx_stream_deliveries SET visible_at = 0 WHERE taken = 1";
            sqlx::query(due).execute(conn).await?;
            Ok(())
        });
        due.await.map_err(|fault| StoreError::StreamUnusable {
            path: config.path.clone(),
            source: fault,
        })?;
        Ok(Self {
            shared: Arc::new(shared),
        })
    }

    /// Closes the file; calls that run are finished first.
    pub async fn close(&self) {
        self.shared.file.close().await;
    }
}

#[async_trait]
impl Stream for EmbeddedStream {
    async fn subscribe(&self, subscription: &Subscription) -> Result<Box<dyn Source>, Fault> {
        let consumer = self.shared.consumer(subscription).await?;
        Ok(Box::new(source::EmbeddedSource::new(
            Arc::clone(&self.shared),
            consumer,
        )))
    }

    async fn resume(&self, subscription: &Subscription) -> Result<Box<dyn Source>, Fault> {
        let consumer = self.shared.consumer(subscription).await?;
        self.shared.make_due(&consumer).await?;
        Ok(Box::new(source::EmbeddedSource::new(
            Arc::clone(&self.shared),
            consumer,
        )))
    }

    async fn lag(&self, component: &ComponentName) -> Result<Option<Lag>, Fault> {
        let passed = self
            .shared
            .known(component)
            .map(|consumer| consumer.passed());
        let lag = async |conn: &mut SqliteConnection| {
            status::lag(conn, component.as_str(), passed.unwrap_or(0)).await
        };
        self.shared.file.read("count messages", lag).await
    }

    async fn check(&self) -> Result<(), Fault> {
        self.shared
            .file
            .read("check the embedded stream", async |conn| {
                sqlx::query("SELECT 1 FROM qx_stream_messages LIMIT 1")
                    .fetch_optional(conn)
                    .await?;
                Ok(())
            })
            .await
    }
}

impl Shared {
    /// Runs `work` in a write transaction and commits it.
    async fn write<T>(
        &self,
        durable: Durable,
        doing: &'static str,
        work: impl AsyncFnOnce(&mut SqliteConnection) -> Result<T, sqlx::Error>,
    ) -> Result<T, Fault> {
        let whole = async {
            let mut conn = self.file.writer().acquire().await?;
            transaction(&mut conn, durable, work).await
        };
        match tokio::time::timeout(CALL_TIME_MAX, whole).await {
            Ok(answer) => answer.map_err(|error| fault::sqlite(doing, error)),
            Err(_elapsed) => Err(Fault::transient(doing, NoAnswer(CALL_TIME_MAX))),
        }
    }

    fn known(&self, component: &ComponentName) -> Option<Arc<Consumer>> {
        lock(&self.consumers).get(component).map(Arc::clone)
    }
}

/// One transaction on the connection that writes.
async fn transaction<T>(
    conn: &mut SqliteConnection,
    durable: Durable,
    work: impl AsyncFnOnce(&mut SqliteConnection) -> Result<T, sqlx::Error>,
) -> Result<T, sqlx::Error> {
    // A later commit with FULL takes everything before it to the disk as well.
    let level = match durable {
        Durable::Now => "PRAGMA synchronous = FULL",
        Durable::Soon => "PRAGMA synchronous = NORMAL",
    };
    sqlx::query(level).execute(&mut *conn).await?;
    let mut tx = begin(conn).await?;
    let answer = work(&mut tx).await?;
    tx.commit().await?;
    Ok(answer)
}

/// Whoever panicked with the lock in hand left a whole value: it is only swapped.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A span in milliseconds; what does not fit is for ever.
fn millis(span: Duration) -> i64 {
    // Half of the range, so that adding the time of day does not overflow.
    i64::try_from(span.as_millis()).map_or(i64::MAX / 2, |ms| ms.min(i64::MAX / 2))
}
