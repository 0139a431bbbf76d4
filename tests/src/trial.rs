//! A world with components that count, a history of everything that was asked of
//! it, and the checker at the end.

use serde_json::{Value, json};
use uuid::Uuid;

use crate::checker::{Judgement, judge};
use crate::history::{Entry, History, Outcome};
use crate::load::{INSERT, Keys, Load, MARKED, correlation, marked};
use crate::{Host, Way, World, repository};

/// Events that must get through for a system to count as getting on.
const PROGRESS: usize = 40;

/// Rounds of a handler that is at work for seconds, on any machine.
pub const SPIN_LONG: u64 = 1_000_000_000;

/// Producers of a load.
pub(crate) const PRODUCERS: usize = 3;

/// The copy of component `tally` that is given the events of a key in order.
pub const IN_ORDER: &str = "tally-in-order";

/// A trial. Its history stays in `target/trials`.
pub struct Trial {
    /// Where it takes place.
    pub world: World,
    /// What is asked, and what comes of it.
    pub history: History,
    components: Vec<&'static str>,
    seed: u64,
    recorded: u64,
}

impl Trial {
    /// On fresh servers, with these copies of component `tally`.
    pub async fn new(name: &str, components: &[&'static str]) -> Self {
        Self::within(World::bare(Way::Servers).await, name, components).await
    }

    /// In a world without tables.
    pub async fn within(world: World, name: &str, components: &[&'static str]) -> Self {
        drop(world.qx(&["migrate"]).await.ok());
        Self::prepared(world, name, components)
    }

    /// In a world that has its tables.
    pub fn prepared(world: World, name: &str, components: &[&'static str]) -> Self {
        let folder = repository().join("target/trials");
        std::fs::create_dir_all(&folder).expect("a folder");
        let history = History::create(&folder.join(format!("{name}.jsonl")));
        for component in components {
            world.write(
                &format!("components/{component}.toml"),
                &sidecar(component, ""),
            );
            world.install_as("tally", component);
            history.push(Entry::Takes {
                component: (*component).to_owned(),
                pattern: MARKED.to_owned(),
                ordered: *component == IN_ORDER,
                counts: true,
            });
        }
        let seed = name.bytes().map(u64::from).sum();
        Self {
            world,
            history,
            components: components.to_vec(),
            seed,
            recorded: 0,
        }
    }

    /// Gives handlers time for [`SPIN_LONG`] on a busy machine. The acknowledgement
    /// wait follows.
    pub fn is_patient(&self) {
        for component in &self.components {
            let limits = "[limits]\ntimeout_ms = 15000\ncpu_ms = 15000\n";
            let file = format!("components/{component}.toml");
            self.world.write(&file, &sidecar(component, limits));
        }
    }

    /// Producers that record until they are stopped.
    pub fn load(&self) -> Load {
        self.load_of(Keys::Own)
    }

    /// The same, of these keys.
    pub fn load_of(&self, keys: Keys) -> Load {
        let url = self.world.database_url();
        Load::start(&url, keys, self.seed, &self.history)
    }

    /// Records so many events in one transaction that commits; `more` goes into
    /// their payloads.
    pub async fn record(&mut self, count: u64, more: &Value) {
        let pool = self.world.database().await.pool();
        let mut transaction = pool.begin().await.expect("a transaction");
        let key = "trial".to_owned();
        for n in self.recorded + 1..=self.recorded + count {
            let event = Uuid::new_v4();
            let mut payload = json!({"key": key, "n": n});
            for (field, value) in more.as_object().into_iter().flatten() {
                payload[field] = value.clone();
            }
            let insert = sqlx::query(INSERT)
                .bind(event)
                .bind(MARKED)
                .bind(marked(event, &payload).to_string())
                .bind(correlation(&key));
            insert.execute(&mut *transaction).await.expect("a row");
            let (name, key, outcome) = (MARKED.to_owned(), key.clone(), Outcome::Ok);
            self.history.push(Entry::Produced {
                event,
                name,
                key,
                n,
                outcome,
            });
        }
        transaction.commit().await.expect("a commit");
        self.recorded += count;
    }

    /// Another process in the same world, with no admin address.
    pub fn second(&self, file: &str, more: &[&str], environment: &[(&str, &str)]) -> Host {
        let config = std::fs::read_to_string(self.world.path("qx-host.toml"));
        let config = config.expect("a configuration");
        self.world
            .write(file, &config.replace(self.world.admin(), ""));
        let mut args = vec!["--config", file, "run", "--live"];
        args.extend(more);
        let log = self.world.path("host.log");
        Host::start(self.world.dir(), &log, &args, environment)
    }

    /// Waits until the stream has given the component messages that it has not had
    /// back: its handlers are at work.
    pub async fn is_in_flight(&self, component: &str) {
        let context = self.world.jetstream().await;
        let look = async || {
            let stream = context.get_stream("QX_EVENTS").await;
            let stream = stream.map_err(|error| error.to_string())?;
            let info = stream.consumer_info(format!("qx_{component}")).await;
            match info.map_err(|error| error.to_string())?.num_ack_pending {
                0 => Err("nothing".to_owned()),
                _ => Ok(()),
            }
        };
        self.world.eventually("messages are in flight", look).await;
    }

    /// Inbox marks, of all components.
    pub async fn marks(&self) -> Result<usize, String> {
        let sql = "SELECT CAST(count(*) AS TEXT) FROM qx_inbox";
        let rows = self.world.database().await.rows(sql).await;
        let rows = rows.map_err(|error| error.to_string())?;
        rows[0][0]
            .parse()
            .map_err(|error| format!("{rows:?}: {error}"))
    }

    /// Waits until there are so many marks, or more.
    pub async fn has_handled(&self, wanted: usize) {
        let look = async || match self.marks().await? {
            now if now >= wanted => Ok(()),
            now => Err(format!("{now} marks, not {wanted}")),
        };
        self.world.eventually("events are handled", look).await;
    }

    /// Waits until events get through that did not get through before.
    pub async fn gets_on(&self) {
        let count = async || self.marks().await;
        let before = self.world.eventually("the database answers", count).await;
        self.has_handled(before + PROGRESS).await;
    }

    /// Waits until nothing is left to do, with nobody's help; writes down what has
    /// come of it, and what the host shows when it has an admin address.
    pub async fn ends(&self) {
        self.history.note("healed");
        let rest = self.world.all_is_done(&self.components).await;
        self.history.note(format!("done: {rest}"));
        if self.world.host.is_some() {
            let metrics = self.world.metrics_at_rest(&self.components, false).await;
            for entry in metrics {
                self.history.push(entry);
            }
        }
    }

    /// The judge's opinion of everything, once the processes have ended.
    pub async fn judged(&self) -> Judgement {
        self.world.write_down(&self.history).await;
        self.world.write_down_commands(&self.history).await;
        judge(&self.history.entries())
    }

    /// Both, for a world with one host: it must end by itself when asked, and the
    /// judge must have nothing to say.
    pub async fn is_good(mut self) {
        self.ends().await;
        if let Some(host) = self.world.host.take() {
            assert_eq!(host.stop().await, 0, "{}", self.world.printed());
        }
        let judgement = self.judged().await;
        let path = self.history.path().display();
        assert!(judgement.is_good(), "{path}:\n{judgement}");
        assert!(judgement.seen.committed > 0, "{path}:\n{judgement}");
    }
}

/// The component's own file.
fn sidecar(component: &str, limits: &str) -> String {
    let order = match component {
        IN_ORDER => "order = \"key\"\nkey = \"correlation\"\n",
        _ => "",
    };
    format!("{order}{limits}[config]\nname = \"{component}\"\n")
}
