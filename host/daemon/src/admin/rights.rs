//! What a component may do, as it is listed: words and names, never a value of a
//! secret.

use qx_events::{Pattern, Rights};
use serde::{Deserialize, Serialize};

/// The rights that apply: what the operator grants and the component's file asks
/// for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RightsView {
    /// What it may import.
    pub capabilities: Vec<String>,
    /// The events that it may emit; none is every one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub emit: Option<Vec<String>>,
    /// Names of the secrets that it may read.
    #[serde(default)]
    pub secrets: Vec<String>,
    /// Where it may send requests.
    #[serde(default)]
    pub http: Vec<String>,
    /// The role of its statements.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sql: Option<String>,
}

impl RightsView {
    /// The rights in words.
    pub fn of(rights: &Rights) -> Self {
        let words = |patterns: &Vec<Pattern>| patterns.iter().map(Pattern::to_string).collect();
        Self {
            capabilities: rights
                .capabilities
                .iter()
                .map(ToString::to_string)
                .collect(),
            emit: rights.emit.as_ref().map(words),
            secrets: rights.secrets.iter().cloned().collect(),
            http: rights.http.iter().map(ToString::to_string).collect(),
            sql: rights.sql.clone(),
        }
    }

    /// On one line, for a person: each capability with what it is narrowed to.
    pub fn line(&self) -> String {
        let with = |word: &String| {
            let details = match word.as_str() {
                "emit" => self.emit.clone(),
                "secrets" => Some(self.secrets.clone()),
                "http" => Some(self.http.clone()),
                "sql" => Some(self.sql.iter().cloned().collect()),
                _whole => None,
            };
            match details {
                Some(details) if details.is_empty() => format!("{word} (of nothing)"),
                Some(details) => format!("{word} ({})", details.join(" ")),
                None => word.clone(),
            }
        };
        let words: Vec<String> = self.capabilities.iter().map(with).collect();
        words.join(", ")
    }
}

#[cfg(test)]
mod tests {
    use qx_events::Capability;

    use super::*;

    #[test]
    fn each_capability_is_listed_with_what_it_is_narrowed_to() {
        let mut rights = Rights::of([Capability::Log, Capability::Emit, Capability::Secrets]);
        let line = |rights: &Rights| RightsView::of(rights).line();
        assert_eq!(line(&rights), "log, emit, secrets (of nothing)");
        rights.secrets.insert("token".to_owned());
        rights.emit = Some(vec![Pattern::parse("repo.*").unwrap()]);
        assert_eq!(line(&rights), "log, emit (repo.*), secrets (token)");
        assert_eq!(line(&Rights::none()), "");
    }
}
