//! One component's messages: a pull at a time, never more than there is room for.
//!
//! A pull takes what is there and otherwise waits on the server for the first
//! message, at the cost of a heartbeat now and then. Nothing is fetched ahead. A
//! consumer that the server lost is made again with the next fetch, and said aloud.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use async_nats::{Message, StatusCode, Subject, Subscriber};
use async_trait::async_trait;
use futures::{FutureExt, StreamExt};
use qx_events::ports::{Delivery, Source};
use qx_events::{Fault, StartFrom};
use tokio::time::{Instant, sleep_until, timeout_at};

use crate::broker::Inner;
use crate::connection::Link;
use crate::consumer::Wanted;
use crate::error::BrokerError;
use crate::footing::{self, Footing};
use crate::receipt::{self, Bond};

/// Silence on an idle pull is broken by a heartbeat this often.
const HEARTBEAT_MAX: Duration = Duration::from_secs(10);
/// A shorter pull has no heartbeat: its end comes soon enough.
const HEARTBEAT_PULL_MIN: Duration = Duration::from_secs(2);
/// What an answer may be late on a busy machine.
const GRACE: Duration = Duration::from_secs(2);
/// A fetch that is over waits so long for the server to say so. A pull that nobody
/// reads any more would take messages away for a whole acknowledgement wait.
const END_GRACE: Duration = Duration::from_millis(100);
/// A message waits so long for those right behind it, where several came the last
/// time. Where they come one by one it does not wait.
const LINGER: Duration = Duration::from_millis(1);
/// Least time between two pulls that brought nothing: no server makes us spin.
const EMPTY_PULL_MIN: Duration = Duration::from_millis(20);
/// The consumer's place is looked up this often while messages come: what a lost
/// consumer redelivers.
const PLACE_EVERY: Duration = Duration::from_secs(10);

/// A durable consumer that is being read.
pub(crate) struct NatsSource {
    inner: Arc<Inner>,
    wanted: Wanted,
    start: StartFrom,
    link: Link,
    footing: Footing,
    /// The connection's losses when it was learned.
    footing_losses: u64,
    /// The footing is as far as it goes until the next message comes. What another host
    /// is handed meanwhile is not seen: were the consumer lost then, and made again by
    /// this one, that would come once more.
    at_rest: bool,
    /// Streams that the consumer was on so far: its own was deleted and made anew.
    streams: Arc<AtomicU64>,
    trust: Trust,
    pull: Option<Pull>,
    /// Arrived, and not handed over yet.
    ready: VecDeque<Delivery>,
    /// Several were handed over the last time.
    many: bool,
}

/// Whether the consumer is still where it was.
enum Trust {
    /// It was there over this connection (counted by its losses), at this time.
    Firm { losses: u64, seen: Instant },
    /// Something says that it is not.
    Shaken,
}

/// A request that the server may still answer.
struct Pull {
    answers: Subscriber,
    /// Messages that it may still bring.
    open: usize,
    began: Instant,
    /// The server has ended it by then, or is gone.
    expires: Instant,
    heartbeat: Option<Duration>,
    heard: Instant,
}

impl Pull {
    /// When silence means that nobody is there.
    fn dead_at(&self) -> Instant {
        match self.heartbeat {
            Some(every) => (self.heard + every * 2 + GRACE).min(self.expires + GRACE),
            None => self.expires + GRACE,
        }
    }

    fn heard(&mut self, answer: Option<Message>) -> Step {
        let Some(message) = answer else {
            return Step::Broken("the connection to NATS is closed".to_owned());
        };
        self.heard = Instant::now();
        read(message)
    }
}

/// What became of waiting on a pull.
enum Step {
    Message(Message),
    /// A sign of life.
    Heartbeat,
    /// Nothing for as long as we wait; the pull goes on.
    Quiet,
    /// The server has ended it.
    Ended,
    /// It will not be answered.
    Broken(String),
}

impl NatsSource {
    pub(crate) async fn open(
        inner: Arc<Inner>,
        wanted: Wanted,
        start: StartFrom,
    ) -> Result<Self, BrokerError> {
        let link = inner.link.clone();
        let losses = link.losses();
        let footing = footing::take_up(&inner, &wanted, start, None).await?;
        Ok(Self {
            inner,
            wanted,
            start,
            link,
            footing,
            footing_losses: losses,
            at_rest: false,
            streams: Arc::default(),
            trust: Trust::Firm {
                losses,
                seen: Instant::now(),
            },
            pull: None,
            ready: VecDeque::new(),
            many: false,
        })
    }

    /// Makes sure that the consumer is there: after a loss of the connection, after
    /// a doubt, and now and then to know its place, if that may have changed.
    async fn stand(&mut self) -> Result<(), BrokerError> {
        let losses = self.link.losses();
        if let Trust::Firm { losses: then, seen } = self.trust
            && then == losses
        {
            // One that is gone answers no pull: nobody has to look for it.
            if self.at_rest || seen.elapsed() < PLACE_EVERY {
                return Ok(());
            }
            if let Some(info) = footing::find(&self.inner, &self.wanted.name).await? {
                self.footing.raise(&info);
                self.at_rest = footing::is_at_rest(&info);
                self.footing_losses = losses;
                self.trust = Trust::Firm {
                    losses,
                    seen: Instant::now(),
                };
                return Ok(());
            }
        }
        self.trust = Trust::Shaken;
        self.pull = None;
        let mut known = self.footing;
        if self.footing_losses != losses {
            // A server that came back without the consumer may have lost messages too.
            known.forget_floor();
        }
        let found = footing::take_up(&self.inner, &self.wanted, self.start, Some(known)).await?;
        if !found.is_on_the_stream_of(&self.footing) {
            self.streams.fetch_add(1, Ordering::AcqRel);
        }
        (self.footing, self.footing_losses) = (found, losses);
        self.at_rest = false;
        self.trust = Trust::Firm {
            losses,
            seen: Instant::now(),
        };
        Ok(())
    }

    /// Reads until there is something to hand over, or `until`.
    async fn fill(&mut self, max: usize, until: Instant) -> Result<(), Fault> {
        loop {
            if self.ready.len() >= max {
                return Ok(());
            }
            let Some(pull) = self.pull.as_ref() else {
                let left = until.saturating_duration_since(Instant::now());
                self.pull = Some(self.ask(max - self.ready.len(), left).await?);
                continue;
            };
            let began = pull.began;
            match self.step(until).await {
                Step::Message(message) => self.take(message),
                Step::Heartbeat => {}
                Step::Quiet => return Ok(()),
                Step::Ended => {
                    self.pull = None;
                    if !self.ready.is_empty() || Instant::now() >= until {
                        return Ok(());
                    }
                    sleep_until((began + EMPTY_PULL_MIN).min(until)).await;
                }
                Step::Broken(why) => {
                    self.pull = None;
                    self.trust = Trust::Shaken;
                    tracing::warn!(
                        consumer = self.wanted.name,
                        why,
                        "lost touch with the durable consumer"
                    );
                    if !self.ready.is_empty() {
                        return Ok(());
                    }
                    return Err(Fault::transient("fetch messages", why));
                }
            }
        }
    }

    /// Waits for the next answer.
    async fn step(&mut self, until: Instant) -> Step {
        let Trust::Firm { losses, .. } = self.trust else {
            return Step::Broken("the consumer is in doubt".to_owned());
        };
        let Some(pull) = self.pull.as_mut() else {
            return Step::Ended;
        };
        if !self.ready.is_empty() && !self.many {
            // A timer would wait for its next tick.
            return match pull.answers.next().now_or_never() {
                Some(answer) => pull.heard(answer),
                None => Step::Quiet,
            };
        }
        let patience = if self.ready.is_empty() {
            // The server's word that a pull is over comes about when it is.
            if pull.expires <= until + END_GRACE {
                until + END_GRACE
            } else {
                until
            }
        } else {
            Instant::now() + LINGER
        };
        let dead_at = pull.dead_at();
        tokio::select! {
            biased; // What has arrived is taken, whatever else happened.
            answer = pull.answers.next() => pull.heard(answer),
            () = self.link.lost(losses) => {
                Step::Broken("the connection to NATS was lost".to_owned())
            }
            () = sleep_until(patience.min(dead_at)) => {
                if dead_at <= patience {
                    Step::Broken("the NATS server is silent, without a heartbeat".to_owned())
                } else {
                    Step::Quiet
                }
            }
        }
    }

    fn take(&mut self, message: Message) {
        self.at_rest = false;
        if let Some(pull) = self.pull.as_mut() {
            pull.open = pull.open.saturating_sub(1);
        }
        // The last one it may bring ends a pull without a word from the server.
        self.pull.take_if(|pull| pull.open == 0);
        let Trust::Firm { losses, .. } = self.trust else {
            return; // Comes again: it was delivered before the doubt.
        };
        let bond = Bond {
            link: self.link.clone(),
            losses,
            streams: Arc::clone(&self.streams),
            stream: self.streams.load(Ordering::Acquire),
        };
        match receipt::delivery(&self.inner.client, bond, message) {
            Ok(delivery) => self.ready.push_back(delivery),
            Err(error) => tracing::warn!(consumer = self.wanted.name, %error, "dropped an answer"),
        }
    }

    /// Asks for messages: those that are there, else the first that comes within
    /// `wait` with those right behind it.
    async fn ask(&self, max: usize, wait: Duration) -> Result<Pull, Fault> {
        let client = &self.inner.client;
        let doing = "ask for messages";
        let inbox = Subject::from(client.new_inbox());
        let heartbeat = (wait >= HEARTBEAT_PULL_MIN).then(|| (wait / 2).min(HEARTBEAT_MAX));
        let now = Instant::now();
        let asking = async {
            let answers = client.subscribe(inbox.clone()).await;
            let answers = answers.map_err(|error| Fault::transient(doing, error))?;
            let subject = format!(
                "$JS.API.CONSUMER.MSG.NEXT.{}.{}",
                self.inner.config.stream, self.wanted.name
            );
            let request = request(max, wait, heartbeat);
            let asked = client.publish_with_reply(subject, inbox, request.into());
            asked
                .await
                .map_err(|error| Fault::transient(doing, error))?;
            Ok(answers)
        };
        let asked = timeout_at(now + self.inner.config.request_timeout, asking).await;
        let answers = asked.map_err(|elapsed| Fault::transient(doing, elapsed))??;
        Ok(Pull {
            answers,
            open: max,
            began: now,
            expires: now + wait,
            heartbeat,
            heard: now,
        })
    }
}

/// `no_wait` with `expires`: the server answers at once with what there is, and
/// otherwise holds the request until there is something.
fn request(max: usize, wait: Duration, heartbeat: Option<Duration>) -> String {
    let field = |name: &str, duration: Duration| format!(r#","{name}":{}"#, duration.as_nanos());
    let expires = (!wait.is_zero()).then(|| field("expires", wait));
    let heartbeat = heartbeat.map(|every| field("idle_heartbeat", every));
    format!(
        r#"{{"batch":{max},"no_wait":true{}{}}}"#,
        expires.unwrap_or_default(),
        heartbeat.unwrap_or_default()
    )
}

fn read(message: Message) -> Step {
    let Some(status) = message.status else {
        return Step::Message(message);
    };
    match status {
        StatusCode::OK => Step::Message(message),
        StatusCode::IDLE_HEARTBEAT => Step::Heartbeat,
        StatusCode::NOT_FOUND | StatusCode::TIMEOUT => Step::Ended,
        StatusCode::NO_RESPONDERS => Step::Broken("nobody answers for the consumer".to_owned()),
        other => {
            let says = message.description.unwrap_or_default();
            Step::Broken(format!("the server ended the pull: {other} {says}"))
        }
    }
}

#[async_trait]
impl Source for NatsSource {
    /// May be dropped while it waits: what has arrived is handed over by the next.
    async fn fetch(&mut self, max: usize, wait: Duration) -> Result<Vec<Delivery>, Fault> {
        if max == 0 {
            return Ok(Vec::new());
        }
        let until = Instant::now() + wait;
        if self.ready.is_empty() {
            if timeout_at(until, self.link.up()).await != Ok(true) {
                return Err(Fault::transient("fetch messages", "not connected to NATS"));
            }
            let stood = self.stand().await;
            stood.map_err(|error| error.into_fault("take up the durable consumer"))?;
            self.fill(max, until).await?;
        }
        let count = max.min(self.ready.len());
        self.many = count > 1;
        Ok(self.ready.drain(..count).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pull_waits_on_the_server_and_asks_for_a_sign_of_life_when_it_is_long() {
        let second = Duration::from_secs(1);
        assert_eq!(
            request(3, Duration::ZERO, None),
            r#"{"batch":3,"no_wait":true}"#
        );
        assert_eq!(
            request(1, 30 * second, Some(10 * second)),
            r#"{"batch":1,"no_wait":true,"expires":30000000000,"idle_heartbeat":10000000000}"#
        );
    }
}
