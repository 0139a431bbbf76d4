//! Whom the host trusts: keys as they are written, or in files of their own.

use std::path::Path;

use super::keys;
use super::reader::Reader;
use crate::signing::{PublicKey, TEXT_BYTES_MAX, Trust, Unsigned};

/// Reads both keys. Not set, what is unsigned is denied as soon as there is something
/// that a signature could be checked with; before that no signature would say anything.
pub(super) fn read(reader: &Reader<'_>) -> Trust {
    let key = &keys::COMPONENTS_TRUSTED_KEYS;
    let folder = reader.folder_of(key);
    let mut trusted: Vec<PublicKey> = Vec::new();
    let given = reader.list_given(key).unwrap_or_default();
    for (raw, place) in given.iter().zip(1..) {
        match public_key(raw, &folder) {
            Ok(found) if trusted.contains(&found) => {}
            Ok(found) => trusted.push(found),
            // Never the text itself: somebody may have put the secret key here.
            Err(text) => reader.fault(key, format!("key {place} is {text}")),
        }
    }
    let unsigned = match reader.word_given(&keys::COMPONENTS_UNSIGNED) {
        Some("allow") => Unsigned::Allow,
        Some("warn") => Unsigned::Warn,
        None if trusted.is_empty() => Unsigned::Warn,
        Some(_) | None => Unsigned::Deny,
    };
    Trust {
        keys: trusted,
        unsigned,
    }
}

fn public_key(raw: &str, folder: &Path) -> Result<PublicKey, String> {
    let Some(path) = raw.strip_prefix("file:") else {
        return PublicKey::parse(raw).map_err(|error| error.to_string());
    };
    let path = folder.join(path);
    let shown = path.display();
    let unreadable = |error: std::io::Error| {
        format!(
            "in {shown}, which cannot be read ({error}); correct the path, or make it readable for this user"
        )
    };
    let bytes = std::fs::metadata(&path).map_err(unreadable)?.len();
    if bytes > TEXT_BYTES_MAX {
        return Err(format!(
            "in {shown}, which is larger than {TEXT_BYTES_MAX} bytes; is it the right file?"
        ));
    }
    let text = std::fs::read_to_string(&path).map_err(unreadable)?;
    PublicKey::parse(&text).map_err(|error| format!("in {shown}, and {error}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Config, ConfigFaults};

    const KEY: &str = "RWQtfnTkFqWRZWnwqpmZ1zXiIL7h02kfbgoJ+9+54ieeOL3LCFHwBr36";

    fn parse(folder: &Path, components: &str) -> Result<Trust, ConfigFaults> {
        let text = format!("[components]\n{components}\n");
        let config = Config::parse(&folder.join("qx-host.toml"), &text, [], &[])?;
        Ok(config.components.trust)
    }

    #[test]
    fn what_is_unsigned_is_denied_as_soon_as_there_is_a_key_unless_something_is_set() {
        let here = Path::new("");
        let key = format!("trusted_keys = [\"{KEY}\"]");
        for (text, keys, unsigned) in [
            ("", 0, Unsigned::Warn),
            ("trusted_keys = []", 0, Unsigned::Warn),
            (&key, 1, Unsigned::Deny),
            (&format!("{key}\nunsigned = \"warn\""), 1, Unsigned::Warn),
            (&format!("{key}\nunsigned = \"allow\""), 1, Unsigned::Allow),
            ("unsigned = \"deny\"", 0, Unsigned::Deny),
            ("unsigned = \"allow\"", 0, Unsigned::Allow),
            (
                &format!("trusted_keys = [\"{KEY}\", \"{KEY}\"]"),
                1,
                Unsigned::Deny,
            ),
        ] {
            let trust = parse(here, text).unwrap();
            assert_eq!(
                (trust.keys.len(), trust.unsigned),
                (keys, unsigned),
                "{text}"
            );
        }
    }

    #[test]
    fn a_key_may_lie_in_a_file_beside_the_configuration() {
        let folder = tempfile::tempdir().unwrap();
        let file = format!("untrusted comment: minisign public key\n{KEY}\n");
        std::fs::write(folder.path().join("team.pub"), file).unwrap();
        let trust = parse(folder.path(), "trusted_keys = [\"file:team.pub\"]").unwrap();
        assert_eq!(trust.names(), "6591A516E4747E2D");
    }

    #[test]
    fn what_is_no_key_is_a_fault_with_its_place_and_is_not_repeated() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("large.pub"), "x".repeat(20_000)).unwrap();
        for (text, part) in [
            (
                format!("[\"{KEY}\", \"RWQsecretsecret\"]"),
                "key 2 is not a public key",
            ),
            ("[\"file:nowhere.pub\"]".to_owned(), "cannot be read"),
            ("[\"file:large.pub\"]".to_owned(), "larger than"),
            ("\"RWQ\"".to_owned(), "expected a list"),
        ] {
            let faults = parse(folder.path(), &format!("trusted_keys = {text}")).unwrap_err();
            let shown = faults.to_string();
            assert!(
                shown.contains("qx-host.toml:2:16: components.trusted_keys: "),
                "{shown}"
            );
            assert!(shown.contains(part), "{part}: {shown}");
            assert!(!shown.contains("secretsecret"), "{shown}");
        }
    }
}
