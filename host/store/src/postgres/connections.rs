//! Connections, kept between calls for as long as one call follows the other.
//!
//! Whoever gives a connection back to sqlx's pool has it asked whether it lives: one way
//! to the server and back for each call, and a task. With a quiet host that was more than
//! a quarter of all that it sent. So one that has just served a call well is kept for the
//! next, and goes back when nobody wants it for a moment, or when anything went wrong with
//! it.
//!
//! Never: lends a connection whose last call failed, was cancelled or got no answer.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use sqlx::pool::PoolConnection;
use sqlx::postgres::{PgConnection, PgPool};
use tokio::sync::{Semaphore, SemaphorePermit};
use tokio::time::Instant;

use super::connect::{CONNECT_TIME_MAX, TRUSTED_IDLE_MAX};

/// After this time it goes back once, so that the pool can look at its age.
const KEPT_MAX: Duration = Duration::from_mins(1);

/// The pool, and the connections that are kept beside it.
#[derive(Debug, Clone)]
pub(super) struct Connections(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    pool: PgPool,
    /// One for each connection that the pool may have: who waits for one that is kept
    /// would not hear of it from the pool.
    lent: Semaphore,
    /// Those used last are at the end.
    kept: Mutex<VecDeque<Kept>>,
}

#[derive(Debug)]
struct Kept {
    connection: PoolConnection<sqlx::Postgres>,
    /// When it came from the pool.
    since: Instant,
    used: Instant,
}

/// A connection for one call. Dropped, it goes back to the pool, which tries it.
pub(super) struct Lent<'c> {
    of: &'c Inner,
    connection: PoolConnection<sqlx::Postgres>,
    since: Instant,
    _permit: SemaphorePermit<'c>,
}

impl Connections {
    /// Over a pool that has so many connections at most.
    pub(super) fn new(pool: PgPool, connections_max: u32) -> Self {
        let most = usize::try_from(connections_max).unwrap_or(Semaphore::MAX_PERMITS);
        Self(Arc::new(Inner {
            pool,
            lent: Semaphore::new(most.min(Semaphore::MAX_PERMITS)),
            kept: Mutex::default(),
        }))
    }

    /// The pool itself.
    pub(super) fn pool(&self) -> &PgPool {
        &self.0.pool
    }

    /// A connection that nobody else uses. Waits for one as long as the pool would.
    pub(super) async fn lend(&self) -> Result<Lent<'_>, sqlx::Error> {
        let inner = &*self.0;
        let permit = tokio::time::timeout(CONNECT_TIME_MAX, inner.lent.acquire()).await;
        let permit = permit.map_err(|_elapsed| sqlx::Error::PoolTimedOut)?;
        let permit = permit.map_err(|_closed| sqlx::Error::PoolClosed)?;
        let (connection, since) = match inner.kept_one() {
            Some(kept) => (kept.connection, kept.since),
            None => (inner.pool.acquire().await?, Instant::now()),
        };
        Ok(Lent {
            of: inner,
            connection,
            since,
            _permit: permit,
        })
    }

    /// Closes them; calls that run are finished first.
    pub(super) async fn close(&self) {
        let closing = self.0.pool.close(); // From here on none is kept.
        self.0.kept().clear();
        closing.await;
    }
}

impl Inner {
    fn kept(&self) -> MutexGuard<'_, VecDeque<Kept>> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The one that was used last; those that nobody wanted go back.
    fn kept_one(&self) -> Option<Kept> {
        let mut kept = self.kept();
        let now = Instant::now();
        let idle = |one: &Kept| now.duration_since(one.used) >= TRUSTED_IDLE_MAX;
        while kept.front().is_some_and(idle) {
            kept.pop_front();
        }
        kept.pop_back()
    }
}

/// There may be no runtime any more that could give them back.
impl Drop for Inner {
    fn drop(&mut self) {
        for one in self.kept().drain(..) {
            drop(one.connection.detach());
        }
    }
}

impl Lent<'_> {
    pub(super) fn connection(&mut self) -> &mut PgConnection {
        &mut self.connection
    }

    /// It has served a call to its end, and may serve the next.
    pub(super) fn keep(self) {
        let now = Instant::now();
        let mut kept = self.of.kept();
        if now.duration_since(self.since) < KEPT_MAX && !self.of.pool.is_closed() {
            kept.push_back(Kept {
                connection: self.connection,
                since: self.since,
                used: now,
            });
        }
    }

    /// An answer may still come that nobody may read: it is closed.
    pub(super) fn abandon(self) {
        drop(self.connection.detach());
    }
}
