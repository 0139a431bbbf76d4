//! One process: the real loops over the models, wired as the daemon wires them.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use qx_events::ports::{Clock, Subscription};
use qx_events::shard::Shard;
use qx_events::{
    Binding, CanaryPolicy, Component, ComponentName, ExportIndex, Inbox, KeyField, Order, Pattern,
    RetryPolicy, Settings, Versions,
};
use qx_pipeline::trace::PassThrough;
use qx_pipeline::{
    Consumer, ConsumerConfig, Dispatcher, Mediator, Ordered, Relay, RelayConfig, Replay, RowOrder,
    Services, Settler, Trial,
};
use tokio::sync::Notify;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::acts::digest;
use crate::history::{Effect, History};
use crate::mischief::Life;
use crate::models::broker::Broker;
use crate::models::database::Database;
use crate::models::handler::{Act, Load, Scripted};
use crate::models::witness::Scribe;
use crate::world::World;

/// The acknowledgement wait of every consumer here.
pub(crate) const ACK_WAIT: Duration = Duration::from_secs(30);
/// The term of every lease here.
pub(crate) const TERM: Duration = Duration::from_secs(9);
/// Messages that a consumer in order keeps in hand.
pub(crate) const IN_HAND_MAX: usize = 24;
/// Attempts of every event here.
pub(crate) const ATTEMPTS_MAX: u32 = 3;

/// A component to be put in service.
#[derive(Clone)]
pub(crate) struct Spec {
    pub(crate) name: &'static str,
    pub(crate) build: u8,
    pub(crate) takes: Vec<(&'static str, Versions)>,
    pub(crate) concurrency: usize,
    pub(crate) inbox: Inbox,
    pub(crate) act: Act,
    pub(crate) load: Arc<Load>,
    /// Whether events of one correlation follow each other.
    pub(crate) in_order: bool,
    pub(crate) canary: CanaryPolicy,
}

/// A component that takes every version of an event.
pub(crate) fn component(name: &'static str, takes: &'static str, act: Act) -> Spec {
    Spec {
        name,
        build: 1,
        takes: vec![(takes, Versions::Any)],
        concurrency: 4,
        inbox: Inbox::Every,
        act,
        load: Arc::default(),
        in_order: false,
        canary: CanaryPolicy::default(),
    }
}

impl Spec {
    pub(crate) fn canary(self, canary: CanaryPolicy) -> Self {
        Self { canary, ..self }
    }

    pub(crate) fn build(self, build: u8) -> Self {
        Self { build, ..self }
    }

    pub(crate) fn versions(mut self, versions: &[u32]) -> Self {
        for (_, own) in &mut self.takes {
            *own = Versions::Only(versions.to_vec());
        }
        self
    }

    pub(crate) fn inbox(self, inbox: Inbox) -> Self {
        Self { inbox, ..self }
    }

    /// Events of one correlation follow each other.
    pub(crate) fn in_order(self) -> Self {
        Self {
            in_order: true,
            ..self
        }
    }

    pub(crate) fn concurrency(self, concurrency: usize) -> Self {
        Self {
            concurrency,
            ..self
        }
    }

    /// The most calls that ran at once.
    pub(crate) fn most_at_once(&self) -> usize {
        self.load.most.load(Ordering::SeqCst)
    }

    fn bindings(&self) -> Vec<Binding> {
        let bind = |(pattern, versions): &(&str, Versions)| Binding {
            pattern: Pattern::parse(pattern).unwrap(),
            versions: versions.clone(),
            export: ExportIndex(0),
        };
        self.takes.iter().map(bind).collect()
    }
}

/// Wall time that follows the virtual one.
struct VirtualClock(History);

impl Clock for VirtualClock {
    fn now(&self) -> DateTime<Utc> {
        DateTime::UNIX_EPOCH + TimeDelta::from_std(self.0.now()).unwrap()
    }
}

/// A process.
pub(crate) struct Host {
    pub(crate) name: String,
    pub(crate) stop: CancellationToken,
    pub(crate) dispatcher: Arc<Dispatcher>,
    pub(crate) nudge: Arc<Notify>,
    db: Database,
    broker: Broker,
    history: History,
    life: Life,
    mediator: Arc<Mediator>,
    consumers: BTreeMap<String, CancellationToken>,
    deliveries: TaskTracker,
    loops: JoinSet<()>,
    /// Ends with the process.
    _commits: JoinSet<()>,
}

impl Host {
    pub(crate) fn new(world: &World, name: &str) -> Self {
        let life = Life::default();
        let (db, broker) = (world.db.of(&life), world.broker.of(&life));
        let (settler, group_commit) = Settler::new(Arc::new(db.clone()));
        let mut commits = JoinSet::new();
        commits.spawn(group_commit.run());
        let mediator = Arc::new(Mediator::default());
        let nudge = Arc::new(Notify::new());
        let stop = CancellationToken::new();
        let dispatcher = Dispatcher::new(Services {
            sql: None,
            mediator: Arc::clone(&mediator),
            ledger: Arc::new(db.clone()),
            settler,
            leases: Arc::new(db.clone()),
            dead_letters: Arc::new(db.clone()),
            clock: Arc::new(VirtualClock(world.history.clone())),
            witness: Arc::new(Scribe(world.history.clone())),
            propagation: Arc::new(PassThrough),
            nudge: Arc::clone(&nudge),
            calls_max: 8,
            place_bytes: Settings::default().limits.memory_bytes,
            stop: stop.clone(),
        });
        Self {
            name: name.to_owned(),
            stop,
            dispatcher: Arc::new(dispatcher),
            nudge,
            db,
            broker,
            history: world.history.clone(),
            life,
            mediator,
            consumers: BTreeMap::new(),
            deliveries: TaskTracker::new(),
            loops: JoinSet::new(),
            _commits: commits,
        }
    }

    /// Starts a relay.
    pub(crate) fn relay(&mut self) {
        self.relay_in_batches(100);
    }

    pub(crate) fn relay_in_batches(&mut self, batch: u32) {
        self.relay_with(RelayConfig {
            batch,
            poll_max: Duration::from_millis(500),
            lease_term: TERM,
            order: RowOrder::Eager,
            retention: Duration::from_hours(1),
            beside_others: false,
            holder: self.name.clone(),
        });
    }

    pub(crate) fn relay_with(&mut self, config: RelayConfig) {
        self.relay_of(Shard::default(), config);
    }

    /// Starts the relay of a part of the outbox.
    pub(crate) fn relay_of(&mut self, shard: Shard, config: RelayConfig) {
        let relay = Relay::new(
            config,
            Arc::new(self.db.part(shard)),
            Arc::new(self.broker.clone()),
            Arc::clone(&self.nudge),
            Arc::new(Scribe(self.history.clone())),
            Arc::new(PassThrough),
        );
        self.loops.spawn(relay.run(self.stop.clone()));
    }

    /// Puts a component in service, in place of one of its name.
    pub(crate) fn install(&self, spec: &Spec) {
        self.mediator.install(&self.build(spec));
    }

    /// Tries a build beside the one in service.
    pub(crate) fn try_out(&self, spec: &Spec) -> Arc<Trial> {
        self.mediator.try_out(&self.build(spec)).unwrap()
    }

    /// Deliveries on builds that were replaced.
    pub(crate) fn draining(&self, name: &str) -> usize {
        self.mediator.draining(&ComponentName::parse(name).unwrap())
    }

    fn build(&self, spec: &Spec) -> Arc<Component> {
        let handler = Scripted {
            component: spec.name.to_owned(),
            build: spec.build,
            act: Arc::clone(&spec.act),
            life: self.life.clone(),
            history: self.history.clone(),
            load: Arc::clone(&spec.load),
        };
        let retry = RetryPolicy {
            attempts_max: ATTEMPTS_MAX,
            initial: Duration::from_secs(1),
            max: Duration::from_mins(1),
        };
        let settings = Settings {
            retry,
            inbox: spec.inbox,
            canary: spec.canary,
            order: if spec.in_order {
                Order::Key(KeyField::Correlation)
            } else {
                Order::None
            },
            ..Settings::default()
        };
        let name = ComponentName::parse(spec.name).unwrap();
        let bindings = spec.bindings();
        let component = Component::new(
            name,
            digest(spec.build),
            settings,
            Arc::new(handler),
            bindings,
        );
        Arc::new(component.unwrap())
    }

    pub(crate) fn remove(&self, name: &str) {
        self.mediator.remove(&ComponentName::parse(name).unwrap());
    }

    /// Puts a component in service and starts its consumer.
    pub(crate) fn serve(&mut self, spec: &Spec) {
        self.install(spec);
        self.consume(spec);
    }

    /// Starts a component's consumer.
    pub(crate) fn consume(&mut self, spec: &Spec) {
        let patterns = spec.bindings().into_iter().map(|binding| binding.pattern);
        let config = ConsumerConfig {
            subscription: Subscription {
                component: ComponentName::parse(spec.name).unwrap(),
                patterns: patterns.collect(),
                ack_wait: ACK_WAIT,
                in_flight_max: if spec.in_order { 256 } else { 64 },
                start: qx_events::StartFrom::Beginning,
            },
            concurrency: spec.concurrency,
            ordered: self.ordered(spec),
        };
        let consumer = Consumer::new(
            config,
            Arc::new(self.broker.clone()),
            Arc::clone(&self.dispatcher),
            self.deliveries.clone(),
        );
        let stop = self.stop.child_token();
        self.consumers.insert(spec.name.to_owned(), stop.clone());
        self.loops.spawn(consumer.run(stop));
    }

    fn ordered(&self, spec: &Spec) -> Option<Ordered> {
        spec.in_order.then(|| Ordered {
            key: KeyField::Correlation,
            holder: self.name.clone(),
            term: TERM,
            in_hand_max: IN_HAND_MAX,
        })
    }

    /// Stops it without its knowledge: nothing it asks for goes on.
    pub(crate) fn freeze(&self) {
        let host = self.name.clone();
        self.history.push(Effect::Note(format!("{host} is frozen")));
        self.life.freeze();
    }

    /// Lets it go on where it was.
    pub(crate) fn thaw(&self) {
        let host = self.name.clone();
        self.history.push(Effect::Note(format!("{host} is thawed")));
        self.life.thaw();
    }

    /// Stops one component's consumer, as when its file is gone.
    pub(crate) fn stop_consumer(&mut self, name: &str) {
        self.consumers.remove(name).unwrap().cancel();
    }

    /// Waits until every loop has ended that was told to.
    pub(crate) async fn loops_ended(&mut self) {
        while let Some(ended) = self.loops.join_next().await {
            ended.unwrap();
        }
    }

    /// Starts the loop that serves requests for a retry.
    pub(crate) fn replay(&mut self) {
        let replay = Replay::new(Arc::new(self.db.clone()), Arc::clone(&self.dispatcher));
        self.loops.spawn(replay.run(self.stop.clone()));
    }

    /// Stops in an orderly way, and waits for what is in hand.
    pub(crate) async fn drain(&mut self) {
        self.stop.cancel();
        self.loops_ended().await;
        self.deliveries.close();
        self.deliveries.wait().await;
    }

    /// Dies, here and now: nothing it had begun has any effect any more.
    pub(crate) fn kill(self) {
        self.life.end();
        let host = self.name.clone();
        self.history.push(Effect::Killed { host });
        // Dropping the sets ends the loops; the deliveries never get another answer.
    }
}
