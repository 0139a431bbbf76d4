//! A `.creds` file against a server that trusts an operator, all made here: the
//! keys live as long as the test.

use nkeys::{KeyPair, KeyPairType};
use qx_broker::testing::{Nats, Setup};
use qx_broker::{Broker, BrokerError, Credentials, NatsConfig};
use qx_events::ports::Stream;
use serde_json::{Value, json};

use crate::world;

/// Base64 in the alphabet for URLs, without padding.
fn base64url(bytes: &[u8]) -> String {
    const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    let mut text = String::new();
    for chunk in bytes.chunks(3) {
        let word = chunk
            .iter()
            .fold(0_u32, |word, byte| word << 8 | u32::from(*byte));
        let word = word << (8 * (3 - chunk.len()));
        for digit in 0..=chunk.len() {
            let index = (word >> (18 - 6 * digit)) & 63;
            text.push(char::from(ALPHABET[index as usize]));
        }
    }
    text
}

fn token(issuer: &KeyPair, subject: &KeyPair, nats: &Value) -> String {
    let header = json!({"typ": "JWT", "alg": "ed25519-nkey"});
    let claims = json!({
        "jti": "test", "iat": 1_700_000_000, "name": "test",
        "iss": issuer.public_key(), "sub": subject.public_key(), "nats": nats,
    });
    let encoded = |value: &Value| base64url(value.to_string().as_bytes());
    let signed = format!("{}.{}", encoded(&header), encoded(&claims));
    let signature = issuer.sign(signed.as_bytes()).unwrap();
    format!("{signed}.{}", base64url(&signature))
}

/// An operator with an account for us and one for the system.
struct Trust {
    account: KeyPair,
    configuration: String,
}

impl Trust {
    fn new() -> Self {
        let [operator, account, system] = [
            KeyPairType::Operator,
            KeyPairType::Account,
            KeyPairType::Account,
        ]
        .map(KeyPair::new);
        let limits = json!({
            "subs": -1, "data": -1, "payload": -1, "imports": -1, "exports": -1, "wildcards": true,
            "conn": -1, "leaf": -1, "mem_storage": -1, "disk_storage": -1, "streams": -1, "consumer": -1,
        });
        let nothing = json!({"subs": -1, "conn": -1, "leaf": -1, "data": -1, "payload": -1});
        let claims = |limits: &Value| json!({"type": "account", "version": 2, "limits": limits});
        let configuration = format!(
            "operator: {}\nsystem_account: {}\nresolver: MEMORY\nresolver_preload: {{\n{}: {}\n{}: {}\n}}",
            token(
                &operator,
                &operator,
                &json!({"type": "operator", "version": 2})
            ),
            system.public_key(),
            account.public_key(),
            token(&operator, &account, &claims(&limits)),
            system.public_key(),
            token(&operator, &system, &claims(&nothing)),
        );
        Self {
            account,
            configuration,
        }
    }

    /// A user's file.
    fn credentials(&self) -> String {
        let user = KeyPair::new_user();
        let claims = json!({"type": "user", "version": 2, "subs": -1, "data": -1, "payload": -1});
        format!(
            "-----BEGIN NATS USER JWT-----\n{}\n------END NATS USER JWT------\n\n-----BEGIN USER NKEY SEED-----\n{}\n------END USER NKEY SEED------\n",
            token(&self.account, &user, &claims),
            user.seed().unwrap()
        )
    }
}

#[tokio::test]
async fn a_credentials_file_gets_in_and_a_strangers_does_not() {
    let trust = Trust::new();
    let setup = Setup {
        extra: trust.configuration.clone(),
        ..Setup::default()
    };
    let mut nats = Nats::start_with(setup).await.unwrap();
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("qx.creds");
    let config = NatsConfig {
        credentials: Credentials::File(file.clone()),
        ..nats.config()
    };

    std::fs::write(&file, Trust::new().credentials()).unwrap();
    let error = Broker::connect(config.clone()).await.unwrap_err();
    assert!(
        matches!(error, BrokerError::Unauthorized { .. }),
        "{error:?}"
    );
    assert!(error.to_string().contains("nats.credentials"), "{error}");

    std::fs::write(&file, trust.credentials()).unwrap();
    let broker = Broker::connect(config).await.unwrap();
    world::store(&broker, &world::messages("a", 3)).await;

    // The file is renewed while the server is away: the new one is shown.
    nats.kill();
    std::fs::write(&file, trust.credentials()).unwrap();
    nats.restart().await.unwrap();
    let mut source = world::subscribe_when_up(&broker, "c", &["a"]).await;
    assert_eq!(world::take(&mut source, 3).await, ["0", "1", "2"]);
    broker.check().await.unwrap();
}
