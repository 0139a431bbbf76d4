//! One database, one broker, one history: what outlives every process.

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use crate::history::History;
use crate::host::Host;
use crate::mischief::{Mischief, Weather};
use crate::models::broker::Broker;
use crate::models::database::Database;

/// The outside.
pub(crate) struct World {
    pub(crate) db: Database,
    pub(crate) broker: Broker,
    pub(crate) history: History,
    pub(crate) mischief: Arc<Mischief>,
}

impl World {
    /// Where everything behaves until a test says otherwise.
    pub(crate) fn new() -> Self {
        Self::with(Mischief::none())
    }

    pub(crate) fn with(mischief: Arc<Mischief>) -> Self {
        let history = History::new();
        Self {
            db: Database::new(&history, &mischief),
            broker: Broker::new(&history, &mischief),
            history,
            mischief,
        }
    }

    /// A process, with nothing running in it.
    pub(crate) fn host(&self, name: &str) -> Host {
        Host::new(self, name)
    }

    /// The database is away for so long.
    pub(crate) async fn db_down_for(&self, outage: Duration) {
        self.db.door.set(Weather::Down);
        pass(outage).await;
        self.db.door.set(Weather::Fair);
    }

    /// The broker is away for so long.
    pub(crate) async fn broker_down_for(&self, outage: Duration) {
        self.broker.door.set(Weather::Down);
        pass(outage).await;
        self.broker.door.set(Weather::Fair);
    }
}

/// Lets virtual time pass, and with it everything that is due meanwhile.
pub(crate) async fn pass(time: Duration) {
    tokio::time::sleep(time).await;
}

/// What `work` gives, and the virtual time it took. Fails when it takes for ever.
pub(crate) async fn timed<T>(history: &History, work: impl Future<Output = T>) -> (T, Duration) {
    let begun = history.now();
    let Ok(done) = tokio::time::timeout(Duration::from_hours(1), work).await else {
        panic!("never ends\n{history}");
    };
    (done, history.since(begun))
}
