//! SQL of a scenario: the statements that a handler is expected to run, and what it is
//! answered. Stands in the place of the database; no statement is understood here.

use std::sync::{Mutex, PoisonError};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use qx_events::Fault;
use qx_events::ports::{
    Answer as Given, SqlBounds, SqlRefusal, SqlValue, Statement, Statements, Wants,
};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use super::script::{Call, Exchange, Script};

/// SQLSTATE of what nobody expects: a fault of the system around the database.
const UNEXPECTED: &str = "58000";

/// Characters of an SQLSTATE.
const SQLSTATE_CHARS: usize = 5;

/// A statement that is expected, and what it is answered.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(try_from = "Raw")]
pub(super) struct SqlExchange {
    statement: String,
    /// Any, when absent.
    parameters: Option<Vec<Value>>,
    answer: Answer,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Raw {
    statement: String,
    parameters: Option<Vec<Value>>,
    rows: Option<Vec<Map<String, Value>>>,
    count: Option<u64>,
    error: Option<Refusal>,
}

#[derive(Debug, Clone, PartialEq)]
enum Answer {
    Rows(Vec<Map<String, Value>>),
    Count(u64),
    Refused(Refusal),
}

/// What the database says.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
struct Refusal {
    sqlstate: String,
    message: String,
}

impl TryFrom<Raw> for SqlExchange {
    type Error = String;

    fn try_from(raw: Raw) -> Result<Self, String> {
        let answer = match (raw.rows, raw.count, raw.error) {
            (Some(rows), None, None) => Answer::Rows(rows),
            (None, Some(count), None) => Answer::Count(count),
            (None, None, Some(error)) => {
                error.check()?;
                Answer::Refused(error)
            }
            (Some(_) | None, Some(_) | None, Some(_) | None) => {
                return Err(
                    "a statement has one answer: `rows`, a list of objects, `count`, or \
                     `error`: {\"sqlstate\": \"23505\", \"message\": …}"
                        .to_owned(),
                );
            }
        };
        Ok(Self {
            statement: one_line(&raw.statement),
            parameters: raw.parameters,
            answer,
        })
    }
}

impl Refusal {
    fn check(&self) -> Result<(), String> {
        let state = &self.sqlstate;
        let legal = |c: char| c.is_ascii_digit() || c.is_ascii_uppercase();
        if state.chars().count() != SQLSTATE_CHARS || !state.chars().all(legal) {
            return Err(format!(
                "`{}` is no SQLSTATE, which has {SQLSTATE_CHARS} digits and capital letters, such as \
                 23505 for a key that is there",
                state.escape_debug()
            ));
        }
        if qx_store::sqlstate_is_the_hosts(state) {
            return Err(format!(
                "no handler sees the SQLSTATE {state}: the host makes the call again, or ends it"
            ));
        }
        Ok(())
    }
}

/// White space says nothing, and neither does a semicolon at the end.
fn one_line(statement: &str) -> String {
    let words: Vec<&str> = statement.split_whitespace().collect();
    words.join(" ").trim_end_matches([';', ' ']).to_owned()
}

/// A statement as it was run.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Asked {
    statement: String,
    parameters: Vec<Value>,
    wants: Wants,
}

/// A statement as it is written down.
#[derive(Debug, PartialEq, Serialize)]
pub(super) struct Written {
    statement: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    parameters: Option<Vec<Value>>,
}

impl Asked {
    fn of(statement: &Statement) -> Self {
        Self {
            statement: one_line(&statement.text),
            parameters: statement.parameters.iter().map(json_of).collect(),
            wants: statement.wants,
        }
    }
}

impl SqlExchange {
    fn has_parameters(&self, asked: &Asked) -> bool {
        self.parameters.as_ref().is_none_or(|own| {
            let mut pairs = own.iter().zip(&asked.parameters);
            own.len() == asked.parameters.len() && pairs.all(|(own, seen)| is_parameter(own, seen))
        })
    }
}

impl Exchange for SqlExchange {
    const KEY: &'static str = "sql";
    const ANSWERS: &'static [&'static str] = &["rows", "count", "error"];
    type Asked = Asked;
    type Written = Written;

    fn fits(&self, asked: &Asked) -> bool {
        self.statement == asked.statement && self.has_parameters(asked) && self.answers(asked)
    }

    fn answers(&self, asked: &Asked) -> bool {
        match (&self.answer, asked.wants) {
            (Answer::Rows(_), Wants::Rows)
            | (Answer::Count(_), Wants::Count)
            | (Answer::Refused(_), Wants::Rows | Wants::Count) => true,
            (Answer::Rows(_), Wants::Count) | (Answer::Count(_), Wants::Rows) => false,
        }
    }

    fn written(&self) -> Written {
        Written {
            statement: self.statement.clone(),
            parameters: self.parameters.clone(),
        }
    }

    fn shown(asked: &Asked, like: Option<&Self>) -> Written {
        let parameters = match like {
            Some(like) if like.has_parameters(asked) => like.parameters.clone(),
            Some(_) | None => Some(asked.parameters.clone()),
        };
        Written {
            statement: asked.statement.clone(),
            parameters,
        }
    }

    fn note(&self, asked: &Asked) -> Option<String> {
        let (asks, wants) = match asked.wants {
            Wants::Rows => ("for its rows", "rows"),
            Wants::Count => ("how many rows it changes", "count"),
        };
        let wrong = !self.answers(asked);
        wrong.then(|| format!("the handler asks {asks}: answer with `{wants}`"))
    }

    fn plain_answer(asked: &Asked) -> (&'static str, &'static str) {
        match asked.wants {
            Wants::Rows => ("rows", "[]"),
            Wants::Count => ("count", "0"),
        }
    }
}

fn is_parameter(expected: &Value, seen: &Value) -> bool {
    match (expected, seen) {
        // Whole or not, a number is the same to the database.
        (Value::Number(expected), Value::Number(seen)) => {
            expected == seen || expected.as_f64() == seen.as_f64()
        }
        (expected, seen) => expected == seen,
    }
}

fn json_of(parameter: &SqlValue) -> Value {
    match parameter {
        SqlValue::Null => Value::Null,
        SqlValue::Boolean(is) => json!(is),
        SqlValue::Integer(number) => json!(number),
        // JSON has no word for those that are none.
        SqlValue::Number(number) if !number.is_finite() => json!(number.to_string()),
        SqlValue::Number(number) => json!(number),
        SqlValue::Text(text) => json!(text),
        SqlValue::Bytes(bytes) => json!({"base64": BASE64.encode(bytes)}),
    }
}

/// The database of one call.
pub(super) struct Database {
    script: Mutex<Script<SqlExchange>>,
    bounds: SqlBounds,
}

impl Database {
    pub(super) const fn new(exchanges: Vec<SqlExchange>, bounds: SqlBounds) -> Self {
        Self {
            script: Mutex::new(Script::new(exchanges)),
            bounds,
        }
    }

    /// The statements of the call that is over.
    pub(super) fn calls(&self) -> Vec<Call<Asked>> {
        let mut script = self.script.lock().unwrap_or_else(PoisonError::into_inner);
        std::mem::replace(&mut *script, Script::new(Vec::new())).into_calls()
    }
}

#[async_trait::async_trait]
impl Statements for Database {
    async fn run(&self, statement: Statement) -> Result<Result<Given, SqlRefusal>, Fault> {
        let mut script = self.script.lock().unwrap_or_else(PoisonError::into_inner);
        let asked = Asked::of(&statement);
        if let Some(refusal) = qx_store::refused_by_its_text(&statement.text) {
            script.refuse(asked, refusal.to_string());
            return Ok(Err(refusal));
        }
        let Some(exchange) = script.answer(asked) else {
            return Ok(Err(SqlRefusal::Database {
                code: UNEXPECTED.to_owned(),
                message: "the scenario expects no such statement".to_owned(),
            }));
        };
        Ok(match &exchange.answer {
            Answer::Rows(rows) => self.bounded(rows),
            Answer::Count(count) => Ok(Given::Count(*count)),
            Answer::Refused(Refusal { sqlstate, message }) => Err(SqlRefusal::Database {
                code: sqlstate.clone(),
                message: message.clone(),
            }),
        })
    }
}

impl Database {
    fn bounded(&self, rows: &[Map<String, Value>]) -> Result<Given, SqlRefusal> {
        if rows.len() > usize::try_from(self.bounds.rows).unwrap_or(usize::MAX) {
            return Err(SqlRefusal::too_many_rows(&self.bounds));
        }
        let texts: Vec<String> = rows.iter().map(|row| json!(row).to_string()).collect();
        if texts.iter().map(String::len).sum::<usize>() > self.bounds.bytes {
            return Err(SqlRefusal::too_many_bytes(&self.bounds));
        }
        Ok(Given::Rows(texts))
    }
}

#[cfg(test)]
mod tests {
    use qx_events::Limits;

    use super::*;
    use crate::scenario::script::{difference, holds};

    fn exchanges(json: Value) -> Vec<SqlExchange> {
        serde_json::from_value(json).unwrap()
    }

    fn statement(text: &str, parameters: Vec<SqlValue>, wants: Wants) -> Statement {
        Statement {
            text: text.to_owned(),
            parameters,
            wants,
            time: std::time::Duration::MAX,
        }
    }

    async fn ran(
        expected: &[SqlExchange],
        own: Statement,
    ) -> (Result<Given, SqlRefusal>, Database) {
        let bounds = SqlBounds::of(&Limits::default());
        let database = Database::new(expected.to_vec(), bounds);
        let answer = database.run(own).await.unwrap();
        (answer, database)
    }

    #[tokio::test]
    async fn a_statement_fits_whatever_its_white_space_by_its_parameters() {
        let expected = exchanges(json!([
            {"statement": "SELECT a\n  FROM t WHERE b = $1;", "parameters": [3, null, true, "x", {"base64": "AP8="}], "rows": [{"a": 1}]}
        ]));
        let parameters = vec![
            SqlValue::Number(3.0),
            SqlValue::Null,
            SqlValue::Boolean(true),
            SqlValue::Text("x".to_owned()),
            SqlValue::Bytes(vec![0, 255]),
        ];
        let own = statement("SELECT a FROM t\n\tWHERE b = $1", parameters, Wants::Rows);
        let (answer, database) = ran(&expected, own).await;
        assert_eq!(answer, Ok(Given::Rows(vec!["{\"a\":1}".to_owned()])));
        assert!(holds(&expected, &database.calls()));
    }

    #[tokio::test]
    async fn a_refusal_has_its_sqlstate_and_what_is_not_expected_is_one() {
        let expected = exchanges(json!([
            {"statement": "INSERT INTO t VALUES ($1)", "error": {"sqlstate": "23505", "message": "it is there"}}
        ]));
        let insert = |wants| {
            statement(
                "INSERT INTO t VALUES ($1)",
                vec![SqlValue::Integer(1)],
                wants,
            )
        };
        let refused = |code: &str, message: &str| {
            Err(SqlRefusal::Database {
                code: code.to_owned(),
                message: message.to_owned(),
            })
        };
        let (answer, _) = ran(&expected, insert(Wants::Count)).await;
        assert_eq!(answer, refused("23505", "it is there"));
        let (answer, database) = ran(&[], insert(Wants::Count)).await;
        assert_eq!(
            answer,
            refused(UNEXPECTED, "the scenario expects no such statement")
        );
        assert!(difference::<SqlExchange>(&[], &database.calls()).is_some());
    }

    #[tokio::test]
    async fn an_answer_of_the_other_kind_is_told() {
        let expected = exchanges(json!([{"statement": "DELETE FROM t", "rows": []}]));
        let own = statement("DELETE FROM t", Vec::new(), Wants::Count);
        let (_, database) = ran(&expected, own).await;
        let found = difference(&expected, &database.calls()).unwrap();
        assert_eq!(
            found.seen,
            json!([{"statement": "DELETE FROM t", "note": "the handler asks how many rows it changes: answer with `count`"}])
        );
    }

    #[tokio::test]
    async fn what_the_database_would_not_run_is_refused_here_too() {
        let own = statement("SELECT pg_advisory_lock(1)", Vec::new(), Wants::Rows);
        let (answer, database) = ran(&[], own).await;
        assert!(matches!(answer, Err(SqlRefusal::Database { code, .. }) if code == "42501"));
        assert!(holds::<SqlExchange>(&[], &database.calls()));
    }

    #[tokio::test]
    async fn rows_have_the_bounds_of_the_real_ones() {
        let many: Vec<Value> = (0..=SqlBounds::ROWS_MAX).map(|n| json!({"n": n})).collect();
        for (rows, word) in [
            (json!(many), "sql_rows"),
            (json!([{"a": "x".repeat(256 << 10)}]), "value_kb"),
        ] {
            let expected = exchanges(json!([{"statement": "SELECT 1", "rows": rows}]));
            let own = statement("SELECT 1", Vec::new(), Wants::Rows);
            let (answer, _) = ran(&expected, own).await;
            assert!(matches!(answer, Err(SqlRefusal::Limit { word: own, .. }) if own == word));
        }
    }

    #[test]
    fn a_mistake_in_an_exchange_is_told() {
        for (exchange, said) in [
            (json!({"statement": "SELECT 1"}), "one answer"),
            (
                json!({"statement": "SELECT 1", "rows": [], "count": 1}),
                "one answer",
            ),
            (
                json!({"statement": "SELECT 1", "rows": [1]}),
                "expected a map",
            ),
            (
                json!({"statement": "SELECT 1", "error": {"sqlstate": "x", "message": ""}}),
                "`x` is no SQLSTATE",
            ),
            (
                json!({"statement": "SELECT 1", "error": {"sqlstate": "40P01", "message": ""}}),
                "no handler sees the SQLSTATE 40P01",
            ),
        ] {
            let error = serde_json::from_value::<SqlExchange>(exchange.clone()).unwrap_err();
            assert!(error.to_string().contains(said), "{exchange}: {error}");
        }
    }
}
