//! What is written into a scenario, and what stays.

use std::path::Path;
use std::time::Duration;

use qx_events::ports::{Http as _, HttpRequest, SqlBounds, Statement, Statements as _, Wants};
use qx_events::{ComponentName, Limits};

use super::*;
use crate::scenario::file::Scenario;
use crate::scenario::http::Web;
use crate::scenario::sql::Database;

fn steps(text: &str) -> Vec<Step> {
    let scenario = Scenario::parse(Path::new("cases/x.json"), text).unwrap();
    scenario.steps
}

fn seen() -> Seen {
    Seen {
        outcome: Outcome::Done,
        emitted: Vec::new(),
        written: [
            ("k".to_owned(), Some("1".to_owned())),
            ("d".to_owned(), None),
        ]
        .into(),
        state: BTreeMap::new(),
        logs: serde_json::from_str(r#"[{"level": "info", "message": "hello"}]"#).unwrap(),
        http: Vec::new(),
        sql: Vec::new(),
        cost: None,
    }
}

#[test]
fn what_was_expected_is_replaced_and_the_rest_stays_to_the_byte() {
    let text = "{\n  \"about\":   \"a\",\n  \"event\": {\"name\": \"a\", \"payload\": {\"n\": 1.10}},\n  \"expect\": {\"outcome\": \"retry\", \"state_includes\": {}}\n}\n";
    let (steps, seen) = (steps(text), seen());
    let news = |step| News { step, seen: &seen };
    let write = |news| recorded(text, Part::Expectations, &[news]).unwrap();
    let new = write(Some(news(&steps[0])));
    let (before, _) = text.split_once("{\"outcome\"").unwrap();
    let expected = format!(
        "{before}{{\n    \"outcome\": \"done\",\n    \"state\": {{\n      \"d\": null,\n      \"k\": \"1\"\n    }}\n  }}\n}}\n"
    );
    assert_eq!(new, expected);
    assert_eq!(write(None), text);
}

#[test]
fn what_was_not_recorded_yet_is_added_behind_its_event() {
    let text = "{\n  \"about\": \"a\",\n  \"steps\": [\n    {\n      \"event\": {\"name\": \"a\"}\n    },\n    {\"event\": {\"name\": \"b\"}, \"expect\": {}}\n  ]\n}";
    let (steps, seen) = (steps(text), seen());
    let news = News {
        step: &steps[0],
        seen: &seen,
    };
    let new = recorded(text, Part::Expectations, &[Some(news), None]).unwrap();
    let value: Value = serde_json::from_str(&new).unwrap();
    let step = &value["steps"][0];
    assert_eq!(step["expect"]["outcome"], "done");
    assert_eq!(step["expect"]["logs"][0]["message"], "hello");
    assert_eq!(step["expect"]["emitted"], serde_json::json!([]));
    assert!(
        new.contains("{\"name\": \"a\"},\n      \"expect\": {\n        \"outcome\""),
        "{new}"
    );
    assert!(
        new.ends_with("{\"event\": {\"name\": \"b\"}, \"expect\": {}}\n  ]\n}"),
        "{new}"
    );
}

/// The text of a scenario with these exchanges, after a handler has sent a `GET` to each
/// of the URLs and run the statements.
async fn asked(exchanges: &str, urls: &[&str], statements: &[(&str, Wants)]) -> String {
    let text =
        format!("{{\n  \"about\": \"a\",\n  \"event\": {{\"name\": \"a\"}}{exchanges}\n}}\n");
    let steps = steps(&text);
    let step = &steps[0];
    let web = Web::new(ComponentName::parse("teller").unwrap());
    web.expect(step.http.clone(), None);
    for url in urls {
        let request = HttpRequest {
            method: "GET".to_owned(),
            url: (*url).to_owned(),
            headers: Vec::new(),
            body: Vec::new(),
            timeout: Duration::from_secs(1),
            response_bytes_max: 1_000,
            trace: None,
        };
        drop(web.send(request).await);
    }
    let database = Database::new(step.sql.clone(), SqlBounds::of(&Limits::default()));
    for (text, wants) in statements {
        let statement = Statement {
            text: (*text).to_owned(),
            parameters: Vec::new(),
            wants: *wants,
            time: Duration::MAX,
        };
        drop(database.run(statement).await);
    }
    let seen = Seen {
        http: web.calls(),
        sql: database.calls(),
        ..seen()
    };
    let news = News { step, seen: &seen };
    recorded(&text, Part::Exchanges, &[Some(news)]).unwrap()
}

#[tokio::test]
async fn what_nobody_expected_is_added_behind_the_event_with_a_plain_answer() {
    let new = asked(
        "",
        &["https://a.example/1"],
        &[
            ("SELECT 1 ;", Wants::Rows),
            ("DELETE\n FROM t", Wants::Count),
        ],
    )
    .await;
    let expected = r#"{
  "about": "a",
  "event": {"name": "a"},
  "http": [
    {
      "request": {
        "method": "GET",
        "url": "https://a.example/1"
      },
      "response": {"status": 200}
    }
  ],
  "sql": [
    {
      "statement": "SELECT 1",
      "parameters": [],
      "rows": []
    },
    {
      "statement": "DELETE FROM t",
      "parameters": [],
      "count": 0
    }
  ]
}
"#;
    assert_eq!(new, expected);
    assert_eq!(steps(expected)[0].sql.len(), 2, "it can be read");
}

#[tokio::test]
async fn an_exchange_that_held_stays_and_one_that_did_not_keeps_its_answer() {
    let new = asked(
        r#",
  "http": [
    {"request": {"method": "get",   "url": "https://a.example/1"}, "error": "timeout"},
    {"request": {"method": "GET", "url": "https://a.example/old"}, "response": {"status": 404}},
    {"request": {"method": "GET", "url": "https://a.example/never"}, "response": {"status": 500}}
  ],
  "sql": [{"statement": "SELECT 1", "count": 7}]"#,
        &["https://a.example/1", "https://a.example/new"],
        &[("SELECT 1", Wants::Rows)],
    )
    .await;
    assert!(
        new.contains(
            r#"{"request": {"method": "get",   "url": "https://a.example/1"}, "error": "timeout"},"#
        ),
        "{new}"
    );
    let value: Value = serde_json::from_str(&new).unwrap();
    let expected = serde_json::json!({
        "request": {"method": "GET", "url": "https://a.example/new"}, "response": {"status": 404}
    });
    assert_eq!(value["http"][1], expected);
    assert_eq!(value["http"].as_array().unwrap().len(), 2);
    // A count is no answer to who asks for rows.
    let expected = serde_json::json!([{"statement": "SELECT 1", "rows": []}]);
    assert_eq!(value["sql"], expected);
}

#[tokio::test]
async fn what_nobody_asks_for_any_more_goes() {
    let sql = ",\n  \"sql\": [{\"statement\": \"SELECT 1\", \"rows\": []}]";
    assert!(asked(sql, &[], &[]).await.contains("\"sql\": []"));
}
