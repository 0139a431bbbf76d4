//! The component's state as one call sees it: what is committed, under what the
//! call wrote itself.
//!
//! Remembers the version of every value it read, so that the commit can tell
//! whether it is still current. Never writes: writes leave with the effects.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use qx_events::ports::StateValue;
use qx_events::{Breach, StateRead, StateWrite};

use crate::call::context::{Context, Stop};
use crate::contract::state::{Error, Host};

/// Longest key in bytes: it is part of an index in every database.
pub(crate) const KEY_BYTES_MAX: usize = 512;

/// Where the bound of a call comes from.
const IN_ALL: &str = "that a call keeps in all (32 times limits.value_kb)";

/// What a call read and wrote.
#[derive(Debug, Default)]
pub(crate) struct State {
    reads: HashMap<String, Option<StateValue>>,
    writes: BTreeMap<String, Option<String>>,
}

/// What a call knows of a key.
enum Known {
    /// Its value, or that there is none.
    Value(Option<String>),
    /// Not read yet.
    Nothing,
}

impl State {
    /// The value as the call left it or has seen it.
    fn known(&self, key: &str) -> Known {
        if let Some(own) = self.writes.get(key) {
            return Known::Value(own.clone());
        }
        match self.reads.get(key) {
            Some(seen) => Known::Value(seen.as_ref().map(|seen| seen.value.clone())),
            None => Known::Nothing,
        }
    }

    /// Bytes that an earlier write of this key holds.
    fn written_bytes(&self, key: &str) -> usize {
        let own = self.writes.get(key);
        own.map_or(0, |value| bytes(key, value.as_deref()))
    }

    pub(crate) fn into_parts(self) -> (Vec<StateRead>, Vec<StateWrite>) {
        let mut reads: Vec<StateRead> = self
            .reads
            .into_iter()
            .map(|(key, seen)| StateRead {
                key,
                seen: seen.as_ref().map(StateValue::seen),
            })
            .collect();
        reads.sort_unstable_by(|left, right| left.key.cmp(&right.key));
        let writes = self.writes.into_iter();
        let writes = writes.map(|(key, value)| StateWrite { key, value });
        (reads, writes.collect())
    }
}

impl Context {
    fn write(&mut self, key: String, value: Option<String>) -> Result<(), Error> {
        let before = self.state.written_bytes(&key);
        self.keep(bytes(&key, value.as_deref()), before)
            .map_err(|max| {
                let why = format!("a call keeps at most {max} bytes in all");
                Error::Limit(self.over("value_kb", why))
            })?;
        self.state.writes.insert(key, value);
        Ok(())
    }
}

impl Host for Context {
    async fn get(&mut self, key: String) -> wasmtime::Result<Option<String>> {
        self.enter()?;
        if illegal_key(&key).is_some() {
            return Ok(None); // Nothing can be there.
        }
        if let Known::Value(known) = self.state.known(&key) {
            return Ok(known);
        }
        let reader = Arc::clone(&self.invocation.state);
        let seen = match reader.read(&key).await {
            Ok(seen) => seen,
            Err(fault) => return Err(self.end(Stop::Fault(fault))),
        };
        let value = seen.as_ref().map(|seen| seen.value.clone());
        if let Err(max) = self.keep(bytes(&key, value.as_deref()), 0) {
            let what = format!("read state of more than the {max} bytes {IN_ALL}");
            return Err(self.end(Stop::Limit(Breach::HostData, what)));
        }
        self.state.reads.insert(key, seen);
        Ok(value)
    }

    fn set(&mut self, key: String, value: String) -> wasmtime::Result<Result<(), Error>> {
        self.enter()?;
        let max = self.shared.settings.limits.value_bytes;
        match illegal_key(&key) {
            Some(Illegal::Long(why)) => return Ok(Err(Error::Limit(self.over("key_bytes", why)))),
            Some(Illegal::Nul) => {
                return Ok(Err(Error::Limit(
                    "a key must not contain U+0000".to_owned(),
                )));
            }
            None => {}
        }
        if value.len() > max {
            let bytes = value.len();
            let why = format!("a value has at most {max} bytes, this one has {bytes}");
            return Ok(Err(Error::Limit(self.over("value_kb", why))));
        }
        if value.contains('\0') {
            return Ok(Err(Error::Limit(
                "a value must not contain U+0000".to_owned(),
            )));
        }
        Ok(self.write(key, Some(value)))
    }

    fn delete(&mut self, key: String) -> wasmtime::Result<()> {
        self.enter()?;
        if illegal_key(&key).is_some() {
            return Ok(()); // Nothing can be there.
        }
        match self.write(key, None) {
            Ok(()) => Ok(()),
            Err(Error::Limit(why)) => Err(self.end(Stop::Limit(Breach::HostData, why))),
        }
    }
}

/// Why a text can be no key.
enum Illegal {
    /// It is too long; says by how much.
    Long(String),
    /// It has a character that no database keeps.
    Nul,
}

fn illegal_key(key: &str) -> Option<Illegal> {
    if key.len() > KEY_BYTES_MAX {
        let bytes = key.len();
        let why = format!("a key has at most {KEY_BYTES_MAX} bytes, this one has {bytes}");
        return Some(Illegal::Long(why));
    }
    key.contains('\0').then_some(Illegal::Nul)
}

fn bytes(key: &str, value: Option<&str>) -> usize {
    key.len() + value.map_or(0, str::len)
}
