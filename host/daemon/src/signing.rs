//! Signatures of components, in the form of minisign: who made them, and that they are
//! whole. What minisign signs is trusted here, and what is signed here it verifies.
//!
//! Values and their texts. Reads no file, asks nobody, and decides nothing about what
//! is in service. The sums are those of `ed25519-dalek`, `blake2` and `scrypt`; the
//! form is that of minisign 0.8 and later (hashed first, letters `ED`), no other.

mod public;
mod secret;
mod signature;
mod trust;

pub use public::{InvalidKey, KeyId, PublicKey};
pub use secret::{KeyError, LockedKey, SecretKey, StoredKey};
pub use signature::{InvalidSignature, Signature, Unverified};
pub use trust::{Distrust, Standing, Trust, Unsigned};

/// What a component's signature is called: the component's file name and this.
pub const SIGNATURE_SUFFIX: &str = ".minisig";

/// Largest file of a key or a signature, in bytes. Minisign's longest comment of a
/// signature has 8 KiB.
pub const TEXT_BYTES_MAX: u64 = 16 << 10;

/// The first line of each of minisign's files begins so.
const COMMENT: &str = "untrusted comment: ";

/// Signs and verifies with ed25519: the letters of a key.
const ED25519: [u8; 2] = *b"Ed";

#[cfg(test)]
mod tests;
