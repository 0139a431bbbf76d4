//! Signatures as an operator meets them: the real `minisign` takes ours and we take
//! its own; a host with trusted keys serves what they signed and nothing else.
#![cfg(test)]

use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;
use std::process::{Command, Stdio};

use acceptance::{Way, World, component, digest, rebuilt};
use serde_json::{Value, json};

const FAILED: i32 = 1;
const MISCONFIGURED: i32 = 2;

/// Minisign itself, in a folder, with a password that it may ask for.
fn minisign(dir: &Path, args: &[&str], password: &str) -> (bool, String) {
    use std::io::Write;
    let child = Command::new("minisign")
        .args(args)
        .current_dir(dir)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn();
    let mut child = child.unwrap_or_else(|error| {
        panic!("minisign does not start ({error}): run tools/test-servers.sh, which installs it")
    });
    let mut input = child.stdin.take().unwrap();
    // One that asks for nothing may be gone by now.
    drop(input.write_all(format!("{password}\n{password}\n").as_bytes()));
    drop(input);
    let output = child.wait_with_output().unwrap();
    let said = [output.stdout, output.stderr].concat();
    (
        output.status.success(),
        String::from_utf8_lossy(&said).into_owned(),
    )
}

/// A new key without a password, and its public half.
async fn key(world: &World, name: &str) -> String {
    let file = format!("{name}.key");
    let args = [
        "keygen",
        "--key",
        &file,
        "--no-password",
        "--output",
        "json",
    ];
    let made = world.qx(&args).await.ok().json();
    made["public_key"].as_str().unwrap().to_owned()
}

/// The signature of these bytes as this file.
async fn signature(world: &World, key: &str, file: &str, bytes: &[u8]) -> Vec<u8> {
    let dir = world.path("signing");
    std::fs::create_dir_all(&dir).unwrap();
    std::fs::write(dir.join(file), bytes).unwrap();
    let (file, key) = (format!("signing/{file}"), format!("{key}.key"));
    drop(world.qx(&["sign", &file, "--key", &key]).await.ok());
    std::fs::read(world.path(&format!("{file}.minisig"))).unwrap()
}

/// Lets the host trust these keys, and more of `[components]`.
fn trust(world: &World, keys: &[&str], more: &str) {
    let keys = json!(keys);
    let text = format!("[components]\ntrusted_keys = {keys}\n{more}\n");
    world.write(
        "qx-host.toml",
        &world.config().replace("[components]\n", &text),
    );
}

/// Waits until a component is listed with this in its reason.
async fn says(world: &World, component: &str, part: &str) -> Value {
    let says = |seen: &Value| {
        let reason = seen["reason"].as_str();
        reason.is_some_and(|reason| reason.contains(part))
    };
    world.lists(component, says).await
}

#[tokio::test(flavor = "multi_thread")]
async fn minisign_takes_what_is_signed_here_and_what_it_signs_is_taken_here() {
    let world = World::bare(Way::Embedded).await;
    std::fs::copy(component("stars"), world.path("stars.wasm")).unwrap();
    let ours = key(&world, "ours").await;
    drop(
        world
            .qx(&["sign", "stars.wasm", "--key", "ours.key"])
            .await
            .ok(),
    );
    let verify = ["-V", "-m", "stars.wasm", "-P", &ours];
    let (taken, said) = minisign(world.dir(), &verify, "");
    assert!(taken && said.contains("file:stars.wasm"), "{said}");
    let (taken, said) = minisign(
        world.dir(),
        &["-V", "-m", "stars.wasm", "-p", "ours.pub"],
        "",
    );
    assert!(taken, "{said}");
    // Our secret key, in its hands.
    let sign = ["-S", "-m", "stars.wasm", "-s", "ours.key"];
    let (signed, said) = minisign(world.dir(), &sign, "");
    assert!(signed, "{said}");
    drop(
        world
            .qx(&["verify", "stars.wasm", "--key", &ours])
            .await
            .ok(),
    );

    let theirs = ["-G", "-W", "-p", "theirs.pub", "-s", "theirs.key"];
    let (made, said) = minisign(world.dir(), &theirs, "");
    assert!(made, "{said}");
    let sign = ["-S", "-m", "stars.wasm", "-s", "theirs.key"];
    let (signed, said) = minisign(world.dir(), &sign, "");
    assert!(signed, "{said}");
    let verify = [
        "verify",
        "stars.wasm",
        "--key",
        "theirs.pub",
        "--output",
        "json",
    ];
    let verified = world.qx(&verify).await.ok().json();
    assert_eq!(verified[0]["verified"], true, "{verified}");
    let ran = world.qx(&["verify", "stars.wasm", "--key", &ours]).await;
    assert_eq!(ran.code, FAILED, "{ran:?}");
    // Its secret key, in our hands.
    drop(
        world
            .qx(&["sign", "stars.wasm", "--key", "theirs.key"])
            .await
            .ok(),
    );
    let (taken, said) = minisign(
        world.dir(),
        &["-V", "-m", "stars.wasm", "-p", "theirs.pub"],
        "",
    );
    assert!(taken, "{said}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_with_a_password_is_for_its_owner_and_opens_for_minisign_too() {
    let world = World::bare(Way::Embedded).await;
    world.write("stars.wasm", "bytes");
    world.write("password", "correct horse\n");
    let keygen = ["keygen", "--password-file", "password"];
    drop(world.qx(&keygen).await.ok());
    let mode = std::fs::metadata(world.path("qx-signing.key"))
        .unwrap()
        .permissions()
        .mode();
    assert_eq!(mode & 0o777, 0o600);
    let again = world.qx(&keygen).await;
    again.fails(
        MISCONFIGURED,
        &["qx-signing.key is there already", "--force"],
    );

    let sign = ["sign", "stars.wasm"];
    world
        .qx(&sign)
        .await
        .fails(MISCONFIGURED, &["no terminal", "--password-file"]);
    let wrong = [("QX_SIGNING_PASSWORD", "battery staple")];
    world
        .qx_with(&sign, &wrong)
        .await
        .fails(FAILED, &["the password is wrong"]);
    let right = [("QX_SIGNING_PASSWORD", "correct horse")];
    drop(world.qx_with(&sign, &right).await.ok());
    drop(
        world
            .qx(&["verify", "stars.wasm", "--key", "qx-signing.pub"])
            .await
            .ok(),
    );

    let sign = ["-S", "-m", "stars.wasm", "-s", "qx-signing.key"];
    let (signed, said) = minisign(world.dir(), &sign, "correct horse");
    assert!(signed, "{said}");
    drop(
        world
            .qx(&["verify", "stars.wasm", "--key", "qx-signing.pub"])
            .await
            .ok(),
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn verify_says_of_each_file_what_a_host_would_say_and_ends_with_one_if_any_fails() {
    let world = World::bare(Way::Embedded).await;
    world
        .qx(&["verify", "x.wasm"])
        .await
        .fails(MISCONFIGURED, &["--key", "trusted_keys"]);
    let (trusted, other) = (key(&world, "trusted").await, key(&world, "other").await);
    trust(&world, &[&trusted, "file:other.pub"], "");
    world.write("good.wasm", "good");
    world.write("bare.wasm", "bare");
    world.write("changed.wasm", "before");
    let sign = [
        "sign",
        "good.wasm",
        "changed.wasm",
        "--key",
        "trusted.key",
        "--output",
        "json",
    ];
    let signed = world.qx(&sign).await.ok().json();
    assert_eq!(signed[0]["digest"], digest(b"good").as_str());
    world.write("changed.wasm", "after");
    let files = ["good.wasm", "bare.wasm", "changed.wasm", "nowhere.wasm"];
    let verify: Vec<&str> = ["verify", "--output", "json"]
        .into_iter()
        .chain(files)
        .collect();
    let ran = world.qx(&verify).await;
    assert_eq!(ran.code, FAILED, "{ran:?}");
    let verdicts = ran.json();
    for (at, part) in [
        (1, "not signed"),
        (2, "not of these bytes"),
        (3, "cannot be read"),
    ] {
        assert_eq!(verdicts[at]["verified"], false, "{verdicts}");
        assert!(
            verdicts[at]["reason"].as_str().unwrap().contains(part),
            "{verdicts}"
        );
    }
    assert_eq!(verdicts[0]["verified"], true);
    assert_eq!(verdicts[0]["key_id"], signed[0]["key_id"]);
    let comment = verdicts[0]["trusted_comment"].as_str().unwrap();
    for part in [
        "timestamp:",
        "file:good.wasm",
        &format!("sha256:{}", digest(b"good")),
    ] {
        assert!(comment.contains(part), "{part}: {comment}");
    }
    let only = world.qx(&["verify", "good.wasm", "--key", &other]).await;
    assert_eq!(only.code, FAILED);
    assert!(only.stdout.contains("NOT VERIFIED"), "{only:?}");
    drop(world.qx(&["verify", "good.wasm"]).await.ok());
}

#[tokio::test(flavor = "multi_thread")]
async fn with_a_trusted_key_what_is_unsigned_waits_for_its_signature_in_any_order() {
    let mut world = World::with(Way::Embedded, &[]).await;
    let public = key(&world, "trusted").await;
    trust(&world, &[&public], "");
    world.run().await;
    let bytes = std::fs::read(component("stars")).unwrap();
    let signed = signature(&world, "trusted", "stars.wasm", &bytes).await;
    world.install("stars");
    let listed = says(&world, "stars", "qx-host sign stars.wasm").await;
    assert_eq!(listed["state"], "broken");
    assert_eq!(listed["digest"], Value::Null);
    // The signature comes behind it: no restart, no second copy of the component.
    world.put("stars.wasm.minisig", &signed);
    world.serves(&["stars"]).await;
    let listed = world.listed("stars").await;
    assert_eq!(listed["signature"], "signed");
    let by = listed["signed_by"].as_str().unwrap().to_owned();
    world.prints(&format!("signed_by={by}")).await;
    // And before it.
    let bytes = std::fs::read(component("triage")).unwrap();
    let signed = signature(&world, "trusted", "triage.wasm", &bytes).await;
    world.put("triage.wasm.minisig", &signed);
    world.install("triage");
    world.serves(&["triage"]).await;
    let text = world.qx(&["handlers", "list"]).await.ok().stdout;
    assert!(text.contains("SIGNED BY") && text.contains(&by), "{text}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_signature_that_does_not_hold_leaves_the_version_in_service() {
    let mut world = World::with(Way::Embedded, &[]).await;
    let public = key(&world, "trusted").await;
    drop(key(&world, "stranger").await);
    trust(&world, &[&public], "");
    let old = std::fs::read(component("stars")).unwrap();
    let good = signature(&world, "trusted", "stars.wasm", &old).await;
    world.put("stars.wasm.minisig", &good);
    world.put("stars.wasm", &old);
    world.run().await;
    world.serves(&["stars"]).await;

    let new = rebuilt("stars", "new");
    let mended = signature(&world, "trusted", "stars.wasm", &new).await;
    let tampered = String::from_utf8(mended.clone())
        .unwrap()
        .replace("timestamp:1", "timestamp:2");
    let renamed = signature(&world, "trusted", "other.wasm", &new).await;
    let stranger = signature(&world, "stranger", "stars.wasm", &new).await;
    world.put("stars.wasm", &new);
    says(&world, "stars", "not of these bytes").await;
    for (signature, part) in [
        (stranger, "not among the trusted ones"),
        (tampered.into_bytes(), "trusted comment was changed"),
        (renamed, "signed as other.wasm"),
        (mended[..80].to_vec(), "cut off"),
        (vec![0; 100], "minisign's form"),
        (vec![b'x'; 20_000], "larger than 16384 bytes"),
    ] {
        world.put("stars.wasm.minisig", &signature);
        let listed = says(&world, "stars", part).await;
        assert_eq!(listed["state"], "degraded", "{part}");
        assert_eq!(listed["digest"], digest(&old).as_str(), "{part}");
        assert_eq!(listed["signature"], "signed", "{part}");
    }
    world.remove("stars.wasm.minisig");
    says(&world, "stars", "is not signed").await;
    // A link to a good one is a link.
    std::fs::write(world.path("good"), &mended).unwrap();
    symlink(
        world.path("good"),
        world.path("components/stars.wasm.minisig"),
    )
    .unwrap();
    says(&world, "stars", "stars.wasm.minisig is a symbolic link").await;
    world.put("stars.wasm.minisig", &mended);
    let is_new = |seen: &Value| seen["digest"] == digest(&new).as_str();
    assert_eq!(world.lists("stars", is_new).await["state"], "serving");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_lies_compiled_in_the_cache_is_verified_like_everything_else() {
    let mut world = World::with(Way::Embedded, &["stars"]).await;
    world.share_no_code();
    world.run().await;
    world.serves(&["stars"]).await;
    world.kill();
    assert_eq!(
        std::fs::read_dir(world.path(".qx/cache")).unwrap().count(),
        1
    );
    let public = key(&world, "trusted").await;
    trust(&world, &[&public], "");
    world.share_no_code();
    world.run().await;
    says(&world, "stars", "is not signed").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_trusted_key_components_are_served_and_the_log_says_once_how_to_begin() {
    let mut world = World::with(Way::Embedded, &["stars"]).await;
    world.run().await;
    world.serves(&["stars"]).await;
    assert_eq!(world.listed("stars").await["signature"], "unsigned");
    world.prints("qx-host keygen").await;
    let told = world.qx(&["doctor"]).await.stdout;
    assert!(told.contains("decides what runs here"), "{told}");
    world.put("stars.wasm", &rebuilt("stars", "new"));
    let new = digest(&rebuilt("stars", "new"));
    world
        .lists("stars", |seen| seen["digest"] == new.as_str())
        .await;
    let told = world.printed().matches("nobody vouches").count();
    assert_eq!(told, 1, "{}", world.printed());
    world.put("stars.wasm.minisig", b"whatever");
    let unchecked = |seen: &Value| seen["signature"] == "unchecked";
    world.lists("stars", unchecked).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_set_explicitly_wins_over_what_follows_from_the_keys() {
    let mut world = World::with(Way::Embedded, &["stars"]).await;
    trust(&world, &[], "unsigned = \"deny\"");
    world.run().await;
    let listed = says(&world, "stars", "qx-host keygen").await;
    assert_eq!(listed["state"], "broken");
    world.kill();
    let public = key(&world, "trusted").await;
    trust(&world, &[&public], "unsigned = \"allow\"");
    world.run().await;
    world.serves(&["stars"]).await;
    assert!(!world.printed().contains("nobody vouches"));
    // Not asked for, and yet it must hold.
    world.put("stars.wasm.minisig", b"forged");
    says(&world, "stars", "minisign's form").await;
}
