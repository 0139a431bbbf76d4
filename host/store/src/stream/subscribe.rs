//! Durable consumers: made once, taken up ever after.

use std::collections::hash_map::Entry;
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::atomic::{AtomicI64, Ordering};

use qx_events::ports::Subscription;
use qx_events::{Fault, Pattern, StartFrom};
use sqlx::Row as _;
use sqlx::sqlite::SqliteConnection;
use tokio::sync::Notify;

use super::{Consumer, Durable, Settings, Shared, lock};

const FIND: &str = "SELECT cursor, patterns FROM qx_stream_consumers WHERE component = ?1";

/// The end is the last position that was ever given, not the last that is kept.
const CREATE: &str = "
    INSERT INTO qx_stream_consumers (component, patterns, cursor)
    VALUES (?1, ?2, CASE WHEN ?3 THEN coalesce(
        (SELECT seq FROM sqlite_sequence WHERE name = 'qx_stream_messages'), 0) ELSE 0 END)
    RETURNING cursor";

/// With new patterns the consumer goes on from where it has looked with the old
/// ones: nothing before is delivered for matching only now.
const UPDATE: &str = "
    UPDATE qx_stream_consumers SET patterns = ?2, cursor = max(cursor, ?3)
    WHERE component = ?1 RETURNING cursor";

const MAKE_DUE: &str =
    "UPDATE qx_stream_deliveries SET visible_at = 0, taken = 0 WHERE component = ?1";

impl Shared {
    /// Makes the consumer, or brings its settings up to date.
    pub(super) async fn consumer(
        &self,
        subscription: &Subscription,
    ) -> Result<Arc<Consumer>, Fault> {
        refuse_what_cannot_work(subscription)?;
        let passed = self
            .known(&subscription.component)
            .map_or(0, |known| known.passed());
        let cursor = self.write(Durable::Now, "subscribe", async |conn| {
            cursor(conn, subscription, passed).await
        });
        let cursor = cursor.await?;
        let settings = Settings {
            patterns: subscription.patterns.as_slice().into(),
            ack_wait: subscription.ack_wait,
            in_flight_max: subscription.in_flight_max,
        };
        let component = &subscription.component;
        match lock(&self.consumers).entry(component.clone()) {
            Entry::Occupied(known) => {
                let consumer = known.get();
                *lock(&consumer.settings) = settings;
                consumer.pass(cursor);
                consumer.woken.notify_waiters();
                Ok(Arc::clone(consumer))
            }
            Entry::Vacant(place) => Ok(Arc::clone(place.insert(Arc::new(Consumer {
                component: component.clone(),
                settings: Mutex::new(settings),
                passed: AtomicI64::new(cursor),
                woken: Notify::new(),
            })))),
        }
    }
}

impl Shared {
    /// Everything that is in flight is due at once: it lies before what is new, and
    /// what is due is handed out first, the lowest before the others.
    pub(super) async fn make_due(&self, consumer: &Consumer) -> Result<(), Fault> {
        let due = self.write(Durable::Soon, "resume a consumer", async |conn| {
            let query = sqlx::query(MAKE_DUE).bind(consumer.component.as_str());
            query.execute(conn).await?;
            Ok(())
        });
        due.await?;
        consumer.woken.notify_waiters();
        Ok(())
    }
}

impl Consumer {
    pub(super) fn settings(&self) -> Settings {
        lock(&self.settings).clone()
    }

    pub(super) fn passed(&self) -> i64 {
        self.passed.load(Ordering::Acquire)
    }

    /// Never goes back.
    pub(super) fn pass(&self, position: i64) {
        self.passed.fetch_max(position, Ordering::AcqRel);
    }
}

fn refuse_what_cannot_work(subscription: &Subscription) -> Result<(), Fault> {
    let component = &subscription.component;
    let refusal = |what: &str| Err(Fault::refusal(format!("component {component}: {what}")));
    if subscription.patterns.is_empty() {
        return refusal("a subscription needs at least one pattern");
    }
    if subscription.in_flight_max == 0 {
        return refusal("in_flight_max must be at least 1");
    }
    if subscription.ack_wait.is_zero() {
        return refusal("ack_wait must be longer than nothing");
    }
    Ok(())
}

async fn cursor(
    conn: &mut SqliteConnection,
    subscription: &Subscription,
    passed: i64,
) -> Result<i64, sqlx::Error> {
    let component = subscription.component.as_str();
    let patterns: Vec<&str> = subscription.patterns.iter().map(Pattern::as_str).collect();
    let patterns = serde_json::json!(patterns).to_string();
    let known = sqlx::query(FIND)
        .bind(component)
        .fetch_optional(&mut *conn)
        .await?;
    let row = match known {
        None => {
            let from_now = subscription.start == StartFrom::Now;
            let query = sqlx::query(CREATE)
                .bind(component)
                .bind(patterns)
                .bind(from_now);
            query.fetch_one(conn).await?
        }
        Some(row) if row.try_get::<&str, _>("patterns")? == patterns => row,
        Some(_) => {
            let query = sqlx::query(UPDATE)
                .bind(component)
                .bind(patterns)
                .bind(passed);
            query.fetch_one(conn).await?
        }
    };
    row.try_get("cursor")
}
