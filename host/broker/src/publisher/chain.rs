//! The pipelined way: a window of messages without an answer, each of which the
//! stream takes only behind the one before it.
//!
//! The first message of a chain says where the stream must end for it to be stored
//! (`Nats-Expected-Last-Sequence`), each other one names the message that must be the
//! last (`Nats-Expected-Last-Msg-Id`). When the server loses one in the middle (no
//! space, no leader, a stream that is made anew), it refuses all that follow, and
//! none of them overtakes. A message of another program in between breaks the chain
//! too: it is begun again, with a message that expects nothing, and it is shorter
//! while that goes on, down to one by one. A message that is stored already is
//! answered as a duplicate before the server looks at what it expects, so a chain
//! that is sent again heals.
//!
//! A stream of several copies stops answering after a wrong id (nats-server 2.15.1),
//! and a number alone does not tell whose message it is. There messages go without
//! expectations: one by one where somebody asks for it, else with the gap that
//! host/README.md names. Batches have none of this.
//!
//! Beside relays of other parts of the outbox nobody knows what the last message is.
//! There they go one by one, where batches are not to be had: what is not answered is
//! sent again before anything that follows it.

use std::collections::VecDeque;
use std::sync::PoisonError;
use std::sync::atomic::Ordering;

use async_nats::jetstream::context::PublishAckFuture;
use qx_events::ports::{Published, StoredAt};
use qx_events::wire::Outgoing;
use tokio::time::{Instant, timeout_at};
use uuid::Uuid;

use super::judge::{Consequence, consequence};
use super::outgoing;
use super::tail::Tail;
use crate::broker::Inner;
use crate::config::Beside;
use crate::outbound::Line;

/// Messages of one call that are sent and not answered yet: enough to fill the
/// way to the server and back, and the most that an outage leaves in doubt.
const WINDOW: usize = 512;

/// Longest chain: all that a relay reads at once, many times over.
pub(crate) const CHAIN_MAX: usize = 1 << 20;

/// One call's way through its messages.
pub(super) struct Chained<'a> {
    inner: &'a Inner,
    pub(super) line: Line,
    /// Why nothing more is sent.
    stopped: Option<String>,
    /// The next chain begins with a message that expects nothing: it gets on.
    first_is_free: bool,
}

/// A message that has been dealt with.
enum Sent {
    Answered(Answer),
    Waiting {
        answer: PublishAckFuture,
        until: Instant,
    },
}

/// What became of one message.
enum Answer {
    Final(Published),
    /// The stream does not end where it should: not stored.
    OutOfLine(OutOfLine),
}

/// Where the stream ends instead, when the server says so.
struct OutOfLine {
    ends_at: Option<u64>,
}

/// What must be so for a message to be stored.
enum Expected {
    Nothing,
    /// The stream ends here.
    Sequence(u64),
    /// The message with this id is its last.
    Behind(Uuid),
}

/// Where the stream ends now, when this message has just been stored.
fn place(published: &Published) -> Option<u64> {
    match published {
        Published::Stored(at) => (!at.duplicate).then_some(at.sequence),
        Published::Refused(_) | Published::Unknown(_) => None,
    }
}

/// Looks at what is known of the end of the stream.
pub(super) fn with_tail<T>(inner: &Inner, work: impl FnOnce(&mut Tail) -> T) -> T {
    work(&mut inner.tail.lock().unwrap_or_else(PoisonError::into_inner))
}

impl<'a> Chained<'a> {
    pub(super) fn new(inner: &'a Inner, line: Line) -> Self {
        Self {
            inner,
            line,
            stopped: None,
            first_is_free: false,
        }
    }

    /// The next chain begins with a message that expects nothing of the stream.
    pub(super) const fn begin_freely(&mut self) {
        self.first_is_free = true;
    }

    /// Sends them one by one, up to the first that is stored just now or that nobody
    /// knows of; at least one answer.
    pub(super) async fn send_duplicates(&mut self, messages: &[Outgoing]) -> Vec<Published> {
        let mut answers = Vec::new();
        for message in messages {
            let run = self.run(std::slice::from_ref(message)).await;
            answers.extend(run.answers);
            let is_duplicate = |it: &Published| matches!(it, Published::Stored(at) if at.duplicate);
            if !answers.last().is_some_and(is_duplicate) {
                break;
            }
        }
        answers
    }

    /// Sends all of them, one by one where a chain cannot be.
    pub(super) async fn send_all(&mut self, messages: &[Outgoing]) -> Vec<Published> {
        if self.is_chained() {
            return self.send(messages).await;
        }
        let mut answers = Vec::with_capacity(messages.len());
        for message in messages {
            answers.extend(self.run(std::slice::from_ref(message)).await.answers);
        }
        answers
    }

    /// Sends all of them; as many answers as messages.
    pub(super) async fn send(&mut self, messages: &[Outgoing]) -> Vec<Published> {
        let mut answers = Vec::with_capacity(messages.len());
        while let Some(rest) = messages.get(answers.len()..)
            && !rest.is_empty()
        {
            let longest = self.inner.chain_longest.load(Ordering::Relaxed).max(1);
            let some = rest.get(..longest).unwrap_or(rest);
            let run = self.run(some).await;
            self.learn(&run, longest);
            answers.extend(run.answers);
        }
        answers
    }

    /// One chain: answers for the messages up to where it broke.
    async fn run(&mut self, messages: &[Outgoing]) -> Run {
        let mut run = Run::default();
        let mut window = VecDeque::with_capacity(WINDOW.min(messages.len()));
        let begins_at = self.begins_at(messages.len());
        let mut expected = begins_at.map_or(Expected::Nothing, Expected::Sequence);
        for message in messages {
            if window.len() == WINDOW
                && let Some(oldest) = window.pop_front()
            {
                run.learn(self.answer(oldest).await);
            }
            if run.broken.is_some() {
                break; // What is still on its way is refused; nothing is added.
            }
            let sent = self.send_one(message, &expected).await;
            if matches!(sent, Sent::Waiting { .. }) && self.is_chained() {
                expected = Expected::Behind(message.message_id);
            }
            window.push_back(sent);
        }
        for sent in window {
            run.learn(self.answer(sent).await);
        }
        self.judge_run(&mut run, begins_at);
        if let Some(why) = self.stopped() {
            // The relay sends again, from the first that is not stored.
            run.answers.resize(messages.len(), Published::Unknown(why));
            run.broken = None;
        }
        run
    }

    /// Where the stream must end for the first of so many.
    fn begins_at(&mut self, messages: usize) -> Option<u64> {
        let free = std::mem::take(&mut self.first_is_free);
        if free || !self.is_chained() || messages == 1 {
            return None;
        }
        with_tail(self.inner, |tail| tail.at())
    }

    /// Whether messages can name the one before.
    fn is_chained(&self) -> bool {
        self.inner.config.beside == Beside::Nobody
            && !self.inner.many_copies.load(Ordering::Acquire)
    }

    /// What a chain tells about the stream.
    fn judge_run(&mut self, run: &mut Run, begins_at: Option<u64>) {
        let last = run.answers.iter().filter_map(place).max();
        if let Some(sequence) = last {
            with_tail(self.inner, |tail| tail.stored(sequence));
        }
        let Some(out_of_line) = &run.broken else {
            return;
        };
        self.first_is_free = true;
        let (Some(ends), Some(begins)) = (out_of_line.ends_at, begins_at) else {
            return;
        };
        if ends < begins {
            with_tail(self.inner, Tail::doubt);
            self.stop("the stream ends before messages that it had stored");
        } else {
            with_tail(self.inner, |tail| tail.stored(ends));
        }
    }

    /// How long the next chain may be. One that broke at once, behind a message that
    /// was refused, or behind a duplicate, says nothing of other programs.
    fn learn(&self, run: &Run, longest: usize) {
        let counts = !matches!(run.answers.last(), None | Some(Published::Refused(_)));
        let is_duplicate = |it: &Published| matches!(it, Published::Stored(at) if at.duplicate);
        let next = match run.broken {
            None => longest.saturating_mul(2).min(CHAIN_MAX),
            Some(_) if counts && !run.answers.iter().any(is_duplicate) => {
                run.answers.len().saturating_mul(2).min(longest / 2).max(1)
            }
            Some(_) => longest,
        };
        self.inner.chain_longest.store(next, Ordering::Relaxed);
    }

    async fn send_one(&mut self, message: &Outgoing, expected: &Expected) -> Sent {
        let done = |published| Sent::Answered(Answer::Final(published));
        if let Some(why) = self.stopped() {
            return done(Published::Unknown(why));
        }
        let (subject, mut publish) = match outgoing(self.inner, message) {
            Ok(ready) => ready,
            Err(why) => return done(Published::Refused(why)),
        };
        publish = publish.expected_stream(&self.inner.config.stream);
        publish = match expected {
            Expected::Nothing => publish,
            Expected::Sequence(at) => publish.expected_last_sequence(*at),
            Expected::Behind(id) => publish.expected_last_message_id(id.to_string()),
        };
        if !self.line.stands() {
            return done(self.stop("the connection to NATS is lost"));
        }
        let until = Instant::now() + self.inner.outbound.answer_timeout();
        let sending = self.line.context.send_publish(subject, publish);
        match timeout_at(until, sending).await {
            Ok(Ok(answer)) => Sent::Waiting { answer, until },
            Ok(Err(error)) => Sent::Answered(self.judge(consequence(&error))),
            Err(_) => done(self.stop("the NATS server does not take messages")),
        }
    }

    async fn answer(&mut self, sent: Sent) -> Answer {
        let (answer, until) = match sent {
            Sent::Answered(answer) => return answer,
            Sent::Waiting { answer, until } => (answer, until),
        };
        let answered = tokio::select! {
            biased; // An answer that is here counts, whatever became of the line.
            answered = timeout_at(until, answer.into_future()) => answered,
            () = self.line.broken() => {
                let lost = "the connection to NATS was lost before the answer";
                return Answer::Final(self.stop(lost));
            }
        };
        match answered {
            Ok(Ok(stored)) => Answer::Final(Published::Stored(StoredAt {
                stream: stored.stream,
                sequence: stored.sequence,
                duplicate: stored.duplicate,
            })),
            Ok(Err(error)) => self.judge(consequence(&error)),
            Err(_) => Answer::Final(self.stop("the NATS server did not answer in time")),
        }
    }

    /// Why nothing more is sent in this call, when that is so.
    pub(super) fn stopped(&self) -> Option<String> {
        self.stopped.as_ref().map(|why| format!("not sent: {why}"))
    }

    /// Nothing more is sent in this call.
    pub(super) fn stop(&mut self, why: &str) -> Published {
        self.stopped.get_or_insert_with(|| why.to_owned());
        Published::Unknown(why.to_owned())
    }

    fn judge(&mut self, consequence: Consequence) -> Answer {
        match consequence {
            Consequence::Refused(why) => Answer::Final(Published::Refused(why)),
            Consequence::OutOfLine { ends_at } => Answer::OutOfLine(OutOfLine { ends_at }),
            Consequence::Rejected(why) | Consequence::Unknown(why) => {
                Answer::Final(self.stop(&why))
            }
            Consequence::Duplicate => Answer::Final(self.stop("a duplicate in no batch")),
            Consequence::StreamGone => Answer::Final(self.gone()),
        }
    }

    /// Nobody took a message.
    pub(super) fn gone(&mut self) -> Published {
        self.inner.stream_doubtful.store(true, Ordering::Release);
        let stream = &self.inner.config.stream;
        let why = format!(
            "the stream `{stream}` does not take the subject: it is gone, or its subjects were changed"
        );
        self.stop(&why)
    }
}

/// The answers of one chain, in the order of sending.
#[derive(Default)]
struct Run {
    answers: Vec<Published>,
    broken: Option<OutOfLine>,
}

impl Run {
    fn learn(&mut self, answer: Answer) {
        match answer {
            // Behind the break nothing is stored that was not before; it is sent again.
            Answer::Final(_) | Answer::OutOfLine(_) if self.broken.is_some() => {}
            Answer::Final(published) => self.answers.push(published),
            Answer::OutOfLine(at) => self.broken = Some(at),
        }
    }
}
