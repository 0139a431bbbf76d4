//! The real thing under load and a seeded row of faults, then healed, left alone
//! until nothing is to be done, and judged.
//!
//! Three processes on PostgreSQL and NATS: two hosts and a relay. Between two faults
//! some events must get through: each fault alone shows that the lag goes back.

use std::path::PathBuf;
use std::time::Duration;

use fastrand::Rng;
use tokio::time::Instant;

use crate::checker::Judgement;
use crate::trial::{IN_ORDER, Trial};
use crate::{Host, rebuilt};

/// The components that count the events.
pub const COMPONENTS: [&str; 3] = ["tally", "tally-two", IN_ORDER];

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

/// The process that only relays.
const RELAY: (&str, &[&str]) = ("relay.toml", &["--roles", "relay"]);

/// The host beside the first, which is the world's own.
const SECOND: (&str, &[&str]) = ("second.toml", &[]);

struct Soak {
    trial: Trial,
    second: Host,
    relay: Host,
    rng: Rng,
    swaps: u32,
}

/// Runs it, and judges it. Returns where the history stays, too.
pub async fn soak(seed: u64, until: Until) -> (Judgement, PathBuf) {
    let mut soak = Soak::start(seed).await;
    let load = soak.trial.load();
    soak.trial.gets_on().await;
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
        let mut trial = Trial::new(&format!("soak-{seed}"), &COMPONENTS).await;
        trial.world.run_with(&[], &[]).await;
        let (second, relay) = (start(&trial, SECOND), start(&trial, RELAY));
        Self {
            trial,
            second,
            relay,
            rng: Rng::with_seed(seed),
            swaps: 0,
        }
    }

    async fn each_once(&mut self) {
        let mut faults = FAULTS;
        self.rng.shuffle(&mut faults);
        for fault in faults {
            self.trial.history.note(format!("{fault:?}"));
            self.strike(fault).await;
            self.trial.gets_on().await;
            self.supervise();
        }
    }

    async fn strike(&mut self, fault: Fault) {
        match fault {
            Fault::KillHost if self.rng.bool() => {
                self.trial.world.kill();
                self.trial.world.run_with(&[], &[]).await;
            }
            Fault::KillHost => {
                self.second.kill();
                self.second = start(&self.trial, SECOND);
            }
            Fault::KillRelay => {
                self.relay.kill();
                self.relay = start(&self.trial, RELAY);
            }
            Fault::RestartBroker => self.nats().restart().await.expect("nats-server"),
            Fault::WipeBroker => {
                self.nats().wipe().expect("its folder");
                self.nats().restart().await.expect("nats-server");
            }
            Fault::DeleteStream => {
                let context = self.trial.world.jetstream().await;
                // An error means that it was not made again yet.
                drop(context.delete_stream("QX_EVENTS").await);
            }
            Fault::RestartDatabase => {
                let postgres = self.trial.world.postgres.as_ref().expect("PostgreSQL");
                tokio::task::block_in_place(|| postgres.restart()).expect("PostgreSQL");
            }
            Fault::StopLeader => self.stop_leader().await,
            Fault::Swap => {
                self.swaps += 1;
                let build = rebuilt("tally", &format!("swap {}", self.swaps));
                for component in COMPONENTS {
                    self.trial.world.put(&format!("{component}.wasm"), &build);
                }
            }
        }
    }

    /// Starts again what ended because a server was away while it started: it says so
    /// and ends, and whoever runs it brings it back.
    fn supervise(&mut self) {
        for (host, role) in [(&mut self.second, SECOND), (&mut self.relay, RELAY)] {
            if !host.is_running() {
                *host = start(&self.trial, role);
            }
        }
    }

    fn nats(&mut self) -> &mut qx_broker::testing::Nats {
        self.trial.world.nats.as_mut().expect("nats-server")
    }

    /// Stops the process that relays until another does, then lets it go on.
    async fn stop_leader(&mut self) {
        let world = &self.trial.world;
        let before = world.leader().await;
        let all = world.host.iter().chain([&self.second, &self.relay]);
        let Some(leader) = all.into_iter().find(|host| host.holds(&before)) else {
            let text = format!("nobody of ours is in charge: `{before}`");
            return self.trial.history.note(text);
        };
        leader.signal("STOP");
        world.other_leader(&before).await;
        leader.signal("CONT");
    }

    /// Waits until nothing is left to do, with nobody's help, and judges.
    async fn end(mut self) -> (Judgement, PathBuf) {
        self.supervise();
        self.trial.ends().await;
        let first = self.trial.world.host.take();
        for host in first.into_iter().chain([self.second, self.relay]) {
            assert_eq!(host.stop().await, 0, "{}", self.trial.world.printed());
        }
        let judgement = self.trial.judged().await;
        (judgement, self.trial.history.path().to_owned())
    }
}

fn start(trial: &Trial, (file, more): (&str, &[&str])) -> Host {
    trial.second(file, more, &[])
}
