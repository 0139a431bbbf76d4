//! Writers that do not serialise among themselves: their transactions overlap, and end
//! in another order than they took their places in the outbox. With `relay.order =
//! "strict"` the events of a key are handled in the order of those places.
#![cfg(test)]

use acceptance::load::Keys;
use acceptance::trial::{IN_ORDER, Trial};
use acceptance::{Way, World};
use serde_json::{Value, json};
use sqlx::{Connection as _, Executor as _};

/// A trial of a component that keeps order, under a relay that does.
async fn strict(name: &str) -> Trial {
    let world = World::bare(Way::Servers).await;
    let config = world.config();
    let config = config.replace("[relay]\n", "[relay]\norder = \"strict\"\n");
    let config = config.replace("[consumer]\n", "[consumer]\nlease_s = 2\n");
    world.write("qx-host.toml", &config);
    Trial::within(world, name, &[IN_ORDER]).await
}

/// Beside faults: whoever takes over knows nothing of the transactions that are open.
#[tokio::test(flavor = "multi_thread")]
async fn writers_that_lock_nothing_are_handled_in_the_order_of_the_outbox() {
    let mut trial = strict("unserialised").await;
    trial.world.run_with(&[], &[]).await;
    let second = trial.second("second.toml", &[], &[]);
    let load = trial.load_of(Keys::Shared);
    trial.gets_on().await;
    for _ in 0..2 {
        trial.history.note("kill -9 of a host");
        trial.world.kill();
        trial.gets_on().await;
        trial.world.run_with(&[], &[]).await;
        trial.history.note("the broker is killed");
        trial.world.nats.as_mut().unwrap().restart().await.unwrap();
        trial.gets_on().await;
    }
    load.stop().await;
    trial.ends().await;
    assert_eq!(second.stop().await, 0);
    trial.is_good().await;
}

/// What `outbox status` says of the transaction that is open for longest.
async fn oldest_writer(trial: &Trial) -> Value {
    let args = ["outbox", "status", "--output", "json"];
    let status = trial.world.qx(&args).await.ok().json();
    status["oldest_writer"].clone()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_transaction_that_stays_open_holds_later_rows_back_and_everybody_sees_whose_it_is() {
    let mut trial = strict("held-back").await;
    trial.world.run().await;
    trial.record(3, &json!({})).await;
    trial.has_handled(3).await;
    assert_eq!(oldest_writer(&trial).await, Value::Null);
    let url = trial.world.database_url() + "?application_name=forgetful";
    let mut slow = sqlx::PgConnection::connect(&url).await.unwrap();
    let pid = sqlx::query("SELECT pg_backend_pid()").fetch_one(&mut slow);
    let pid: i32 = sqlx::Row::get(&pid.await.unwrap(), 0);
    // A row that can never be published: nobody has to handle it.
    let open = "BEGIN; INSERT INTO qx_outbox_events (event_name, payload, occurred_at) \
                VALUES ('tally.none', '{}', now())";
    slow.execute(open).await.unwrap();
    trial.record(5, &json!({})).await;
    let told = format!("pid={pid}");
    trial.world.prints(&told).await;
    let address = trial.world.admin().parse().unwrap();
    let held = async || {
        let page = qx_host::admin::client::get(address, "/metrics").await;
        let page = String::from_utf8(page.unwrap_or_default()).unwrap();
        let mut lines = page.lines();
        let line = lines.find(|line| line.starts_with("qx_relay_held_back_seconds "));
        let value = line.and_then(|line| line.rsplit(' ').next()?.parse::<f64>().ok());
        value.ok_or(page)
    };
    assert!(held().await.unwrap() >= 1.0);
    let writer = oldest_writer(&trial).await;
    assert_eq!(writer["pid"], pid, "{writer}");
    assert!(writer["open_ms"].as_u64().unwrap() >= 1_000, "{writer}");
    assert!(writer["who"].as_str().unwrap().contains("forgetful"));
    assert_eq!(trial.marks().await.unwrap(), 3, "nothing has passed it");
    slow.execute("COMMIT").await.unwrap();
    trial.has_handled(8).await;
    trial
        .world
        .prints("rows wait no longer for an open transaction")
        .await;
    assert!(held().await.unwrap() < 1.0);
    trial.is_good().await;
}
