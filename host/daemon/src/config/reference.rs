//! The reference that `docs/configuration.md` holds, written from the table of
//! keys: a key that is not documented cannot exist.

use super::key::{Key, Kind};
use super::{grants, keys, sidecar};

const GRANTS: &str = "\n### `[grants.<component>]`, and `[grants.\"*\"]` for every component\n
What a component may do over and above `components.grants`; lists of both tables add up, `emit` and `sql` \
of its own table win. A component that is not there yet is no fault. See [capabilities](capabilities.md).\n
| key | value | what it is |\n|---|---|---|";

const SECRETS: &str = "\n### `[secrets]`\n
Secrets of any name (1 to 64 of `a` to `z`, `0` to `9`, `_` and `-`) for the components that they are granted to: \
text, with `${env:NAME}` in it, or `file:/path`. In the environment `QX_SECRETS__NAME`.";

/// Every key with its kind, bounds, default and sentence, as Markdown.
pub fn reference() -> String {
    let mut lines = vec!["## The host's file: `qx-host.toml`".to_owned()];
    for section in keys::ALL.chunk_by(|one, next| one.section == next.section) {
        let name = section.first().map_or("", |key| key.section);
        lines.push(format!(
            "\n### `[{name}]`\n\n| key | value | default | what it is |"
        ));
        lines.push("|---|---|---|---|".to_owned());
        lines.extend(section.iter().map(|key| {
            let (name, doc) = (key.name, key.doc);
            format!("| `{name}` | {} | {} | {doc} |", value(key), default(key))
        }));
    }
    lines.push(GRANTS.to_owned());
    lines.extend(grants::KEYS.iter().map(|key| {
        let (name, doc) = (key.name, key.doc);
        format!("| `{name}` | {} | {doc} |", value(key))
    }));
    lines.push(SECRETS.to_owned());
    lines.push("\n## A component's file: `<name>.toml`".to_owned());
    for section in sidecar::KEYS.chunk_by(|one, next| one.section == next.section) {
        let title = match section.first().map_or("", |key| key.section) {
            "" => "At the top".to_owned(),
            "routes" => "`[[routes]]`, one for each export".to_owned(),
            section => format!("`[{section}]`"),
        };
        lines.push(format!("\n### {title}\n\n| key | value | what it is |"));
        lines.push("|---|---|---|".to_owned());
        lines.extend(section.iter().map(|key| {
            let (name, doc) = (key.name, key.doc);
            format!("| `{name}` | {} | {doc} |", value(key))
        }));
    }
    let config =
        "\n### `[config]`\n\nTexts of any name: what the handler reads through `config`.\n";
    lines.push(config.to_owned());
    lines.join("\n")
}

fn value(key: &Key) -> String {
    match &key.kind {
        Kind::Text => "text".to_owned(),
        Kind::TextOrOff => "text, or `\"\"`".to_owned(),
        Kind::Secret => "secret".to_owned(),
        Kind::Path => "path".to_owned(),
        Kind::Flag => "`true`, `false`".to_owned(),
        Kind::Number { min, max, unit } => format!("{unit}, {min} to {max}"),
        Kind::Word(words) => marked(words),
        Kind::Words(words) => format!("list of {}", marked(words)),
        Kind::List => "list".to_owned(),
    }
}

fn marked(words: &[&str]) -> String {
    let words: Vec<String> = words.iter().map(|word| format!("`\"{word}\"`")).collect();
    words.join(", ")
}

fn default(key: &Key) -> String {
    match &key.kind {
        _ if key.default.is_empty() => "not set".to_owned(),
        Kind::Number { .. } | Kind::Flag => format!("`{}`", key.default),
        Kind::Words(_) => format!("`[\"{}\"]`", key.default.replace(',', "\", \"")),
        Kind::Text | Kind::TextOrOff | Kind::Secret | Kind::Path | Kind::Word(_) | Kind::List => {
            format!("`\"{}\"`", key.default)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FILE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/configuration.md");
    const BEGIN: &str =
        "<!-- written from the table of keys: QX_BLESS=1 cargo test -p qx-host reference -->\n";
    const END: &str = "<!-- end -->\n";

    #[test]
    fn the_documented_keys_are_those_of_the_code() {
        let page = std::fs::read_to_string(FILE).expect("docs/configuration.md is there");
        let (before, rest) = page.split_once(BEGIN).expect("the page has the first mark");
        let (documented, after) = rest.split_once(END).expect("the page has the last mark");
        let expected = format!("\n{}\n", reference());
        if std::env::var_os("QX_BLESS").is_some() {
            std::fs::write(FILE, format!("{before}{BEGIN}{expected}{END}{after}")).unwrap();
        } else {
            let differing = documented
                .lines()
                .zip(expected.lines())
                .find(|(is, be)| is != be);
            assert!(
                documented == expected,
                "run QX_BLESS=1 cargo test -p qx-host reference; first difference: {differing:?}"
            );
        }
    }

    #[test]
    fn every_key_has_a_sentence() {
        for key in keys::ALL.iter().chain(sidecar::KEYS).chain(grants::KEYS) {
            assert!(key.doc.ends_with('.'), "{}", key.full());
        }
    }
}
