//! What is wrong is said in full, with its place and what to do about it, and the
//! exit code tells scripts which kind it is: configuration, database, broker, folder
//! of components, addresses.
#![cfg(test)]

use acceptance::{Way, World};
use qx_broker::testing::Setup;

/// The exit codes of `qx-host --help`.
const FAILED: i32 = 1;
const MISCONFIGURED: i32 = 2;
const UNREACHABLE: i32 = 3;

/// A world whose configuration was changed.
async fn changed(way: Way, from: &str, to: &str) -> World {
    let world = World::bare(way).await;
    let config = world.config();
    assert!(config.contains(from), "{from} in {config}");
    world.write("qx-host.toml", &config.replace(from, to));
    world
}

#[tokio::test(flavor = "multi_thread")]
async fn every_fault_of_a_configuration_is_said_at_once_with_its_place_and_remedy() {
    let world = World::bare(Way::Embedded).await;
    world.write(
        "qx-host.toml",
        "[database]\nurl = \"mysql://x\"\n[relay]\nbatch = 5000\n[nats]\nserver = [\"x\"]\n\
         [colour]\nred = 1\n[admin]\nlisten = \"localhost\"\n[defaults]\ntimeout_ms = \"2 s\"\n",
    );
    let said = [
        "qx-host.toml:2:7: database.url: no database is called `mysql`",
        "write postgres://",
        "qx-host.toml:4:9: relay.batch: 5000 is out of range",
        "from 1 to 1000",
        "qx-host.toml:6:1: nats.server: unknown key; did you mean `servers`?",
        "qx-host.toml:7:2: colour: unknown section; there are [database]",
        "qx-host.toml:10:10: admin.listen: `localhost` is no address",
        "such as 127.0.0.1:7420",
        "qx-host.toml:12:14: defaults.timeout_ms",
    ];
    for command in [
        &["run"][..],
        &["migrate"],
        &["doctor"],
        &["outbox", "status"],
    ] {
        world.qx(command).await.fails(MISCONFIGURED, &said);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_configuration_that_cannot_be_read_says_why() {
    let world = World::bare(Way::Embedded).await;
    let ran = world.qx(&["--config", "elsewhere.toml", "run"]).await;
    ran.fails(
        MISCONFIGURED,
        &["elsewhere.toml: cannot be read", "check the path"],
    );
    world.write("qx-host.toml", "[database\n");
    let ran = world.qx(&["run"]).await;
    ran.fails(
        MISCONFIGURED,
        &["qx-host.toml:1:10: not TOML", "expected `]`"],
    );
    world.write(
        "qx-host.toml",
        "[database]\nurl = \"postgres://${env:NO_SUCH_VARIABLE}@h/d\"\n",
    );
    let ran = world.qx(&["run"]).await;
    ran.fails(MISCONFIGURED, &["qx-host.toml:2", "NO_SUCH_VARIABLE"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_database_file_that_cannot_be_used_says_what_to_do() {
    let world = changed(Way::Embedded, "sqlite://qx.db", "sqlite://data/qx.db").await;
    for command in [&["migrate"][..], &["run"], &["outbox", "status"]] {
        world
            .qx(command)
            .await
            .fails(FAILED, &["folder", "data", "`mkdir -p"]);
    }
    std::fs::create_dir(world.path("data")).unwrap();
    for (command, code) in [
        (&["outbox", "status"][..], FAILED),
        (&["dlq", "list"], FAILED),
        (&["audit"], FAILED),
        // A warning: `run` makes it.
        (&["doctor"], 0),
    ] {
        let ran = world.qx(command).await;
        let told = format!("{}{}", ran.stdout, ran.stderr);
        assert_eq!(ran.code, code, "{told}");
        assert!(
            told.contains("does not exist; run `qx-host migrate`"),
            "{told}"
        );
        assert!(
            !world.path("data/qx.db").exists(),
            "{command:?} made a file"
        );
    }
    world.write("data/qx.db", "");
    let ran = world.qx(&["outbox", "status"]).await;
    ran.fails(FAILED, &["lacks", "run `qx-host migrate`"]);
    world.write("data/qx.db", &"no database at all\n".repeat(100));
    for command in [&["run"][..], &["migrate"], &["outbox", "status"]] {
        world
            .qx(command)
            .await
            .fails(FAILED, &["is not a SQLite database", "move the file away"]);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_postgresql_that_cannot_be_used_says_what_to_do() {
    let world = World::bare(Way::Servers).await;
    let as_is = world.config();
    let with = |from: &str, to: &str| world.write("qx-host.toml", &as_is.replace(from, to));
    let commands = [
        &["run"][..],
        &["outbox", "status"],
        &["dlq", "list"],
        &["trigger", "a"],
    ];
    for command in commands {
        world
            .qx(command)
            .await
            .fails(FAILED, &["lacks", "run `qx-host migrate`"]);
    }
    drop(world.qx(&["migrate"]).await.ok());
    assert_eq!(world.qx(&["outbox", "status"]).await.code, 0);

    with("only-for-tests", "quite-wrong");
    let ran = world.qx(&["run"]).await;
    ran.fails(
        FAILED,
        &["does not let user `qx` in", "correct user and password"],
    );
    assert!(
        !ran.stderr.contains("quite-wrong"),
        "a password is shown: {}",
        ran.stderr
    );

    with("/app\"", "/nowhere\"");
    let ran = world.qx(&["run"]).await;
    ran.fails(FAILED, &["has no database `nowhere`", "createdb nowhere"]);

    with("", "");
    world.postgres.as_ref().unwrap().kill().unwrap();
    for command in [
        &["run"][..],
        &["outbox", "status"],
        &["migrate"],
        &["trigger", "a"],
    ] {
        let ran = world.qx(command).await;
        ran.fails(
            UNREACHABLE,
            &["no PostgreSQL server answers at 127.0.0.1:", "start it"],
        );
        assert!(!ran.stderr.contains("only-for-tests"), "{}", ran.stderr);
    }
    let ran = world.qx(&["doctor", "--output", "json"]).await;
    assert_eq!(ran.code, FAILED);
    let findings = ran.json();
    let of = |what: &str| {
        let mut all = findings.as_array().unwrap().iter();
        all.find(|finding| finding["what"] == what).unwrap().clone()
    };
    assert_eq!(of("database")["state"], "broken");
    assert_eq!(of("stream")["state"], "ok");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_broker_that_cannot_be_used_says_what_to_do() {
    let mut world = World::with(Way::Servers, &[]).await;
    let client = async_nats::connect(world.nats.as_ref().unwrap().url())
        .await
        .unwrap();
    let stream = async_nats::jetstream::stream::Config {
        name: "QX_EVENTS".to_owned(),
        subjects: vec!["svc.>".to_owned()],
        retention: async_nats::jetstream::stream::RetentionPolicy::WorkQueue,
        ..Default::default()
    };
    async_nats::jetstream::new(client)
        .create_stream(stream)
        .await
        .unwrap();
    let ran = world.qx(&["run"]).await;
    ran.fails(
        FAILED,
        &["stream `QX_EVENTS` is there, but retention is", "must be"],
    );

    world.nats.as_mut().unwrap().kill();
    let ran = world.qx(&["run"]).await;
    ran.fails(
        UNREACHABLE,
        &["no NATS server answers at", "`nats-server -js`", "embedded"],
    );

    let setup = Setup {
        jetstream: false,
        ..Setup::default()
    };
    world.nats = Some(qx_broker::testing::Nats::start_with(setup).await.unwrap());
    world.write("qx-host.toml", &world.config());
    let ran = world.qx(&["run"]).await;
    ran.fails(FAILED, &["runs without JetStream", "`-js`"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_folder_of_components_that_is_none_says_so() {
    let world = changed(Way::Embedded, "dir = \"components\"", "dir = \"handlers\"").await;
    world.write("handlers", "a file");
    let ran = world.qx(&["run"]).await;
    ran.fails(
        FAILED,
        &[
            "components in handlers cannot be read",
            "[components] dir",
            "directory",
        ],
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn an_admin_address_that_is_taken_says_so() {
    let mut world = World::with(Way::Embedded, &[]).await;
    world.run().await;
    let other = World::bare(Way::Embedded).await;
    other.write(
        "qx-host.toml",
        &other.config().replace(other.admin(), world.admin()),
    );
    other
        .qx(&["run"])
        .await
        .fails(FAILED, &[world.admin(), "admin"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_host_on_the_same_embedded_stream_is_told_who_has_it() {
    let mut world = World::with(Way::Embedded, &[]).await;
    world.run().await;
    let ran = world.qx(&["run"]).await;
    ran.fails(FAILED, &["is in use by", "stop that process"]);
}
