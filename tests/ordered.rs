//! Order by key (I4) under faults, with real servers and several hosts: effects of a
//! key follow the outbox, whoever dies, is stopped past its lease, or loses touch.
#![cfg(test)]

use std::path::PathBuf;

use acceptance::checker::judge;
use acceptance::history::{Entry, History, Outcome};
use acceptance::load::MARKED;
use acceptance::{Host, Way, World, rebuilt, repository};
use uuid::Uuid;

/// The component that counts the events of each key.
const COMPONENT: &str = "tally";
/// Its own file.
const SIDECAR: &str = "order = \"key\"\nkey = \"correlation\"\n[retry]\ninitial_ms = 300\n";
/// Configuration files of the hosts; the first has the admin address.
const FILES: [&str; 2] = ["qx-host.toml", "second.toml"];
/// Keys of the events.
const KEYS: u64 = 5;
/// Events that are recorded at once: several of each key are in hand when something
/// goes wrong.
const BURST: u64 = 40;
/// One in so many is handled at its second attempt, and one in so many never.
const RETRIES: u64 = 7;
const REJECTS: u64 = 23;

/// Hosts that consume one component in order, while events come.
struct Fleet {
    world: World,
    hosts: Vec<Host>,
    history: History,
    recorded: u64,
}

impl Fleet {
    async fn start(way: Way, hosts: usize, name: &str) -> Self {
        let world = World::with(way, &[]).await;
        world.write("components/tally.toml", SIDECAR);
        world.install_as("tally", COMPONENT);
        let config = world
            .config()
            .replace("[consumer]\n", "[consumer]\nlease_s = 2\n");
        world.write(FILES[0], &config);
        world.write(FILES[1], &config.replace(world.admin(), ""));
        let folder = repository().join("target/soak");
        std::fs::create_dir_all(&folder).unwrap();
        let history = History::create(&folder.join(format!("{name}.jsonl")));
        history.push(Entry::Takes {
            component: COMPONENT.to_owned(),
            pattern: MARKED.to_owned(),
            ordered: true,
            counts: true,
        });
        let mut fleet = Self {
            world,
            hosts: Vec::new(),
            history,
            recorded: 0,
        };
        for file in FILES.into_iter().take(hosts) {
            let host = fleet.host(file);
            fleet.hosts.push(host);
        }
        fleet.records().await;
        fleet.has_ended(BURST / 4).await;
        fleet
    }

    fn host(&self, file: &str) -> Host {
        let args = ["--config", file, "run", "--live"];
        let log = self.world.path("host.log");
        Host::start(self.world.dir(), &log, &args, &[])
    }

    /// Records a burst of events, each in a transaction of its own.
    async fn records(&mut self) {
        for _ in 0..BURST {
            self.recorded += 1;
            let n = self.recorded;
            let act = match n {
                n if n.is_multiple_of(REJECTS) => "reject",
                n if n.is_multiple_of(RETRIES) => "retry",
                _ => "count",
            };
            let (event, key) = (Uuid::new_v4(), n % KEYS);
            let correlation = Uuid::from_u128(u128::from(key) + 1);
            let body = serde_json::json!({
                "event_id": event, "event_name": MARKED, "correlation_id": correlation,
                "payload": {"key": format!("k{key}"), "n": n, "act": act},
            });
            let insert = format!(
                "INSERT INTO qx_outbox_events (id, event_name, payload, correlation_id, occurred_at) \
                 VALUES ('{}', '{MARKED}', '{body}', '{correlation}', '2026-03-01T10:00:00Z')",
                Uuid::new_v4()
            );
            self.world.database().await.execute(&insert).await;
            self.history.push(Entry::Produced {
                event,
                name: MARKED.to_owned(),
                key: format!("k{key}"),
                n,
                outcome: Outcome::Ok,
            });
        }
    }

    /// Who consumes the component at present.
    async fn in_charge(&self) -> Result<String, String> {
        let holder = "SELECT holder FROM qx_leases WHERE name = 'order:tally'";
        let rows = self.world.database().await.rows(holder).await;
        let rows = rows.map_err(|error| error.to_string())?;
        let holder = rows.first().map(|row| row[0].clone());
        holder
            .filter(|holder| !holder.is_empty())
            .ok_or_else(|| "nobody".to_owned())
    }

    /// The place in the fleet of the host that is in charge.
    async fn leader(&self) -> usize {
        let look = async || {
            let holder = self.in_charge().await?;
            let nth = self.hosts.iter().position(|host| host.holds(&holder));
            nth.ok_or(holder)
        };
        self.world
            .eventually("one of the hosts is in charge", look)
            .await
    }

    /// Waits until another host is in charge than this one.
    async fn succeeded(&self, nth: usize) {
        let look = async || {
            let holder = self.in_charge().await?;
            let mut others = self.hosts.iter().enumerate();
            if others.any(|(other, host)| other != nth && host.holds(&holder)) {
                Ok(())
            } else {
                Err(holder)
            }
        };
        self.world
            .eventually("another host is in charge", look)
            .await;
    }

    /// Waits until at most so many of the recorded events are not handled or dead.
    async fn has_ended(&self, but: u64) {
        let ends = "SELECT CAST((SELECT count(*) FROM qx_inbox) + \
                    (SELECT count(*) FROM qx_dead_letters) AS TEXT)";
        let look = async || {
            let rows = self.world.database().await.rows(ends).await;
            let rows = rows.map_err(|error| error.to_string())?;
            let ended: u64 = rows[0][0].parse().unwrap();
            if ended + but >= self.recorded {
                Ok(())
            } else {
                Err(format!("{ended} of {}", self.recorded))
            }
        };
        self.world.eventually("events come to an end", look).await;
    }

    /// kill -9 of a host, and the same again.
    fn replace(&mut self, nth: usize) {
        self.history.note(format!("kill -9 of {nth}"));
        self.hosts[nth].kill();
        self.hosts[nth] = self.host(FILES[nth]);
    }

    fn swap(&self, mark: &str) {
        self.world.put("tally.wasm", &rebuilt("tally", mark));
    }

    /// Waits until nothing is left to do, and judges.
    async fn comes_out_well(mut self) {
        self.has_ended(0).await;
        let (history, world) = (&self.history, &self.world);
        history.note("healed");
        let rest = world.all_is_done(&[COMPONENT]).await;
        history.note(format!("done: {rest}"));
        for host in self.hosts.drain(..) {
            let code = host.stop().await;
            assert_eq!(code, 0, "{}", world.printed());
        }
        world.write_down(history).await;
        world.write_down_commands(history).await;
        let judgement = judge(&history.entries());
        let path: PathBuf = history.path().to_owned();
        assert!(judgement.is_good(), "{}:\n{judgement}", path.display());
        assert!(judgement.seen.committed > 100, "{judgement}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn killed_at_random_moments_the_hosts_handle_each_key_in_the_order_of_the_outbox() {
    let mut fleet = Fleet::start(Way::Servers, 2, "ordered-killed").await;
    for round in 0..4 {
        fleet.records().await;
        // Each time with another part of them in hand.
        fleet.has_ended(BURST - round * 8).await;
        let leader = fleet.leader().await;
        fleet.replace(leader);
    }
    fleet.comes_out_well().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_host_stopped_past_its_lease_wakes_up_and_changes_nothing() {
    let mut fleet = Fleet::start(Way::Servers, 2, "ordered-stopped").await;
    for _ in 0..3 {
        let leader = fleet.leader().await;
        fleet.records().await;
        fleet.history.note(format!("SIGSTOP of {leader}"));
        fleet.hosts[leader].signal("STOP");
        fleet.succeeded(leader).await;
        fleet.has_ended(BURST / 2).await;
        fleet.history.note(format!("SIGCONT of {leader}"));
        fleet.hosts[leader].signal("CONT");
    }
    fleet.comes_out_well().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn order_holds_through_restarts_of_the_broker_and_new_builds() {
    let mut fleet = Fleet::start(Way::Servers, 2, "ordered-broker").await;
    for round in 0..3 {
        fleet.records().await;
        fleet.history.note("the broker is killed");
        let nats = fleet.world.nats.as_mut().unwrap();
        nats.restart().await.unwrap();
        fleet.records().await;
        fleet.swap(&format!("swap {round}"));
        fleet.has_ended(BURST).await;
    }
    fleet.comes_out_well().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_host_that_stops_hands_over_at_once() {
    let mut fleet = Fleet::start(Way::Servers, 2, "ordered-handed-over").await;
    for _ in 0..2 {
        fleet.records().await;
        let leader = fleet.leader().await;
        let gone = fleet.hosts.swap_remove(leader);
        assert_eq!(gone.stop().await, 0);
        let next = fleet.host(FILES[leader]);
        fleet.hosts.insert(leader, next);
        fleet.has_ended(BURST / 2).await;
    }
    fleet.comes_out_well().await;
}

/// As when one host was given another file than the others.
#[tokio::test(flavor = "multi_thread")]
async fn a_host_without_order_stands_by_and_says_why_while_another_keeps_it() {
    let mut fleet = Fleet::start(Way::Servers, 2, "ordered-beside-others").await;
    let gone = fleet.hosts.swap_remove(0);
    assert_eq!(gone.stop().await, 0);
    // It may have been in charge: until the other one is, nobody keeps an order.
    assert_eq!(fleet.leader().await, 0);
    let world = &fleet.world;
    let careful = std::fs::read_to_string(world.path(FILES[0])).unwrap();
    std::fs::create_dir(world.path("careless")).unwrap();
    std::fs::copy(
        world.path("components/tally.wasm"),
        world.path("careless/tally.wasm"),
    )
    .unwrap();
    let careless = careful.replace("dir = \"components\"", "dir = \"careless\"");
    world.write(FILES[0], &careless);
    fleet.records().await;
    let host = fleet.host(FILES[0]);
    fleet.hosts.insert(0, host);
    fleet.world.ready().await;
    let listed = fleet
        .world
        .lists(COMPONENT, |seen| seen["state"] == "paused")
        .await;
    let reason = listed["reason"].as_str().unwrap();
    assert!(reason.contains("give every host the same file"), "{reason}");
    fleet.records().await;
    fleet.has_ended(0).await;
    assert_eq!(fleet.leader().await, 1);
    // The remedy; and the other one may go.
    fleet.world.write("careless/tally.toml", SIDECAR);
    fleet
        .world
        .lists(COMPONENT, |seen| seen["state"] == "serving")
        .await;
    fleet.records().await;
    fleet.hosts[1].kill();
    fleet.succeeded(1).await;
    fleet.hosts.truncate(1);
    fleet.comes_out_well().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn order_holds_on_the_embedded_way_through_kills_and_new_builds() {
    let mut fleet = Fleet::start(Way::Embedded, 1, "ordered-embedded").await;
    for round in 0..3 {
        fleet.records().await;
        fleet.replace(0);
        fleet.has_ended(BURST / 2).await;
        fleet.records().await;
        fleet.swap(&format!("swap {round}"));
    }
    fleet.comes_out_well().await;
}
