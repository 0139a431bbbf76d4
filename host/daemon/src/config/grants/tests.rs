//! What is granted to whom, and everything that can be wrong with it.

use std::collections::BTreeSet;
use std::path::Path;

use qx_events::{Capability, Rights};

use crate::config::{ComponentsConfig, Config, Sidecar};

const HOST: &str = r#"
[components]
grants = ["log", "emit"]
[secrets]
github_token = "planted"
other = "planted too"
[grants."*"]
capabilities = ["secrets"]
http = ["https://status.example.com"]
emit = ["order.>"]
[grants.stars]
capabilities = ["http", "sql"]
secrets = ["github_token"]
http = ["https://api.github.com", { url = "http://files.internal:8080", private = true }]
emit = ["repo.*"]
sql = "qx_stars"
"#;

fn components(text: &str) -> Result<ComponentsConfig, String> {
    Config::parse(Path::new("qx-host.toml"), text, [], &[])
        .map(|config| config.components)
        .map_err(|faults| faults.to_string())
}

/// The rights of the component with this file, or what is wrong with it.
fn rights(component: &str, text: &str) -> Result<Rights, String> {
    let path = format!("{component}.toml");
    Sidecar::parse(Path::new(&path), text, &components(HOST).unwrap())
        .map(|sidecar| sidecar.settings.rights)
        .map_err(|faults| faults.to_string())
}

fn shown<T: ToString>(each: impl IntoIterator<Item = T>) -> Vec<String> {
    each.into_iter().map(|one| one.to_string()).collect()
}

#[test]
fn a_component_has_what_all_have_and_what_its_own_table_grants() {
    let stars = rights("stars", "").unwrap();
    assert_eq!(
        shown(&stars.capabilities),
        ["log", "emit", "secrets", "http", "sql"]
    );
    assert_eq!(shown(&stars.secrets), ["github_token"]);
    assert_eq!(
        shown(&stars.http),
        [
            "https://api.github.com",
            "http://files.internal:8080 (private)",
            "https://status.example.com"
        ]
    );
    assert_eq!(shown(stars.emit.unwrap().iter()), ["repo.*"]);
    assert_eq!(stars.sql.as_deref(), Some("qx_stars"));

    let other = rights("other", "").unwrap();
    assert_eq!(shown(&other.capabilities), ["log", "emit", "secrets"]);
    assert!(other.secrets.is_empty() && other.sql.is_none());
    assert_eq!(shown(other.emit.unwrap().iter()), ["order.>"]);
}

#[test]
fn nothing_that_leaves_the_host_is_granted_by_default() {
    let host = components("").unwrap();
    assert_eq!(host.grants.rights_of("stars"), Rights::default());
}

#[test]
fn a_components_own_file_narrows_each_of_its_rights() {
    let asked = r#"
grants = ["log", "http"]
secrets = []
http = ["http://files.internal:8080"]
emit = ["repo.starred"]
"#;
    let stars = rights("stars", asked).unwrap();
    assert_eq!(
        stars.capabilities,
        BTreeSet::from([Capability::Log, Capability::Http])
    );
    assert!(stars.secrets.is_empty());
    assert_eq!(shown(&stars.http), ["http://files.internal:8080 (private)"]);
    assert_eq!(shown(stars.emit.unwrap().iter()), ["repo.starred"]);
}

#[test]
fn asking_for_more_than_is_granted_is_told_with_how_to_grant_it() {
    let asked = r#"
grants = ["state"]
secrets = ["other"]
http = ["http://169.254.169.254", "api.github.com"]
emit = ["repo.>"]
"#;
    let faults = rights("stars", asked).unwrap_err();
    for part in [
        "stars.toml:2:10: grants: the host does not grant \"state\"; add it to capabilities in [grants.stars]",
        "stars.toml:5:8: emit: the host does not grant \"repo.>\"; add it to emit in [grants.stars]",
        "stars.toml:3:11: secrets: the host does not grant \"other\"; add it to secrets in [grants.stars]",
        "stars.toml:4:8: http: the host does not grant \"http://169.254.169.254\"; add it to http in",
        "stars.toml:4:8: http: `api.github.com` is no place for requests",
    ] {
        assert!(faults.contains(part), "{part} in\n{faults}");
    }
}

#[test]
fn every_fault_of_the_grants_is_told_at_once_in_its_place() {
    let text = r#"
[secrets]
github_token = "planted"
[grants]
loose = true
[grants.Stars]
capabilities = ["http"]
[grants.stars]
capabilites = ["http"]
secrets = ["github_tokn", "nobodys"]
http = ["https://x.example/path", 7, { url = "http://y", privat = true }]
emit = ["a..b"]
[grants.later]
capabilities = ["network"]
sql = "role"
http = ["https://z.example"]
"#;
    let faults = components(text).unwrap_err();
    for part in [
        "qx-host.toml:5:1: grants.loose: expected a table",
        "qx-host.toml:6:9: grants.Stars: ",
        "write [grants.\"*\"] for every component",
        "qx-host.toml:9:1: grants.stars.capabilites: unknown key; did you mean `capabilities`?",
        "qx-host.toml:10:11: grants.stars.secrets: there is no secret `github_tokn`; did you mean \"github_token\"?",
        "there is no secret `nobodys`; add it under [secrets]",
        "qx-host.toml:11:8: grants.stars.http: `https://x.example/path` has more than",
        "grants.stars.http: expected \"https://host\", or {",
        "qx-host.toml:12:8: grants.stars.emit: `a..b` is neither",
        "qx-host.toml:14:16: grants.later.capabilities: `network` is unknown",
        "qx-host.toml:13:9: grants.later.http: says which and does not grant it; add capabilities = [\"http\"]",
        "qx-host.toml:13:9: grants.later.sql: says which and does not grant it",
    ] {
        assert!(faults.contains(part), "{part} in\n{faults}");
    }
    assert!(!faults.contains("planted"), "{faults}");
}
