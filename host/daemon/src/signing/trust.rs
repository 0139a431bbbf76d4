//! Whether a component may come into service: whose signature it carries, and what is
//! done with those that carry none. A decision over bytes that were read before.

use qx_events::ComponentName;

use super::SIGNATURE_SUFFIX;
use super::public::{KeyId, PublicKey};
use super::signature::{InvalidSignature, Signature, Unverified};

/// What is done with a component without a signature.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unsigned {
    /// It is not loaded.
    Deny,
    /// It is loaded, and the log says so.
    Warn,
    /// It is loaded.
    Allow,
}

/// Whom this host trusts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Trust {
    /// Keys whose signatures count.
    pub keys: Vec<PublicKey>,
    /// What is done with the others.
    pub unsigned: Unsigned,
}

/// What is known of who made a component that may be loaded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Standing {
    /// Signed with a trusted key.
    Signed(KeyId),
    /// It carries no signature.
    Unsigned,
    /// It carries one, and this host trusts no key that it could be checked with.
    Unchecked,
}

impl Standing {
    /// Its word in listings.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Signed(_) => "signed",
            Self::Unsigned => "unsigned",
            Self::Unchecked => "unchecked",
        }
    }

    /// The key that signed it.
    pub const fn by(self) -> Option<KeyId> {
        match self {
            Self::Signed(key) => Some(key),
            Self::Unsigned | Self::Unchecked => None,
        }
    }
}

/// A component that is not trusted is not loaded.
#[derive(Debug, thiserror::Error)]
pub enum Distrust {
    /// No signature, and keys that one could be checked with.
    #[error(
        "the component is not signed, and this host takes signed ones only: run `qx-host sign {file} --key <secret key>` with a trusted key and put {file}{SIGNATURE_SUFFIX} beside it, or set [components] unsigned = \"allow\""
    )]
    Unsigned {
        /// The component's file.
        file: String,
    },
    /// Only signed components, and no key.
    #[error(
        "this host takes signed components only and trusts no key: make one with `qx-host keygen`, put its public key into [components] trusted_keys and sign with `qx-host sign {file} --key <secret key>`, or set [components] unsigned = \"allow\""
    )]
    NoKey {
        /// The component's file.
        file: String,
    },
    /// The file beside it is no signature.
    #[error("the signature {file}{SIGNATURE_SUFFIX} cannot be read: sign the component again")]
    Invalid {
        /// The component's file.
        file: String,
        /// Why.
        #[source]
        source: InvalidSignature,
    },
    /// By somebody else.
    #[error(
        "the component is signed with the key {by}, which is not among the trusted ones ({trusted}): sign it with one of them, or add its public key to [components] trusted_keys"
    )]
    Stranger {
        /// The key that it says it is by.
        by: KeyId,
        /// Those of this host.
        trusted: String,
    },
    /// It does not hold.
    #[error(
        "the signature {file}{SIGNATURE_SUFFIX} does not hold: copy the component and its signature together, or sign it again"
    )]
    Unverified {
        /// The component's file.
        file: String,
        /// What of it.
        #[source]
        source: Unverified,
    },
    /// Signed under another name: names decide what a component may do.
    #[error(
        "the component was signed as {signed}, and lies here as {file}: give it the name under which it was signed, or sign it again under this one"
    )]
    Renamed {
        /// The component's file.
        file: String,
        /// The name in the trusted comment.
        signed: String,
    },
}

impl Trust {
    /// Whom a host trusts that was told nothing: nobody, and it says so.
    pub const fn of_nobody() -> Self {
        Self {
            keys: Vec::new(),
            unsigned: Unsigned::Warn,
        }
    }

    /// Judges the bytes that are to be compiled, with the signature that lies beside
    /// them.
    pub fn judge(
        &self,
        name: &ComponentName,
        bytes: &[u8],
        signature: Option<&[u8]>,
    ) -> Result<Standing, Distrust> {
        let file = format!("{}.wasm", name.as_str());
        if self.keys.is_empty() {
            return match (self.unsigned, signature) {
                (Unsigned::Deny, _) => Err(Distrust::NoKey { file }),
                (Unsigned::Warn | Unsigned::Allow, Some(_)) => Ok(Standing::Unchecked),
                (Unsigned::Warn | Unsigned::Allow, None) => Ok(Standing::Unsigned),
            };
        }
        let Some(signature) = signature else {
            return match self.unsigned {
                Unsigned::Deny => Err(Distrust::Unsigned { file }),
                Unsigned::Warn | Unsigned::Allow => Ok(Standing::Unsigned),
            };
        };
        // One that is there must hold, also where none is asked for.
        let signature = match Signature::parse(signature) {
            Ok(signature) => signature,
            Err(source) => return Err(Distrust::Invalid { file, source }),
        };
        self.verify(&signature, bytes, &file).map(Standing::Signed)
    }

    /// The trusted key of a signature that holds, for a file of this name.
    pub fn verify(
        &self,
        signature: &Signature,
        bytes: &[u8],
        file: &str,
    ) -> Result<KeyId, Distrust> {
        let by = signature.key();
        let mut refused = None;
        // A key's name was chosen by its maker, so that several may have the same.
        for key in self.keys.iter().filter(|key| key.id() == by) {
            match signature.verify(key, bytes) {
                Ok(()) => return named(signature, file).map(|()| by),
                Err(unverified) => refused = Some(unverified),
            }
        }
        match refused {
            Some(source) => Err(Distrust::Unverified {
                file: file.to_owned(),
                source,
            }),
            None => Err(Distrust::Stranger {
                by,
                trusted: self.names(),
            }),
        }
    }

    /// The names of the trusted keys, as a person lists them.
    pub fn names(&self) -> String {
        let names: Vec<String> = self.keys.iter().map(|key| key.id().to_string()).collect();
        names.join(", ")
    }
}

/// Signed under another name is signed for another purpose: what a component may do is
/// decided by its name. A comment without a name says nothing of it.
fn named(signature: &Signature, file: &str) -> Result<(), Distrust> {
    match signature.file() {
        Some(signed) if signed != file => Err(Distrust::Renamed {
            file: file.to_owned(),
            signed: signed.escape_debug().to_string(),
        }),
        Some(_) | None => Ok(()),
    }
}
