//! Which way messages go: pipelined, or in atomic batches. Measured, because
//! nobody can ask a server whether it syncs its disk with every write, and that
//! decides which is faster. A plain value; what was measured is a parameter.

use std::time::Duration;

/// What the operator wants.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub enum PublishWay {
    /// The faster of the two, measured, where server and stream know batches.
    #[default]
    Auto,
    /// Pipelined always.
    Pipelined,
    /// In atomic batches, where server and stream know them.
    Batch,
}

/// One of the two ways.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Way {
    Pipelined,
    Batch,
}

/// Whether batches are taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Batches {
    None,
    Taken,
    /// Nothing else keeps the order, whatever the server loses.
    Needed,
}

/// Calls with fewer messages say little about the speed.
const MEASURED_MESSAGES_MIN: usize = 50;
/// So many measured calls before the slower way is tried again: it costs one call
/// in as many, and a server that was set up anew is noticed soon.
const TRY_AGAIN_AFTER: u32 = 200;
/// Weight of the newest measurement: a few calls outvote an outlier.
const NEWEST: f64 = 0.25;
/// Measured calls of each way before one is preferred. The first of them finds
/// everything cold, and does not count.
const FIRST_LOOKS: u32 = 4;
/// So many times slower at the first look is enough: a server that syncs every write
/// is not kept waiting for the others.
const CLEARLY: f64 = 4.0;

/// What is known of the two ways.
#[derive(Debug, Default)]
pub(crate) struct Gait {
    wanted: PublishWay,
    pipelined: Known,
    batch: Known,
    since_tried: u32,
}

/// What is known of one way.
#[derive(Debug, Default)]
struct Known {
    /// Seconds for one message, smoothed.
    each: f64,
    /// Calls that were measured, as far as that matters.
    calls: u32,
}

impl Known {
    fn learn(&mut self, each: f64) {
        self.calls = self.calls.saturating_add(1);
        let weight = if self.calls <= 2 { 1.0 } else { NEWEST };
        self.each += weight * (each - self.each);
    }

    fn is_new(&self) -> bool {
        self.calls < FIRST_LOOKS
    }

    fn is_clearly_faster(&self, other: &Self) -> bool {
        self.calls > 0 && other.calls > 0 && self.each * CLEARLY < other.each
    }
}

impl Gait {
    pub(crate) fn new(wanted: PublishWay) -> Self {
        Self {
            wanted,
            ..Self::default()
        }
    }

    /// The way for a call with so many messages.
    pub(crate) fn next(&mut self, messages: usize, batches: Batches) -> Way {
        if messages < 2 {
            return Way::Pipelined;
        }
        match (self.wanted, batches) {
            (_, Batches::None) | (PublishWay::Pipelined, Batches::Taken | Batches::Needed) => {
                Way::Pipelined
            }
            (PublishWay::Batch, Batches::Taken | Batches::Needed)
            | (PublishWay::Auto, Batches::Needed) => Way::Batch,
            (PublishWay::Auto, Batches::Taken) => self.measured(messages),
        }
    }

    fn measured(&mut self, messages: usize) -> Way {
        let (pipelined, batch) = (&self.pipelined, &self.batch);
        let is_clear = pipelined.is_clearly_faster(batch) || batch.is_clearly_faster(pipelined);
        let is_known = is_clear || !(pipelined.is_new() || batch.is_new());
        let batch_is_better = is_known && batch.each < pipelined.each;
        let better = if batch_is_better {
            Way::Batch
        } else {
            Way::Pipelined
        };
        if messages < MEASURED_MESSAGES_MIN {
            return better;
        }
        if !is_known {
            return if batch.calls < pipelined.calls {
                Way::Batch
            } else {
                Way::Pipelined
            };
        }
        self.since_tried += 1;
        if self.since_tried < TRY_AGAIN_AFTER {
            return better;
        }
        self.since_tried = 0;
        match better {
            Way::Pipelined => Way::Batch,
            Way::Batch => Way::Pipelined,
        }
    }

    /// Learns from a call that went this way from end to end, and stored everything.
    pub(crate) fn took(&mut self, way: Way, messages: usize, took: Duration) {
        if messages < MEASURED_MESSAGES_MIN {
            return;
        }
        #[expect(
            clippy::cast_precision_loss,
            reason = "a few thousand messages at most"
        )]
        let each = took.as_secs_f64() / messages as f64;
        match way {
            Way::Pipelined => self.pipelined.learn(each),
            Way::Batch => self.batch.learn(each),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MANY: usize = 200;

    /// The ways of so many calls, on a server that takes so long for each.
    fn ways(gait: &mut Gait, calls: u32, pipelined_ms: u64, batch_ms: u64) -> Vec<Way> {
        let call = |_| {
            let way = gait.next(MANY, Batches::Taken);
            let ms = match way {
                Way::Pipelined => pipelined_ms,
                Way::Batch => batch_ms,
            };
            gait.took(way, MANY, Duration::from_millis(ms));
            way
        };
        (0..calls).map(call).collect()
    }

    #[test]
    fn the_faster_way_is_found_and_the_other_one_tried_now_and_then() {
        for (pipelined_ms, batch_ms, faster) in [(3, 5, Way::Pipelined), (40, 9, Way::Batch)] {
            let mut gait = Gait::new(PublishWay::Auto);
            let ways = ways(&mut gait, 2 * TRY_AGAIN_AFTER + 10, pipelined_ms, batch_ms);
            let others = ways.iter().filter(|way| **way != faster).count();
            assert!((2..=FIRST_LOOKS as usize + 2).contains(&others), "{others}");
        }
    }

    #[test]
    fn a_server_that_begins_to_sync_every_write_is_noticed() {
        let mut gait = Gait::new(PublishWay::Auto);
        assert_eq!(ways(&mut gait, 10, 3, 5).last(), Some(&Way::Pipelined));
        ways(&mut gait, TRY_AGAIN_AFTER, 40, 9);
        assert_eq!(ways(&mut gait, 1, 40, 9), [Way::Batch]);
    }

    #[test]
    fn a_first_call_that_found_everything_cold_does_not_decide() {
        let mut gait = Gait::new(PublishWay::Auto);
        assert_eq!(ways(&mut gait, 1, 15, 5), [Way::Pipelined]);
        assert_eq!(ways(&mut gait, 10, 3, 5).last(), Some(&Way::Pipelined));
    }

    #[test]
    fn what_the_operator_says_is_done_where_it_can_be() {
        for (wanted, messages, batches, way) in [
            (PublishWay::Batch, MANY, Batches::Taken, Way::Batch),
            (PublishWay::Batch, 2, Batches::Taken, Way::Batch),
            (PublishWay::Batch, 1, Batches::Taken, Way::Pipelined),
            (PublishWay::Batch, MANY, Batches::None, Way::Pipelined),
            (PublishWay::Pipelined, MANY, Batches::Taken, Way::Pipelined),
            (PublishWay::Auto, MANY, Batches::None, Way::Pipelined),
            (PublishWay::Auto, MANY, Batches::Needed, Way::Batch),
        ] {
            assert_eq!(Gait::new(wanted).next(messages, batches), way, "{wanted:?}");
        }
    }

    #[test]
    fn a_few_messages_go_the_way_that_is_known_to_be_faster() {
        let mut gait = Gait::new(PublishWay::Auto);
        assert_eq!(gait.next(5, Batches::Taken), Way::Pipelined);
        ways(&mut gait, 5, 40, 9);
        assert_eq!(gait.next(5, Batches::Taken), Way::Batch);
    }
}
