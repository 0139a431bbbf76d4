//! A database that cannot be used says why, and what to do about it; and never
//! the password.

use std::error::Error;
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use qx_store::testing::{PASSWORD, Postgres, USER};
use qx_store::{Store, StoreConfig, StoreError};

/// The whole chain, as an operator reads it.
async fn refusal(url: &str) -> String {
    let error = match Store::connect(&StoreConfig::new(url)).await {
        Ok(store) => store.check().await.unwrap_err(),
        Err(error) => error,
    };
    chain(&error)
}

fn chain(error: &StoreError) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text = format!("{text}: {error}");
        cause = error.source();
    }
    assert!(!text.contains(PASSWORD), "{text}");
    text
}

fn assert_says(text: &str, parts: &[&str]) {
    for part in parts {
        assert!(text.contains(part), "no `{part}` in: {text}");
    }
}

/// What is said of a database on which no migration of the folder has run.
fn lacks_all(database: &str) -> String {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../../migrations")
        .join(database);
    let all = std::fs::read_dir(folder).unwrap().count();
    format!("lacks {all} of {all} migrations")
}

#[tokio::test]
async fn a_url_of_no_known_database_says_what_would_be_right() {
    for url in [
        "",
        "qx.db",
        "mysql://u:only-for-tests@h/d",
        "sqlite::memory:",
        "postgres://h:port/d",
    ] {
        assert_says(
            &refusal(url).await,
            &["database url is not usable", "sqlite://"],
        );
    }
}

#[tokio::test]
async fn a_server_that_is_not_there_is_named() {
    let port = TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap()
        .port();
    let said = refusal(&format!("postgres://u:{PASSWORD}@127.0.0.1:{port}/d")).await;
    assert_says(&said, &[&format!("127.0.0.1:{port}"), "start it"]);
}

/// It accepts connections and says nothing, like a firewall or a wrong port.
#[tokio::test]
async fn a_server_that_says_nothing_is_named_too() {
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = silent.local_addr().unwrap().port();
    let said = refusal(&format!("postgres://u:{PASSWORD}@127.0.0.1:{port}/d")).await;
    assert_says(
        &said,
        &[&format!("127.0.0.1:{port}"), "start it", "within 5 s"],
    );
}

#[tokio::test]
async fn a_server_that_refuses_says_whom_and_what() {
    let server = Postgres::shared().unwrap();
    let right = server.url("postgres");
    let said = refusal(&right.replace(PASSWORD, "wrong")).await;
    assert_says(
        &said,
        &["does not let user `qx` in", "correct user and password"],
    );
    let said = refusal(&right.replace(USER, "nobody")).await;
    assert_says(&said, &["does not let user `nobody` in"]);
    let said = refusal(&server.url("missing")).await;
    assert_says(&said, &["no database `missing`", "createdb missing"]);
    let said = refusal(&server.fresh_database().unwrap()).await;
    assert_says(&said, &[&lacks_all("postgres"), "qx-host migrate"]);
}

#[tokio::test]
async fn a_user_without_rights_is_told_to_ask_the_owner() {
    let server = Postgres::shared().unwrap();
    let url = server.fresh_database().unwrap();
    let mut owner = <sqlx::PgConnection as sqlx::Connection>::connect(&url)
        .await
        .unwrap();
    let user = sqlx::AssertSqlSafe(format!(
        "DROP ROLE IF EXISTS guest; CREATE ROLE guest LOGIN PASSWORD '{PASSWORD}';
         REVOKE CREATE ON SCHEMA public FROM PUBLIC"
    ));
    sqlx::raw_sql(user).execute(&mut owner).await.unwrap();
    let guest = Store::connect(&StoreConfig::new(url.replace(USER, "guest")))
        .await
        .unwrap();
    let said = chain(&guest.migrate().await.unwrap_err());
    assert_says(
        &said,
        &["user `guest` may not change the tables", "as their owner"],
    );
}

fn sqlite(path: &Path) -> String {
    format!("sqlite://{}", path.display())
}

#[tokio::test]
async fn a_file_that_cannot_be_used_says_why() {
    let folder = tempfile::tempdir().unwrap();
    let missing = folder.path().join("not/there/qx.db");
    assert_says(
        &refusal(&sqlite(&missing)).await,
        &["does not exist", "mkdir -p"],
    );
    let file = folder.path().join("qx.db");
    assert_says(
        &refusal(&sqlite(&file)).await,
        &["qx.db does not exist", "qx-host migrate"],
    );
    assert!(!file.exists(), "looking makes no file");
    std::fs::write(&file, "a text, and long enough to be no SQLite file at all").unwrap();
    assert_says(
        &refusal(&sqlite(&file)).await,
        &["is not a SQLite database"],
    );
    std::fs::remove_file(&file).unwrap();
    drop(
        Store::connect(&StoreConfig::new(sqlite(&file)).create())
            .await
            .unwrap(),
    );
    assert_says(
        &refusal(&sqlite(&file)).await,
        &[&lacks_all("sqlite"), "qx-host migrate"],
    );
}

/// Root may write everywhere, so as root this one is a folder in the way.
#[tokio::test]
async fn a_file_that_cannot_be_written_says_so() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("qx.db");
    std::fs::create_dir(&file).unwrap();
    let said = refusal(&sqlite(&file)).await;
    assert_says(
        &said,
        &["cannot be opened for writing", "the right to write"],
    );
    std::fs::remove_dir(&file).unwrap();
    let closed = folder.path().join("closed");
    std::fs::create_dir(&closed).unwrap();
    std::fs::set_permissions(&closed, std::fs::Permissions::from_mode(0o500)).unwrap();
    let probe = std::fs::write(closed.join("probe"), "");
    if probe.is_err() {
        let config = StoreConfig::new(sqlite(&closed.join("qx.db"))).create();
        let said = chain(&Store::connect(&config).await.unwrap_err());
        assert_says(
            &said,
            &["cannot be opened for writing", "the right to write"],
        );
    }
}

#[test]
fn a_configuration_does_not_show_its_password() {
    let config = StoreConfig::new(format!("postgres://u:{PASSWORD}@h/d"));
    assert!(!format!("{config:?}").contains(PASSWORD));
}
