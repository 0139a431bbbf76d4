//! Filter subjects of a consumer: a cover of the component's patterns in which no
//! two overlap, because the server refuses a consumer whose filters do.
//!
//! The cover may be wider than the patterns. What comes too much is acknowledged
//! by the pipeline, which knows the patterns themselves.

use std::collections::BTreeSet;

use qx_events::Pattern;

use crate::server::ServerVersion;

/// Filter subjects, sorted, at least one.
///
/// A server that knows one filter gets the widest there is: it also does not bear
/// a change of it (2.9.10 delivers nothing more after one).
pub(crate) fn of(prefix: &str, patterns: &[Pattern], server: ServerVersion) -> Vec<String> {
    let subjects = patterns.iter().map(|own| format!("{prefix}.{own}"));
    let filters = cover(subjects.collect());
    if filters.is_empty() || !server.has_many_filters() {
        return vec![format!("{prefix}.>")];
    }
    filters
}

/// Joins what overlaps until nothing does.
fn cover(mut filters: BTreeSet<String>) -> Vec<String> {
    while let Some((left, right)) = overlapping(&filters) {
        filters.remove(&left);
        filters.remove(&right);
        filters.insert(joined(&left, &right));
    }
    filters.into_iter().collect()
}

fn overlapping(filters: &BTreeSet<String>) -> Option<(String, String)> {
    let pairs = filters.iter().enumerate().flat_map(|(index, left)| {
        let later = filters.iter().skip(index + 1);
        later.map(move |right| (left, right))
    });
    let mut found = pairs.filter(|(left, right)| overlap(left, right));
    let (left, right) = found.next()?;
    Some((left.clone(), right.clone()))
}

/// Whether some subject matches both.
fn overlap(left: &str, right: &str) -> bool {
    let (mut left, mut right) = (left.split('.'), right.split('.'));
    loop {
        match (left.next(), right.next()) {
            (None, None) | (Some(">"), Some(_)) | (Some(_), Some(">")) => return true,
            (Some(a), Some(b)) if a == b || a == "*" || b == "*" => {}
            (Some(_) | None, Some(_)) | (Some(_), None) => return false,
        }
    }
}

/// The narrowest subject that matches whatever one of the two does.
fn joined(left: &str, right: &str) -> String {
    let (mut left, mut right) = (left.split('.'), right.split('.'));
    let mut tokens = Vec::new();
    loop {
        match (left.next(), right.next()) {
            (None, None) => break,
            (Some(a), Some(b)) if a == b => tokens.push(a),
            (Some(a), Some(b)) if a != ">" && b != ">" => tokens.push("*"),
            (Some(_), _) | (None, Some(_)) => {
                tokens.push(">");
                break;
            }
        }
    }
    tokens.join(".")
}

/// Whether `wide` matches everything that `narrow` does.
pub(crate) fn covers(wide: &str, narrow: &str) -> bool {
    let (mut wide, mut narrow) = (wide.split('.'), narrow.split('.'));
    loop {
        match (wide.next(), narrow.next()) {
            (None, None) | (Some(">"), Some(_)) => return true,
            (Some(a), Some(b)) if a == b || (a == "*" && b != ">") => {}
            (Some(_) | None, Some(_)) | (Some(_), None) => return false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn filters(patterns: &[&str], version: &str) -> Vec<String> {
        let parsed: Vec<Pattern> = patterns
            .iter()
            .map(|raw| Pattern::parse(raw).unwrap())
            .collect();
        of("svc", &parsed, ServerVersion::parse(version))
    }

    #[test]
    fn filters_never_overlap_and_cover_every_pattern() {
        let table: &[(&[&str], &[&str])] = &[
            (&["a.b"], &["svc.a.b"]),
            (&["a.b", "a.b"], &["svc.a.b"]),
            (&["a.b", "a.c"], &["svc.a.b", "svc.a.c"]),
            (&["a.*", "a.b"], &["svc.a.*"]),
            (&["a.>", "a.*.c", "b"], &["svc.a.>", "svc.b"]),
            (&["a.*", "*.b"], &["svc.*.*"]),
            (&["a.*", "*.b", "c.d", "e"], &["svc.*.*", "svc.e"]),
            (&["a.*.c", "a.b.>"], &["svc.a.*.>"]),
            (&["*.x.y", "a.>", "b.x.y"], &["svc.*.>"]),
            (&["a", "a.>"], &["svc.a", "svc.a.>"]),
            (&[">", "a.b"], &["svc.>"]),
            (&[], &["svc.>"]),
        ];
        for (patterns, expected) in table {
            let found = filters(patterns, "2.10.0");
            assert_eq!(found, *expected, "{patterns:?}");
            for pattern in *patterns {
                let subject = format!("svc.{pattern}");
                assert!(found.iter().any(|wide| covers(wide, &subject)), "{subject}");
            }
        }
    }

    #[test]
    fn a_server_that_knows_one_filter_gets_the_widest() {
        assert_eq!(filters(&["a.b", "a.c"], "2.9.10"), ["svc.>"]);
        assert_eq!(filters(&["a.b"], "2.9.10"), ["svc.>"]);
    }

    #[test]
    fn a_subject_covers_what_it_always_matches() {
        for (wide, narrow, expected) in [
            ("svc.>", "svc.>", true),
            (">", "svc.>", true),
            ("svc.>", "svc.a.b", true),
            ("svc.*", "svc.>", false),
            ("svc.*", "svc.a", true),
            ("svc.>", "svc", false),
            ("other.>", "svc.>", false),
            ("svc.a", "svc.*", false),
        ] {
            assert_eq!(covers(wide, narrow), expected, "{wide} {narrow}");
        }
    }
}
