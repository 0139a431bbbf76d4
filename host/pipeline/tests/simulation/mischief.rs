//! Where misbehaviour comes from: the weather of a model, which a test sets, and
//! the dice of the mix, which a seed sets. And the life of a process, whose end
//! no call outlasts.

use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use qx_events::Fault;
use tokio::sync::Notify;

/// Dice. Without a seed they never fall.
pub(crate) struct Mischief {
    rng: Mutex<fastrand::Rng>,
    percent: AtomicU32,
}

impl Mischief {
    pub(crate) fn none() -> Arc<Self> {
        Self::seeded(0, 0)
    }

    pub(crate) fn seeded(seed: u64, percent: u32) -> Arc<Self> {
        Arc::new(Self {
            rng: Mutex::new(fastrand::Rng::with_seed(seed)),
            percent: AtomicU32::new(percent),
        })
    }

    /// From here on everything behaves.
    pub(crate) fn end(&self) {
        self.percent.store(0, Ordering::SeqCst);
    }

    /// Whether something goes wrong now.
    pub(crate) fn strikes(&self) -> bool {
        let percent = self.percent.load(Ordering::SeqCst);
        percent > 0 && self.below(100) < percent
    }

    /// A number below `end`.
    pub(crate) fn below(&self, end: u32) -> u32 {
        self.rng.lock().unwrap().u32(..end)
    }

    /// Takes its time: mostly none or little, sometimes long.
    async fn dawdle(&self) {
        if self.percent.load(Ordering::SeqCst) == 0 || self.below(2) == 0 {
            return tokio::task::yield_now().await;
        }
        let longest = if self.strikes() { 3_000 } else { 6 };
        let millis = u64::from(self.below(longest));
        tokio::time::sleep(Duration::from_millis(millis)).await;
    }
}

/// The life of a process. Everything it asks of the outside goes through here,
/// so that the dead have no effect.
#[derive(Clone, Default)]
pub(crate) struct Life(Arc<Pulse>);

#[derive(Default)]
struct Pulse {
    is_over: AtomicBool,
    is_frozen: AtomicBool,
    thawed: Notify,
}

impl Life {
    pub(crate) fn end(&self) {
        self.0.is_over.store(true, Ordering::SeqCst);
    }

    /// Nothing it asks for goes on from here, until it is thawed: then everything.
    pub(crate) fn freeze(&self) {
        self.0.is_frozen.store(true, Ordering::SeqCst);
    }

    pub(crate) fn thaw(&self) {
        self.0.is_frozen.store(false, Ordering::SeqCst);
        self.0.thawed.notify_waiters();
    }

    /// Returns to the living only.
    pub(crate) async fn check(&self) {
        loop {
            let mut thawed = std::pin::pin!(self.0.thawed.notified());
            thawed.as_mut().enable();
            if self.0.is_over.load(Ordering::SeqCst) {
                std::future::pending::<()>().await;
            }
            if !self.0.is_frozen.load(Ordering::SeqCst) {
                return;
            }
            thawed.await;
        }
    }
}

/// How a model is today.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Weather {
    Fair,
    /// Every request fails.
    Down,
    /// No request is ever answered.
    Hung,
}

/// The way into a model and out again: for one process, in one weather.
#[derive(Clone)]
pub(crate) struct Door {
    pub(crate) life: Life,
    pub(crate) mischief: Arc<Mischief>,
    weather: Arc<Mutex<Weather>>,
}

impl Door {
    pub(crate) fn new(mischief: Arc<Mischief>) -> Self {
        Self {
            life: Life::default(),
            mischief,
            weather: Arc::new(Mutex::new(Weather::Fair)),
        }
    }

    /// The same door for another process.
    pub(crate) fn of(&self, life: &Life) -> Self {
        Self {
            life: life.clone(),
            ..self.clone()
        }
    }

    pub(crate) fn set(&self, weather: Weather) {
        *self.weather.lock().unwrap() = weather;
    }

    pub(crate) fn weather(&self) -> Weather {
        *self.weather.lock().unwrap()
    }

    /// Past this line the request has arrived, and nothing has happened yet.
    pub(crate) async fn enter(&self, doing: &str) -> Result<(), Fault> {
        self.life.check().await;
        self.mischief.dawdle().await;
        self.life.check().await;
        match self.weather() {
            Weather::Fair if self.mischief.strikes() => {
                Err(Fault::transient(doing, "the connection broke before it"))
            }
            Weather::Fair => Ok(()),
            Weather::Down => Err(Fault::transient(doing, "nobody there")),
            Weather::Hung => std::future::pending().await,
        }
    }

    /// Past this line the answer has arrived. What was asked has happened either way.
    pub(crate) async fn leave(&self, doing: &str) -> Result<(), Fault> {
        self.mischief.dawdle().await;
        self.life.check().await;
        if self.mischief.strikes() {
            return Err(Fault::transient(doing, "the connection broke after it"));
        }
        Ok(())
    }
}
