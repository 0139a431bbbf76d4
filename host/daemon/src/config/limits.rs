//! The table of limits that `docs/limits.md` holds, written from the table of keys
//! and the sandbox's own: a limit that is not documented cannot exist.

use qx_sandbox::FixedLimit;

use super::key::Key;
use super::keys;

/// A limit that an operator can set.
struct Limit {
    /// The word of the outcome and of the metric.
    word: &'static str,
    /// Where it is set for all components, with default and bounds.
    key: &'static Key,
    /// The key of a component's own file; empty where it has none.
    own: &'static str,
    /// What happens to who goes over it.
    then: &'static str,
}

const fn limit(
    word: &'static str,
    key: &'static Key,
    own: &'static str,
    then: &'static str,
) -> Limit {
    Limit {
        word,
        key,
        own,
        then,
    }
}

const FAILS: &str = "the attempt fails, the instance is dropped";

const OVERFULL: &str = "nothing of the call is committed, its event is a dead letter; what deletes or writes less goes on";

const TOLD: &str = "`send` tells the handler";

/// Every limit that can be set.
static SET: [Limit; 17] = [
    limit(
        "deadline",
        &keys::DEFAULTS_TIMEOUT,
        "[limits] timeout_ms",
        FAILS,
    ),
    limit("cpu", &keys::DEFAULTS_CPU, "[limits] cpu_ms", FAILS),
    limit(
        "memory",
        &keys::DEFAULTS_MEMORY,
        "[limits] memory_mb",
        "the guest is told no; if it fails then, that is why. One that begins with more is not loaded",
    ),
    limit(
        "host_calls",
        &keys::DEFAULTS_HOST_CALLS,
        "[limits] host_calls",
        FAILS,
    ),
    limit(
        "log_lines",
        &keys::DEFAULTS_LOG_LINES,
        "[limits] log_lines",
        "further lines are dropped; a line says how many",
    ),
    limit(
        "log_kb",
        &keys::DEFAULTS_LOG_KB,
        "[limits] log_kb",
        "further lines are dropped; a line says how many",
    ),
    limit(
        "emitted_events",
        &keys::DEFAULTS_EMITTED,
        "[limits] emitted_events",
        "`emit` tells the handler",
    ),
    limit(
        "value_kb",
        &keys::DEFAULTS_VALUE,
        "[limits] value_kb",
        "`set`, `emit` and `send` tell the handler",
    ),
    limit(
        "http_requests",
        &keys::DEFAULTS_HTTP_REQUESTS,
        "[limits] http_requests",
        "`send` tells the handler",
    ),
    limit(
        "http_response_kb",
        &keys::DEFAULTS_HTTP_RESPONSE,
        "[limits] http_response_kb",
        "`send` tells the handler; the connection is closed",
    ),
    limit(
        "state_keys",
        &keys::DEFAULTS_STATE_KEYS,
        "[limits] state_keys",
        OVERFULL,
    ),
    limit(
        "state_mb",
        &keys::DEFAULTS_STATE_MB,
        "[limits] state_mb",
        OVERFULL,
    ),
    limit(
        "",
        &keys::DEFAULTS_CONCURRENCY,
        "concurrency",
        "further events wait on the stream",
    ),
    limit(
        "",
        &keys::CONSUMER_IN_FLIGHT,
        "",
        "further events wait on the stream",
    ),
    limit("", &keys::COMPONENTS_MAX_MB, "", "it is not loaded"),
    limit(
        "",
        &keys::COMPONENTS_COMPILE_TIMEOUT,
        "",
        "it is not loaded; what is in service stays",
    ),
    limit(
        "",
        &keys::COMPONENTS_COMPILE_MEMORY,
        "",
        "it is not loaded; what is in service stays",
    ),
];

/// Those of requests, which nobody can set.
static HTTP: [FixedLimit; 5] = [
    FixedLimit::new(
        "http_url",
        "the URL of a request",
        qx_outbound::URL_BYTES_MAX,
        "bytes",
        TOLD,
    ),
    FixedLimit::new(
        "http_headers",
        "headers of a request",
        qx_outbound::REQUEST_HEADERS_MAX,
        "headers",
        TOLD,
    ),
    FixedLimit::new(
        "http_headers",
        "their names and values together",
        qx_outbound::REQUEST_HEADER_BYTES_MAX,
        "bytes",
        TOLD,
    ),
    FixedLimit::new(
        "http_response_headers",
        "headers of an answer",
        qx_outbound::RESPONSE_HEADERS_MAX,
        "headers",
        TOLD,
    ),
    FixedLimit::new(
        "http_response_headers",
        "all of them, with the first line",
        qx_outbound::RESPONSE_HEADER_BYTES_MAX,
        "bytes",
        TOLD,
    ),
];

/// The table, as Markdown.
pub fn table() -> String {
    let mut rows = vec![
        "| limit | what is limited | default | at most | set in | over it |".to_owned(),
        "|---|---|---|---|---|---|".to_owned(),
    ];
    rows.extend(SET.iter().map(|limit| {
        let Limit {
            word,
            key,
            own,
            then,
        } = limit;
        let what = key.doc.trim_end_matches('.');
        let (section, name) = (key.section, key.name);
        let own = if own.is_empty() {
            String::new()
        } else {
            format!("; `{own}` of the component")
        };
        format!(
            "| {} | {what} | {} | {} | `[{section}] {name}`{own} | {then} |",
            marked(word),
            key.default,
            at_most(key),
        )
    }));
    rows.extend(qx_sandbox::FIXED.iter().chain(&HTTP).map(|limit| {
        let FixedLimit {
            word,
            what,
            value,
            unit,
            then,
        } = limit;
        let word = marked(word);
        format!("| {word} | {what} | {value} {unit} | fixed | | {then} |")
    }));
    rows.join("\n")
}

fn marked(word: &str) -> String {
    if word.is_empty() {
        String::new()
    } else {
        format!("`{word}`")
    }
}

fn at_most(key: &Key) -> String {
    let range = key.range();
    range.map_or_else(String::new, |(_, max, unit)| format!("{max} {unit}"))
}

#[cfg(test)]
mod tests {
    use qx_events::Breach;

    use super::*;

    const FILE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/limits.md");
    const BEGIN: &str = "<!-- written from the code: QX_BLESS=1 cargo test -p qx-host limits -->\n";
    const END: &str = "\n<!-- end -->\n";

    #[test]
    fn the_documented_limits_are_those_of_the_code() {
        let page = std::fs::read_to_string(FILE).expect("docs/limits.md is there");
        let (before, rest) = page.split_once(BEGIN).expect("the page has the first mark");
        let (documented, after) = rest.split_once(END).expect("the page has the last mark");
        let expected = format!("\n{}\n", table());
        if std::env::var_os("QX_BLESS").is_some() {
            std::fs::write(FILE, format!("{before}{BEGIN}{expected}{END}{after}")).unwrap();
        } else {
            assert_eq!(
                documented, expected,
                "QX_BLESS=1 cargo test -p qx-host limits"
            );
        }
    }

    #[test]
    fn every_way_of_being_ended_by_the_sandbox_is_in_the_table() {
        let table = table();
        for breach in Breach::ALL.iter().filter(|breach| **breach != Breach::Trap) {
            let row = format!("| `{breach}` | ");
            assert!(table.contains(&row), "{breach}");
        }
    }
}
