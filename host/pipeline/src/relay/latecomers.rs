//! How far rows may leave while transactions are open that may still bring one that
//! belongs before them. Plain values; the time is a parameter.
//!
//! A transaction takes its `seq` while it is open, and a look at the outbox tells
//! which ones are. One that was not open at a look took none that is lower than the
//! highest that was seen there. So what is not higher than that, for every transaction
//! that is open now, can leave: nothing will come before it.
//!
//! Never: waits for a transaction that has not written to the outbox, or for one that
//! began after the rows in question.

use std::time::Duration;

use qx_events::ports::{Writer, Writers};
use qx_events::{Fault, Row};
use tokio::time::Instant;

use super::{Relay, RowOrder};
use crate::witness::Sight;

/// Who is waited for longer than this is worth a word. Ordinary transactions end
/// before.
const WORTH_A_WORD: Duration = Duration::from_secs(1);

/// A transaction that is open.
#[derive(Debug)]
struct Open {
    writer: Writer,
    /// It takes no `seq` up to here.
    above: i64,
    seen_at: Instant,
}

/// What is known of transactions that are open.
#[derive(Debug)]
pub(super) struct Latecomers {
    /// One for each session of the database at most.
    open: Vec<Open>,
    /// The highest `seq` that was seen.
    newest: i64,
    /// Rows up to here may leave.
    last: i64,
    /// There are probably more of those.
    more: bool,
    told: bool,
}

impl Default for Latecomers {
    fn default() -> Self {
        Self {
            open: Vec::new(),
            newest: i64::MIN,
            last: i64::MIN,
            more: false,
            told: false,
        }
    }
}

/// What holds rows back, when somebody should hear of it.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum HeldBack<'a> {
    /// This transaction, for so long.
    By(&'a Writer, Duration),
    /// It did, and does no more.
    NoMore,
}

impl Latecomers {
    /// Rows up to this `seq` may leave, whatever is still to come.
    pub(super) fn last(&self) -> i64 {
        self.last
    }

    /// Learns from a look.
    pub(super) fn saw(&mut self, writers: Writers, now: Instant) {
        let before = std::mem::take(&mut self.open);
        // One that was prepared goes by another name, and its number may not have been
        // known: it may be any of those that are gone without one.
        let unnumbered = |open: &&Open| {
            let is_there = writers.open.iter().any(|it| it.name == open.writer.name);
            !is_there && open.writer.number.is_none()
        };
        let vanished = before
            .iter()
            .filter(unnumbered)
            .map(|open| open.above)
            .min();
        self.open = Vec::with_capacity(writers.open.len());
        for writer in writers.open {
            let known = before.iter().find(|open| is_same(&open.writer, &writer));
            let above = match (known, vanished) {
                (Some(known), _) => known.above,
                (None, Some(vanished)) if writer.pid.is_none() => vanished,
                (None, _) => self.newest,
            };
            self.open.push(Open {
                above,
                seen_at: known.map_or(now, |known| known.seen_at),
                writer,
            });
        }
        self.newest = self.newest.max(writers.newest.unwrap_or(i64::MIN));
        let open = self.open.iter().map(|open| open.above);
        self.last = open.fold(self.newest, i64::min);
    }

    /// Nothing is known any more: the database may be another one.
    pub(super) fn doubt(&mut self) {
        let told = self.told;
        *self = Self {
            told,
            ..Self::default()
        };
    }

    /// What is to be told of it.
    pub(super) fn news(&mut self, now: Instant) -> Option<HeldBack<'_>> {
        let first = self
            .open
            .iter()
            .min_by_key(|open| (open.above, open.seen_at));
        let waited = first.map(|open| (open, now.saturating_duration_since(open.seen_at)));
        match waited.filter(|(open, _)| open.above < self.newest) {
            Some((open, waited)) if waited >= WORTH_A_WORD => {
                self.told = true;
                Some(HeldBack::By(&open.writer, waited))
            }
            Some(_) | None => std::mem::take(&mut self.told).then_some(HeldBack::NoMore),
        }
    }
}

impl Relay {
    /// The rows of this pass.
    pub(super) async fn read(&self, latecomers: &mut Latecomers) -> Result<Vec<Row>, Fault> {
        let batch = self.config.batch;
        match self.config.order {
            RowOrder::Eager => self.outbox.pending(batch).await,
            RowOrder::Strict => self.read_in_order(latecomers).await,
        }
    }

    /// Those that no row will come before. Looks at who is open once for each time that
    /// the rows which may leave run out.
    async fn read_in_order(&self, latecomers: &mut Latecomers) -> Result<Vec<Row>, Fault> {
        let batch = self.config.batch;
        let is_full = |rows: &[Row]| rows.len() >= batch as usize;
        if latecomers.more {
            let rows = self.outbox.pending_to(latecomers.last(), batch).await?;
            latecomers.more = is_full(&rows);
            if latecomers.more {
                return Ok(rows);
            }
        }
        let writers = self.outbox.writers().await?;
        let none_waits = writers.newest.is_none();
        latecomers.saw(writers, Instant::now());
        match latecomers.news(Instant::now()) {
            Some(HeldBack::By(writer, waited)) => {
                let pid = writer.pid;
                self.witness.saw(&Sight::HeldBack { pid, waited });
            }
            Some(HeldBack::NoMore) => self.witness.saw(&Sight::LetGo),
            None => {}
        }
        if none_waits {
            return Ok(Vec::new());
        }
        // After the look: what was committed meanwhile is seen.
        let rows = self.outbox.pending_to(latecomers.last(), batch).await?;
        latecomers.more = is_full(&rows);
        Ok(rows)
    }
}

fn is_same(one: &Writer, other: &Writer) -> bool {
    one.name == other.name || (one.number.is_some() && one.number == other.number)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn writer(name: &str, number: Option<i64>) -> Writer {
        let pid = (!name.starts_with('-')).then_some(7);
        let name = name.to_owned();
        Writer { name, number, pid }
    }

    /// The newest row, who is open, and how far rows may leave then.
    type Look = (i64, &'static [(&'static str, Option<i64>)], i64);

    fn look(newest: i64, open: &[(&str, Option<i64>)]) -> Writers {
        let open = open.iter().map(|(name, number)| writer(name, *number));
        Writers {
            newest: Some(newest),
            open: open.collect(),
        }
    }

    #[test]
    fn rows_leave_when_nobody_can_bring_one_before_them() {
        let cases: &[&[Look]] = &[
            &[(3, &[], 3), (9, &[], 9)],
            // Open at the first look: nothing is known of what it took.
            &[
                (3, &[("a", None)], i64::MIN),
                (9, &[("a", Some(1))], i64::MIN),
                (9, &[], 9),
            ],
            // Began after 3 was seen.
            &[
                (3, &[], 3),
                (9, &[("a", None)], 3),
                (12, &[("a", None)], 3),
                (12, &[], 12),
            ],
            // Another one each time: each is waited for, and no row for all of them.
            &[
                (3, &[], 3),
                (9, &[("a", None)], 3),
                (12, &[("b", None)], 9),
                (15, &[("a", None)], 12),
            ],
            // The one that is open for longest decides.
            &[
                (3, &[], 3),
                (9, &[("a", None)], 3),
                (12, &[("a", None), ("b", None)], 3),
                (15, &[("b", None)], 9),
            ],
            // Prepared: the same number, another name.
            &[
                (3, &[], 3),
                (9, &[("a", Some(9))], 3),
                (12, &[("-1/9", Some(9))], 3),
                (12, &[], 12),
            ],
            // Its number was not known before: it may be the one that is gone.
            &[
                (3, &[], 3),
                (9, &[("a", None)], 3),
                (12, &[("-1/9", Some(9))], 3),
            ],
            // It cannot be: that one is still there.
            &[
                (3, &[], 3),
                (9, &[("a", None)], 3),
                (12, &[("a", None), ("-1/9", Some(9))], 3),
                (15, &[("-1/9", Some(9))], 9),
            ],
        ];
        for looks in cases {
            let mut latecomers = Latecomers::default();
            for (newest, open, last) in *looks {
                latecomers.saw(look(*newest, open), Instant::now());
                assert_eq!(latecomers.last(), *last, "{newest} {open:?} of {looks:?}");
            }
        }
    }

    #[test]
    fn an_outbox_in_which_nothing_waits_moves_nothing_back() {
        let mut latecomers = Latecomers::default();
        latecomers.saw(look(9, &[]), Instant::now());
        latecomers.saw(Writers::default(), Instant::now());
        assert_eq!(latecomers.last(), 9);
        let open = look(0, &[("a", None)]).open;
        latecomers.saw(Writers { newest: None, open }, Instant::now());
        assert_eq!(latecomers.last(), 9);
    }

    #[test]
    fn who_holds_rows_back_for_long_is_told_and_when_it_ends() {
        let begun = Instant::now();
        let mut latecomers = Latecomers::default();
        latecomers.saw(look(3, &[]), begun);
        latecomers.saw(look(9, &[("a", None)]), begun);
        assert_eq!(latecomers.news(begun), None);
        let later = begun + WORTH_A_WORD;
        latecomers.saw(look(9, &[("a", Some(4)), ("b", None)]), later);
        let a = writer("a", Some(4));
        assert_eq!(latecomers.news(later), Some(HeldBack::By(&a, WORTH_A_WORD)));
        latecomers.saw(look(9, &[("b", None)]), later);
        assert_eq!(latecomers.news(later), Some(HeldBack::NoMore));
        assert_eq!(latecomers.news(later), None);
    }

    #[test]
    fn who_is_open_while_nothing_waits_for_it_is_no_news() {
        let begun = Instant::now();
        let mut latecomers = Latecomers::default();
        latecomers.saw(look(3, &[]), begun);
        latecomers.saw(look(3, &[("a", None)]), begun);
        assert_eq!(latecomers.news(begun + WORTH_A_WORD * 9), None);
    }
}
