//! Which components may be given messages: not one that an operator has paused, not
//! one whose calls fail again and again, and not one that this host takes as it comes
//! while another consumes it in order. What waits, waits at the broker;
//! it uses up no attempt and holds no permit. The others go on.
//!
//! A breaker belongs to a build and to this process: a new build begins with a
//! closed one.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use qx_events::breaker::{Breaker, CallEnd, Change, Passage};
use qx_events::ports::Pause;
use qx_events::{Component, ComponentName, Digest, Order, Outcome};
use tokio::time::Instant;

use crate::mediator::Mediator;

/// Between two looks of a consumer at a gate that is shut: how long after a resume,
/// or a new build, messages may still wait.
const LOOK: Duration = Duration::from_millis(250);
/// For so long after a host was last seen to consume a component in order, another may
/// be about to take over: longer than it takes to find a lease free.
const SUCCESSION: Duration = Duration::from_secs(10);
/// Who consumes in order is known for so long: what is fetched later is looked at first.
const IN_CHARGE_KNOWN: Duration = Duration::from_secs(1);
/// Longest words of a failure that are kept, in characters.
const CAUSE_CHARS_MAX: usize = 200;

/// Who has paused a component.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum PausedBy {
    /// Its calls failed.
    Breaker,
    /// A person.
    Operator,
    /// Another host, which consumes it in order: this one would break it.
    Order,
}

impl PausedBy {
    /// The word for it in metrics.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Breaker => "breaker",
            Self::Operator => "operator",
            Self::Order => "order",
        }
    }
}

/// Why a component is paused, in words.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Shut {
    /// By whom.
    pub by: PausedBy,
    /// Why.
    pub reason: String,
}

struct Watched {
    digest: Digest,
    breaker: Breaker,
    /// How the last failed call ended.
    cause: String,
}

/// A host that consumes a component in order.
struct InCharge {
    holder: String,
    seen_at: Duration,
}

#[derive(Default)]
struct Known {
    watched: HashMap<ComponentName, Watched>,
    pauses: BTreeMap<ComponentName, Pause>,
    /// Of components that this host does not keep in order.
    in_charge: BTreeMap<ComponentName, InCharge>,
    in_charge_at: Option<Duration>,
}

/// The gates of all components of this process.
pub struct Gates {
    begun: Instant,
    known: Mutex<Known>,
}

impl Default for Gates {
    fn default() -> Self {
        Self {
            begun: Instant::now(),
            known: Mutex::default(),
        }
    }
}

impl Gates {
    fn known(&self) -> MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn now(&self) -> Duration {
        self.begun.elapsed()
    }

    /// What operators have paused, as it is now. Returns who was paused, and who
    /// was resumed, since the last time.
    pub fn set_pauses(&self, pauses: Vec<Pause>) -> (Vec<Pause>, Vec<ComponentName>) {
        let pauses: BTreeMap<_, _> = pauses
            .into_iter()
            .map(|pause| (pause.component.clone(), pause))
            .collect();
        let mut known = self.known();
        let new = pauses
            .values()
            .filter(|pause| !known.pauses.contains_key(&pause.component));
        let new = new.cloned().collect();
        let gone = known
            .pauses
            .keys()
            .filter(|name| !pauses.contains_key(*name));
        let gone = gone.cloned().collect();
        known.pauses = pauses;
        (new, gone)
    }

    /// Who consumes in order, as it is now, what this host takes `as_it_comes`. Returns
    /// which components were paused by it, and which are no more, since the last time.
    pub(crate) fn set_in_charge(
        &self,
        holders: Vec<(ComponentName, String)>,
        as_it_comes: impl Fn(&ComponentName) -> bool,
    ) -> (Vec<ComponentName>, Vec<ComponentName>) {
        let now = self.now();
        let mut known = self.known();
        known.in_charge_at = Some(now);
        let before: Vec<ComponentName> = known.in_charge.keys().cloned().collect();
        known
            .in_charge
            .retain(|name, one| as_it_comes(name) && now < one.seen_at + SUCCESSION);
        let (mut new, seen_at) = (Vec::new(), now);
        for (name, holder) in holders.into_iter().filter(|(name, _)| as_it_comes(name)) {
            if !before.contains(&name) {
                new.push(name.clone());
            }
            let one = InCharge { holder, seen_at };
            known.in_charge.insert(name, one);
        }
        let is_gone = |name: &ComponentName| !known.in_charge.contains_key(name);
        let gone = before.into_iter().filter(is_gone).collect();
        (new, gone)
    }

    /// Whether that was looked at a moment ago.
    pub(crate) fn knows_who_is_in_charge(&self) -> bool {
        let at = self.known().in_charge_at;
        at.is_some_and(|at| self.now() < at + IN_CHARGE_KNOWN)
    }

    /// Why a component gets no messages for now; `None`: it gets them.
    pub fn shut(&self, component: &ComponentName) -> Option<Shut> {
        let known = self.known();
        if let Some(pause) = known.pauses.get(component) {
            let colon = if pause.reason.is_empty() { "" } else { ": " };
            let reason = format!(
                "paused by {} at {}{colon}{}",
                pause.by,
                pause.since.format("%Y-%m-%dT%H:%M:%SZ"),
                pause.reason
            );
            let by = PausedBy::Operator;
            return Some(Shut { by, reason });
        }
        if let Some(one) = known.in_charge.get(component) {
            let reason = format!(
                "another host ({}) consumes it in order, and its file here does not say \
                 order = \"key\": give every host the same file",
                one.holder
            );
            let by = PausedBy::Order;
            return Some(Shut { by, reason });
        }
        let watched = known.watched.get(component)?;
        let by = PausedBy::Breaker;
        let reason = match watched.breaker.passage(self.now()) {
            Passage::All => return None,
            Passage::Probe => format!("calls failed ({}); trying one", watched.cause),
            Passage::None { until } => format!(
                "calls failed ({}); trying one in {} s",
                watched.cause,
                until.saturating_sub(self.now()).as_secs() + 1
            ),
        };
        Some(Shut { by, reason })
    }

    /// Returns once the component may be given messages: all, or one as a probe.
    pub(crate) async fn open(&self, component: &ComponentName, mediator: &Mediator) -> Passage {
        loop {
            match self.passage(component, mediator) {
                Passage::None { until } => {
                    let left = until.saturating_sub(self.now());
                    tokio::time::sleep(left.min(LOOK)).await;
                }
                passage @ (Passage::All | Passage::Probe) => return passage,
            }
        }
    }

    /// Closes the breaker of a component; `false`: it was not open.
    pub(crate) fn close(&self, component: &ComponentName) -> bool {
        let mut known = self.known();
        let gone = known.watched.remove(component);
        gone.is_some_and(|watched| watched.breaker.passage(Duration::ZERO) != Passage::All)
    }

    /// What may begin now.
    pub(crate) fn passage(&self, component: &ComponentName, mediator: &Mediator) -> Passage {
        let mut known = self.known();
        if known.pauses.contains_key(component) {
            let until = Duration::MAX;
            return Passage::None { until };
        }
        let in_service = mediator.component(component);
        if let Some(one) = known.in_charge.get(component)
            && in_service
                .as_ref()
                .is_none_or(|build| build.settings.order == Order::None)
        {
            let until = one.seen_at + SUCCESSION;
            if self.now() < until {
                return Passage::None { until };
            }
        }
        let Some(watched) = known.watched.get(component) else {
            return Passage::All;
        };
        if in_service.is_some_and(|build| build.digest != watched.digest) {
            known.watched.remove(component);
            return Passage::All;
        }
        watched.breaker.passage(self.now())
    }

    /// A call of this build ended. Returns what that changed, and how it ended.
    pub(crate) fn ended(
        &self,
        component: &Component,
        outcome: &Outcome,
        in_words: impl FnOnce() -> String,
    ) -> Option<(Change, String)> {
        let end = CallEnd::of(outcome)?;
        let mut known = self.known();
        let name = &component.name;
        if end == CallEnd::Sound && !known.watched.contains_key(name) {
            return None; // It never failed: the ordinary case.
        }
        let fresh = || Watched {
            digest: component.digest,
            breaker: Breaker::default(),
            cause: String::new(),
        };
        let watched = known.watched.entry(name.clone()).or_insert_with(fresh);
        if watched.digest != component.digest {
            *watched = fresh();
        }
        if end == CallEnd::Failed {
            watched.cause = in_words().chars().take(CAUSE_CHARS_MAX).collect();
        }
        let policy = &component.settings.breaker;
        let change = watched.breaker.on(end, policy, self.now())?;
        Some((change, watched.cause.clone()))
    }
}
