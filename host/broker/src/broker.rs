//! The broker as the host sees it: one connection, one stream, the two ports.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use async_nats::client::Client;
use async_nats::jetstream::consumer::Info as ConsumerInfo;
use async_nats::jetstream::context::{AccountErrorKind, ContextBuilder};
use async_nats::jetstream::stream::Info;
use async_nats::jetstream::{Context, ErrorCode};
use async_trait::async_trait;
use qx_events::ports::{Lag, Source, Stream, Subscription};
use qx_events::{ComponentName, Fault};

use crate::anew;
use crate::config::{Beside, NatsConfig};
use crate::connection::{Dialer, Link};
use crate::consumer::{Wanted, durable_name};
use crate::error::BrokerError;
use crate::footing;
use crate::outbound::Outbound;
use crate::publisher::chain::CHAIN_MAX;
use crate::publisher::gait::{Gait, PublishWay};
use crate::publisher::ingest::Odds;
use crate::publisher::tail::Tail;
use crate::server::ServerVersion;
use crate::source::NatsSource;
use crate::stream;

/// NATS JetStream: a `Publisher` and a `Stream`. Clones share the connections.
#[derive(Debug, Clone)]
pub struct Broker {
    pub(crate) inner: Arc<Inner>,
}

/// What publisher and sources share.
#[derive(Debug)]
pub(crate) struct Inner {
    pub(crate) config: NatsConfig,
    pub(crate) client: Client,
    pub(crate) context: Context,
    pub(crate) link: Link,
    pub(crate) outbound: Outbound,
    /// Nobody took a message: the stream is looked for before the next one.
    pub(crate) stream_doubtful: AtomicBool,
    /// Server and stream take atomic batches.
    pub(crate) batches: AtomicBool,
    /// Server and stream know one answer for many messages.
    pub(crate) ingest_taken: AtomicBool,
    /// Whether it is worth a try.
    pub(crate) ingest: Mutex<Odds>,
    /// The stream has several copies.
    pub(crate) many_copies: AtomicBool,
    /// It was said that no batches are taken.
    pub(crate) batches_missed: AtomicBool,
    /// Where the stream ends.
    pub(crate) tail: Mutex<Tail>,
    /// Longest chain of messages that is worth a try.
    pub(crate) chain_longest: AtomicUsize,
    /// Which way messages go.
    pub(crate) gait: Mutex<Gait>,
}

impl Broker {
    /// Connects, and makes the stream or verifies it. No event moves yet.
    ///
    /// From here on the connection is restored by itself, for ever.
    pub async fn connect(config: NatsConfig) -> Result<Self, BrokerError> {
        let dialer = Dialer::new(&config)?;
        let (client, link) = dialer.steady().await?;
        let context = ContextBuilder::new()
            .timeout(config.request_timeout)
            .build(client.clone());
        jetstream_answers(&context, &dialer).await?;
        let gait = Mutex::new(Gait::new(config.publish));
        let inner = Inner {
            outbound: Outbound::new(dialer, &config),
            config,
            client,
            context,
            link,
            stream_doubtful: AtomicBool::new(false),
            batches: AtomicBool::new(false),
            ingest_taken: AtomicBool::new(false),
            ingest: Mutex::default(),
            many_copies: AtomicBool::new(false),
            batches_missed: AtomicBool::new(false),
            tail: Mutex::default(),
            chain_longest: AtomicUsize::new(CHAIN_MAX),
            gait,
        };
        inner.ensure_stream().await?;
        Ok(Self {
            inner: Arc::new(inner),
        })
    }
}

impl Inner {
    /// What the server can do that we are connected to now.
    pub(crate) fn server(&self) -> ServerVersion {
        ServerVersion::of(&self.client.server_info())
    }

    pub(crate) async fn ensure_stream(&self) -> Result<Info, BrokerError> {
        let info = stream::ensure(&self.context, &self.config, self.server()).await?;
        self.learn(&info);
        self.stream_doubtful.store(false, Ordering::Release);
        Ok(info)
    }
}

impl Inner {
    /// The stream as it is, however it is; made again when it is gone.
    pub(crate) async fn stream_state(&self) -> Result<Info, BrokerError> {
        match stream::show(&self.context, &self.config).await? {
            Some(info) => {
                self.learn(&info);
                Ok(info)
            }
            None => self.ensure_stream().await,
        }
    }

    /// What the stream says of itself.
    fn learn(&self, info: &Info) {
        self.note_batches(info);
        let ingest = info.config.allow_batch_publish && self.server().has_fast_ingest();
        self.ingest_taken.store(ingest, Ordering::Release);
        let copies = info.config.num_replicas;
        self.many_copies.store(copies > 1, Ordering::Release);
        let mut tail = self.tail.lock().unwrap_or_else(PoisonError::into_inner);
        tail.saw(info.state.last_sequence);
    }

    /// Whether many messages can have one answer: where the place of each follows from it.
    pub(crate) fn takes_ingest(&self) -> bool {
        self.ingest_taken.load(Ordering::Acquire)
            && self.config.beside == Beside::Nobody
            && !self.many_copies.load(Ordering::Acquire)
    }

    pub(crate) fn with_ingest<T>(&self, work: impl FnOnce(&mut Odds) -> T) -> T {
        work(&mut self.ingest.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Whether batches are taken. A wish that cannot be met is said once.
    fn note_batches(&self, info: &Info) {
        let taken = info.config.allow_atomic_publish && self.server().has_atomic_batches();
        let before = self.batches.swap(taken, Ordering::AcqRel);
        let wished = self.config.publish == PublishWay::Batch;
        if wished && !taken && (before || !self.batches_missed.swap(true, Ordering::AcqRel)) {
            let stream = &self.config.stream;
            tracing::warn!(
                stream,
                "relay.publish is \"batch\", but the stream takes no atomic batches: messages go out pipelined. It takes a nats-server 2.12 and `nats stream edit {stream} --allow-batch`"
            );
        }
    }
}

/// Whether there is JetStream at all, and for us.
async fn jetstream_answers(context: &Context, dialer: &Dialer) -> Result<(), BrokerError> {
    let Err(error) = context.query_account().await else {
        return Ok(());
    };
    let servers = dialer.shown().to_owned();
    let without = |account| BrokerError::NoJetStream { servers, account };
    let doing = "show the account's limits of JetStream".to_owned();
    match error.kind() {
        AccountErrorKind::JetStreamUnavailable => Err(without(false)),
        AccountErrorKind::JetStream(cause) => Err(match cause.error_code() {
            ErrorCode::JETSTREAM_NOT_ENABLED => without(false),
            ErrorCode::JETSTREAM_NOT_ENABLED_FOR_ACCOUNT => without(true),
            _ => stream::answered(doing, &cause),
        }),
        AccountErrorKind::TimedOut => Err(BrokerError::Unanswered {
            doing,
            source: Box::new(error),
        }),
        // An answer of a shape that the client library does not know, as old servers
        // give it. If it is anything worse, the stream will say so.
        AccountErrorKind::Other => Ok(()),
    }
}

#[async_trait]
impl Stream for Broker {
    async fn subscribe(&self, subscription: &Subscription) -> Result<Box<dyn Source>, Fault> {
        let server = self.inner.server();
        let wanted = Wanted::new(&self.inner.config.subject_prefix, subscription, server);
        let component = subscription.component.as_str();
        if !server.has_many_filters() {
            tracing::info!(
                component,
                filter = ?wanted.filters,
                "this NATS server knows one filter per consumer: the component is sent every event, and acknowledges what it does not handle; version 2.10 filters"
            );
        }
        let source = NatsSource::open(Arc::clone(&self.inner), wanted, subscription.start).await;
        match source {
            Ok(source) => Ok(Box::new(source)),
            Err(error) => Err(error.into_fault(format!("subscribe component `{component}`"))),
        }
    }

    /// The durable consumer is made anew from where it stood, see `anew`.
    async fn resume(&self, subscription: &Subscription) -> Result<Box<dyn Source>, Fault> {
        let server = self.inner.server();
        let wanted = Wanted::new(&self.inner.config.subject_prefix, subscription, server);
        let made = anew::make(&self.inner, &wanted, subscription.start).await;
        let explain = |error: BrokerError| {
            error.into_fault(format!("resume component `{}`", subscription.component))
        };
        made.map_err(explain)?;
        let source = NatsSource::open(Arc::clone(&self.inner), wanted, subscription.start).await;
        Ok(Box::new(source.map_err(explain)?))
    }

    /// With a server that knows one filter per consumer, messages of other
    /// components can be counted too.
    async fn lag(&self, component: &ComponentName) -> Result<Option<Lag>, Fault> {
        let name = durable_name(component);
        let found = footing::find(&self.inner, &name).await;
        let found = found.map_err(|error| error.into_fault("measure the lag"))?;
        Ok(found.as_ref().map(lag_of))
    }

    /// One question for 256 consumers of the stream, whoever has made them.
    async fn lags(
        &self,
        components: &[ComponentName],
    ) -> Result<BTreeMap<ComponentName, Lag>, Fault> {
        if components.is_empty() {
            return Ok(BTreeMap::new());
        }
        let wanted = components.iter().map(|name| (durable_name(name), name));
        let wanted: BTreeMap<String, &ComponentName> = wanted.collect();
        let listed = footing::list(&self.inner).await;
        let listed = listed.map_err(|error| error.into_fault("measure the lag"))?;
        let lags = listed.iter().filter_map(|info| {
            let name = *wanted.get(&info.name)?;
            Some((name.clone(), lag_of(info)))
        });
        Ok(lags.collect())
    }

    async fn check(&self) -> Result<(), Fault> {
        let doing = "check the stream";
        let found = stream::look(&self.inner.context, &self.inner.config).await;
        match found.map_err(|error| error.into_fault(doing))? {
            Some(_) => Ok(()),
            None => Err(Fault::transient(
                doing,
                "the stream is gone; it is made again with the next message",
            )),
        }
    }
}

fn lag_of(info: &ConsumerInfo) -> Lag {
    Lag {
        pending: info.num_pending,
        in_flight: u64::try_from(info.num_ack_pending).unwrap_or(u64::MAX),
    }
}
