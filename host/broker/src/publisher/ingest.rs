//! One answer for many: the server's fast ingest (ADR-50 of NATS, server 2.14).
//!
//! Each message is stored as it comes. Its reply subject says which batch it belongs to,
//! its number there, and that the batch ends where a message is missing or refused, so
//! that none overtakes. The first says where the stream must end, the last asks for the
//! answer. If the stream has then grown by just these messages, each has its place, and
//! none was known before. In any other case they are sent again the usual way, which has
//! an answer for each: what was stored a moment ago is told from a duplicate by the place
//! where the stream had ended.
//!
//! Named gap: one message that the stream knew already and one of another program, both
//! within the same batch, look as if nothing had happened. Positions between the two are
//! one too low then. A call after one with duplicates does not go this way, so that it
//! takes another relay which stored rows and died before it marked them.

mod answer;

use async_nats::Subscriber;
use futures::StreamExt as _;
use qx_events::ports::Published;
use qx_events::wire::Outgoing;
use tokio::time::{Instant, timeout_at};

use super::chain::{Chained, with_tail};
use super::judge::describe;
use super::tail::Tail;
use super::{outgoing, side_by_side};
use crate::broker::Inner;
use crate::outbound::Line;

/// Messages that wait for one answer: as many as an atomic batch has, few enough that
/// sending them again is no matter.
const MESSAGES_MAX: usize = 1_000;
/// With fewer, two answers and an inbox cost more than an answer for each.
const MESSAGES_MIN: usize = 8;
/// Messages between two signs of life of the server. It gives 500 at most.
const FLOW: usize = 500;

/// What a message's reply subject asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Operation {
    Start = 0,
    Append = 1,
    Commit = 2,
}

/// Whether the next call is tried with one answer for many.
#[derive(Debug)]
pub(crate) struct Odds {
    /// Calls with an answer for each message that come first.
    wait: u32,
    /// So many after the next failure.
    next: u32,
}

/// Most calls that go the usual way before one is tried.
const WAIT_MAX: u32 = 64;

impl Default for Odds {
    /// What was on its way when the process began may be stored already.
    fn default() -> Self {
        Self { wait: 1, next: 2 }
    }
}

impl Odds {
    fn tries(&self) -> bool {
        self.wait == 0
    }

    /// A call is over; `is_clean`: all of it was stored, and none was there.
    pub(super) fn went(&mut self, is_clean: bool) {
        self.wait = if is_clean {
            self.wait.saturating_sub(1)
        } else {
            self.wait.max(1)
        };
    }

    fn learn(&mut self, was_whole: bool) {
        if was_whole {
            self.next = 2;
        } else {
            self.wait = self.next;
            self.next = self.next.saturating_mul(2).min(WAIT_MAX);
        }
    }
}

/// What became of some messages.
enum Ingested {
    /// All are stored, and the last lies there.
    Whole { stream: String, last: u64 },
    /// None is stored, because the stream does not end where it should.
    OutOfLine(Option<u64>),
    /// Each is to be asked about. If it has begun, the stream was as it should be, and some
    /// are stored; else nobody knows.
    Doubtful { has_begun: bool },
    /// Nobody took them.
    StreamGone,
    /// No answer. All of them may be stored, or some.
    Unknown(&'static str),
}

/// Whether a call with so many messages goes this way.
pub(super) fn is_tried(inner: &Inner, messages: usize) -> bool {
    messages >= MESSAGES_MIN && inner.takes_ingest() && inner.with_ingest(|odds| odds.tries())
}

/// Sends all of them; as many answers as messages. `false`: some went the usual way.
pub(super) async fn send(
    inner: &Inner,
    chained: &mut Chained<'_>,
    messages: &[Outgoing],
) -> (Vec<Published>, bool) {
    let mut answers = Vec::with_capacity(messages.len());
    let mut is_whole = true;
    for part in messages.chunks(MESSAGES_MAX) {
        let some = match chained.stopped() {
            Some(why) => vec![Published::Unknown(why); part.len()],
            None if is_whole => match in_one(inner, chained, part).await {
                Asked::Answered(some) => some,
                Asked::Each { behind } => {
                    is_whole = false;
                    each(chained, part, behind).await
                }
            },
            None => chained.send(part).await,
        };
        answers.extend(some);
    }
    inner.with_ingest(|odds| odds.learn(is_whole));
    (answers, is_whole)
}

/// What came of one batch.
enum Asked {
    /// An answer for each.
    Answered(Vec<Published>),
    /// They are to be sent the usual way. `behind`: some may be stored, behind this
    /// place.
    Each { behind: Option<u64> },
}

/// Sends them the usual way.
async fn each(
    chained: &mut Chained<'_>,
    messages: &[Outgoing],
    behind: Option<u64>,
) -> Vec<Published> {
    if behind.is_some() {
        // The stream was as it should be, and has grown by some of them.
        chained.begin_freely();
    }
    let mut answers = chained.send(messages).await;
    if let Some(behind) = behind {
        own(&mut answers, behind);
    }
    answers
}

/// What lies behind this place was not there before: it was stored a moment ago. A
/// message that is given twice is a duplicate the second time.
fn own(answers: &mut [Published], behind: u64) {
    let mut last = behind;
    for answer in answers {
        if let Published::Stored(at) = answer
            && at.sequence > last
        {
            at.duplicate = false;
            last = at.sequence;
        }
    }
}

async fn in_one(inner: &Inner, chained: &mut Chained<'_>, messages: &[Outgoing]) -> Asked {
    let nothing = Asked::Each { behind: None };
    let Some(behind) = with_tail(inner, |tail| tail.at()) else {
        return nothing;
    };
    let all = |published: Published| Asked::Answered(vec![published; messages.len()]);
    let until = Instant::now() + inner.outbound.answer_timeout();
    let sent = tokio::select! {
        biased; // An answer that is here counts, whatever became of the line.
        sent = timeout_at(until, attempt(inner, &chained.line, messages, behind)) => {
            sent.unwrap_or(Ingested::Unknown("the NATS server did not answer in time"))
        }
        () = chained.line.clone().into_broken() => {
            Ingested::Unknown("the connection to NATS was lost before the answer")
        }
    };
    match sent {
        Ingested::Whole { stream, last } => {
            with_tail(inner, |tail| tail.stored(last));
            Asked::Answered(side_by_side(&stream, last, messages.len()))
        }
        Ingested::OutOfLine(Some(ends)) if ends < behind => {
            with_tail(inner, Tail::doubt);
            all(chained.stop("the stream ends before messages that it had stored"))
        }
        Ingested::OutOfLine(ends) => {
            if let Some(ends) = ends {
                with_tail(inner, |tail| tail.stored(ends));
            }
            nothing
        }
        Ingested::Doubtful { has_begun: true } => Asked::Each {
            behind: Some(behind),
        },
        Ingested::Doubtful { has_begun: false } => nothing,
        Ingested::StreamGone => all(chained.gone()),
        Ingested::Unknown(why) => all(chained.stop(why)),
    }
}

async fn attempt(inner: &Inner, line: &Line, messages: &[Outgoing], behind: u64) -> Ingested {
    let stream = &inner.config.stream;
    // All of them first: one that cannot be sent is found before anything is.
    let ready: Result<Vec<_>, String> = messages.iter().map(|it| outgoing(inner, it)).collect();
    let Ok(ready) = ready else {
        return Ingested::Doubtful { has_begun: false };
    };
    let inbox = line.client.new_inbox();
    let Ok(mut answers) = line.client.subscribe(format!("{inbox}.>")).await else {
        return Ingested::Doubtful { has_begun: false };
    };
    let count = ready.len();
    for (index, (subject, publish)) in ready.into_iter().enumerate() {
        let number = index + 1;
        let (operation, publish) = if number == 1 {
            let publish = publish.expected_stream(stream);
            (Operation::Start, publish.expected_last_sequence(behind))
        } else if number < count {
            (Operation::Append, publish)
        } else {
            (Operation::Commit, publish)
        };
        let message = publish.outbound_message(subject);
        let sending = line.client.publish_with_reply_and_headers(
            message.subject,
            reply_to(&inbox, number, operation),
            message.headers.unwrap_or_default(),
            message.payload,
        );
        if let Err(error) = sending.await {
            // The server forgets a batch that does not go on.
            tracing::debug!(why = describe(&error), "a message of many did not leave");
            // Nor is it known whether the first was taken.
            return Ingested::Doubtful { has_begun: false };
        }
    }
    answered(&mut answers, behind, count).await
}

/// `<inbox>.<batch>.<flow>.<what a gap does>.<number>.<operation>.$FI`
fn reply_to(inbox: &str, number: usize, operation: Operation) -> String {
    let operation = operation as u8;
    format!("{inbox}.1.{FLOW}.fail.{number}.{operation}.$FI")
}

/// Waits for the last answer; the signs of life before it say nothing.
async fn answered(answers: &mut Subscriber, behind: u64, count: usize) -> Ingested {
    while let Some(message) = answers.next().await {
        if let Some(ingested) = answer::judge(&message, (behind, count as u64)) {
            return ingested;
        }
    }
    Ingested::Unknown("the connection to NATS was lost before the answer")
}

#[cfg(test)]
mod tests {
    use qx_events::ports::StoredAt;

    use super::*;

    #[test]
    fn what_was_stored_a_moment_ago_is_no_duplicate() {
        let stored = |sequence, duplicate| {
            Published::Stored(StoredAt {
                stream: "QX".to_owned(),
                sequence,
                duplicate,
            })
        };
        // The stream had ended at 5; the third is given twice, the last is new.
        let mut answers = vec![
            stored(2, true),
            stored(6, true),
            stored(7, true),
            stored(7, true),
            stored(9, false),
        ];
        own(&mut answers, 5);
        let duplicates: Vec<bool> = answers
            .iter()
            .map(|answer| matches!(answer, Published::Stored(at) if at.duplicate))
            .collect();
        assert_eq!(duplicates, [true, false, false, true, false]);
    }

    #[test]
    fn a_reply_subject_says_which_message_it_is() {
        assert_eq!(
            reply_to("_INBOX.abc", 7, Operation::Append),
            "_INBOX.abc.1.500.fail.7.1.$FI"
        );
        assert!(reply_to("i", 1, Operation::Start).ends_with(".1.0.$FI"));
        assert!(reply_to("i", 9, Operation::Commit).ends_with(".9.2.$FI"));
    }

    #[test]
    fn it_is_tried_after_a_clean_call_and_seldom_where_it_fails() {
        let mut odds = Odds::default();
        assert!(!odds.tries(), "what a crash left behind comes first");
        odds.went(false);
        assert!(!odds.tries());
        odds.went(true);
        assert!(odds.tries());
        odds.learn(true);
        assert!(odds.tries());
        odds.went(false);
        assert!(!odds.tries(), "behind duplicates");
        odds.went(true);
        let mut waits = Vec::new();
        for _ in 0..8 {
            assert!(odds.tries());
            odds.learn(false);
            let mut wait = 0;
            while !odds.tries() {
                odds.went(true);
                wait += 1;
            }
            waits.push(wait);
        }
        assert_eq!(waits, [2, 4, 8, 16, 32, 64, 64, 64]);
    }
}
