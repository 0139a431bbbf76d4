//! Answers the server's question who we are, anew at every connection: a `.creds`
//! file that was renewed is read as it is then.
//!
//! Never: a secret in an error. What goes wrong is said by the setting's name.

use async_nats::{Auth, AuthError};
use nkeys::KeyPair;

use crate::config::{Credentials, Secret};

/// Which setting we show to the server.
pub(crate) const fn shown(credentials: &Credentials) -> &'static str {
    match credentials {
        Credentials::None => "a connection without credentials",
        Credentials::File(_) => "the credentials of nats.credentials",
        Credentials::UserPassword { .. } => "nats.user with nats.password",
        Credentials::Token(_) => "nats.token",
        Credentials::NKey(_) => "the key of nats.nkey_seed_file",
    }
}

/// What to look at when the server refuses them.
pub(crate) const fn remedy(credentials: &Credentials) -> &'static str {
    match credentials {
        Credentials::None => {
            "set nats.user and nats.password, nats.token, nats.nkey_seed_file or nats.credentials"
        }
        Credentials::File(_) => "check that the file is current and of this server's operator",
        Credentials::UserPassword { .. } => "check nats.user and nats.password",
        Credentials::Token(_) => "check nats.token",
        Credentials::NKey(_) => {
            "check nats.nkey_seed_file, and that its public key is a user of the server"
        }
    }
}

/// The answer to the server's nonce.
pub(crate) fn answer(credentials: &Credentials, nonce: &[u8]) -> Result<Auth, AuthError> {
    let mut auth = Auth::new();
    match credentials {
        Credentials::None => {}
        Credentials::UserPassword { user, password } => {
            auth.username = Some(user.clone());
            auth.password = Some(password.reveal().to_owned());
        }
        Credentials::Token(token) => auth.token = Some(token.reveal().to_owned()),
        Credentials::NKey(seed) => {
            let key = key(seed.reveal(), "nats.nkey_seed_file")?;
            auth.signature = Some(signature(&key, nonce)?);
            auth.nkey = Some(key.public_key());
        }
        Credentials::File(path) => {
            let text = std::fs::read_to_string(path).map_err(|error| {
                AuthError::new(format!(
                    "nats.credentials {} cannot be read: {error}",
                    path.display()
                ))
            })?;
            let (jwt, seed) = parse(&text)?;
            let key = key(seed.reveal(), "the seed in nats.credentials")?;
            auth.signature = Some(signature(&key, nonce)?);
            auth.jwt = Some(jwt);
        }
    }
    Ok(auth)
}

fn key(seed: &str, from: &str) -> Result<KeyPair, AuthError> {
    KeyPair::from_seed(seed)
        .map_err(|error| AuthError::new(format!("{from} is not the seed of a user's key: {error}")))
}

fn signature(key: &KeyPair, nonce: &[u8]) -> Result<Vec<u8>, AuthError> {
    key.sign(nonce)
        .map_err(|error| AuthError::new(format!("the key cannot sign: {error}")))
}

/// The token and the seed of a `.creds` file: each is the line between two of dashes.
fn parse(text: &str) -> Result<(String, Secret), AuthError> {
    let is_rule = |line: &str| line.starts_with("---") && line.ends_with("---");
    let mut inside = false;
    let mut found = Vec::with_capacity(2);
    for line in text.lines().map(str::trim) {
        if is_rule(line) {
            inside = !inside;
        } else if inside && !line.is_empty() {
            found.push(line);
        }
    }
    match found.as_slice() {
        [jwt, seed] => Ok(((*jwt).to_owned(), Secret::new(*seed))),
        _ => Err(AuthError::new(
            "nats.credentials does not hold one user token and one seed; make one with `nsc generate creds`",
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FILE: &str = "-----BEGIN NATS USER JWT-----\neyJ0.x.y\n------END NATS USER JWT------\n\n\
        ************************* IMPORTANT *************************\nKeep it secret.\n\n\
        -----BEGIN USER NKEY SEED-----\r\nSUSEED\r\n------END USER NKEY SEED------\n\n***\n";

    #[test]
    fn a_credentials_file_gives_its_token_and_its_seed() {
        let (jwt, seed) = parse(FILE).unwrap();
        assert_eq!((jwt.as_str(), seed.reveal()), ("eyJ0.x.y", "SUSEED"));
    }

    #[test]
    fn a_bad_secret_is_named_and_not_shown() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("x.creds");
        let says = |credentials: &Credentials| {
            let error = answer(credentials, b"nonce").err().unwrap().to_string();
            assert!(!error.contains("SUSEED"), "{error}");
            error
        };
        let file = Credentials::File(path.clone());
        assert!(says(&file).contains("cannot be read"));
        std::fs::write(&path, "nothing").unwrap();
        assert!(says(&file).contains("nsc generate creds"));
        std::fs::write(&path, FILE).unwrap();
        assert!(says(&file).contains("seed in nats.credentials"));
        assert!(says(&Credentials::NKey(Secret::new("SUSEED"))).contains("nats.nkey_seed_file"));
    }

    #[test]
    fn a_key_signs_the_servers_nonce() {
        let pair = KeyPair::new_user();
        let seed = Secret::new(pair.seed().unwrap());
        let auth = answer(&Credentials::NKey(seed), b"nonce").unwrap();
        assert_eq!(auth.nkey, Some(pair.public_key()));
        pair.verify(b"nonce", &auth.signature.unwrap()).unwrap();
    }
}
