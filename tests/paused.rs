//! Time itself goes wrong: a process stands still past its lease and goes on, in the
//! relay or in a handler; a clock jumps. Nothing is lost, and nothing done twice.
#![cfg(test)]

use std::path::PathBuf;

use acceptance::trial::{IN_ORDER, SPIN_LONG, Trial};
use serde_json::json;

/// The library that shows a process another clock: where Debian puts it, or where
/// `QX_FAKETIME` says.
fn faketime() -> PathBuf {
    if let Some(named) = std::env::var_os("QX_FAKETIME") {
        return PathBuf::from(named);
    }
    let folders = std::fs::read_dir("/usr/lib").unwrap().flatten();
    let mut libraries = folders.map(|entry| entry.path().join("faketime/libfaketimeMT.so.1"));
    let found = libraries.find(|path| path.is_file());
    found.expect("libfaketime is not installed: `tools/test-servers.sh`, or `apt-get install -y libfaketime`, or name its libfaketimeMT.so.1 with QX_FAKETIME")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_leader_that_is_stopped_past_its_term_changes_nothing_when_it_goes_on() {
    let mut trial = Trial::new("stopped-leader", &["tally", IN_ORDER]).await;
    trial.world.run().await;
    let second = trial.second("second.toml", &[], &[]);
    let load = trial.load();
    trial.gets_on().await;
    for _ in 0..3 {
        let before = trial.world.leader().await;
        let first = trial.world.host.as_ref().unwrap();
        let leader = if second.holds(&before) {
            &second
        } else {
            first
        };
        assert!(leader.holds(&before), "{before}");
        leader.signal("STOP");
        trial.world.other_leader(&before).await;
        trial.gets_on().await;
        let after = trial.world.leader().await;
        leader.signal("CONT");
        trial.gets_on().await;
        assert_eq!(trial.world.leader().await, after, "it took the lease back");
    }
    load.stop().await;
    trial.ends().await;
    assert_eq!(second.stop().await, 0);
    trial.is_good().await;
}

/// Its message comes again elsewhere; then it goes on, with an outcome that is late.
#[tokio::test(flavor = "multi_thread")]
async fn a_host_that_is_stopped_in_the_handler_and_goes_on_repeats_nothing() {
    let mut trial = Trial::new("stopped-in-the-handler", &["tally"]).await;
    trial.is_patient();
    trial.record(2, &json!({"spin": SPIN_LONG})).await;
    trial.world.run_with(&[], &[]).await;
    trial.is_in_flight("tally").await;
    let first = trial.world.host.as_ref().unwrap();
    first.signal("STOP");
    let second = trial.second("second.toml", &[], &[]);
    trial.has_handled(2).await;
    first.signal("CONT");
    trial.record(10, &json!({})).await;
    trial.ends().await;
    assert_eq!(second.stop().await, 0);
    trial.is_good().await;
}

/// A day forth, two days back, and a host beside it whose clock stays right.
#[tokio::test(flavor = "multi_thread")]
async fn a_clock_that_jumps_by_days_loses_and_repeats_nothing() {
    let preload = faketime();
    let mut trial = Trial::new("clock-jumps", &["tally", IN_ORDER]).await;
    trial.world.write("clock", "+0");
    let clock = trial.world.path("clock");
    let environment = [
        ("LD_PRELOAD", preload.to_str().unwrap()),
        ("FAKETIME_TIMESTAMP_FILE", clock.to_str().unwrap()),
        ("FAKETIME_NO_CACHE", "1"),
        // As on a real machine: only the clock on the wall jumps.
        ("FAKETIME_DONT_FAKE_MONOTONIC", "1"),
    ];
    trial.world.run_with(&[], &environment).await;
    let load = trial.load();
    trial.gets_on().await;
    let second = trial.second("second.toml", &[], &[]);
    for jump in ["+1d", "-2d", "+30d", "+0"] {
        trial.world.write("clock", jump);
        trial.gets_on().await;
    }
    trial.record(1, &json!({"act": "reject"})).await;
    load.stop().await;
    trial.ends().await;
    assert_eq!(second.stop().await, 0);
    trial.is_good().await;
}
