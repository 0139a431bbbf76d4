//! Files of signatures and keys, from whoever can write to the folder of components.

use std::sync::LazyLock;

use qx_events::ComponentName;
use qx_host::signing::{PublicKey, Signature, StoredKey, Trust, Unsigned};

/// A key whose secret half nobody here has: whatever holds for it is forged.
const PUBLIC: &str = "RWQf6LRCGA9i53mlYecO4IzT51TGPpvWucNSCh1CBM0QTaLn73Y7GFO3";

static TRUST: LazyLock<Trust> = LazyLock::new(|| Trust {
    keys: vec![PublicKey::parse(PUBLIC).expect("a key")],
    unsigned: Unsigned::Deny,
});

/// A signature's file, for a component that was never signed. The bytes are the file;
/// after a byte 0 the component.
pub fn signature(data: &[u8]) {
    let mut parts = data.splitn(2, |byte| *byte == 0);
    let text = parts.next().unwrap_or_default();
    let component = parts.next().unwrap_or_default();
    if let Ok(signature) = Signature::parse(text) {
        let written = signature.to_string();
        let again = Signature::parse(written.as_bytes());
        assert_eq!(again.as_ref().ok(), Some(&signature));
    }
    let name = ComponentName::parse("stars").expect("a name");
    match TRUST.judge(&name, component, Some(text)) {
        Ok(standing) => panic!("forged: {standing:?}"),
        Err(distrust) => crate::printable(&distrust.to_string()),
    }
}

/// The text of a key, public or secret.
pub fn keys(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    match PublicKey::parse(&text) {
        Ok(key) => {
            let again = PublicKey::parse(&key.file());
            assert_eq!(again.as_ref(), Ok(&key));
        }
        Err(invalid) => crate::printable(&invalid.to_string()),
    }
    match StoredKey::parse(&text) {
        Ok(StoredKey::Open(key)) => {
            let text = key.file(None).expect("an open key needs no random bytes");
            assert!(matches!(StoredKey::parse(&text), Ok(StoredKey::Open(_))));
        }
        // Opening it is work on purpose: nothing for a fuzzer.
        Ok(StoredKey::Locked(key)) => assert!(format!("{key:?}").contains("redacted")),
        Err(error) => crate::printable(&error.to_string()),
    }
}
