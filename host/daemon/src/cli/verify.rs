//! `qx-host verify`: what a host would say of a file's signature. Asks no host.

use std::path::{Path, PathBuf};

use serde::Serialize;

use super::args::{Output, VerifyArgs};
use super::exit::{Exit, Failure, chain};
use super::screen;
use super::sign::{digest, read_file, read_signature, signature_of};
use crate::open;
use crate::signing::{Distrust, PublicKey, Signature, Trust, Unsigned};

/// What is said of one file.
#[derive(Debug, Serialize)]
struct Verdict {
    file: PathBuf,
    verified: bool,
    key_id: Option<String>,
    digest: Option<String>,
    trusted_comment: Option<String>,
    reason: Option<String>,
}

pub(super) fn verify(config: Option<&Path>, args: &VerifyArgs) -> Result<Exit, Failure> {
    let trust = trust(config, args)?;
    let verdicts: Vec<Verdict> = args.files.iter().map(|file| judge(&trust, file)).collect();
    match args.output {
        Output::Json => screen::json(&verdicts)?,
        Output::Text => verdicts.iter().for_each(show),
    }
    Ok(if verdicts.iter().all(|verdict| verdict.verified) {
        Exit::Done
    } else {
        Exit::Failed
    })
}

/// The keys that count: those of the command line, else those of the configuration.
fn trust(config: Option<&Path>, args: &VerifyArgs) -> Result<Trust, Failure> {
    if args.key.is_empty() {
        let trust = open::config(config)?.components.trust;
        if trust.keys.is_empty() {
            return Err(Failure::usage(
                "there is no key to check with: name one with --key, or some in [components] trusted_keys",
            ));
        }
        return Ok(trust);
    }
    let key = |raw: &String| {
        let text = match PublicKey::parse(raw) {
            Ok(key) => return Ok(key),
            Err(error) if !Path::new(raw).exists() => return Err(error.to_string()),
            Err(_a_file) => read_signature(Path::new(raw)).map_err(|error| error.to_string())?,
        };
        PublicKey::parse(&String::from_utf8_lossy(&text)).map_err(|error| error.to_string())
    };
    let keys: Result<Vec<_>, String> = args.key.iter().map(key).collect();
    Ok(Trust {
        keys: keys.map_err(|text| Failure::usage(format!("--key is {text}")))?,
        unsigned: Unsigned::Deny,
    })
}

fn judge(trust: &Trust, file: &Path) -> Verdict {
    let mut verdict = Verdict {
        file: file.to_owned(),
        verified: false,
        key_id: None,
        digest: None,
        trusted_comment: None,
        reason: None,
    };
    match look(trust, file, &mut verdict) {
        Ok(()) => verdict.verified = true,
        Err(reason) => verdict.reason = Some(reason),
    }
    verdict
}

/// Fills in what can be said as far as it holds.
fn look(trust: &Trust, file: &Path, verdict: &mut Verdict) -> Result<(), String> {
    let unreadable = |error| format!("cannot be read: {error}");
    let bytes = read_file(file).map_err(unreadable)?;
    verdict.digest = Some(digest(&bytes));
    let name = file.file_name().unwrap_or_default().to_string_lossy();
    let signature = match read_signature(&signature_of(file)) {
        Ok(signature) => signature,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            return Err("not signed".to_owned());
        }
        Err(error) => return Err(format!("its signature {}", unreadable(error))),
    };
    let signature = Signature::parse(&signature).map_err(|source| {
        let file = name.clone().into_owned();
        chain(&Distrust::Invalid { file, source })
    })?;
    verdict.key_id = Some(signature.key().to_string());
    let by = trust.verify(&signature, &bytes, &name);
    by.map_err(|distrust| chain(&distrust))?;
    verdict.trusted_comment = Some(signature.comment().to_owned());
    Ok(())
}

fn show(verdict: &Verdict) {
    let file = verdict.file.display();
    let (key, comment, reason) = (
        verdict.key_id.as_deref().unwrap_or_default(),
        verdict.trusted_comment.as_deref().unwrap_or_default(),
        verdict.reason.as_deref().unwrap_or_default(),
    );
    let text = if verdict.verified {
        format!("{file}: signed by {key}  {}", comment.replace('\t', "  "))
    } else {
        format!("{file}: NOT VERIFIED: {reason}")
    };
    screen::say(&screen::plain(&text));
}
