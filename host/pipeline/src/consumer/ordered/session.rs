//! From taking the lease to losing it: messages come in, wait in their lanes, run
//! one by one of each key, and are settled.
//!
//! A loop that says what woke it; the lanes decide what may run. It waits for nothing
//! else: the ledger, the broker and the handlers are asked beside it.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use futures::future::{BoxFuture, FutureExt, join_all};
use futures::stream::{FuturesUnordered, StreamExt};
use qx_events::Fault;
use qx_events::breaker::Passage;
use qx_events::ports::{Delivery, Fence, Source};
use tokio::time::{Instant, sleep_until};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use super::Ordered;
use super::arrivals::{Arrived, Held, Pumped, pump};
use super::run::Ended;
use crate::backoff::Backoff;
use crate::consumer::Consumer;
use crate::consumer::fresh::Fresh;
use crate::consumer::lanes::{Known, Lanes};
use crate::witness::Sight;

/// A full hand is looked through this often for what could make room.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// A gate that is shut, or lets one through, is looked at this often.
const GATE_EVERY: Duration = Duration::from_millis(250);
/// A renewal that failed is tried again so soon.
const RENEW_AGAIN: Duration = Duration::from_millis(500);
/// What was handed back has come again by then, after its pause and so many
/// acknowledgement waits: the stream may have lost the request.
const AWAY_ACK_WAITS: u32 = 2;

/// Why a session is over.
pub(super) enum End {
    Stopped,
    /// Somebody else has the lease.
    Lost,
    /// What is in hand may not be all there is.
    Doubt(&'static str),
    Fault(Fault),
}

/// What woke the loop.
enum Wake {
    Stopped,
    Ended(u64, Ended),
    Renewed(Instant, Result<bool, Fault>),
    Pumped(Pumped),
    Told,
    Beaten,
    Timer,
}

type Task<T> = BoxFuture<'static, T>;

pub(super) struct Session<'a> {
    consumer: &'a Arc<Consumer>,
    ordered: &'a Ordered,
    fence: Fence,
    lanes: Lanes<Arc<Held>>,
    /// The former holder may have died of what comes first.
    fresh: Fresh,
    /// In how many positions each event is outstanding: one, but for duplicates.
    events: HashMap<Uuid, usize>,
    /// Between two turns of the pump.
    source: Option<Box<dyn Source>>,
    is_resumed: bool,
    /// Events that came to an end while the pump turns: it may have looked them up
    /// before. No more than are in hand.
    ended_meanwhile: HashSet<Uuid>,
    /// Deliveries that the durable consumer has handed over, all of them to us.
    handed_over: u64,
    pumping: Option<Task<Pumped>>,
    running: FuturesUnordered<Task<(u64, Ended)>>,
    renewing: Option<Task<(Instant, Result<bool, Fault>)>>,
    beating: Option<Task<()>>,
    /// What is being said to the stream beside.
    telling: FuturesUnordered<Task<()>>,
    /// The lease is ours until then, whatever others do.
    valid_until: Instant,
    renew_at: Instant,
    beat_at: Instant,
    ending: Option<End>,
}

impl<'a> Session<'a> {
    /// The lease was taken just now.
    pub(super) fn new(consumer: &'a Arc<Consumer>, ordered: &'a Ordered, fence: Fence) -> Self {
        let now = Instant::now();
        Self {
            consumer,
            ordered,
            fence,
            lanes: Lanes::new(),
            fresh: Fresh::new(&consumer.config.subscription),
            events: HashMap::new(),
            source: None,
            is_resumed: false,
            ended_meanwhile: HashSet::new(),
            handed_over: 0,
            pumping: None,
            running: FuturesUnordered::new(),
            renewing: None,
            beating: None,
            telling: FuturesUnordered::new(),
            valid_until: now + ordered.term,
            renew_at: now + ordered.term / 3,
            beat_at: now + consumer.heartbeat(),
            ending: None,
        }
    }

    /// Goes on until `stop`, or until it cannot. What runs then is waited for, unless
    /// the lease is lost: it cannot commit any more.
    pub(super) async fn run(mut self, stop: &CancellationToken, backoff: &mut Backoff) -> End {
        loop {
            self.begin_what_can();
            match self.ending.take() {
                Some(End::Lost) => return End::Lost,
                Some(end) if self.running.is_empty() => return end,
                ending => self.ending = ending,
            }
            match self.woken(stop).await {
                Wake::Stopped => self.end(End::Stopped),
                Wake::Ended(position, ended) => self.ended(position, ended),
                Wake::Renewed(asked, answer) => self.renewed(asked, answer),
                Wake::Pumped(pumped) => self.pumped(pumped, backoff),
                Wake::Beaten => self.beating = None,
                Wake::Told | Wake::Timer => {}
            }
        }
    }

    async fn woken(&mut self, stop: &CancellationToken) -> Wake {
        let timer = self.timer();
        tokio::select! {
            biased; // Stop wins, and what has ended makes room for what arrives.
            () = stop.cancelled(), if self.ending.is_none() => Wake::Stopped,
            Some((position, ended)) = self.running.next() => Wake::Ended(position, ended),
            (asked, answer) = maybe(&mut self.renewing) => {
                self.renewing = None;
                Wake::Renewed(asked, answer)
            }
            pumped = maybe(&mut self.pumping) => {
                self.pumping = None;
                Wake::Pumped(pumped)
            }
            Some(()) = self.telling.next() => Wake::Told,
            () = maybe(&mut self.beating) => Wake::Beaten,
            () = sleep_until(timer) => Wake::Timer,
        }
    }

    /// When the clock alone is a reason to wake up.
    fn timer(&self) -> Instant {
        let full = (self.is_full() && self.ending.is_none()).then(|| Instant::now() + LOOK_EVERY);
        let renewal = self.renewing.is_none().then_some(self.renew_at);
        let due = self.lanes.next_due().filter(|_| self.may_begin());
        let gate = (self.may_run() != usize::MAX).then(|| Instant::now() + GATE_EVERY);
        let times = [full, renewal, due, gate].into_iter().flatten();
        times.fold(self.beat_at, Instant::min)
    }

    /// Nothing begins when the session is over, or while nobody knows whether the
    /// lease is still ours.
    fn may_begin(&self) -> bool {
        self.ending.is_none() && Instant::now() < self.valid_until
    }

    fn is_full(&self) -> bool {
        self.lanes.in_hand() >= self.ordered.in_hand_max
    }

    fn end(&mut self, end: End) {
        match (&self.ending, &end) {
            (None, _) | (Some(_), End::Lost) => self.ending = Some(end),
            (Some(_), End::Stopped | End::Doubt(_) | End::Fault(_)) => {}
        }
        self.pumping = None;
    }

    fn begin_what_can(&mut self) {
        let now = Instant::now();
        if self.renewing.is_none() && now >= self.renew_at {
            self.renew(now);
        }
        if now >= self.beat_at {
            self.beat(now);
        }
        if !self.may_begin() {
            return;
        }
        self.lanes.wake(now);
        let most = self.may_run();
        while self.running.len() < most
            && let Ok(permit) = Arc::clone(&self.consumer.room.calls).try_acquire_owned()
        {
            let Some((position, held)) = self.lanes.start(now) else {
                break;
            };
            let (consumer, fence) = (Arc::clone(self.consumer), self.fence.clone());
            let task = self.consumer.deliveries.spawn(async move {
                let ended = consumer.run_held(&held, fence).await;
                drop(permit);
                ended
            });
            let ended = async move { (position, task.await.unwrap_or(Ended::Silent)) };
            self.running.push(ended.boxed());
        }
        if most > 0 {
            self.fetch(now);
        }
    }

    /// How many may run at once: none of a component that is paused, one while its
    /// breaker tries. What is in hand stays in hand meanwhile.
    fn may_run(&self) -> usize {
        let dispatcher = &self.consumer.dispatcher;
        let name = self.consumer.name();
        match dispatcher.gates().passage(name, dispatcher.mediator()) {
            Passage::All => usize::MAX,
            Passage::Probe => 1,
            Passage::None { .. } => 0,
        }
    }

    /// Lets the pump turn when there is room; makes room when there is none.
    fn fetch(&mut self, now: Instant) {
        if self.pumping.is_some() {
            return;
        }
        if self.is_full() {
            for back in self.lanes.relieve(now) {
                let (delivery, pause) = (back.item.delivery(), back.pause);
                self.tell(async move { delivery.receipt.nak(pause).await });
            }
        }
        let room = self
            .ordered
            .in_hand_max
            .saturating_sub(self.lanes.in_hand());
        if room == 0 {
            return;
        }
        let source = self.source.take();
        self.ended_meanwhile.clear();
        self.pumping = Some(pump(Arc::clone(self.consumer), source, room).boxed());
    }

    fn pumped(&mut self, pumped: Pumped, backoff: &mut Backoff) {
        match pumped {
            Pumped::Arrived(source, arrived) => {
                self.source = Some(source);
                if backoff.is_failing() && (self.is_resumed || !arrived.is_empty()) {
                    let component = self.consumer.name();
                    self.consumer.saw(&Sight::Resumed { component });
                    backoff.reset();
                }
                self.is_resumed = true;
                for arrived in arrived {
                    if let Err(why) = self.take(arrived) {
                        return self.end(End::Doubt(why));
                    }
                }
            }
            Pumped::Failed(fault) => self.end(End::Fault(fault)),
            Pumped::Stopped => self.end(End::Stopped),
        }
    }

    /// Puts a message where it belongs. An error says why what is in hand may not be
    /// all there is.
    fn take(&mut self, arrived: Arrived) -> Result<(), &'static str> {
        if let Some(number) = arrived.delivery.handed_over {
            if number != self.handed_over + 1 {
                return Err("a message was handed to somebody else, or was lost on the way");
            }
            self.handed_over = number;
        }
        let position = arrived.delivery.stream_seq;
        match self.lanes.knows(position) {
            Known::InHand(held) => {
                if !Arc::clone(held).renew(arrived) {
                    return Err("the stream has another message in the place of one in hand");
                }
            }
            Known::Away if arrived.is_over() => {
                self.forget(arrived.event_id());
                self.pass(position, arrived);
            }
            Known::New | Known::Passed if arrived.is_over() => self.pass(position, arrived),
            Known::Away => {
                let is_old = self.may_be_old(arrived.event_id());
                self.put(position, arrived, is_old);
            }
            Known::New => {
                let is_old = self.count(arrived.event_id());
                self.put(position, arrived, is_old);
            }
            Known::Passed => return Err("a message came after one that it stands before"),
        }
        Ok(())
    }

    fn put(&mut self, position: u64, arrived: Arrived, is_old: bool) {
        let key = arrived.key(self.ordered.key);
        let held = Held::new(arrived, self.fresh.next(), is_old);
        self.lanes.take(position, key, Arc::new(held));
    }

    fn finish(&mut self, position: u64) {
        if let Known::InHand(held) = self.lanes.knows(position) {
            let event = held.event_id();
            self.forget(event);
            if self.pumping.is_some() {
                self.ended_meanwhile.extend(event);
            }
        }
        self.lanes.finish(position);
    }

    /// Counts an event in; whether what is known of it may be old.
    fn count(&mut self, event: Option<Uuid>) -> bool {
        if let Some(event) = event {
            *self.events.entry(event).or_default() += 1;
        }
        self.may_be_old(event)
    }

    fn may_be_old(&self, event: Option<Uuid>) -> bool {
        let Some(event) = event else {
            return false;
        };
        let is_in_hand = self.events.get(&event).is_some_and(|count| *count > 1);
        is_in_hand || self.ended_meanwhile.contains(&event)
    }

    fn forget(&mut self, event: Option<Uuid>) {
        let Some(event) = event else {
            return;
        };
        if let Some(count) = self.events.get_mut(&event) {
            *count -= 1;
            if *count == 0 {
                self.events.remove(&event);
            }
        }
    }

    /// Acknowledges what the ledger knows.
    fn pass(&mut self, position: u64, arrived: Arrived) {
        self.lanes.pass(position);
        if let Some(envelope) = &arrived.envelope {
            self.consumer.saw(&Sight::Duplicate {
                component: self.consumer.name(),
                envelope,
            });
        }
        let delivery = arrived.delivery;
        self.tell(async move { delivery.receipt.ack().await });
    }

    fn ended(&mut self, position: u64, ended: Ended) {
        match ended {
            Ended::Over => self.finish(position),
            Ended::Again(after) => self.lanes.pause(position, Instant::now() + after),
            Ended::Fenced => self.end(End::Lost),
            Ended::Silent => self.end(End::Doubt("a message came to no end")),
        }
    }

    fn renew(&mut self, now: Instant) {
        let leases = Arc::clone(&self.consumer.dispatcher.services().leases);
        let (fence, term) = (self.fence.clone(), self.ordered.term);
        let asking = async move { (now, leases.renew(&fence, term).await) };
        self.renewing = Some(asking.boxed());
    }

    fn renewed(&mut self, asked: Instant, answer: Result<bool, Fault>) {
        match answer {
            Ok(true) => {
                self.valid_until = asked + self.ordered.term;
                self.renew_at = asked + self.ordered.term / 3;
            }
            Ok(false) => self.end(End::Lost),
            // Nothing new begins when the term is over; what runs may still commit,
            // if nobody took the lease.
            Err(fault) => {
                tracing::debug!(error = fault.chain(), "lease was not renewed");
                self.renew_at = Instant::now() + RENEW_AGAIN.min(self.ordered.term / 6);
            }
        }
    }

    /// Tells the stream that everything here is still in hand. One that hangs does
    /// not hold anything up.
    fn beat(&mut self, now: Instant) {
        let every = self.consumer.heartbeat();
        self.beat_at = now + every;
        let waits = self.consumer.config.subscription.ack_wait * AWAY_ACK_WAITS;
        if now
            .checked_sub(waits)
            .is_some_and(|then| self.lanes.is_missing(then))
        {
            self.end(End::Doubt(
                "a message that was handed back did not come again",
            ));
        }
        if self.lanes.in_hand() == 0 {
            return;
        }
        let held: Vec<Arc<Delivery>> = self.lanes.items().map(|held| held.delivery()).collect();
        let beats = async move {
            let beats = held.iter().map(|delivery| delivery.receipt.progress());
            // What comes again is recognised: a lost heartbeat does no harm.
            drop(tokio::time::timeout(every, join_all(beats)).await);
        };
        self.beating = Some(beats.boxed());
    }

    /// Says something to the stream, beside everything else. If it is not taken, the
    /// message comes again.
    fn tell(&mut self, saying: impl Future<Output = Result<(), Fault>> + Send + 'static) {
        let said = async move {
            if let Err(fault) = saying.await {
                tracing::debug!(error = fault.chain(), "settling was not taken");
            }
        };
        self.telling.push(said.boxed());
    }
}

/// What comes of it, if there is one.
async fn maybe<T>(task: &mut Option<Task<T>>) -> T {
    match task {
        Some(task) => task.await,
        None => std::future::pending().await,
    }
}
