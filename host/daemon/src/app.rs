//! The host as a whole: configured, built, started, drained.

mod housekeeping;
mod observe;
mod pausing;
mod roles;

use std::sync::Arc;

use qx_events::ports::Clock;
use qx_events::shard::{Shard, Split};
use qx_pipeline::trace::{PassThrough, Propagation};
use qx_pipeline::witness::Blind;
use qx_pipeline::{
    Dispatcher, Mediator, Relay, RelayConfig, Replay, Services, Settler, Witness, settler,
};
use qx_sandbox::LogSink;
use tokio::sync::Notify;

use crate::admin::Admin;
use crate::catalog::{self, Catalog};
use crate::clock::SystemClock;
use crate::config::{Config, StreamKind};
use crate::fleet::{Fleet, Timing};
use crate::open::{self, Compiler, Opened, StartError};
use crate::reach::Reach;
use crate::retention::Retention;
use crate::supervise::{Drained, Supervisor, Task};
use crate::telemetry::{LimitsHit, Sampled, Sampler};
use housekeeping::Housekeeping;
pub use observe::Observer;
use pausing::Pausing;
pub use roles::Roles;

/// What a host is told apart from its configuration.
pub struct Surroundings {
    /// What this process does.
    pub roles: Roles,
    /// Is told of every decision.
    pub witness: Arc<dyn Witness>,
    /// Ties spans to W3C contexts.
    pub propagation: Arc<dyn Propagation>,
    /// Who compiles components.
    pub compiler: Compiler,
    /// Serves `/metrics`; none in tests and in embedded use.
    pub metrics: Option<crate::telemetry::Metrics>,
}

impl Surroundings {
    /// Nobody watches, nothing is exported, components are compiled in this process.
    pub fn quiet(roles: Roles) -> Self {
        Self {
            roles,
            witness: Arc::new(Blind),
            propagation: Arc::new(PassThrough),
            compiler: Compiler::Own,
            metrics: None,
        }
    }
}

/// A host that is connected and verified; no event moves yet.
pub struct App {
    config: Config,
    roles: Roles,
    supervisor: Supervisor,
    stream: Option<Opened>,
    dispatcher: Arc<Dispatcher>,
    commits: Option<settler::GroupCommit>,
    catalog: Arc<Catalog>,
    mediator: Arc<Mediator>,
    nudge: Arc<Notify>,
    witness: Arc<dyn Witness>,
    propagation: Arc<dyn Propagation>,
    store: qx_store::Store,
    metrics: Option<crate::telemetry::Metrics>,
    holder: String,
}

/// A host at work.
pub struct Running {
    supervisor: Supervisor,
    dispatcher: Arc<Dispatcher>,
    observer: Observer,
    grace: std::time::Duration,
}

impl App {
    /// Connects to everything and checks it. The order is that of the data.
    pub async fn build(config: Config, around: Surroundings) -> Result<Self, StartError> {
        let supervisor = Supervisor::default();
        let clock: Arc<dyn Clock> = Arc::new(SystemClock);
        let nudge = Arc::new(Notify::new());

        let store = open::migrated_store(&config).await?;
        let stream = stream_of(&config, around.roles).await?;
        let limits = around.metrics.clone();
        let limits = limits.map(|metrics| LimitsHit::new(metrics) as Arc<dyn LogSink>);
        let sql = store.sql(config.database.sql_connections);
        let compiling = (around.compiler, limits, sql.as_ref().err().copied());
        let sandbox = Arc::new(open::sandbox(&config, &clock, compiling)?);
        let reach = Reach::open(&config, (&around.metrics, &around.propagation))
            .map_err(StartError::Requests)?;
        let mediator = Arc::new(Mediator::with_drain(config.components.drain));
        let (settler, commits) = Settler::new(store.ledger());
        let dispatcher = Arc::new(Dispatcher::new(Services {
            mediator: Arc::clone(&mediator),
            ledger: store.ledger(),
            settler,
            sql: sql.ok(),
            leases: store.leases(),
            dead_letters: store.dead_letters(),
            clock: Arc::clone(&clock),
            witness: Arc::clone(&around.witness),
            propagation: Arc::clone(&around.propagation),
            nudge: Arc::clone(&nudge),
            calls_max: config.consumer.in_flight_max,
            place_bytes: config.components.defaults.limits.memory_bytes,
            stop: supervisor.stop(),
        }));
        let holder = holder(&config);
        let consumed = stream.as_ref().filter(|_| around.roles.consumer);
        let fleet = consumed.map(|opened| {
            Arc::new(Fleet::new(
                Arc::clone(&opened.stream),
                Arc::clone(&dispatcher),
                supervisor.clone(),
                timing(&config, &holder),
            ))
        });
        let catalog = Catalog::new(
            config.components.clone(),
            catalog::Services {
                sandbox,
                mediator: Arc::clone(&mediator),
                fleet,
                reach,
                deployments: store.deployments(),
                clock,
                metrics: around.metrics.clone(),
            },
        )
        .beside(store.outbox());
        Ok(Self {
            roles: around.roles,
            witness: around.witness,
            propagation: around.propagation,
            metrics: around.metrics,
            catalog: Arc::new(catalog),
            mediator,
            commits: Some(commits),
            config,
            supervisor,
            stream,
            dispatcher,
            nudge,
            store,
            holder,
        })
    }

    /// Starts what this process is there for.
    pub async fn start(mut self) -> Result<Running, StartError> {
        let observer = Observer::new(&self);
        let pausing = self.start_pausing().await;
        self.start_admin(&observer, pausing).await?;
        if self.roles.calls_handlers() {
            self.start_components();
        }
        if self.roles.consumer {
            self.start_replay();
        }
        if self.roles.relay {
            self.start_relays();
        }
        self.start_housekeeping();
        Ok(Running {
            supervisor: self.supervisor,
            dispatcher: self.dispatcher,
            grace: self.config.grace,
            observer,
        })
    }

    /// What operators have paused is known before the first message is taken.
    async fn start_pausing(&self) -> Pausing {
        let (dispatcher, catalog) = (Arc::clone(&self.dispatcher), Arc::clone(&self.catalog));
        let catalog = (catalog, self.roles.calls_handlers());
        let pausing = Pausing::new(self.store.pauses(), dispatcher, catalog);
        if let Err(fault) = pausing.look().await {
            tracing::warn!(error = fault.chain(), "pauses cannot be read for now");
        }
        let (follows, stop) = (pausing.clone(), self.supervisor.stop());
        self.supervisor
            .spawn(Task::Pauses, move || follows.clone().run(stop.clone()));
        pausing
    }

    /// Health and figures, as soon as there is something to tell.
    async fn start_admin(&self, observer: &Observer, pausing: Pausing) -> Result<(), StartError> {
        let insight = Arc::new(observer.clone());
        if let Some(metrics) = &self.metrics {
            let (metrics, sampled) = (metrics.clone(), Arc::clone(&insight));
            let stop = self.supervisor.stop();
            self.supervisor.spawn(Task::Sampler, move || {
                Sampler::new(metrics.clone(), Arc::clone(&sampled) as Arc<dyn Sampled>)
                    .run(stop.clone())
            });
        }
        if let Some(listen) = self.config.admin.listen {
            let admin = Admin::bind(listen, insight, self.metrics.clone())
                .await
                .map_err(StartError::Admin)?
                .with_control(Arc::new(pausing));
            let stop = self.supervisor.stop();
            self.supervisor.spawn_once(Task::Admin, admin.run(stop));
        }
        Ok(())
    }

    /// Deletes what is past its retention.
    fn start_housekeeping(&self) {
        let embedded = self
            .stream
            .as_ref()
            .and_then(|opened| opened.embedded.clone());
        let (store, metrics) = (self.store.clone(), self.metrics.clone());
        let retention = Retention::of(&self.config);
        let stop = self.supervisor.stop();
        self.supervisor.spawn(Task::Housekeeping, move || {
            let housekeeping = Housekeeping {
                store: store.clone(),
                embedded: embedded.clone(),
                retention,
                metrics: metrics.clone(),
            };
            housekeeping.run(stop.clone())
        });
    }

    /// One for each part of the outbox.
    fn start_relays(&self) {
        for shard in self.config.relay.split.all() {
            self.start_relay(shard);
        }
    }

    fn start_relay(&self, shard: Shard) {
        let Some(opened) = &self.stream else { return };
        let config = RelayConfig {
            batch: self.config.relay.batch,
            poll_max: self.config.relay.poll_max,
            lease_term: self.config.relay.lease,
            order: self.config.relay.order,
            retention: self.config.relay.retention,
            beside_others: shard.of != Split::Whole,
            holder: self.holder.clone(),
        };
        let outbox = self.store.outbox_of(shard);
        let publisher = Arc::clone(&opened.publisher);
        let (nudge, witness) = (Arc::clone(&self.nudge), Arc::clone(&self.witness));
        let propagation = Arc::clone(&self.propagation);
        let stop = self.supervisor.stop();
        self.supervisor.spawn(Task::Relay, move || {
            Relay::new(
                config.clone(),
                Arc::clone(&outbox),
                Arc::clone(&publisher),
                Arc::clone(&nudge),
                Arc::clone(&witness),
                Arc::clone(&propagation),
            )
            .run(stop.clone())
        });
    }

    /// The folder, and the transaction that what its handlers do is committed in.
    fn start_components(&mut self) {
        if let Some(commits) = self.commits.take() {
            let settled = self.supervisor.settled();
            self.supervisor.spawn_once(Task::GroupCommit, async move {
                tokio::select! {
                    biased; // What was asked for is committed first.
                    () = commits.run() => {}
                    () = settled.cancelled() => {}
                }
            });
        }
        let (catalog, stop) = (Arc::clone(&self.catalog), self.supervisor.stop());
        self.supervisor.spawn(Task::Catalog, move || {
            Arc::clone(&catalog).run(stop.clone())
        });
    }

    /// Retries of dead letters.
    fn start_replay(&self) {
        let (letters, dispatcher) = (self.store.dead_letters(), Arc::clone(&self.dispatcher));
        let stop = self.supervisor.stop();
        self.supervisor.spawn(Task::Replay, move || {
            Replay::new(Arc::clone(&letters), Arc::clone(&dispatcher)).run(stop.clone())
        });
    }
}

impl Running {
    /// Dispatches events in this process, without a broker.
    pub fn dispatcher(&self) -> &Arc<Dispatcher> {
        &self.dispatcher
    }

    /// Returns when what lay in the folder of components at the start is in service,
    /// or shown as broken.
    pub async fn loaded(&self) {
        self.observer.loaded().await;
    }

    /// Answers how things are.
    pub fn observer(&self) -> &Observer {
        &self.observer
    }

    /// Returns when a task has failed that the host cannot do without.
    pub async fn failed(&self) {
        self.supervisor.failed().await;
    }

    /// Takes no more work, lets what was taken finish, within the grace.
    pub async fn drain(self) -> Drained {
        self.supervisor.drain(self.grace).await
    }
}

/// The stream, where this process has a role that needs one.
async fn stream_of(config: &Config, roles: Roles) -> Result<Option<Opened>, StartError> {
    if !roles.needs_stream() {
        return Ok(None);
    }
    open::stream(config).await.map(Some)
}

fn timing(config: &Config, holder: &str) -> Timing {
    Timing {
        ack_wait: config.consumer.ack_wait,
        lease: config.consumer.lease,
        holder: holder.to_owned(),
    }
}

/// Names this process in its leases. Whoever has the embedded stream is the only
/// process that can use it: after a crash its successor goes by the same name, and
/// need not wait for the term to end.
fn holder(config: &Config) -> String {
    match &config.stream.kind {
        StreamKind::Embedded(embedded) => format!("owner of {}", embedded.path.display()),
        StreamKind::Nats(_) => format!("{}/{}", std::process::id(), uuid::Uuid::new_v4()),
    }
}

/// Builds, starts, and drains when `until` returns: a signal, or the failure of a
/// task that may not fail.
pub async fn run(
    config: Config,
    around: Surroundings,
    until: impl Future<Output = ()>,
) -> Result<Drained, StartError> {
    let running = App::build(config, around).await?.start().await?;
    tokio::select! {
        () = until => {}
        () = running.failed() => {}
    }
    Ok(running.drain().await)
}
