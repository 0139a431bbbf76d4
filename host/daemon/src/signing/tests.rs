//! Signatures as minisign 0.11 made them, and ours; both must hold for what was signed
//! and for nothing else. `tests/signed.rs` asks the program itself.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use qx_events::ComponentName;

use super::*;

const BYTES: &[u8] = b"one component\n";

const PUBLIC: &str = "RWQtfnTkFqWRZWnwqpmZ1zXiIL7h02kfbgoJ+9+54ieeOL3LCFHwBr36";

/// Its secret key, made with `minisign -G -W`: worth nothing, it is published here.
const SECRET: &str = "untrusted comment: minisign encrypted secret key
RWQAAEIyAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAALX505BalkWWtCaxY29HRF5pYzPtpOm2Wtz0HUaGq6lzimYG1Vc/4l2nwqpmZ1zXiIL7h02kfbgoJ+9+54ieeOL3LCFHwBr36AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=
";

/// `minisign -Sm stars.wasm`
const SIGNED: &str = "untrusted comment: signature from minisign secret key
RUQtfnTkFqWRZcK+NBIgUL75XM9aRa3kTQDCaSTlHj3IxN7rrDqy3LERW84H1Qw06gzfrgObSC3R6O+LMrQszaTtUSFyyUmGLAI=
trusted comment: timestamp:1795879940\tfile:stars.wasm\thashed
+DIMr3ZgwNDSKWRJ/9jd+Ll/hCGzZT4iQ6gwl3SpOwthe+E0DUy5VJd8AEePDQPQZSuUHNqerYtspIz6bWUnDg==
";

/// `minisign -Sm stars.wasm -t "no file named"`
const UNNAMED: &str = "untrusted comment: signature from minisign secret key
RUQtfnTkFqWRZcK+NBIgUL75XM9aRa3kTQDCaSTlHj3IxN7rrDqy3LERW84H1Qw06gzfrgObSC3R6O+LMrQszaTtUSFyyUmGLAI=
trusted comment: no file named
VKUOh1dtsgBVgBuFff7oZJWi1YhCepjpk3q9E1/kMBNN6uWY/JmzqwYWX7mdAq+TFOzfLC6cpPJbkdppylu2Aw==
";

/// `minisign -Slm stars.wasm`
const OLD: &str = "untrusted comment: signature from minisign secret key
RWQtfnTkFqWRZRLipKjn7lzqxhXbuCxZm9lRHt5n+lE/XelOK6M2gZOizAaE9uPOOvKyHiUMrly/ubik3I0OfeMEgU6KJfNrTQM=
trusted comment: timestamp:1795879940\tfile:stars.wasm
LQK37ClUtP0isnGHTHIaIovwNfeaWlCCL56sxiv4I6RMlIRKFP29EnUQ9KgEtOjVsOi3wqFq1W0yikxt1aP0DA==
";

fn trusting(keys: &[&str], unsigned: Unsigned) -> Trust {
    Trust {
        keys: keys
            .iter()
            .map(|key| PublicKey::parse(key).unwrap())
            .collect(),
        unsigned,
    }
}

/// What a host that trusts the key says of a component and its signature.
fn judged(name: &str, bytes: &[u8], signature: &str) -> Result<Standing, String> {
    let name = ComponentName::parse(name).unwrap();
    let trust = trusting(&[PUBLIC], Unsigned::Deny);
    let judged = trust.judge(&name, bytes, Some(signature.as_bytes()));
    judged.map_err(|distrust| crate::cli::chain(&distrust))
}

fn open(text: &str) -> SecretKey {
    match StoredKey::parse(text).unwrap() {
        StoredKey::Open(key) => key,
        StoredKey::Locked(_) => panic!("locked"),
    }
}

#[test]
fn what_minisign_signed_holds() {
    let Standing::Signed(by) = judged("stars", BYTES, SIGNED).unwrap() else {
        panic!("not signed");
    };
    assert_eq!(by.to_string(), "6591A516E4747E2D");
    assert!(judged("stars", BYTES, &SIGNED.replace('\n', "\r\n")).is_ok());
}

#[test]
fn what_is_signed_here_is_read_again_and_holds() {
    let key = open(SECRET);
    assert_eq!(key.public().to_string(), PUBLIC);
    let comment = "timestamp:1\tfile:stars.wasm\thashed";
    let signature = key.sign(BYTES, comment);
    let text = signature.to_string();
    assert_eq!(Signature::parse(text.as_bytes()).unwrap(), signature);
    assert_eq!(signature.comment(), comment);
    assert!(judged("stars", BYTES, &text).is_ok());
    // A signature of ed25519 is decided by key and message: minisign made the same one.
    assert_eq!(text.lines().nth(1), SIGNED.lines().nth(1));
    let lines = key.sign(BYTES, "one\nline").to_string();
    assert_eq!(lines.lines().count(), 4);
}

#[test]
fn a_flipped_bit_anywhere_is_found() {
    let untrusted = SIGNED.lines().next().unwrap().len();
    for at in 0..BYTES.len() {
        let mut bytes = BYTES.to_vec();
        bytes[at] ^= 1;
        let said = judged("stars", &bytes, SIGNED).unwrap_err();
        assert!(said.contains("not of these bytes"), "{said}");
    }
    for at in untrusted + 1..SIGNED.len() - 1 {
        let mut signature = SIGNED.as_bytes().to_vec();
        signature[at] ^= 1;
        let text = String::from_utf8(signature).unwrap();
        assert!(judged("stars", BYTES, &text).is_err(), "{at}: {text}");
    }
}

#[test]
fn each_way_of_not_being_trusted_says_what_to_do() {
    let other = SecretKey::generate().unwrap();
    let by_other = other.sign(BYTES, "file:stars.wasm").to_string();
    let (first, rest) = SIGNED.split_at(SIGNED.find("timestamp").unwrap());
    let tampered = format!("{first}{}", rest.replace("timestamp:1", "timestamp:2"));
    // Under the name of the trusted key, by another one.
    let own = Signature::parse(by_other.as_bytes()).unwrap();
    let forged = own.to_string().replace(
        by_other.lines().nth(1).unwrap(),
        &SIGNED.lines().nth(1).unwrap().replace("cK+N", "cK+M"),
    );
    let table = [
        (
            "stars",
            BYTES,
            by_other.as_str(),
            "not among the trusted ones (6591A516E4747E2D)",
        ),
        (
            "stars",
            b"another",
            SIGNED,
            "copy the component and its signature together",
        ),
        ("stars", BYTES, &tampered, "trusted comment was changed"),
        ("stars", BYTES, &forged, "not of these bytes"),
        ("stars", BYTES, OLD, "old form"),
        ("stars", BYTES, "", "minisign's form"),
        ("stars", BYTES, SIGNED.get(..100).unwrap(), "cut off"),
        ("stars", BYTES, "\u{0}\u{1b}[31m", "minisign's form"),
        (
            "billing",
            BYTES,
            SIGNED,
            "signed as stars.wasm, and lies here as billing.wasm",
        ),
    ];
    for (name, bytes, signature, part) in table {
        let said = judged(name, bytes, signature).unwrap_err();
        assert!(said.contains(part), "{part}: {said}");
        assert!(!said.chars().any(char::is_control), "{said}");
    }
    assert!(
        judged("billing", BYTES, UNNAMED).is_ok(),
        "it says nothing of a name"
    );
}

#[test]
fn what_is_unsigned_is_denied_named_or_let_in_as_configured() {
    use Unsigned::{Allow, Deny, Warn};
    let name = ComponentName::parse("stars").unwrap();
    let by = PublicKey::parse(PUBLIC).unwrap().id();
    let (none, one): (&[&str], &[&str]) = (&[], &[PUBLIC]);
    let table = [
        (one, Deny, None, Err("qx-host sign stars.wasm")),
        (one, Warn, None, Ok(Standing::Unsigned)),
        (one, Allow, None, Ok(Standing::Unsigned)),
        (one, Allow, Some(SIGNED), Ok(Standing::Signed(by))),
        // One that is there must hold.
        (one, Allow, Some("forged"), Err("cannot be read")),
        (none, Deny, None, Err("qx-host keygen")),
        (none, Deny, Some(SIGNED), Err("trusts no key")),
        (none, Warn, None, Ok(Standing::Unsigned)),
        (none, Warn, Some(SIGNED), Ok(Standing::Unchecked)),
        (none, Allow, Some("forged"), Ok(Standing::Unchecked)),
    ];
    for (keys, unsigned, signature, expected) in table {
        let trust = trusting(keys, unsigned);
        let judged = trust.judge(&name, BYTES, signature.map(str::as_bytes));
        match (judged, expected) {
            (Ok(standing), Ok(expected)) => assert_eq!(standing, expected, "{unsigned:?}"),
            (Err(distrust), Err(part)) => {
                let said = distrust.to_string();
                assert!(said.contains(part), "{part}: {said}");
                assert!(
                    !said.contains("deny") && said.contains("unsigned = \"allow\"")
                        || part == "cannot be read",
                    "{said}"
                );
            }
            (judged, expected) => panic!("{unsigned:?} {signature:?}: {judged:?}, {expected:?}"),
        }
    }
}

#[test]
fn two_keys_of_one_name_are_both_tried() {
    let mine = open(SECRET);
    let other = SecretKey::generate().unwrap().public();
    let raw = |text: &str| STANDARD.decode(text).unwrap();
    let (own, others) = (raw(PUBLIC), raw(&other.to_string()));
    let namesake = STANDARD.encode([&own[..10], &others[10..]].concat());
    assert_eq!(
        PublicKey::parse(&namesake).unwrap().id(),
        mine.public().id()
    );
    let trust = trusting(&[&namesake, PUBLIC], Unsigned::Deny);
    let name = ComponentName::parse("stars").unwrap();
    let signature = mine.sign(BYTES, "").to_string();
    assert!(
        trust
            .judge(&name, BYTES, Some(signature.as_bytes()))
            .is_ok()
    );
}

#[test]
fn a_locked_key_opens_with_its_password_only() {
    let key = SecretKey::generate().unwrap();
    let text = key.file(Some("correct horse")).unwrap();
    let locked = || match StoredKey::parse(&text).unwrap() {
        StoredKey::Locked(key) => key,
        StoredKey::Open(_) => panic!("open"),
    };
    assert_eq!(
        locked().unlock("correct horse").unwrap().public(),
        key.public()
    );
    assert_eq!(
        locked().unlock("battery staple").unwrap_err(),
        KeyError::Password
    );
    assert_eq!(open(&key.file(None).unwrap()).public(), key.public());
}

#[test]
fn a_key_shows_nothing_of_itself() {
    let shown = format!("{:?} {:?}", open(SECRET), StoredKey::parse(SECRET).unwrap());
    assert!(
        shown.contains("[redacted]") && !shown.contains("AAAA"),
        "{shown}"
    );
    for wrong in ["", "RWQ", PUBLIC, "untrusted comment: x\n!!!"] {
        let said = StoredKey::parse(wrong).unwrap_err().to_string();
        assert!(said.contains("keygen") && !said.contains(PUBLIC), "{said}");
    }
}

#[test]
fn what_is_no_public_key_is_refused_without_being_repeated() {
    let secret = SECRET.lines().nth(1).unwrap();
    let weak = STANDARD.encode([&b"Ed12345678"[..], &[1], &[0; 31]].concat());
    for (text, part) in [
        ("", "nothing in it"),
        ("!", "base64"),
        (secret, "length"),
        (PUBLIC.get(..52).unwrap(), "length"),
        (&format!("{PUBLIC}\n{PUBLIC}"), "more than one"),
        (&PUBLIC.replacen("RWQ", "RUQ", 1), "kind"),
        (&weak, "weak"),
    ] {
        let said = PublicKey::parse(text).unwrap_err().to_string();
        assert!(said.contains(part), "{part}: {said}");
        assert!(text.len() < 5 || !said.contains(text), "{said}");
    }
    let file = PublicKey::parse(PUBLIC).unwrap().file();
    assert_eq!(PublicKey::parse(&file).unwrap().to_string(), PUBLIC);
}
