//! The end of a history: what is in the tables, and what the host shows of it.
//!
//! The tables are read past the host; the numbers are what an operator would read.

use serde_json::Value;
use uuid::Uuid;

use crate::history::{Entry, History, Quantity, RowState};
use crate::{Way, World};

/// More dead letters than any of these tests makes.
const LETTERS_MAX: &str = "10000";

/// Rows with the event of their body, and its payload.
fn rows_sql(way: Way) -> String {
    let (event, payload) = match way {
        Way::Servers => {
            let body = "CAST(coalesce(body, payload::text) AS jsonb)";
            (
                format!("{body}->>'event_id'"),
                format!("CAST({body}->'payload' AS TEXT)"),
            )
        }
        Way::Embedded => (
            "json_extract(payload, '$.event_id')".to_owned(),
            "json_extract(payload, '$.payload')".to_owned(),
        ),
    };
    format!(
        "SELECT coalesce({event}, CAST(id AS TEXT)), event_name, CASE WHEN published_at IS NOT NULL \
         THEN 'published' WHEN failed_at IS NOT NULL THEN 'set_aside' ELSE 'pending' END, \
         CAST(causation_id AS TEXT), CASE WHEN event_name = 'tally.counted' THEN {payload} END \
         FROM qx_outbox_events ORDER BY seq"
    )
}

impl World {
    /// Adds to a history what has come of it: rows, marks, effects, dead letters.
    pub async fn write_down(&self, history: &History) {
        for row in self.rows(&rows_sql(self.way())).await {
            let (event, cause) = (id(&row[0]), (!row[3].is_empty()).then(|| id(&row[3])));
            let (name, state) = (row[1].clone(), state(&row[2]));
            history.push(Entry::Row {
                event,
                name,
                state,
                cause,
            });
            if !row[4].is_empty() {
                history.push(counted(&row[4], cause.unwrap_or(event)));
            }
        }
        let marks = "SELECT component, CAST(event_id AS TEXT) FROM qx_inbox";
        for row in self.rows(marks).await {
            let (component, event) = (row[0].clone(), id(&row[1]));
            history.push(Entry::Handled { component, event });
        }
        let letters = "SELECT component, CAST(event_id AS TEXT) FROM qx_dead_letters";
        for row in self.rows(letters).await {
            let event = (!row[1].is_empty()).then(|| id(&row[1]));
            let component = row[0].clone();
            history.push(Entry::Dead { component, event });
        }
        let held = "SELECT component, key, value FROM qx_state WHERE key LIKE 'last/%'";
        for row in self.rows(held).await {
            let value: Value = serde_json::from_str(&row[2]).expect("the state of tally");
            history.push(Entry::Held {
                component: row[0].clone(),
                key: row[1].trim_start_matches("last/").to_owned(),
                nth: number(&value["nth"]),
            });
        }
    }

    /// Adds what the commands of an operator show.
    pub async fn write_down_commands(&self, history: &History) {
        let show = |by: &str, what, value| {
            let by = by.to_owned();
            history.push(Entry::Shown { by, what, value });
        };
        let ran = self
            .qx(&["outbox", "status", "--output", "json"])
            .await
            .ok();
        let status = ran.json();
        for (name, state) in [
            ("pending", RowState::Pending),
            ("published", RowState::Published),
            ("failed", RowState::SetAside),
        ] {
            show(
                "outbox status",
                Quantity::Rows(state),
                number(&status[name]),
            );
        }
        let args = ["dlq", "list", "--limit", LETTERS_MAX, "--output", "json"];
        let listed = self.qx(&args).await.ok().json();
        let letters = listed.as_array().expect("a list").len();
        show(
            "dlq list",
            Quantity::Letters,
            u64::try_from(letters).expect("not that many"),
        );
    }

    /// Who is in charge of the relay; nobody is empty.
    pub async fn leader(&self) -> String {
        let sql = "SELECT holder FROM qx_leases WHERE name = 'relay'";
        let rows = self.database().await.rows(sql).await.unwrap_or_default();
        rows.into_iter().flatten().next().unwrap_or_default()
    }

    /// Waits until somebody else is in charge of the relay.
    pub async fn other_leader(&self, before: &str) {
        let look = async || {
            let now = self.leader().await;
            if now != before && !now.is_empty() {
                Ok(())
            } else {
                Err(now)
            }
        };
        self.eventually("another relay is in charge", look).await;
    }

    /// The broker, past every code under test.
    pub async fn jetstream(&self) -> async_nats::jetstream::Context {
        let url = self.nats.as_ref().expect("a world with servers").url();
        let client = async_nats::connect(url).await.expect("nats-server answers");
        async_nats::jetstream::new(client)
    }

    /// Waits until no row waits, and each component has an end of each event that
    /// `tally` takes. Returns how much that is.
    pub async fn all_is_done(&self, components: &[&str]) -> String {
        let wanted = components.len();
        let sql = format!(
            "SELECT CAST((SELECT count(*) FROM qx_outbox_events WHERE published_at IS NULL AND failed_at IS NULL) AS TEXT), \
             CAST((SELECT count(*) FROM qx_inbox) + (SELECT count(*) FROM qx_dead_letters) AS TEXT), \
             CAST({wanted} * (SELECT count(*) FROM qx_outbox_events WHERE event_name = 'tally.marked') AS TEXT)"
        );
        // As long as it gets on, it is let go on.
        let mut before = None;
        loop {
            let look = async || {
                let rows = self.database().await.rows(&sql).await;
                let rows = rows.map_err(|error| error.to_string())?;
                let [waiting, ends, wanted] = &*rows[0] else {
                    return Err(format!("{rows:?}"));
                };
                let said = format!("{waiting} rows wait, {ends} of {wanted} ends");
                let is_done = waiting == "0" && ends == wanted;
                if is_done || before.as_ref() != Some(&said) {
                    Ok((is_done, said))
                } else {
                    Err(said)
                }
            };
            let (is_done, said) = self.eventually("everything is done", look).await;
            if is_done {
                return said;
            }
            before = Some(said);
        }
    }

    /// What `/metrics` shows, once it shows no lag, nothing in flight, and as many
    /// published rows as there are: the host looks every few seconds only.
    pub async fn metrics_at_rest(&self, components: &[&str], since_start: bool) -> Vec<Entry> {
        let wanted = 4 + components.len() * if since_start { 3 } else { 2 };
        let published =
            "SELECT CAST(count(*) AS TEXT) FROM qx_outbox_events WHERE published_at IS NOT NULL";
        let look = async || {
            let shown = self.metrics(components, since_start).await;
            let there: Option<u64> = self.rows(published).await[0][0].parse().ok();
            let is_old = |entry: &Entry| {
                let kept = Quantity::Rows(RowState::Published);
                matches!(entry, Entry::Shown { what, value, .. } if *what == kept && Some(*value) != there)
            };
            if shown.len() == wanted && !shown.iter().any(|one| is_old(one) || is_unrest(one)) {
                Ok(shown)
            } else {
                Err(format!("{shown:?}"))
            }
        };
        self.eventually("/metrics shows what is there", look).await
    }

    /// What `/metrics` shows of tables and lag at this moment. `since_start`: the
    /// process is the only one that ever handled an event here.
    pub async fn metrics(&self, components: &[&str], since_start: bool) -> Vec<Entry> {
        let address = self.admin().parse().expect("an address");
        let page = qx_host::admin::client::get(address, "/metrics").await;
        let page = String::from_utf8(page.unwrap_or_default()).expect("text");
        let show = |what, sample: &str| {
            let value = sample_of(&page, sample)?;
            let by = "/metrics".to_owned();
            Some(Entry::Shown { by, what, value })
        };
        let mut shown = vec![
            show(Quantity::Rows(RowState::Pending), "qx_outbox_pending"),
            show(
                Quantity::Rows(RowState::Published),
                "qx_outbox_published_kept",
            ),
            show(Quantity::Rows(RowState::SetAside), "qx_outbox_failed"),
            show(Quantity::Letters, "qx_dead_letters_kept"),
        ];
        for component in components {
            let name = (*component).to_owned();
            let of = |metric: &str| format!("{metric}{{component=\"{component}\"}}");
            shown.push(show(Quantity::Lag(name.clone()), &of("qx_component_lag")));
            let in_flight = of("qx_component_in_flight");
            shown.push(show(Quantity::InFlight(name.clone()), &in_flight));
            let done = format!("qx_attempts_total{{component=\"{component}\",outcome=\"done\"}}");
            shown.extend(since_start.then(|| show(Quantity::Done(name), &done)));
        }
        shown.into_iter().flatten().collect()
    }
}

/// Whether it shows that something is left to do.
fn is_unrest(entry: &Entry) -> bool {
    matches!(
        entry,
        Entry::Shown {
            what: Quantity::Lag(_) | Quantity::InFlight(_),
            value: 1..,
            ..
        }
    )
}

/// The value of a sample on a page of metrics.
fn sample_of(page: &str, sample: &str) -> Option<u64> {
    let of = |line: &str| line.strip_prefix(sample)?.strip_prefix(' ')?.parse().ok();
    page.lines().find_map(of)
}

fn counted(payload: &str, event: Uuid) -> Entry {
    let told: Value = serde_json::from_str(payload).expect("what tally tells");
    let text = |field: &str| told[field].as_str().expect("text").to_owned();
    Entry::Counted {
        component: text("by"),
        event,
        key: text("key"),
        n: number(&told["n"]),
        nth: number(&told["nth"]),
        after: told["after"].as_u64(),
    }
}

fn number(value: &Value) -> u64 {
    value
        .as_u64()
        .unwrap_or_else(|| panic!("{value} is no number"))
}

fn id(text: &str) -> Uuid {
    text.parse().unwrap_or_else(|_| panic!("{text} is no id"))
}

fn state(word: &str) -> RowState {
    match word {
        "pending" => RowState::Pending,
        "published" => RowState::Published,
        "set_aside" => RowState::SetAside,
        other => panic!("no row is {other}"),
    }
}
