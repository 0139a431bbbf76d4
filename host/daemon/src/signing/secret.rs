//! A key that signs, as minisign keeps it: locked with a password, or open.
//!
//! Its own bytes appear in the text of its file and nowhere else.

use std::fmt;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use blake2::{Blake2b256, Digest as _};
use ed25519_dalek::{Signer, SigningKey};

use super::public::{KeyId, PublicKey};
use super::signature::Signature;
use super::{COMMENT, ED25519};

/// The password goes through scrypt: the letters of a locked key.
const SCRYPT: [u8; 2] = *b"Sc";
/// No password: those of an open one.
const OPEN: [u8; 2] = [0, 0];
/// The sum is a BLAKE2b-256.
const BLAKE2B: [u8; 2] = *b"B2";

/// What the password hides: name, key and sum.
const HIDDEN_BYTES: usize = KeyId::BYTES + 64 + 32;

/// How much work a password is made into: what OWASP asks for (2^17 blocks of 1 KiB,
/// once). In minisign's file it stands as these two numbers.
const WORK: Work = Work {
    operations: 1 << 22,
    memory_bytes: 1 << 27,
};

/// Most memory that somebody else's file may ask for: minisign's own has 1 GiB.
const MEMORY_BYTES_MAX: u64 = 1 << 30;
/// Most operations: four times minisign's.
const OPERATIONS_MAX: u64 = 1 << 27;

/// A key that signs.
pub struct SecretKey {
    id: KeyId,
    key: SigningKey,
}

/// A key as it lies in a file.
#[derive(Debug)]
pub enum StoredKey {
    /// Ready to sign.
    Open(SecretKey),
    /// Waits for its password.
    Locked(LockedKey),
}

/// A key behind its password.
pub struct LockedKey {
    salt: [u8; 32],
    work: Work,
    hidden: [u8; HIDDEN_BYTES],
}

/// A key cannot be made or read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum KeyError {
    /// The text is no secret key.
    #[error(
        "not a secret key of minisign ({0}): name the file that `qx-host keygen` or `minisign -G` wrote"
    )]
    Form(&'static str),
    /// The password does not fit.
    #[error("the password is wrong, or the key's file is damaged")]
    Password,
    /// The file wants more than a machine should give.
    #[error("the key's file asks for {memory_bytes} bytes to check its password: it is damaged")]
    TooMuchWork {
        /// What it asks for.
        memory_bytes: u64,
    },
    /// The system gives no random bytes.
    #[error("the system gives no random bytes: {0}")]
    Random(String),
}

/// What scrypt is asked to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Work {
    operations: u64,
    memory_bytes: u64,
}

impl SecretKey {
    /// A new key, with a name by chance.
    pub fn generate() -> Result<Self, KeyError> {
        Ok(Self {
            id: KeyId::new(random()?),
            key: SigningKey::from_bytes(&random()?),
        })
    }

    /// What others check its signatures with.
    pub fn public(&self) -> PublicKey {
        PublicKey::new(self.id, self.key.verifying_key())
    }

    /// Signs bytes, and what is said of them: one line.
    pub fn sign(&self, bytes: &[u8], comment: &str) -> Signature {
        // What ends a line would end the comment.
        let comment = comment.replace(['\r', '\n'], " ");
        Signature::make(self.id, bytes, comment, |message| {
            self.key.sign(message).to_bytes()
        })
    }

    /// The text of its file: behind this password, or open to who can read it.
    pub fn file(&self, password: Option<&str>) -> Result<String, KeyError> {
        let mut hidden = self.hidden();
        let (kdf, salt, work) = match password {
            Some(password) => {
                let salt = random()?;
                WORK.hide(password, &salt, &mut hidden)?;
                (SCRYPT, salt, WORK)
            }
            None => (OPEN, [0; 32], Work::NONE),
        };
        let bytes = [
            &ED25519[..],
            &kdf,
            &BLAKE2B,
            &salt,
            &work.operations.to_le_bytes(),
            &work.memory_bytes.to_le_bytes(),
            &hidden,
        ];
        let state = password.map_or("open", |_password| "encrypted");
        let text = STANDARD.encode(bytes.concat());
        Ok(format!("{COMMENT}minisign {state} secret key\n{text}\n"))
    }

    fn hidden(&self) -> [u8; HIDDEN_BYTES] {
        let pair = self.key.to_keypair_bytes();
        let sum = sum(self.id, &pair);
        let mut hidden = [0; HIDDEN_BYTES];
        let all = self.id.bytes().iter().chain(&pair).chain(&sum);
        hidden
            .iter_mut()
            .zip(all)
            .for_each(|(to, from)| *to = *from);
        hidden
    }

    fn from_hidden(hidden: &[u8; HIDDEN_BYTES]) -> Option<(Self, [u8; 32])> {
        let (id, rest) = hidden.split_first_chunk()?;
        let (pair, sum) = rest.split_first_chunk()?;
        let key = SigningKey::from_keypair_bytes(pair).ok()?;
        let id = KeyId::new(*id);
        Some((Self { id, key }, sum.try_into().ok()?))
    }
}

impl fmt::Debug for SecretKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SecretKey({}, [redacted])", self.id)
    }
}

impl StoredKey {
    /// Reads the text of a key's file.
    pub fn parse(text: &str) -> Result<Self, KeyError> {
        let form = KeyError::Form;
        let mut lines = text.lines().map(str::trim).filter(|line| !line.is_empty());
        let line = lines.find(|line| !line.starts_with(COMMENT.trim_end()));
        let line = line.ok_or(form("there is nothing in it"))?;
        let bytes = STANDARD
            .decode(line)
            .map_err(|_not_base64| form("not base64"))?;
        let fields = fields(&bytes).ok_or(form("not of its length"))?;
        if (*fields.algorithm, *fields.sum_kind) != (ED25519, BLAKE2B) {
            return Err(form("of another kind"));
        }
        match *fields.kdf {
            // Minisign writes no sum here; that the halves of the key fit each other
            // has been seen.
            OPEN => SecretKey::from_hidden(fields.hidden)
                .map(|(key, _sum)| Self::Open(key))
                .ok_or(form("damaged")),
            SCRYPT => Ok(Self::Locked(LockedKey {
                salt: *fields.salt,
                work: Work {
                    operations: u64::from_le_bytes(*fields.operations),
                    memory_bytes: u64::from_le_bytes(*fields.memory_bytes),
                },
                hidden: *fields.hidden,
            })),
            [_, _] => Err(form("locked in an unknown way")),
        }
    }
}

impl LockedKey {
    /// Opens it. Takes a second or so: that is what protects it.
    pub fn unlock(mut self, password: &str) -> Result<SecretKey, KeyError> {
        self.work.hide(password, &self.salt, &mut self.hidden)?;
        let (key, said) = SecretKey::from_hidden(&self.hidden).ok_or(KeyError::Password)?;
        if sum(key.id, &key.key.to_keypair_bytes()) != said {
            return Err(KeyError::Password);
        }
        Ok(key)
    }
}

impl fmt::Debug for LockedKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("LockedKey([redacted])")
    }
}

impl Work {
    /// Of an open key.
    const NONE: Self = Self {
        operations: 0,
        memory_bytes: 0,
    };

    /// Hides what is open, and opens what is hidden.
    fn hide(
        self,
        password: &str,
        salt: &[u8; 32],
        hidden: &mut [u8; HIDDEN_BYTES],
    ) -> Result<(), KeyError> {
        let damaged = KeyError::TooMuchWork {
            memory_bytes: self.memory_bytes,
        };
        let params = self.params().ok_or(damaged.clone())?;
        let mut stream = [0; HIDDEN_BYTES];
        scrypt::scrypt(password.as_bytes(), salt, &params, &mut stream)
            .map_err(|_length| damaged)?;
        hidden.iter_mut().zip(stream).for_each(|(to, by)| *to ^= by);
        Ok(())
    }

    /// The two numbers as scrypt's three, in the way of libsodium.
    fn params(self) -> Option<scrypt::Params> {
        const R: u64 = 8;
        const OPERATIONS_MIN: u64 = 1 << 15;
        if self.memory_bytes > MEMORY_BYTES_MAX || self.operations > OPERATIONS_MAX {
            return None;
        }
        let operations = self.operations.max(OPERATIONS_MIN);
        let by_operations = operations < self.memory_bytes / 32;
        let blocks = if by_operations {
            operations / (R * 4)
        } else {
            self.memory_bytes / (R * 128)
        };
        // The least power of two, from two on, that is more than half of it.
        let log_n = (1..63_u8).find(|log_n| (1_u64 << log_n) > blocks / 2)?;
        let p = if by_operations {
            1
        } else {
            ((operations / 4) >> log_n).min(0x3fff_ffff) / R
        };
        scrypt::Params::new(log_n, u32::try_from(R).ok()?, u32::try_from(p).ok()?).ok()
    }
}

/// What shows that a password fits.
fn sum(id: KeyId, pair: &[u8; 64]) -> [u8; 32] {
    let mut sum = Blake2b256::new();
    sum.update(ED25519);
    sum.update(id.bytes());
    sum.update(pair);
    sum.finalize().into()
}

fn random<const BYTES: usize>() -> Result<[u8; BYTES], KeyError> {
    let mut bytes = [0; BYTES];
    getrandom::fill(&mut bytes).map_err(|error| KeyError::Random(error.to_string()))?;
    Ok(bytes)
}

struct Fields<'a> {
    algorithm: &'a [u8; 2],
    kdf: &'a [u8; 2],
    sum_kind: &'a [u8; 2],
    salt: &'a [u8; 32],
    operations: &'a [u8; 8],
    memory_bytes: &'a [u8; 8],
    hidden: &'a [u8; HIDDEN_BYTES],
}

fn fields(bytes: &[u8]) -> Option<Fields<'_>> {
    let (algorithm, rest) = bytes.split_first_chunk()?;
    let (kdf, rest) = rest.split_first_chunk()?;
    let (sum_kind, rest) = rest.split_first_chunk()?;
    let (salt, rest) = rest.split_first_chunk()?;
    let (operations, rest) = rest.split_first_chunk()?;
    let (memory_bytes, hidden) = rest.split_first_chunk()?;
    Some(Fields {
        algorithm,
        kdf,
        sum_kind,
        salt,
        operations,
        memory_bytes,
        hidden: hidden.try_into().ok()?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_work_of_a_password_is_that_of_libsodium() {
        let table = [
            // Ours; minisign's own; libsodium's for logins; next to nothing.
            ((1 << 22, 1 << 27), (17, 8, 1)),
            ((1 << 25, 1 << 30), (20, 8, 1)),
            ((1 << 19, 1 << 24), (14, 8, 1)),
            ((0, 0), (1, 8, 512)),
            ((1 << 15, 1 << 30), (10, 8, 1)),
        ];
        for ((operations, memory_bytes), (log_n, r, p)) in table {
            let work = Work {
                operations,
                memory_bytes,
            };
            let expected = scrypt::Params::new(log_n, r, p).unwrap();
            assert_eq!(work.params(), Some(expected), "{work:?}");
        }
    }

    #[test]
    fn a_damaged_key_cannot_ask_for_all_memory() {
        let work = Work {
            operations: u64::MAX,
            memory_bytes: u64::MAX,
        };
        let error = work.hide("", &[0; 32], &mut [0; HIDDEN_BYTES]).unwrap_err();
        assert!(matches!(error, KeyError::TooMuchWork { .. }), "{error}");
    }
}
