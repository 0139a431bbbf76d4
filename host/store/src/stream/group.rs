//! Settlements of deliveries, committed in groups: whoever gets the connection
//! that writes does the work of all who wait for it.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use qx_events::Fault;
use sqlx::sqlite::SqliteConnection;
use tokio::sync::oneshot;

use super::{CALL_TIME_MAX, Durable, Shared, lock, transaction};
use crate::fault::NoAnswer;
use crate::sqlite::{many, now_ms};

/// Also when the delivery is an old one: its effects are committed.
const ACKS: &str = "
    DELETE FROM qx_stream_deliveries
    WHERE component = ?1 AND seq IN (SELECT value FROM json_each(?2))";

/// Not for an old delivery: a newer one is being worked on.
const NAK: &str = concat!(
    "UPDATE qx_stream_deliveries SET taken = 0, visible_at = ",
    now_ms!(),
    " + ?4
     WHERE component = ?1 AND seq = ?2 AND delivered = ?3"
);

const PROGRESS: &str = concat!(
    "UPDATE qx_stream_deliveries SET visible_at = ",
    now_ms!(),
    " + ?4
     WHERE component = ?1 AND seq = ?2 AND delivered = ?3 AND taken = 1"
);

/// A delivery, and what becomes of it.
#[derive(Debug, Clone)]
pub(super) struct Change {
    pub(super) component: Arc<str>,
    pub(super) seq: i64,
    pub(super) delivered: i64,
    pub(super) kind: Kind,
}

/// Spans in milliseconds.
#[derive(Debug, Clone, Copy)]
pub(super) enum Kind {
    /// Done with it, or never again.
    Over,
    /// Again, after so long.
    Again(i64),
    /// The wait begins anew, and is so long.
    Extended(i64),
}

type Answer = Result<(), Arc<str>>;

/// Changes that wait for the connection. Bounded by the deliveries in flight.
#[derive(Default)]
pub(super) struct Queue(Mutex<Vec<(Change, oneshot::Sender<Answer>)>>);

impl Shared {
    /// Returns when the change is committed.
    pub(super) async fn change(&self, change: Change) -> Result<(), Fault> {
        const DOING: &str = "settle a delivery";
        let whole = async {
            loop {
                match self.commit_group(change.clone()).await {
                    Some(Ok(())) => return Ok(()),
                    Some(Err(why)) => return Err(Fault::transient(DOING, why.to_string())),
                    // Whoever had it in hand was cancelled before the commit.
                    None => {}
                }
            }
        };
        match tokio::time::timeout(CALL_TIME_MAX, whole).await {
            Ok(answer) => answer,
            Err(_elapsed) => Err(Fault::transient(DOING, NoAnswer(CALL_TIME_MAX))),
        }
    }

    /// `None`: it was neither committed nor refused.
    async fn commit_group(&self, change: Change) -> Option<Answer> {
        let (answer, mut answered) = oneshot::channel();
        lock(&self.changes.0).push((change, answer));
        let acquired = tokio::select! {
            biased;
            answer = &mut answered => return answer.ok(),
            acquired = self.file.writer().acquire() => acquired,
        };
        let group = std::mem::take(&mut *lock(&self.changes.0));
        let committed = match acquired {
            Err(error) => Err(error),
            Ok(mut conn) => {
                transaction(&mut conn, Durable::Soon, async |conn| {
                    apply(conn, &group).await
                })
                .await
            }
        };
        let committed: Answer = committed.map_err(|error| error.to_string().into());
        for (_, answer) in group {
            // Nobody listens any more: then nobody needs to know.
            drop(answer.send(committed.clone()));
        }
        answered.try_recv().ok()
    }
}

async fn apply(
    conn: &mut SqliteConnection,
    group: &[(Change, oneshot::Sender<Answer>)],
) -> Result<(), sqlx::Error> {
    let mut over: BTreeMap<&str, Vec<i64>> = BTreeMap::new();
    for (change, _) in group {
        let Change {
            component,
            seq,
            delivered,
            kind,
        } = change;
        let (statement, span) = match kind {
            Kind::Over => {
                over.entry(component.as_ref()).or_default().push(*seq);
                continue;
            }
            Kind::Again(span) => (NAK, *span),
            Kind::Extended(span) => (PROGRESS, *span),
        };
        let query = sqlx::query(statement).bind(component.as_ref()).bind(*seq);
        let query = query.bind(*delivered).bind(span);
        query.execute(&mut *conn).await?;
    }
    // What is over stays so, whatever else was said of it.
    for (component, seqs) in over {
        let query = sqlx::query(ACKS).bind(component).bind(many(seqs));
        query.execute(&mut *conn).await?;
    }
    Ok(())
}
