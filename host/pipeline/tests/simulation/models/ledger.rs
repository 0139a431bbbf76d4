//! The ledger: optimistic, grouped, and not always heard.

use std::collections::{BTreeSet, HashMap};

use async_trait::async_trait;
use qx_events::ports::{Ledger, Note, Settled, Settlement, StateValue};
use qx_events::{ComponentName, Fault, Known, StateGrowth, StateSize};
use tokio::time::Instant;
use uuid::Uuid;

use super::database::{Database, Tables, Tried};
use crate::acts::build_of;
use crate::history::Effect;

#[async_trait]
impl Ledger for Database {
    async fn known(
        &self,
        component: &ComponentName,
        events: &[Uuid],
    ) -> Result<HashMap<Uuid, Known>, Fault> {
        self.door.enter("ask the inbox").await?;
        let known = {
            let tables = self.tables();
            let known = |id: &Uuid| {
                let mark = (component.clone(), *id);
                if tables.inbox.contains_key(&mark) {
                    return Some((*id, Known::Handled));
                }
                let own = tables.attempts.get(&mark)?;
                Some((*id, Known::Attempted(own.record())))
            };
            events.iter().filter_map(known).collect()
        };
        self.door.leave("ask the inbox").await?;
        Ok(known)
    }

    async fn note(&self, notes: &[Note]) -> Result<(), Fault> {
        self.door.enter("note attempts").await?;
        for note in notes {
            let mark = (note.component.clone(), note.event_id);
            let mut tables = self.tables();
            if note.fence.as_ref().is_some_and(|fence| !tables.has(fence)) {
                continue;
            }
            let own = tables.attempts.entry(mark).or_default();
            *own = Tried {
                attempts: own.attempts.max(note.attempts),
                begun: note.begun,
                until: Some(Instant::now() + note.wait),
                dead: own.dead,
            };
            self.history.push(Effect::Noted {
                component: note.component.to_string(),
                event: note.event_id.as_u128(),
                attempts: note.attempts,
                begun: note.begun,
            });
        }
        self.door.leave("note attempts").await
    }

    async fn read_state(
        &self,
        component: &ComponentName,
        tenant_id: Option<Uuid>,
        key: &str,
    ) -> Result<Option<StateValue>, Fault> {
        self.door.enter("read state").await?;
        let key = (component.clone(), tenant_id, key.to_owned());
        let value = self.tables().state.get(&key).cloned();
        self.door.leave("read state").await?;
        Ok(value)
    }

    async fn settle(&self, group: &[Settlement]) -> Result<Vec<Settled>, Fault> {
        self.door.enter("commit").await?;
        let takes = self.tables().commit_takes;
        tokio::time::sleep(takes).await;
        let (answers, lost) = {
            let mut tables = self.tables();
            tables.groups.push(group.len());
            if group
                .iter()
                .any(|one| tables.unsettleable.contains(&one.event_id))
            {
                return Err(Fault::refusal("a value is not legal"));
            }
            let answers = group
                .iter()
                .map(|one| self.settle_one(&mut tables, one))
                .collect();
            let lost = tables.commit_answers_lost > 0;
            tables.commit_answers_lost = tables.commit_answers_lost.saturating_sub(1);
            (answers, lost)
        };
        if lost {
            return Err(Fault::transient("commit", "the answer was lost"));
        }
        self.door.leave("commit").await?;
        Ok(answers)
    }

    async fn state_sizes(&self) -> Result<Vec<(ComponentName, StateSize)>, Fault> {
        let tables = self.tables();
        let names: BTreeSet<_> = tables.state.keys().map(|(name, ..)| name.clone()).collect();
        let sizes = names.into_iter().map(|name| {
            let size = tables.state_size(&name);
            (name, size)
        });
        Ok(sizes.collect())
    }
}

impl Tables {
    fn state_size(&self, component: &ComponentName) -> StateSize {
        let own = self
            .state
            .iter()
            .filter(|((name, ..), _)| name == component);
        own.fold(StateSize::default(), |size, ((.., key), state)| StateSize {
            keys: size.keys + 1,
            bytes: size.bytes + (key.len() + state.value.len()) as u64,
        })
    }

    /// How much the component would have, and by how much that is more.
    fn state_after(&self, one: &Settlement) -> (StateSize, StateGrowth) {
        let mut growth = StateGrowth::default();
        for write in &one.effects.writes {
            let key = (one.component.clone(), one.tenant_id, write.key.clone());
            let is = |value: &str| (1, i64::try_from(write.key.len() + value.len()).unwrap());
            let old = self.state.get(&key).map_or((0, 0), |old| is(&old.value));
            let new = write.value.as_deref().map_or((0, 0), is);
            growth = growth.and(StateGrowth {
                keys: new.0 - old.0,
                bytes: new.1 - old.1,
            });
        }
        (self.state_size(&one.component).after(growth), growth)
    }
}

impl Database {
    fn settle_one(&self, tables: &mut Tables, one: &Settlement) -> Settled {
        let component = one.component.to_string();
        let event = one.event_id.as_u128();
        if one.fence.as_ref().is_some_and(|fence| !tables.has(fence)) {
            self.history.push(Effect::Fenced { component, event });
            return Settled::Fenced;
        }
        let mark = (one.component.clone(), one.event_id);
        if tables.inbox.contains_key(&mark) {
            return Settled::Duplicate;
        }
        let key_of = |key: &str| (one.component.clone(), one.tenant_id, key.to_owned());
        let overtaken = one.effects.reads.iter().any(|read| {
            let now = tables.state.get(&key_of(&read.key));
            now.map(|state| state.version) != read.version()
        });
        if overtaken {
            self.history.push(Effect::Conflict { component, event });
            return Settled::Conflict;
        }
        let (size, growth) = tables.state_after(one);
        if let Err(over) = one.bounds.check(size, growth) {
            return Settled::Overfull(over);
        }
        if one.recorded {
            tables.attempts.remove(&mark);
        }
        tables.inbox.insert(mark, one.digest);
        for write in &one.effects.writes {
            tables.last_version += 1;
            let version = tables.last_version;
            match &write.value {
                Some(value) => {
                    let value = StateValue {
                        value: value.clone(),
                        version,
                    };
                    tables.state.insert(key_of(&write.key), value);
                }
                None => drop(tables.state.remove(&key_of(&write.key))),
            }
        }
        let build = build_of(one.digest);
        self.history.push(Effect::Committed {
            component,
            event,
            build,
        });
        for emitted in &one.effects.emitted {
            let seq = tables.insert(&emitted.0);
            let event = emitted.0.event_id.as_u128();
            self.history.push(Effect::Inserted { seq, event });
        }
        if let Some(letter) = one.replayed
            && tables.letters.remove(&letter).is_some()
        {
            self.history.push(Effect::Removed { letter });
        }
        Settled::Committed
    }
}
