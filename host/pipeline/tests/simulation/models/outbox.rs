//! The outbox. The strictest reading of its contract: a lease whose term is over
//! writes nothing, even when nobody else has taken it.

use std::time::Duration;

use async_trait::async_trait;
use qx_events::ports::{
    Due, Lease, OpenWriter, Outbox, OutboxStatus, PublishedRow, StreamState, Writer, Writers,
};
use qx_events::shard::Shard;
use qx_events::{Fault, Row};
use tokio::time::Instant;

use super::database::{Database, StoredRow, Tables, Term};
use crate::history::Effect;

/// The lease of a part; that of the first is the whole's.
fn term(tables: &mut Tables, shard: Shard) -> &mut Option<Term> {
    match shard.number {
        0 => &mut tables.term,
        number => tables.terms.entry(number).or_default(),
    }
}

fn is_in(row: &StoredRow, shard: Shard) -> bool {
    row.event.as_u128() % u128::from(shard.of.shards()) == u128::from(shard.number)
}

fn holder_of(tables: &mut Tables, shard: Shard, lease: Lease) -> Option<String> {
    let term = term(tables, shard).as_ref()?;
    (term.token == lease.token && Instant::now() < term.ends).then(|| term.holder.clone())
}

#[async_trait]
impl Outbox for Database {
    async fn lease(&self, holder: &str, span: Duration) -> Result<Option<Lease>, Fault> {
        self.door.enter("take the lease").await?;
        let now = Instant::now();
        let token = {
            let mut tables = self.tables();
            tables.lease_requests += 1;
            let next = tables.last_token + 1;
            let token = match term(&mut tables, self.shard) {
                Some(own) if own.ends > now && own.holder != holder => return Ok(None),
                Some(own) if own.holder == holder => own.token,
                Some(_) | None => next,
            };
            tables.last_token = tables.last_token.max(token);
            let holder = holder.to_owned();
            *term(&mut tables, self.shard) = Some(Term {
                holder,
                token,
                ends: now + span,
            });
            token
        };
        let holder = holder.to_owned();
        self.history.push(Effect::Leased { holder, token });
        self.door.leave("take the lease").await?;
        Ok(Some(Lease { token }))
    }

    async fn release(&self, lease: Lease) -> Result<(), Fault> {
        self.door.enter("release the lease").await?;
        {
            let mut tables = self.tables();
            let own = term(&mut tables, self.shard);
            own.take_if(|own| own.token == lease.token);
        }
        let token = lease.token;
        self.history.push(Effect::Released { token });
        self.door.leave("release the lease").await
    }

    async fn pending_to(&self, last: i64, limit: u32) -> Result<Vec<Row>, Fault> {
        self.door.enter("read rows").await?;
        let rows = {
            let tables = self.tables();
            let waits = tables.rows.range(..=last).map(|(_, row)| row);
            waits
                .filter(|row| row.waits() && is_in(row, self.shard))
                .take(limit as usize)
                .map(|row| row.row.clone())
                .collect()
        };
        self.history.push(Effect::Polled);
        self.door.leave("read rows").await?;
        Ok(rows)
    }

    /// The two parts are not of one moment, as in the database.
    async fn writers(&self) -> Result<Writers, Fault> {
        self.door.enter("look for the newest row").await?;
        let newest = {
            let tables = self.tables();
            let mut waits = tables.rows.iter().rev().filter(|(_, row)| row.waits());
            waits.next().map(|(seq, _)| *seq)
        };
        self.door.enter("look for writers").await?;
        let writer = |number: &i64| Writer {
            name: number.to_string(),
            number: Some(*number),
            pid: i32::try_from(*number).ok(),
        };
        let open = self.tables().open.keys().map(writer).collect();
        self.door.leave("look for writers").await?;
        Ok(Writers { newest, open })
    }

    async fn oldest_writer(&self) -> Result<Option<OpenWriter>, Fault> {
        Ok(None)
    }

    async fn newest(&self, limit: u32, body_bytes_max: u32) -> Result<Vec<Row>, Fault> {
        let tables = self.tables();
        let small = |row: &&Row| row.body.len() <= body_bytes_max as usize;
        let newest = tables.rows.values().rev().map(|row| &row.row);
        Ok(newest.take(limit as usize).filter(small).cloned().collect())
    }

    async fn mark_published(&self, lease: Lease, rows: &[PublishedRow]) -> Result<bool, Fault> {
        self.door.enter("mark rows").await?;
        let takes = self.tables().mark_takes;
        if !takes.is_zero() {
            tokio::time::sleep(takes).await;
        }
        {
            let mut tables = self.tables();
            let Some(holder) = holder_of(&mut tables, self.shard, lease) else {
                return Ok(false);
            };
            for row in rows {
                let stored = tables.rows.get_mut(&row.seq);
                let Some(stored) = stored.filter(|stored| stored.published.is_none()) else {
                    continue;
                };
                stored.published = Some(Instant::now());
                stored.stored = Some((row.stream_created_ns, row.stored.sequence));
                let (seq, holder) = (row.seq, holder.clone());
                self.history.push(Effect::Marked { seq, holder });
            }
        }
        self.door.leave("mark rows").await?;
        Ok(true)
    }

    async fn come_due(&self, lease: Lease, limit: u32) -> Result<Option<Due>, Fault> {
        self.door.enter("look for rows that are due").await?;
        let due = {
            let mut tables = self.tables();
            if holder_of(&mut tables, self.shard, lease).is_none() {
                return Ok(None);
            }
            tables.come_due(limit)
        };
        if !due.waits {
            self.history.push(Effect::Polled); // Who is told that need not read.
        }
        self.door.leave("look for rows that are due").await?;
        Ok(Some(due))
    }

    async fn forget_lost(
        &self,
        lease: Lease,
        stream: &StreamState,
        limit: u32,
    ) -> Result<Option<u64>, Fault> {
        self.door.enter("forget rows").await?;
        let forgotten = {
            let mut tables = self.tables();
            if let Some(left) = tables.forget_fails.checked_sub(1) {
                tables.forget_fails = left;
                return Err(Fault::transient("forget rows", "the connection broke"));
            }
            if holder_of(&mut tables, self.shard, lease).is_none() {
                return Ok(None);
            }
            let lost = tables.rows.values_mut().filter(|row| {
                let stored = row.published.and(row.stored);
                stored.is_some_and(|(created_ns, sequence)| stream.lost(created_ns, sequence))
            });
            let mut rows = 0;
            for row in lost.take(limit as usize) {
                (row.published, row.stored) = (None, None);
                rows += 1;
            }
            rows
        };
        if forgotten > 0 {
            self.history.push(Effect::Forgotten { rows: forgotten });
        }
        self.door.leave("forget rows").await?;
        Ok(Some(forgotten))
    }

    async fn set_aside(&self, lease: Lease, seq: i64, reason: &str) -> Result<bool, Fault> {
        self.door.enter("set a row aside").await?;
        {
            let mut tables = self.tables();
            if holder_of(&mut tables, self.shard, lease).is_none() {
                return Ok(false);
            }
            if let Some(row) = tables.rows.get_mut(&seq) {
                row.aside = Some(reason.to_owned());
            }
        }
        self.history.push(Effect::SetAside { seq });
        self.door.leave("set a row aside").await?;
        Ok(true)
    }

    async fn clean_up(&self, retention: Duration, limit: u32) -> Result<u64, Fault> {
        self.door.enter("clean up").await?;
        let deleted = {
            let mut tables = self.tables();
            let old: Vec<i64> = tables
                .rows
                .iter()
                .filter(|(_, row)| row.published.is_some_and(|at| at.elapsed() >= retention))
                .map(|(seq, _)| *seq)
                .take(limit as usize)
                .collect();
            for seq in &old {
                tables.rows.remove(seq);
            }
            old.len() as u64
        };
        self.history.push(Effect::CleanedUp { rows: deleted });
        self.door.leave("clean up").await?;
        Ok(deleted)
    }

    async fn status(&self) -> Result<OutboxStatus, Fault> {
        Ok(OutboxStatus {
            pending: self.waiting() as u64,
            ..OutboxStatus::default()
        })
    }
}
