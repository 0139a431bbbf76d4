//! The servers' URLs, and the credentials that may be in them: taken out before a
//! log, an error or the client library can show them.

use async_nats::ServerAddr;

use crate::config::{Credentials, Secret};

/// The servers' addresses without the credentials that were in them, and those.
#[derive(Debug)]
pub(crate) struct Addresses {
    pub(crate) servers: Vec<ServerAddr>,
    pub(crate) credentials: Credentials,
}

impl Addresses {
    /// Takes users and passwords out of the URLs, so that no log can show them.
    pub(crate) fn read(urls: &[String], own: &Credentials) -> Result<Self, String> {
        let mut servers = Vec::with_capacity(urls.len());
        let mut found: Option<Named> = None;
        for raw in urls {
            let (server, named) = address(raw)?;
            servers.push(server);
            let Some(named) = named else { continue };
            if found.as_ref().is_some_and(|known| *known != named) {
                return Err("the URLs name different users; name one in nats.user".to_owned());
            }
            found = Some(named);
        }
        if servers.is_empty() {
            return Err(
                "is empty; name a server, for instance \"nats://127.0.0.1:4222\"".to_owned(),
            );
        }
        let credentials = match (found, own) {
            (None, _) => own.clone(),
            (Some(named), Credentials::None) => named.into(),
            (Some(_), _) => {
                let problem = "a URL names a user, and so do other settings; keep one of the two";
                return Err(problem.to_owned());
            }
        };
        Ok(Self {
            servers,
            credentials,
        })
    }
}

/// The user that a URL names, or the token, which stands where a user would.
#[derive(PartialEq, Eq)]
struct Named {
    user: String,
    password: Option<String>,
}

impl From<Named> for Credentials {
    fn from(Named { user, password }: Named) -> Self {
        match password {
            Some(password) => Self::UserPassword {
                user,
                password: Secret::new(password),
            },
            None => Self::Token(Secret::new(user)),
        }
    }
}

/// A server's address without the user (or token) and password that its URL names,
/// and those.
fn address(raw: &str) -> Result<(ServerAddr, Option<Named>), String> {
    // The text may hold a password, and so may the parser's error: neither is repeated.
    let wrong =
        || "not a URL such as \"nats://127.0.0.1:4222\" or \"tls://nats.example:4222\"".to_owned();
    let parsed: ServerAddr = raw.parse().ok().ok_or_else(wrong)?;
    if parsed.is_websocket() {
        return Err("WebSocket is not supported; use nats:// or tls://".to_owned());
    }
    if parsed.host().is_empty() {
        return Err(wrong());
    }
    let mut url = parsed.into_inner();
    let user = percent_decoded(url.username());
    let password = url.password().map(percent_decoded);
    let named = (!user.is_empty()).then_some(Named { user, password });
    if url.set_password(None).is_err() || url.set_username("").is_err() {
        return Err(wrong());
    }
    let server = ServerAddr::from_url(url).ok().ok_or_else(wrong)?;
    Ok((server, named))
}

/// Undoes `%xx`; what is none stays as it is.
fn percent_decoded(text: &str) -> String {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((&first, tail)) = rest.split_first() {
        let code = tail.get(..2).and_then(|hex| std::str::from_utf8(hex).ok());
        let code = code.and_then(|hex| u8::from_str_radix(hex, 16).ok());
        match code {
            Some(byte) if first == b'%' => {
                bytes.push(byte);
                rest = tail.get(2..).unwrap_or_default();
            }
            Some(_) | None => {
                bytes.push(first);
                rest = tail;
            }
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

/// A URL, legal or not, without what stands before its last `@`.
pub(crate) fn without_user(raw: &str) -> String {
    match (raw.rsplit_once('@'), raw.split_once("://")) {
        (None, _) => raw.to_owned(),
        (Some((_, host)), Some((scheme, _))) => format!("{scheme}://***@{host}"),
        (Some((_, host)), None) => format!("***@{host}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(urls: &[&str]) -> Result<Addresses, String> {
        let urls: Vec<String> = urls.iter().map(|&url| url.to_owned()).collect();
        Addresses::read(&urls, &Credentials::None)
    }

    #[test]
    fn credentials_leave_the_url_before_anybody_sees_them() {
        let addresses = read(&["nats://joe:s%40fe%2F1@a:4222", "nats://b:4222"]).unwrap();
        let Credentials::UserPassword { user, password } = &addresses.credentials else {
            panic!("{:?}", addresses.credentials);
        };
        assert_eq!((user.as_str(), password.reveal()), ("joe", "s@fe/1"));
        let shown = format!("{addresses:?}");
        assert!(
            !shown.contains("s@fe") && !shown.contains("s%40fe"),
            "{shown}"
        );

        let token = read(&["nats://t0ken@a:4222"]).unwrap().credentials;
        assert!(matches!(token, Credentials::Token(token) if token.reveal() == "t0ken"));
    }

    #[test]
    fn a_bad_url_is_refused_without_repeating_its_password() {
        for bad in [
            &["nats://joe:hunter2@"][..],
            &["http://joe:hunter2@a:1"],
            &["wss://joe:hunter2@a:1"],
            &["nats://joe:hunter2@a:99999"],
            &["nats://joe:hunter2@a:1", "nats://ann:hunter2@b:1"],
            &[],
        ] {
            let problem = read(bad).unwrap_err();
            assert!(!problem.contains("hunter2"), "{problem}");
        }
    }

    #[test]
    fn a_user_is_named_in_one_place_only() {
        let own = Credentials::Token(Secret::new("x"));
        let twice = Addresses::read(&["nats://joe:x@a:1".to_owned()], &own);
        assert!(twice.unwrap_err().contains("keep one of the two"));
    }

    #[test]
    fn a_url_is_shown_without_its_user() {
        for (raw, shown) in [
            ("nats://a:1", "nats://a:1"),
            ("nats://joe:p@ss@a:1", "nats://***@a:1"),
            ("joe:x@a", "***@a"),
        ] {
            assert_eq!(without_user(raw), shown);
        }
    }
}
