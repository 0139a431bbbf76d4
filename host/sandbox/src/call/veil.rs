//! Keeps the secrets that a component is granted out of what it says: its lines, its
//! reasons, its last words.
//!
//! Best effort: the exact value, as JSON writes it, and each line of a value of
//! several lines. Who wants to give a secret away finds a way to write it otherwise.

use std::borrow::Cow;
use std::sync::Arc;

use qx_events::ports::SecretSource;

/// Shortest secret that is looked for, in bytes: shorter ones are in every other word.
pub(crate) const HIDDEN_BYTES_MIN: usize = 6;

/// What stands in place of a secret.
const SHOWN: &str = "[redacted]";

/// The secrets of one component.
#[derive(Clone, Default)]
pub(crate) struct Veil(Vec<Arc<dyn SecretSource>>);

impl Veil {
    pub(crate) fn over(secrets: impl Iterator<Item = Arc<dyn SecretSource>>) -> Self {
        Self(secrets.collect())
    }

    /// The text without them. A component that has none pays nothing.
    pub(crate) fn hide<'t>(&self, text: &'t str) -> Cow<'t, str> {
        if self.0.is_empty() {
            return Cow::Borrowed(text);
        }
        let mut hidden = Cow::Borrowed(text);
        for pattern in self.patterns() {
            if hidden.contains(&*pattern) {
                hidden = Cow::Owned(hidden.replace(&*pattern, SHOWN));
            }
        }
        hidden
    }

    /// Bytes of the longest that is looked for.
    pub(crate) fn longest(&self) -> usize {
        let patterns = self.patterns();
        patterns.first().map_or(0, |pattern| pattern.len())
    }

    /// What is looked for, the longest first: one may be a part of another.
    fn patterns(&self) -> Vec<Arc<str>> {
        let mut patterns: Vec<Arc<str>> = Vec::new();
        for value in self.0.iter().flat_map(|secret| secret.known()) {
            if value.contains('\n') {
                patterns.extend(value.lines().map(|line| Arc::from(line.trim())));
            }
            if let Ok(json) = serde_json::to_string(&*value) {
                let inner = json
                    .strip_prefix('"')
                    .and_then(|json| json.strip_suffix('"'));
                if let Some(inner) = inner.filter(|inner| *inner != &*value) {
                    patterns.push(Arc::from(inner));
                }
            }
            patterns.push(value);
        }
        patterns.retain(|pattern| pattern.len() >= HIDDEN_BYTES_MIN);
        patterns.sort_unstable_by_key(|pattern| std::cmp::Reverse(pattern.len()));
        patterns
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Fixed(&'static str);

    #[async_trait::async_trait]
    impl SecretSource for Fixed {
        async fn value(&self) -> Arc<str> {
            Arc::from(self.0)
        }

        fn known(&self) -> Vec<Arc<str>> {
            vec![Arc::from(self.0)]
        }
    }

    fn veil(values: &[&'static str]) -> Veil {
        let source = |value: &&'static str| Arc::new(Fixed(value)) as Arc<dyn SecretSource>;
        Veil::over(values.iter().map(source))
    }

    #[test]
    fn a_secret_is_hidden_wherever_it_stands_and_nothing_else_is() {
        let veil = veil(&["hunter2-hunter2", "hunter2"]);
        let hidden = veil.hide("a hunter2-hunter2b hunter2 hunter");
        assert_eq!(hidden, "a [redacted]b [redacted] hunter");
        assert_eq!(veil.longest(), 15);
        assert_eq!(Veil::default().hide("hunter2"), "hunter2");
    }

    #[test]
    fn a_secret_is_hidden_as_json_writes_it_and_line_by_line() {
        let veil = veil(&["-- BEGIN --\nline-one\nab\n", "say \"please\""]);
        assert_eq!(veil.hide("line-one and ab"), "[redacted] and ab");
        assert_eq!(
            veil.hide(r#"{"k":"say \"please\""}"#),
            r#"{"k":"[redacted]"}"#
        );
        assert_eq!(veil.hide(r"-- BEGIN --\nline-one\nab\n!"), "[redacted]!");
    }

    #[test]
    fn a_secret_that_is_too_short_to_be_told_from_words_is_left() {
        assert_eq!(veil(&["token"]).hide("a token"), "a token");
        assert_eq!(veil(&["token"]).longest(), 0);
    }
}
