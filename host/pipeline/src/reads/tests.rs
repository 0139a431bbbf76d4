//! Reads together, and what becomes of them when one of them goes wrong.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use async_trait::async_trait;
use futures::future::join_all;
use qx_events::ports::{Note, Settled, Settlement};
use qx_events::{ComponentName, Known, StateSize};
use tokio::sync::Semaphore;
use uuid::Uuid;

use super::*;

/// Knows every key: its value is the key. Answers when it is let.
struct Slow {
    gate: Semaphore,
    asked: Mutex<Vec<usize>>,
    fails: AtomicBool,
    alone: AtomicUsize,
}

fn slow() -> (Arc<Slow>, Reads) {
    let ledger = Arc::new(Slow {
        gate: Semaphore::new(0),
        asked: Mutex::default(),
        fails: AtomicBool::new(false),
        alone: AtomicUsize::new(0),
    });
    let reads = Reads::new(Arc::clone(&ledger) as Arc<dyn Ledger>);
    (ledger, reads)
}

fn value(key: &str) -> StateValue {
    let value = key.to_owned();
    StateValue { value, version: 1 }
}

#[async_trait]
impl Ledger for Slow {
    async fn known(&self, _: &ComponentName, _: &[Uuid]) -> Result<HashMap<Uuid, Known>, Fault> {
        Ok(HashMap::new())
    }

    async fn note(&self, _: &[Note]) -> Result<(), Fault> {
        Ok(())
    }

    async fn read_state(
        &self,
        _: &ComponentName,
        _: Option<Uuid>,
        key: &str,
    ) -> Result<Option<StateValue>, Fault> {
        self.alone.fetch_add(1, Ordering::SeqCst);
        Ok(Some(value(key)))
    }

    async fn read_states(&self, all: &[StateAt]) -> Result<Vec<Option<StateValue>>, Fault> {
        self.asked.lock().unwrap().push(all.len());
        self.gate.acquire().await.unwrap().forget();
        if self.fails.swap(false, Ordering::SeqCst) {
            return Err(Fault::transient("read", "no answer"));
        }
        Ok(all.iter().map(|at| Some(value(&at.key))).collect())
    }

    async fn settle(&self, _: &[Settlement]) -> Result<Vec<Settled>, Fault> {
        Ok(Vec::new())
    }

    async fn state_sizes(&self) -> Result<Vec<(ComponentName, StateSize)>, Fault> {
        Ok(Vec::new())
    }
}

fn at(key: usize) -> StateAt {
    StateAt {
        component: ComponentName::parse("a").unwrap(),
        tenant_id: None,
        key: key.to_string(),
    }
}

async fn read(reads: &Reads, key: usize) -> Result<String, Fault> {
    let value = reads.read(at(key)).await?;
    Ok(value.map(|state| state.value).unwrap_or_default())
}

#[tokio::test]
async fn reads_that_wait_share_one_question_and_each_gets_its_own_value() {
    let (ledger, reads) = slow();
    let mut all = Box::pin(join_all((0..600).map(|key| read(&reads, key))));
    assert!(futures::poll!(&mut all).is_pending());
    ledger.gate.add_permits(100);
    for (key, value) in all.await.into_iter().enumerate() {
        assert_eq!(value.unwrap(), key.to_string());
    }
    assert_eq!(*ledger.asked.lock().unwrap(), [1, 256, 256, 87]);
    assert_eq!(read(&reads, 7).await.unwrap(), "7", "nobody leads for ever");
}

#[tokio::test]
async fn who_is_dropped_while_it_asks_hands_over_and_nobody_waits_for_ever() {
    let (ledger, reads) = slow();
    let mut first = Box::pin(read(&reads, 1));
    assert!(futures::poll!(&mut first).is_pending());
    let mut others = Box::pin(join_all((2..5).map(|key| read(&reads, key))));
    assert!(futures::poll!(&mut others).is_pending());
    drop(first);
    ledger.gate.add_permits(100);
    let values: Vec<String> = others.await.into_iter().map(Result::unwrap).collect();
    assert_eq!(values, ["2", "3", "4"]);
}

#[tokio::test]
async fn a_question_that_fails_fails_for_who_asked_and_the_others_ask_themselves() {
    let (ledger, reads) = slow();
    let mut first = Box::pin(read(&reads, 1));
    assert!(futures::poll!(&mut first).is_pending());
    let mut others = Box::pin(join_all((2..5).map(|key| read(&reads, key))));
    assert!(futures::poll!(&mut others).is_pending());
    ledger.gate.add_permits(1);
    assert_eq!(first.await.unwrap(), "1");
    ledger.fails.store(true, Ordering::SeqCst);
    ledger.gate.add_permits(100);
    let values = others.await;
    assert!(values.first().unwrap().is_err());
    assert!(values.iter().skip(1).all(Result::is_ok), "{values:?}");
    assert_eq!(ledger.alone.load(Ordering::SeqCst), 2);
}
