//! What a component may import: the allow-list, by name and before anything is
//! compiled or linked.
//!
//! WASI 0.2 is linked so that ordinary toolchains work, and inert: no file, no
//! environment, no socket, an empty standard input.

use qx_events::Capability;

use crate::contract;
use crate::error::LoadError;
use crate::manifest::Manifest;

/// Checks the names of all imports; the first that is not allowed is the error.
pub(crate) fn check(imports: &[String], manifest: &Manifest) -> Result<(), LoadError> {
    imports
        .iter()
        .try_for_each(|name| check_one(name, manifest))
}

fn check_one(name: &str, manifest: &Manifest) -> Result<(), LoadError> {
    let unknown = |why| LoadError::UnknownImport {
        import: name.escape_debug().take(NAME_CHARS_MAX).collect(),
        why,
    };
    let Some((package, interface, version)) = split(name) else {
        return Err(unknown(
            "is no interface: a handler imports `qx:events` and WASI 0.2, and nothing else",
        ));
    };
    let capability = match (package, interface) {
        (contract::PACKAGE, _) if !contract::VERSIONS.contains(&version) => {
            return Err(unserved(name));
        }
        (contract::PACKAGE, "types") => None,
        (contract::PACKAGE, "log") => Some(Capability::Log),
        (contract::PACKAGE, "config") => Some(Capability::Config),
        (contract::PACKAGE, "state") => Some(Capability::State),
        (contract::PACKAGE, "emit") => Some(Capability::Emit),
        (contract::PACKAGE, "sql") => Some(Capability::Sql),
        (contract::PACKAGE, "secrets") => Some(Capability::Secrets),
        (contract::PACKAGE, "http") => Some(Capability::Http),
        (contract::PACKAGE, _) => {
            return Err(unknown(
                "the contract does not have: it offers types, log, config, state, emit, sql, secrets and http",
            ));
        }
        ("wasi:http", _) => {
            return Err(unknown(
                "no handler gets: requests are sent through `qx:events/http`; in JavaScript build with `-d http -d fetch-event`",
            ));
        }
        (
            "wasi:cli" | "wasi:io" | "wasi:clocks" | "wasi:random" | "wasi:filesystem"
            | "wasi:sockets",
            _,
        ) if !is_wasi_0_2(version) => {
            return Err(unknown(
                "is a version of WASI that the host does not link: build for WASI 0.2 (target wasm32-wasip2)",
            ));
        }
        ("wasi:clocks", _) => Some(Capability::Clock),
        ("wasi:random", _) => Some(Capability::Random),
        ("wasi:cli" | "wasi:io" | "wasi:filesystem" | "wasi:sockets", _) => None,
        _ => {
            return Err(unknown(
                "the host does not know: a handler imports `qx:events` and WASI 0.2, and nothing else",
            ));
        }
    };
    match capability {
        Some(capability) if !manifest.settings.rights.allow(capability) => {
            Err(LoadError::NotGranted {
                import: name.to_owned(),
                capability,
                component: manifest.name.to_string(),
            })
        }
        Some(_) | None => Ok(()),
    }
}

/// Checks that a component which runs SQL has somewhere to run it. `missing`: why no
/// component has.
pub(crate) fn check_sql(
    imports: &[String],
    manifest: &Manifest,
    missing: Option<&'static str>,
) -> Result<(), LoadError> {
    let is_sql = |name: &String| matches!(split(name), Some((contract::PACKAGE, "sql", _)));
    if !imports.iter().any(is_sql) {
        return Ok(());
    }
    let component = manifest.name.to_string();
    match (missing, &manifest.settings.rights.sql) {
        (Some(why), _) => Err(LoadError::NoSql { component, why }),
        (None, None) => Err(LoadError::NoRole { component }),
        (None, Some(_)) => Ok(()),
    }
}

/// Characters shown of a name: it is the component's, and may be anything.
const NAME_CHARS_MAX: usize = 200;

/// The error for a version of the contract that is not served.
pub(crate) fn unserved(name: &str) -> LoadError {
    LoadError::UnservedVersion {
        name: name.escape_debug().take(NAME_CHARS_MAX).collect(),
        served: format!("{} {}", contract::PACKAGE, contract::VERSIONS.join(", ")),
    }
}

/// `namespace:package/interface@version` in three; the version may be absent.
pub(crate) fn split(name: &str) -> Option<(&str, &str, &str)> {
    let (package, rest) = name.split_once('/')?;
    package.split_once(':')?;
    let (interface, version) = rest.split_once('@').unwrap_or((rest, ""));
    Some((package, interface, version))
}

fn is_wasi_0_2(version: &str) -> bool {
    version
        .strip_prefix("0.2.")
        .is_some_and(|patch| !patch.is_empty() && patch.bytes().all(|b| b.is_ascii_digit()))
}

#[cfg(test)]
mod tests {
    use qx_events::{ComponentName, Rights};

    use super::*;

    fn manifest() -> Manifest {
        Manifest::new(ComponentName::parse("stars").unwrap())
    }

    fn refusal(name: &str, manifest: &Manifest) -> Option<String> {
        check(&[name.to_owned()], manifest)
            .err()
            .map(|error| error.to_string())
    }

    #[test]
    fn the_contract_and_wasi_0_2_are_allowed() {
        for name in [
            "qx:events/types@1.0.0",
            "qx:events/log@1.0.0",
            "qx:events/config@1.0.0",
            "qx:events/state@1.0.0",
            "qx:events/emit@1.0.0",
            "wasi:cli/environment@0.2.0",
            "wasi:io/streams@0.2.12",
            "wasi:clocks/monotonic-clock@0.2.6",
            "wasi:random/random@0.2.9",
            "wasi:filesystem/types@0.2.9",
            "wasi:sockets/tcp@0.2.9",
        ] {
            assert_eq!(refusal(name, &manifest()), None);
        }
    }

    #[test]
    fn everything_else_is_refused_by_name() {
        for name in [
            "wasi:http/outgoing-handler@0.2.0",
            "wasi:cli/environment@0.3.0",
            "wasi:cli/environment",
            "wasi:clocks/wall-clock@0.2.0-rc-2023-11-10",
            "wasi:keyvalue/store@0.2.0",
            "qx:events/sockets@1.0.0",
            "acme:log/log@1.0.0",
            "do-something",
            "a/b",
            "",
        ] {
            let text = refusal(name, &manifest()).unwrap();
            assert!(text.contains(&format!("`{name}`")), "{text}");
        }
    }

    #[test]
    fn another_version_of_the_contract_names_the_versions_served() {
        for name in [
            "qx:events/log@2.0.0",
            "qx:events/log@0.1.0",
            "qx:events/log",
        ] {
            let text = refusal(name, &manifest()).unwrap();
            assert!(text.contains("qx:events 1.0.0"), "{text}");
        }
    }

    #[test]
    fn what_is_not_granted_is_refused_with_the_word_that_grants_it() {
        let mut bare = manifest();
        bare.settings.rights = Rights::none();
        for (name, word) in [
            ("qx:events/state@1.0.0", "\"state\""),
            ("wasi:clocks/wall-clock@0.2.0", "\"clock\""),
            ("wasi:random/random@0.2.0", "\"random\""),
            ("qx:events/secrets@1.0.0", "\"secrets\""),
            ("qx:events/http@1.0.0", "\"http\""),
        ] {
            let text = refusal(name, &bare).unwrap();
            assert!(
                text.contains(word) && text.contains("[grants.stars]"),
                "{text}"
            );
        }
        assert_eq!(refusal("qx:events/types@1.0.0", &bare), None);
    }
}
