//! One durable consumer's book: what was handed out, what is due again, what is
//! done. Plain values; the time is a parameter.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use qx_events::ports::{Lag, Subscription};
use qx_events::{EventName, Pattern};
use tokio::time::Instant;

pub(crate) struct Durable {
    pub(crate) patterns: Vec<Pattern>,
    ack_wait: Duration,
    in_flight_max: usize,
    /// The first message that was never looked at.
    next: u64,
    in_hand: BTreeMap<u64, Instant>,
    waiting: BTreeMap<u64, Instant>,
    counts: BTreeMap<u64, u32>,
    done: BTreeSet<u64>,
    /// Handed over since it was made, redeliveries included.
    handed_over: u64,
    /// How often it was made anew.
    pub(crate) made: u32,
    /// The most that were ever in hand.
    pub(crate) in_hand_most: usize,
}

impl Durable {
    pub(crate) fn new(subscription: &Subscription) -> Self {
        Self {
            patterns: subscription.patterns.clone(),
            ack_wait: subscription.ack_wait,
            in_flight_max: subscription.in_flight_max,
            next: 1,
            in_hand: BTreeMap::new(),
            waiting: BTreeMap::new(),
            counts: BTreeMap::new(),
            done: BTreeSet::new(),
            handed_over: 0,
            made: 0,
            in_hand_most: 0,
        }
    }

    /// Looks at the messages that are new to it. `name_at` names the event.
    pub(crate) fn look(&mut self, now: Instant, name_at: impl Fn(u64) -> Option<EventName>) {
        while let Some(name) = name_at(self.next) {
            if self.patterns.iter().any(|pattern| pattern.matches(&name)) {
                self.waiting.insert(self.next, now);
            }
            self.next += 1;
        }
    }

    /// It is made anew from where it stood: what is behind that is settled, and
    /// everything else comes again, settled or not.
    pub(crate) fn make_anew(&mut self) {
        let open = self.in_hand.keys().chain(self.waiting.keys());
        // Somebody who was stopped may have given back what is not looked at yet.
        let first = open.copied().min().unwrap_or(self.next);
        self.next = self.next.min(first);
        self.in_hand.clear();
        self.waiting.clear();
        self.counts.clear();
        self.done.retain(|message| *message < self.next);
        self.handed_over = 0;
        self.made += 1;
    }

    /// Hands out up to `max`, each with its count, and the number of the handing-over.
    pub(crate) fn take(&mut self, now: Instant, max: usize) -> Vec<(u64, u32, u64)> {
        let expired: Vec<u64> = keys_until(&self.in_hand, now);
        for message in expired {
            self.in_hand.remove(&message);
            self.waiting.insert(message, now);
        }
        let room = self.in_flight_max.saturating_sub(self.in_hand.len());
        let due: Vec<u64> = keys_until(&self.waiting, now)
            .into_iter()
            .take(max.min(room))
            .collect();
        let hand_out = |message: u64| {
            self.waiting.remove(&message);
            self.in_hand.insert(message, now + self.ack_wait);
            let count = self.counts.entry(message).or_default();
            *count += 1;
            self.handed_over += 1;
            (message, *count, self.handed_over)
        };
        let taken = due.into_iter().map(hand_out).collect();
        self.in_hand_most = self.in_hand_most.max(self.in_hand.len());
        taken
    }

    /// When something becomes due next.
    pub(crate) fn next_due(&self) -> Option<Instant> {
        self.in_hand
            .values()
            .chain(self.waiting.values())
            .min()
            .copied()
    }

    /// Done with it, by whichever of its deliveries.
    pub(crate) fn finish(&mut self, message: u64) {
        self.in_hand.remove(&message);
        self.waiting.remove(&message);
        self.done.insert(message);
    }

    pub(crate) fn wait(&mut self, message: u64, due: Instant) {
        if !self.done.contains(&message) {
            self.in_hand.remove(&message);
            self.waiting.insert(message, due);
        }
    }

    pub(crate) fn extend(&mut self, message: u64, now: Instant) {
        if let Some(deadline) = self.in_hand.get_mut(&message) {
            *deadline = now + self.ack_wait;
        }
    }

    /// Misbehaves: it comes again while it is in hand.
    pub(crate) fn double(&mut self, message: u64, due: Instant) {
        self.waiting.insert(message, due);
    }

    /// Misbehaves: an acknowledgement that was confirmed is forgotten.
    pub(crate) fn forget_one(&mut self, dice: u32, now: Instant) {
        let count = self.done.len();
        let Some(nth) = (dice as usize).checked_rem(count) else {
            return;
        };
        if let Some(message) = self.done.iter().nth(nth).copied() {
            self.done.remove(&message);
            self.waiting.insert(message, now);
        }
    }

    /// Misbehaves: it no longer knows how often anything was delivered.
    pub(crate) fn forget_counts(&mut self) {
        self.counts.clear();
    }

    /// Restarted: it knows what was done, and nothing of what was handed out, how
    /// often, or held back until when.
    pub(crate) fn restart(&mut self, now: Instant) {
        self.counts.clear();
        let in_hand = std::mem::take(&mut self.in_hand);
        for message in in_hand.into_keys() {
            self.waiting.insert(message, now);
        }
        for due in self.waiting.values_mut() {
            *due = now;
        }
    }

    /// The stream ends here now, and what was done behind its end is forgotten.
    pub(crate) fn fall_back(&mut self, end: u64) {
        self.next = self.next.min(end + 1);
        self.in_hand.retain(|message, _| *message <= end);
        self.waiting.retain(|message, _| *message <= end);
        self.counts.retain(|message, _| *message <= end);
        self.done.retain(|message| *message <= end);
    }

    pub(crate) fn lag(&self, stored: u64) -> Lag {
        Lag {
            pending: self.waiting.len() as u64 + (stored + 1).saturating_sub(self.next),
            in_flight: self.in_hand.len() as u64,
        }
    }
}

fn keys_until(times: &BTreeMap<u64, Instant>, now: Instant) -> Vec<u64> {
    let reached = times.iter().filter(|(_, at)| **at <= now);
    reached.map(|(key, _)| *key).collect()
}
