//! One place that requests may go to: scheme, host and port, compared exactly.

use std::fmt;
use std::net::IpAddr;

use url::{Host, Url};

use crate::web::{AddressRange, range_of};

/// Where a request goes: what of a URL decides about it.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Origin {
    scheme: &'static str,
    host: Host<String>,
    port: u16,
}

impl Origin {
    /// Of a URL that was parsed, and so has one notation for each host. `None`:
    /// another scheme, or no host.
    pub fn of(url: &Url) -> Option<Self> {
        let scheme = match url.scheme() {
            "http" => "http",
            "https" => "https",
            _other => return None,
        };
        Some(Self {
            scheme,
            host: url.host()?.to_owned(),
            port: url.port_or_known_default()?,
        })
    }

    /// Whether it is reached with TLS.
    pub fn is_https(&self) -> bool {
        self.scheme == "https"
    }

    /// The scheme.
    pub const fn scheme(&self) -> &'static str {
        self.scheme
    }

    /// The name or address.
    pub const fn host(&self) -> &Host<String> {
        &self.host
    }

    /// The port.
    pub const fn port(&self) -> u16 {
        self.port
    }

    /// The address, when the host is one.
    pub fn address(&self) -> Option<IpAddr> {
        match self.host {
            Host::Ipv4(address) => Some(address.into()),
            Host::Ipv6(address) => Some(address.into()),
            Host::Domain(_) => None,
        }
    }

    /// `host`, or `host:port` where the scheme has another port: a `Host` header.
    pub fn authority(&self) -> String {
        let (host, port) = (&self.host, self.port);
        match (self.scheme, port) {
            ("http", 80) | ("https", 443) => host.to_string(),
            _ => format!("{host}:{port}"),
        }
    }
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}://{}", self.scheme, self.authority())
    }
}

/// Which hosts a grant is for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum HostRule {
    /// This one.
    Exactly(Host<String>),
    /// Every name with one label before this one: `*.example.com`.
    OneLabelBefore(String),
}

/// A place that requests may go to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HttpGrant {
    scheme: &'static str,
    host: HostRule,
    port: u16,
    private: bool,
}

/// The text is no such place.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{text}` {why}")]
pub struct InvalidGrant {
    text: String,
    why: String,
}

/// What is said of a text that is none at all.
const EXPECTED: &str =
    "is no place for requests; write scheme, host and port, such as https://api.example.com";

/// Characters shown of a text that is no grant.
const SHOWN_CHARS_MAX: usize = 100;

impl HttpGrant {
    /// Reads `https://host`, `http://host:port` or `https://*.host`. `private`: its
    /// name may lead to this machine or to a network of one's own.
    pub fn parse(text: &str, private: bool) -> Result<Self, InvalidGrant> {
        let refused = |why: &str| InvalidGrant {
            text: text.escape_debug().take(SHOWN_CHARS_MAX).collect(),
            why: why.to_owned(),
        };
        let (scheme, rest) = text.split_once("://").ok_or_else(|| refused(EXPECTED))?;
        let (wild, rest) = match rest.strip_prefix("*.") {
            Some(rest) => (true, rest),
            None => (false, rest),
        };
        let url = Url::parse(&format!("{scheme}://{rest}"));
        let url = url.map_err(|error| refused(&format!("is no URL ({error}); {EXPECTED}")))?;
        let origin = Origin::of(&url).ok_or_else(|| refused(EXPECTED))?;
        if !url.username().is_empty() || url.password().is_some() || rest.contains('@') {
            return Err(refused(
                "has a user in it; leave it out, and send a header instead",
            ));
        }
        let bare = url.path() == "/" && url.query().is_none() && url.fragment().is_none();
        if !bare || text.ends_with('/') {
            return Err(refused(
                "has more than scheme, host and port; a grant is for every path, so leave the rest out",
            ));
        }
        let host = match (&origin.host, wild) {
            (Host::Domain(name), _) if name.ends_with('.') => {
                return Err(refused("ends with a dot; leave it out"));
            }
            (Host::Domain(name), true) if name.contains('.') => {
                HostRule::OneLabelBefore(name.clone())
            }
            (_, true) => {
                return Err(refused(
                    "would be half of the internet; name at least two labels after the `*`",
                ));
            }
            (Host::Domain(name), false) if name.contains('*') => {
                return Err(refused("has a `*` that is not its first label"));
            }
            (host, false) => HostRule::Exactly(host.clone()),
        };
        if origin.address().is_some() && !rest.starts_with(&origin.host.to_string()) {
            let meant = format!("names an address in another notation; write {origin}");
            return Err(refused(&meant));
        }
        Ok(Self {
            scheme: origin.scheme,
            host,
            port: origin.port,
            private,
        })
    }

    /// Whether requests to this origin are meant.
    pub fn covers(&self, origin: &Origin) -> bool {
        self.scheme == origin.scheme
            && self.port == origin.port
            && self.host.is_met_by(&origin.host)
    }

    /// What of the other is within this one: the other, with the reach of this.
    #[must_use]
    pub fn narrowed_to(&self, other: &Self) -> Option<Self> {
        let within = match (&self.host, &other.host) {
            (own, HostRule::Exactly(host)) => own.is_met_by(host),
            (own, HostRule::OneLabelBefore(_)) => *own == other.host,
        };
        let same = self.scheme == other.scheme && self.port == other.port;
        (within && same).then(|| Self {
            private: self.private,
            ..other.clone()
        })
    }

    /// Whether an address behind an origin that it covers may be connected to: one
    /// of the internet, one that the grant names itself, or one's own where the
    /// grant says so.
    pub fn reaches(&self, address: IpAddr) -> bool {
        if let HostRule::Exactly(Host::Ipv4(_) | Host::Ipv6(_)) = self.host {
            return self.host.is_met_by(&host_of(address));
        }
        match range_of(address) {
            AddressRange::Public => true,
            range @ (AddressRange::Loopback
            | AddressRange::Private
            | AddressRange::LinkLocal
            | AddressRange::Metadata
            | AddressRange::Translated
            | AddressRange::Multicast
            | AddressRange::Reserved) => self.private && range.is_ones_own(),
        }
    }
}

fn host_of(address: IpAddr) -> Host<String> {
    match address {
        IpAddr::V4(address) => Host::Ipv4(address),
        IpAddr::V6(address) => Host::Ipv6(address),
    }
}

impl HostRule {
    fn is_met_by(&self, host: &Host<String>) -> bool {
        match (self, host) {
            (Self::Exactly(own), host) => own == host,
            (Self::OneLabelBefore(own), Host::Domain(name)) => {
                let label = name
                    .strip_suffix(own.as_str())
                    .and_then(|rest| rest.strip_suffix('.'));
                label.is_some_and(|label| !label.is_empty() && !label.contains('.'))
            }
            (Self::OneLabelBefore(_), Host::Ipv4(_) | Host::Ipv6(_)) => false,
        }
    }
}

/// As it is written in a file.
impl fmt::Display for HttpGrant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let origin = |host: &Host<String>| Origin {
            scheme: self.scheme,
            host: host.clone(),
            port: self.port,
        };
        match &self.host {
            HostRule::Exactly(host) => origin(host).fmt(f)?,
            HostRule::OneLabelBefore(name) => {
                origin(&Host::Domain(format!("*.{name}"))).fmt(f)?;
            }
        }
        if self.private {
            f.write_str(" (private)")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
