//! Who gets in, who does not, and what the refusal says.

use std::time::Duration;

use crate::world::{self, broker, impatient};
use qx_broker::testing::{Nats, Setup, fresh_nkey};
use qx_broker::{Broker, BrokerError, Credentials, NatsConfig, Secret, Tls};
use qx_events::ports::Stream;

async fn refusal(config: NatsConfig) -> BrokerError {
    let error = Broker::connect(config).await.err();
    let error = error.expect("this connection must be refused");
    let text = format!("{error} {error:?}");
    assert!(!text.contains("hunter2"), "a secret is shown: {text}");
    error
}

fn user(password: &str) -> Credentials {
    Credentials::UserPassword {
        user: "joe".to_owned(),
        password: Secret::new(password),
    }
}

#[tokio::test]
async fn without_a_server_the_error_says_how_to_get_one() {
    let config = NatsConfig {
        servers: vec!["nats://127.0.0.1:1".to_owned()],
        ..NatsConfig::default()
    };
    let error = refusal(config).await;
    assert!(error.is_transient());
    let text = error.to_string();
    assert!(
        text.contains("nats-server -js") && text.contains("stream.kind = \"embedded\""),
        "{text}"
    );
}

#[tokio::test]
async fn a_name_that_does_not_resolve_is_a_missing_server() {
    let config = NatsConfig {
        servers: vec!["nats://no-such-host.invalid:4222".to_owned()],
        ..NatsConfig::default()
    };
    assert!(matches!(
        refusal(config).await,
        BrokerError::NoServer { .. }
    ));
}

#[tokio::test]
async fn a_second_server_is_tried_when_the_first_is_down() {
    let nats = Nats::start().await.unwrap();
    let config = NatsConfig {
        servers: vec!["nats://127.0.0.1:1".to_owned(), nats.url()],
        ..nats.config()
    };
    let broker = Broker::connect(config).await.unwrap();
    world::store(&broker, &world::messages("a", 3)).await;
}

#[tokio::test]
async fn each_kind_of_credentials_gets_in() {
    for credentials in [
        user("hunter2"),
        Credentials::Token(Secret::new("hunter2")),
        Credentials::NKey(fresh_nkey()),
    ] {
        let setup = Setup {
            credentials,
            ..Setup::default()
        };
        let nats = Nats::start_with(setup).await.unwrap();
        let broker = broker(&nats).await;
        broker.check().await.unwrap();
        world::store(&broker, &world::messages("a", 1)).await;
    }
}

#[tokio::test]
async fn credentials_in_the_url_get_in_too() {
    let setup = Setup {
        credentials: user("hunter2"),
        ..Setup::default()
    };
    let nats = Nats::start_with(setup).await.unwrap();
    let config = NatsConfig {
        servers: vec![nats.url().replace("nats://", "nats://joe:hunter2@")],
        ..NatsConfig::default()
    };
    assert!(!format!("{config:?}").contains("hunter2"));
    let broker = Broker::connect(config).await.unwrap();
    assert!(!format!("{broker:?}").contains("hunter2"));
}

#[tokio::test]
async fn a_refused_client_reads_which_setting_to_look_at() {
    let setup = Setup {
        credentials: user("right"),
        ..Setup::default()
    };
    let nats = Nats::start_with(setup).await.unwrap();
    let missing = NatsConfig {
        credentials: Credentials::File("/nowhere/x.creds".into()),
        ..nats.config()
    };
    let table = [
        (Credentials::None, "set nats.user and nats.password"),
        (user("hunter2"), "check nats.user and nats.password"),
        (
            Credentials::Token(Secret::new("hunter2")),
            "check nats.token",
        ),
        (missing.credentials, "nats.credentials"),
    ];
    for (credentials, says) in table {
        let config = NatsConfig {
            credentials,
            ..nats.config()
        };
        let error = refusal(config).await;
        assert!(
            matches!(error, BrokerError::Unauthorized { .. }),
            "{error:?}"
        );
        assert!(!error.is_transient());
        assert!(error.to_string().contains(says), "{error}");
    }
}

#[tokio::test]
async fn a_server_without_jetstream_is_named_as_such() {
    let setup = Setup {
        jetstream: false,
        ..Setup::default()
    };
    let nats = Nats::start_with(setup).await.unwrap();
    let error = refusal(nats.config()).await;
    assert!(error.to_string().contains("start it with `-js`"), "{error}");
}

#[tokio::test]
async fn an_account_without_jetstream_is_named_as_such() {
    let setup = Setup {
        extra:
            "accounts { A { users: [ { user: joe, password: right } ] }, B { jetstream: enabled } }"
                .to_owned(),
        ..Setup::default()
    };
    let nats = Nats::start_with(setup).await.unwrap();
    let config = NatsConfig {
        credentials: user("right"),
        ..nats.config()
    };
    let error = refusal(config).await;
    assert!(error.to_string().contains("for this account"), "{error}");
}

#[tokio::test]
async fn a_server_that_speaks_no_tls_is_not_talked_to_in_the_clear() {
    let nats = Nats::start().await.unwrap();
    let config = NatsConfig {
        tls: Tls {
            required: true,
            ..Tls::default()
        },
        ..impatient(&nats)
    };
    let error = refusal(config).await;
    assert!(matches!(error, BrokerError::Tls { .. }), "{error:?}");
    assert!(error.to_string().contains("nats.tls_ca"), "{error}");
}

#[tokio::test]
async fn bad_settings_are_refused_together_before_a_server_is_asked() {
    let config = NatsConfig {
        stream: "a.b".to_owned(),
        duplicate_window: Duration::ZERO,
        ..NatsConfig::default()
    };
    let text = refusal(config).await.to_string();
    assert!(
        text.contains("nats.stream") && text.contains("nats.duplicate_window_s"),
        "{text}"
    );
}
