//! A key that signatures are checked with, and its name.

use std::fmt;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use ed25519_dalek::VerifyingKey;

use super::{COMMENT, ED25519};

/// What a key is called: eight bytes by chance, shown as minisign shows them.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct KeyId([u8; 8]);

impl KeyId {
    pub(super) const BYTES: usize = 8;

    pub(super) const fn new(bytes: [u8; 8]) -> Self {
        Self(bytes)
    }

    pub(super) const fn bytes(&self) -> &[u8; 8] {
        &self.0
    }
}

impl fmt::Display for KeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016X}", u64::from_le_bytes(self.0))
    }
}

impl fmt::Debug for KeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// A key that signatures are checked with: `RWQ…`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PublicKey {
    id: KeyId,
    key: VerifyingKey,
}

/// The text is no public key.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "not a public key of minisign ({0}); it has 56 characters and begins with RW: the second line of a .pub file, or what `qx-host keygen` prints"
)]
pub struct InvalidKey(&'static str);

impl PublicKey {
    pub(super) const fn new(id: KeyId, key: VerifyingKey) -> Self {
        Self { id, key }
    }

    /// Reads a key: the line itself, or a whole `.pub` file with its comment.
    pub fn parse(text: &str) -> Result<Self, InvalidKey> {
        let mut lines = text.lines().map(str::trim).filter(|line| !line.is_empty());
        let line = lines.find(|line| !line.starts_with(COMMENT.trim_end()));
        let line = line.ok_or(InvalidKey("there is nothing in it"))?;
        if lines.next().is_some() {
            return Err(InvalidKey("there is more than one key in it"));
        }
        let bytes = STANDARD
            .decode(line)
            .map_err(|_not_base64| InvalidKey("not base64"))?;
        let fields: Fields<'_> = fields(&bytes).ok_or(InvalidKey("not of its length"))?;
        let (algorithm, id, key) = fields;
        if *algorithm != ED25519 {
            return Err(InvalidKey("not of the kind ed25519"));
        }
        let key = VerifyingKey::from_bytes(key)
            .map_err(|_off_the_curve| InvalidKey("no such key can exist"))?;
        if key.is_weak() {
            return Err(InvalidKey("a weak key, for which anybody can sign"));
        }
        Ok(Self::new(KeyId::new(*id), key))
    }

    /// What it is called.
    pub const fn id(&self) -> KeyId {
        self.id
    }

    /// Whether `signature` is this key's, of `message`. Strict: of the many signatures
    /// that some libraries take for one message, one.
    pub(super) fn signed(&self, message: &[u8], signature: &[u8; 64]) -> bool {
        let signature = ed25519_dalek::Signature::from_bytes(signature);
        self.key.verify_strict(message, &signature).is_ok()
    }

    /// The file that minisign reads with `-p`.
    pub fn file(&self) -> String {
        format!("{COMMENT}minisign public key {}\n{self}\n", self.id)
    }
}

impl fmt::Display for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let bytes = [&ED25519[..], self.id.bytes(), self.key.as_bytes()].concat();
        f.write_str(&STANDARD.encode(bytes))
    }
}

type Fields<'a> = (&'a [u8; 2], &'a [u8; KeyId::BYTES], &'a [u8; 32]);

fn fields(bytes: &[u8]) -> Option<Fields<'_>> {
    let (algorithm, rest) = bytes.split_first_chunk()?;
    let (id, key) = rest.split_first_chunk()?;
    Some((algorithm, id, key.try_into().ok()?))
}
