//! The leases. Their terms are the database's; a token is never given twice.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use chrono::{DateTime, TimeDelta};
use qx_events::Fault;
use qx_events::ports::{Fence, HeldLease, Leases};
use tokio::time::Instant;

use super::database::{Database, Tables, Term};
use crate::history::Effect;

impl Tables {
    /// Whether this token is the newest.
    pub(super) fn has(&self, fence: &Fence) -> bool {
        let term = self.leases.get(&*fence.name);
        term.is_some_and(|term| term.token == fence.token)
    }
}

#[async_trait]
impl Leases for Database {
    async fn take(&self, name: &str, holder: &str, term: Duration) -> Result<Option<Fence>, Fault> {
        self.door.enter("take a lease").await?;
        let now = Instant::now();
        let token = {
            let mut tables = self.tables();
            let own = tables.leases.get(name);
            if own.is_some_and(|own| own.ends > now && own.holder != holder) {
                return Ok(None);
            }
            let token = own.map_or(1, |own| own.token + 1);
            let (holder, ends) = (holder.to_owned(), now + term);
            let term = Term {
                holder,
                token,
                ends,
            };
            tables.leases.insert(name.to_owned(), term);
            token
        };
        self.history.push(Effect::Taken {
            lease: name.to_owned(),
            holder: holder.to_owned(),
            token,
        });
        self.door.leave("take a lease").await?;
        let name = Arc::from(name);
        Ok(Some(Fence { name, token }))
    }

    async fn renew(&self, fence: &Fence, term: Duration) -> Result<bool, Fault> {
        self.door.enter("renew a lease").await?;
        let renewed = {
            let mut tables = self.tables();
            let has = tables.has(fence);
            if let Some(own) = tables.leases.get_mut(&*fence.name).filter(|_| has) {
                own.ends = Instant::now() + term;
            }
            has
        };
        self.door.leave("renew a lease").await?;
        Ok(renewed)
    }

    async fn release(&self, fence: &Fence) -> Result<(), Fault> {
        self.door.enter("give a lease back").await?;
        {
            let mut tables = self.tables();
            let has = tables.has(fence);
            if let Some(own) = tables.leases.get_mut(&*fence.name).filter(|_| has) {
                own.holder.clear();
                own.token += 1;
                own.ends = Instant::now();
            }
        }
        self.door.leave("give a lease back").await
    }

    async fn held(&self) -> Result<Vec<HeldLease>, Fault> {
        let now = Instant::now();
        let tables = self.tables();
        let held = tables.leases.iter().filter(|(_, own)| own.ends > now);
        let held = held.map(|(name, own)| HeldLease {
            name: name.clone(),
            holder: own.holder.clone(),
            expires_at: DateTime::UNIX_EPOCH
                + TimeDelta::from_std(own.ends.saturating_duration_since(now)).unwrap(),
        });
        Ok(held.collect())
    }
}
