//! A signature as minisign writes it: four lines, of which the third is signed too.

use std::fmt;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use blake2::{Blake2b512, Digest as _};

use super::public::{KeyId, PublicKey};
use super::{COMMENT, ED25519};

/// Signed is the BLAKE2b-512 of the bytes: the letters of a signature.
const HASHED: [u8; 2] = *b"ED";

const TRUSTED_COMMENT: &str = "trusted comment: ";

/// A signature, not verified by anybody.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Signature {
    key: KeyId,
    of_bytes: [u8; 64],
    comment: String,
    of_comment: [u8; 64],
}

/// The file is no signature.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidSignature {
    /// Not four lines of minisign.
    #[error("it is not in minisign's form ({0})")]
    Form(&'static str),
    /// Of the form before minisign 0.8, in which the bytes themselves are signed.
    #[error("it is in minisign's old form, which is not taken")]
    Old,
}

/// A signature that is not what it says.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Unverified {
    /// Of other bytes, or by another key that uses the name of this one.
    #[error(
        "it is not of these bytes: they were changed after they were signed, or it belongs to another build"
    )]
    Bytes,
    /// The bytes are whole, and what is said of them is not.
    #[error("its trusted comment was changed after it was signed")]
    Comment,
}

impl Signature {
    /// Signs bytes and what is said of them, with the function of a key.
    pub(super) fn make(
        key: KeyId,
        bytes: &[u8],
        comment: String,
        sign: impl Fn(&[u8]) -> [u8; 64],
    ) -> Self {
        let of_bytes = sign(&hashed(bytes));
        let of_comment = sign(&[&of_bytes[..], comment.as_bytes()].concat());
        Self {
            key,
            of_bytes,
            comment,
            of_comment,
        }
    }

    /// Reads a signature's file.
    pub fn parse(bytes: &[u8]) -> Result<Self, InvalidSignature> {
        let form = InvalidSignature::Form;
        let text = str::from_utf8(bytes).map_err(|_not_utf8| form("not text"))?;
        let mut lines = text.lines();
        let first = lines.next().unwrap_or_default();
        if !first.starts_with(COMMENT.trim_end()) {
            return Err(form("no untrusted comment in the first line"));
        }
        let second = lines.next().ok_or(form("cut off"))?;
        let comment = lines.next().ok_or(form("cut off"))?;
        let comment = comment
            .strip_prefix(TRUSTED_COMMENT)
            .ok_or(form("no trusted comment in the third line"))?;
        let fourth = lines.next().ok_or(form("cut off"))?;
        if lines.any(|line| !line.trim().is_empty()) {
            return Err(form("more than four lines"));
        }
        let decode = |line: &str| STANDARD.decode(line.trim());
        let decode = |line| decode(line).map_err(|_not_base64| form("cut off, or not base64"));
        let (own, of_comment) = (decode(second)?, decode(fourth)?);
        let length = form("cut off, or longer than it may be");
        let (algorithm, own) = own.split_first_chunk().ok_or(length.clone())?;
        match *algorithm {
            HASHED => {}
            ED25519 => return Err(InvalidSignature::Old),
            [_, _] => return Err(form("of another kind")),
        }
        let (key, of_bytes) = own.split_first_chunk().ok_or(length.clone())?;
        Ok(Self {
            key: KeyId::new(*key),
            of_bytes: of_bytes
                .try_into()
                .map_err(|_other_length| length.clone())?,
            comment: comment.to_owned(),
            of_comment: of_comment
                .as_slice()
                .try_into()
                .map_err(|_other_length| length)?,
        })
    }

    /// The key that it says it is by.
    pub const fn key(&self) -> KeyId {
        self.key
    }

    /// What is said of the bytes. To be believed after [`Signature::verify`].
    pub fn comment(&self) -> &str {
        &self.comment
    }

    /// The name of the file that was signed, where the comment says it.
    pub fn file(&self) -> Option<&str> {
        let mut fields = self.comment.split('\t');
        fields.find_map(|field| field.strip_prefix("file:"))
    }

    /// Whether it is this key's, of these bytes, with this comment.
    pub fn verify(&self, key: &PublicKey, bytes: &[u8]) -> Result<(), Unverified> {
        if !key.signed(&hashed(bytes), &self.of_bytes) {
            return Err(Unverified::Bytes);
        }
        let both = [&self.of_bytes[..], self.comment.as_bytes()].concat();
        if !key.signed(&both, &self.of_comment) {
            return Err(Unverified::Comment);
        }
        Ok(())
    }
}

impl fmt::Display for Signature {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let own = [&HASHED[..], self.key.bytes(), &self.of_bytes].concat();
        writeln!(f, "{COMMENT}signature by {}", self.key)?;
        writeln!(f, "{}", STANDARD.encode(own))?;
        writeln!(f, "{TRUSTED_COMMENT}{}", self.comment)?;
        writeln!(f, "{}", STANDARD.encode(self.of_comment))
    }
}

fn hashed(bytes: &[u8]) -> [u8; 64] {
    Blake2b512::digest(bytes).into()
}
