//! The files of operators. A fault may be of any kind; it has a text, and no secret in it.

use std::path::Path;
use std::sync::LazyLock;

use qx_events::{EventName, Rights};
use qx_host::config::{ComponentsConfig, Config, ConfigFaults, Sidecar};

/// Stands in a variable that the files may refer to, and must not come out of it.
const SECRET: &str = "pl4nted-s3cret";

/// A host that grants some of everything.
const GRANTING: &str = r#"
    [secrets]
    github = "pl4nted-s3cret"
    [grants.stars]
    capabilities = ["http", "secrets", "sql"]
    secrets = ["github"]
    http = ["https://api.github.com", "https://*.example.com"]
    emit = ["repo.*"]
    sql = "qx_stars"
"#;

static HOST: LazyLock<ComponentsConfig> = LazyLock::new(|| {
    let config = Config::parse(Path::new("qx-host.toml"), GRANTING, [], &[]);
    config.expect("it is valid").components
});

/// The host's file.
pub fn config(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    if text.contains(SECRET) || text.contains("file:") {
        return; // It knows the secret already; or would read files of this machine.
    }
    let environment = [
        ("PW".to_owned(), SECRET.to_owned()),
        ("QX_NATS__TOKEN".to_owned(), format!("x{SECRET}")),
    ];
    match Config::parse(Path::new("qx-host.toml"), &text, environment, &[]) {
        Ok(config) => {
            let shown = format!("{config:?}");
            assert!(!shown.contains(SECRET), "{shown}");
        }
        Err(faults) => told(&faults),
    }
}

/// A component's file.
pub fn sidecar(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    match Sidecar::parse(Path::new("stars.toml"), &text, &HOST) {
        Ok(sidecar) => {
            let settings = sidecar.settings;
            let granted = Sidecar::of_defaults("stars", &HOST).settings.rights;
            assert_within(&settings.rights, &granted);
            assert!(settings.retry.initial <= settings.retry.max);
            assert!(settings.concurrency > 0 && settings.retry.attempts_max > 0);
        }
        Err(faults) => told(&faults),
    }
}

fn assert_within(wanted: &Rights, granted: &Rights) {
    assert!(
        wanted.capabilities.is_subset(&granted.capabilities),
        "{wanted:?}"
    );
    assert!(wanted.secrets.is_subset(&granted.secrets), "{wanted:?}");
    assert!(
        wanted.sql.is_none() || wanted.sql == granted.sql,
        "{wanted:?}"
    );
    for place in &wanted.http {
        let within = granted
            .http
            .iter()
            .any(|own| own.narrowed_to(place).as_ref() == Some(place));
        assert!(within, "{place:?}");
    }
    for name in ["repo.starred", "repo.a.b", "order.placed", "repo", "a"] {
        let name = EventName::parse(name).expect("a name");
        assert!(
            !wanted.may_emit(&name) || granted.may_emit(&name),
            "{name}: {wanted:?}"
        );
    }
}

fn told(faults: &ConfigFaults) {
    assert!(faults.iter().count() > 0);
    let shown = faults.to_string();
    assert!(!shown.contains(SECRET), "{shown}");
    for fault in faults.iter() {
        assert!(!fault.text.is_empty(), "{fault:?}");
        crate::printable(&fault.to_string());
    }
}
