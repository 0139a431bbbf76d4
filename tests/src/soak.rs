//! The real thing under load and a seeded row of faults, then healed, left alone
//! until nothing is to be done, and judged.
//!
//! Three processes on PostgreSQL and NATS: two hosts and a relay. Between two faults
//! some events must get through: each fault alone shows that the lag goes back.

use std::path::PathBuf;
use std::time::Duration;

use fastrand::Rng;
use tokio::time::Instant;

use crate::checker::{Judgement, judge};
use crate::history::{Entry, History};
use crate::load::{Load, MARKED};
use crate::{Host, Way, World, rebuilt, repository};

/// The components that count the events.
pub const COMPONENTS: [&str; 2] = ["tally", "tally-two"];

/// Producers at work.
const PRODUCERS: usize = 4;

/// Events that must get through between two faults.
const PROGRESS: usize = 40;

/// One thing that goes wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// kill -9 of a host, and another in its place.
    KillHost,
    /// kill -9 of the process that only relays.
    KillRelay,
    /// kill -9 of the broker, and its start.
    RestartBroker,
    /// The broker dies and comes back with nothing of what it confirmed.
    WipeBroker,
    /// The stream is deleted behind standing connections.
    DeleteStream,
    /// The database stops as in a crash, and comes back.
    RestartDatabase,
    /// The relay in charge is stopped until another is, and goes on.
    StopLeader,
    /// Other builds of the components come into the folder.
    Swap,
}

/// Every kind.
pub const FAULTS: [Fault; 8] = [
    Fault::KillHost,
    Fault::KillRelay,
    Fault::RestartBroker,
    Fault::WipeBroker,
    Fault::DeleteStream,
    Fault::RestartDatabase,
    Fault::StopLeader,
    Fault::Swap,
];

/// How long faults go on.
#[derive(Debug, Clone, Copy)]
pub enum Until {
    /// Each kind came once.
    EachOnce,
    /// So long.
    For(Duration),
}

/// The processes of the host in one world.
struct Processes {
    /// By their configuration file; the first is the one with the admin address.
    all: Vec<(&'static str, Host)>,
}

/// Configuration files: two whole hosts and a relay.
const FILES: [&str; 3] = ["qx-host.toml", "second.toml", "relay.toml"];

struct Soak {
    world: World,
    processes: Processes,
    history: History,
    rng: Rng,
    swaps: u32,
}

/// Runs it, and judges it. The history stays in `target/soak`.
pub async fn soak(seed: u64, until: Until) -> (Judgement, PathBuf) {
    let mut soak = Soak::start(seed).await;
    let url = soak.world.database_url();
    let load = Load::start(&url, PRODUCERS, seed, &soak.history);
    soak.gets_on().await;
    match until {
        Until::EachOnce => soak.each_once().await,
        Until::For(span) => {
            let end = Instant::now() + span;
            while Instant::now() < end {
                soak.each_once().await;
            }
        }
    }
    load.stop().await;
    soak.end().await
}

impl Soak {
    async fn start(seed: u64) -> Self {
        let world = World::with(Way::Servers, &["tally"]).await;
        for name in COMPONENTS {
            world.install_as("tally", name);
            let sidecar = format!("[config]\nname = \"{name}\"\n");
            world.write(&format!("components/{name}.toml"), &sidecar);
        }
        let folder = repository().join("target/soak");
        std::fs::create_dir_all(&folder).expect("a folder");
        let history = History::create(&folder.join(format!("seed-{seed}.jsonl")));
        for component in COMPONENTS {
            let (component, pattern) = (component.to_owned(), MARKED.to_owned());
            history.push(Entry::Takes {
                component,
                pattern,
                ordered: false,
                counts: true,
            });
        }
        let without_admin = world.config().replace(world.admin(), "");
        for file in &FILES[1..] {
            world.write(file, &without_admin);
        }
        let all = FILES.map(|file| (file, process(&world, file))).into();
        let processes = Processes { all };
        Self {
            world,
            processes,
            history,
            rng: Rng::with_seed(seed),
            swaps: 0,
        }
    }

    async fn each_once(&mut self) {
        let mut faults = FAULTS;
        self.rng.shuffle(&mut faults);
        for fault in faults {
            self.history.note(format!("{fault:?}"));
            self.strike(fault).await;
            self.gets_on().await;
        }
    }

    async fn strike(&mut self, fault: Fault) {
        match fault {
            Fault::KillHost => {
                let nth = self.rng.usize(..2);
                self.replace(nth);
            }
            Fault::KillRelay => self.replace(2),
            Fault::RestartBroker => self.nats().restart().await.expect("nats-server"),
            Fault::WipeBroker => {
                self.nats().wipe().expect("its folder");
                self.nats().restart().await.expect("nats-server");
            }
            Fault::DeleteStream => self.delete_stream().await,
            Fault::RestartDatabase => {
                let postgres = self.world.postgres.as_ref().expect("PostgreSQL");
                tokio::task::block_in_place(|| postgres.restart()).expect("PostgreSQL");
            }
            Fault::StopLeader => self.stop_leader().await,
            Fault::Swap => {
                self.swaps += 1;
                let build = rebuilt("tally", &format!("swap {}", self.swaps));
                for component in COMPONENTS {
                    self.world.put(&format!("{component}.wasm"), &build);
                }
            }
        }
    }

    fn nats(&mut self) -> &mut qx_broker::testing::Nats {
        self.world.nats.as_mut().expect("nats-server")
    }

    /// kill -9, and the same process again.
    fn replace(&mut self, nth: usize) {
        let (file, process_now) = &mut self.processes.all[nth];
        process_now.kill();
        *process_now = process(&self.world, file);
    }

    async fn delete_stream(&self) {
        let url = self.world.nats.as_ref().expect("nats-server").url();
        let client = async_nats::connect(url).await.expect("a connection");
        let context = async_nats::jetstream::new(client);
        // An error means that it was not made again yet.
        drop(context.delete_stream("QX_EVENTS").await);
    }

    /// Stops the process that relays until another does, then lets it go on.
    async fn stop_leader(&mut self) {
        let before = self.world.leader().await;
        let processes = self.processes.all.iter();
        let leads = |(_, host): &&(&str, Host)| host.holds(&before);
        let leader = processes.clone().find(leads).map(|(_, host)| host);
        let Some(leader) = leader else {
            return self
                .history
                .note(format!("nobody of ours is in charge: {before}"));
        };
        leader.signal("STOP");
        let look = async || {
            let now = self.world.leader().await;
            let other = now != before && !now.is_empty();
            if other { Ok(()) } else { Err(now) }
        };
        self.world
            .eventually("another relay is in charge", look)
            .await;
        leader.signal("CONT");
    }

    /// Waits until so many more events are handled than now.
    async fn gets_on(&self) {
        let marks = "SELECT CAST(count(*) AS TEXT) FROM qx_inbox";
        let count = async || {
            let rows = self.world.database().await.rows(marks).await;
            let rows = rows.map_err(|error| error.to_string())?;
            rows[0][0]
                .parse::<usize>()
                .map_err(|error| error.to_string())
        };
        let before = self.world.eventually("the database answers", count).await;
        let look = async || match count().await? {
            now if now >= before + PROGRESS => Ok(()),
            now => Err(format!("{now} marks, {before} before")),
        };
        self.world.eventually("events get through", look).await;
    }

    /// Waits until nothing is left to do, with nobody's help, and judges.
    async fn end(mut self) -> (Judgement, PathBuf) {
        self.history.note("healed");
        let rest = self.world.all_is_done(&COMPONENTS).await;
        self.history.note(format!("done: {rest}"));
        let metrics = self.world.metrics_at_rest(&COMPONENTS, false).await;
        for (file, host) in self.processes.all.drain(..) {
            let code = host.stop().await;
            assert_eq!(code, 0, "{file}: {}", self.world.printed());
        }
        for entry in metrics {
            self.history.push(entry);
        }
        self.world.write_down(&self.history).await;
        self.world.write_down_commands(&self.history).await;
        let judgement = judge(&self.history.entries());
        (judgement, self.history.path().to_owned())
    }
}

fn process(world: &World, file: &str) -> Host {
    let mut args = vec!["--config", file, "run", "--live"];
    if file == "relay.toml" {
        args.extend(["--roles", "relay"]);
    }
    Host::start(world.dir(), &world.path("host.log"), &args, &[])
}
