//! SQL of a component commits with its mark, state and events, once, whatever dies.
#![cfg(test)]

use acceptance::{Way, World, repository};
use serde_json::{Value, json};

/// Events of the test, a point each.
const EVENTS: usize = 60;

/// As `docs/sql.md` says.
const ROLE: &str = "
    CREATE ROLE qx_scores NOLOGIN;
    CREATE SCHEMA qx_scores AUTHORIZATION qx_scores;
    SET ROLE qx_scores;
    CREATE TABLE qx_scores.scores (player text PRIMARY KEY, points bigint NOT NULL);
    CREATE TABLE qx_scores.seen (event_id uuid NOT NULL, attempt int NOT NULL);
    RESET ROLE";

const GRANTS: &str = "[grants.scores]\ncapabilities = [\"sql\"]\nsql = \"qx_scores\"\n";

async fn world() -> World {
    let world = World::with(Way::Servers, &["scores"]).await;
    world.database().await.execute(ROLE).await;
    world.write("qx-host.toml", &format!("{}{GRANTS}", world.config()));
    world
}

async fn record(world: &World, events: std::ops::Range<usize>) {
    let lines: String = events
        .map(|n| {
            let payload = json!({"player": format!("p{}", n % 3), "points": 1});
            json!({"event_name": "game.scored", "payload": payload}).to_string() + "\n"
        })
        .collect();
    world.write("events.jsonl", &lines);
    let file = world.path("events.jsonl");
    let args = ["trigger", "--lines", file.to_str().unwrap()];
    drop(world.qx(&args).await.ok());
}

/// One row for each event, and so many points; the events that went out are as many.
async fn is_settled(world: &World, events: usize) {
    let all = events.to_string();
    let sql = "SELECT (SELECT count(*) FROM qx_scores.seen)::text,
            (SELECT count(DISTINCT event_id) FROM qx_scores.seen)::text,
            (SELECT sum(points) FROM qx_scores.scores)::text,
            (SELECT count(*) FROM qx_inbox WHERE component = 'scores')::text,
            (SELECT count(*) FROM qx_outbox_events WHERE event_name = 'game.standing')::text";
    world.settles(sql, &[&[&all, &all, &all, &all, &all]]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn sql_takes_effect_once_though_the_host_is_killed_again_and_again() {
    let mut world = world().await;
    record(&world, 0..EVENTS).await;
    for (window, nth) in [
        ("consumer-called", 5),
        ("consumer-1", 3),
        ("consumer-called", 9),
    ] {
        let at = format!("{window}:{nth}");
        world.run_with(&[], &[("QX_CRASH_AT", &at)]).await;
        let mut host = world.host.take().unwrap();
        let status = host.ended(std::time::Duration::from_mins(1)).await;
        assert_eq!(status.code(), None, "ended by a signal: {}", host.printed());
    }
    world.run().await;
    is_settled(&world, EVENTS).await;
    // And while it is at work, the database too.
    record(&world, EVENTS..2 * EVENTS).await;
    world.postgres.as_ref().unwrap().restart().unwrap();
    world.kill();
    world.run().await;
    is_settled(&world, 2 * EVENTS).await;
}

/// What each guest calls itself, and its component.
const SPEAKERS: [(&str, &str); 4] = [
    ("c", "scores-c"),
    ("python", "scores-python"),
    ("rust", "scores"),
    ("typescript", "scores-typescript"),
];

/// Every kind of parameter, rows, a refusal that is caught, and one that is not.
#[tokio::test(flavor = "multi_thread")]
async fn sql_is_the_same_in_every_language() {
    let components = SPEAKERS.map(|(_, component)| component);
    let mut world = World::with(Way::Servers, &[]).await;
    world.database().await.execute(ROLE).await;
    let grants = components.map(|name| GRANTS.replace("scores]", &format!("{name}]")));
    let config = format!("{}{}", world.config(), grants.concat());
    world.write("qx-host.toml", &config);
    world.run().await;
    world.serves_in_turn(&components).await;

    drop(world.trigger("sql.examined", &json!({})).await);
    let sql = "SELECT payload->'payload'->>'by', payload->>'payload' FROM qx_outbox_events
        WHERE event_name = 'sql.seen' ORDER BY 1";
    let look = async || match world.rows(sql).await {
        rows if rows.len() == SPEAKERS.len() => Ok(rows),
        rows => Err(format!("{rows:?}")),
    };
    let seen = world.eventually("an event of each", look).await;
    for ((by, component), row) in SPEAKERS.iter().zip(seen) {
        let said: Value = serde_json::from_str(&row[1]).unwrap();
        let expected = json!({
            "by": by, "changed": 1, "sqlstate": "23505", "rows": 1,
            "row": {
                "yes": true, "many": 4_200_000_000_u64, "part": 0.5, "said": "it's", "raw": "00ab",
                "absent": true, "same": true, "points": 1,
            },
        });
        assert_eq!(said, expected, "{component}");
    }

    let wrong = json!({"statement": "SELECT * FROM nowhere"});
    drop(world.trigger("sql.examined", &wrong).await);
    let letters = "SELECT component, last_error FROM qx_dead_letters ORDER BY 1";
    let look = async || match world.rows(letters).await {
        rows if rows.len() == SPEAKERS.len() => Ok(rows),
        rows => Err(format!("{rows:?}")),
    };
    for letter in world.eventually("a dead letter of each", look).await {
        let said = "sql: relation \"nowhere\" does not exist (42P01)";
        assert!(letter[1].contains(said), "{letter:?}");
    }
    drop(
        world
            .trigger("game.scored", &json!({"player": "ada", "points": 2}))
            .await,
    );
    let kept = "SELECT player, points::text FROM qx_scores.scores ORDER BY 1";
    let all: [&[&str]; 5] = [
        &["ada", "8"],
        &["c", "1"],
        &["python", "1"],
        &["rust", "1"],
        &["typescript", "1"],
    ];
    world.settles(kept, &all).await;
    let standings = "SELECT (payload->'payload'->>'points')::text FROM qx_outbox_events
        WHERE event_name = 'game.standing' ORDER BY 1";
    world
        .settles(standings, &[&["2"], &["4"], &["6"], &["8"]])
        .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_component_that_runs_sql_is_refused_where_it_has_no_role_or_no_database_for_it() {
    let mut embedded = World::with(Way::Embedded, &["scores"]).await;
    embedded.write("qx-host.toml", &format!("{}{GRANTS}", embedded.config()));
    embedded.run().await;
    embedded
        .lists("scores", |seen| {
            seen.to_string().contains("needs PostgreSQL")
        })
        .await;

    let mut servers = world().await;
    let no_role = GRANTS.replace("sql = \"qx_scores\"\n", "");
    servers.write("qx-host.toml", &format!("{}{no_role}", servers.config()));
    servers.run().await;
    servers
        .lists("scores", |seen| seen.to_string().contains("sql = "))
        .await;
}

/// The example `environments`, with its own schema, real events, and one that the table
/// does not allow.
#[tokio::test(flavor = "multi_thread")]
async fn an_example_keeps_its_table_and_what_the_table_refuses_is_a_dead_letter() {
    const EVENT: &str = "github.deployment_status.created";
    let mut world = World::with(Way::Servers, &["environments"]).await;
    let read = |file: &str| std::fs::read_to_string(repository().join(file)).unwrap();
    let schema = read("examples/environments/schema.sql");
    let schema = schema.replace("TO qx;", "TO CURRENT_USER;");
    world.database().await.execute(&schema).await;
    let grants = "[grants.environments]\ncapabilities = [\"sql\"]\nsql = \"qx_environments\"\n";
    world.write("qx-host.toml", &format!("{}{grants}", world.config()));
    let recorded = read("examples/github/webhooks.jsonl");
    let is_deployment = |line: &&str| line.contains(&format!("\"event_name\":\"{EVENT}\""));
    let mut lines: Vec<&str> = recorded.lines().filter(is_deployment).collect();
    assert!(lines.len() >= 4, "{}", lines.len());
    let lost = json!({"event_name": EVENT, "payload": {
        "deployment_status": {"state": "lost", "environment": "moon", "updated_at": "2026-03-01T10:00:00Z"},
        "deployment": {"sha": "f95f852"},
        "repository": {"full_name": "a/b"},
    }})
    .to_string();
    lines.push(&lost);
    world.write("events.jsonl", &(lines.join("\n") + "\n"));
    drop(world.qx(&["trigger", "--lines", "events.jsonl"]).await.ok());
    world.run().await;
    let table = "SELECT environment, state FROM qx_environments.environments ORDER BY environment";
    world
        .settles(
            table,
            &[&["github-pages", "in_progress"], &["production", "success"]],
        )
        .await;
    let refused = "SELECT last_error FROM qx_dead_letters WHERE component = 'environments'
        AND last_error LIKE '%environments_state_check%'";
    world
        .settles(
            &format!("SELECT count(*)::text FROM ({refused}) AS own"),
            &[&["1"]],
        )
        .await;
    // The same state again is no news.
    let told =
        "SELECT count(*)::text FROM qx_outbox_events WHERE event_name = 'environment.changed'";
    let marks = "SELECT count(*)::text FROM qx_inbox WHERE component = 'environments'";
    world.settles(marks, &[&["4"]]).await;
    world.settles(told, &[&["2"]]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn doctor_says_what_a_role_lacks_with_the_sql_that_helps() {
    let world = world().await;
    let seen = world.qx(&["doctor"]).await;
    assert!(
        seen.stdout.contains("qx_scores: the host may act as it"),
        "{seen:#?}"
    );
    world
        .database()
        .await
        .execute("GRANT SELECT ON qx_state TO qx_scores")
        .await;
    let seen = world.qx(&["doctor"]).await;
    assert!(
        seen.stdout
            .contains("REVOKE ALL ON qx_state FROM \"qx_scores\""),
        "{seen:#?}"
    );
    assert_ne!(seen.code, 0);
}
