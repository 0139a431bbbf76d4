//! What a component's file asks for, of what the host grants the component. A key
//! that is not there asks for all of it; one that asks for more is a fault that
//! says how to grant it.

use qx_events::Rights;
use qx_events::web::{HttpGrant, InvalidGrant};

use super::{Asked, keys};
use crate::config::grants::{Excess, patterns};
use crate::config::key::Key;
use crate::config::load::capabilities;
use crate::config::reader::Reader;

/// What the file names.
pub(super) fn asked(reader: &Reader<'_>) -> Asked {
    let place = |url: &String| {
        let refused = |error: InvalidGrant| reader.fault(&keys::HTTP, error.to_string());
        HttpGrant::parse(url, false).map_err(refused).ok()
    };
    let http = reader.list_given(&keys::HTTP);
    let secrets = reader.list_given(&keys::SECRETS);
    Asked {
        secrets: secrets.map(|names| names.into_iter().collect()),
        http: http.map(|urls| urls.iter().filter_map(place).collect()),
    }
}

/// The rights that apply: both.
pub(super) fn read(
    reader: &Reader<'_>,
    component: &str,
    (granted, excess): (Rights, Excess),
    asked: &Asked,
) -> Rights {
    let judge = Judge {
        reader,
        component,
        excess,
    };
    Rights {
        capabilities: match reader.words_given(&keys::GRANTS) {
            Some(words) => {
                let wanted = capabilities(&words);
                for missing in wanted.difference(&granted.capabilities) {
                    judge.too_much(&keys::GRANTS, "capabilities", missing.as_str());
                }
                &wanted & &granted.capabilities
            }
            None => granted.capabilities,
        },
        emit: match (patterns(reader, &keys::EMIT), granted.emit) {
            (Some(wanted), Some(granted)) => {
                for name in &wanted {
                    if !granted.iter().any(|own| own.covers(name)) {
                        judge.too_much(&keys::EMIT, "emit", name.as_str());
                    }
                }
                Some(wanted)
            }
            (wanted, granted) => wanted.or(granted),
        },
        secrets: match &asked.secrets {
            Some(wanted) => {
                for missing in wanted.difference(&granted.secrets) {
                    let shown = missing.escape_debug().to_string();
                    judge.too_much(&keys::SECRETS, "secrets", &shown);
                }
                wanted.clone()
            }
            None => granted.secrets,
        },
        http: match &asked.http {
            Some(wanted) => {
                let within = |wanted| judge.within(wanted, &granted.http);
                wanted.iter().filter_map(within).collect()
            }
            None => granted.http,
        },
        sql: granted.sql,
    }
}

struct Judge<'a> {
    reader: &'a Reader<'a>,
    component: &'a str,
    excess: Excess,
}

impl Judge<'_> {
    fn too_much(&self, key: &Key, granted_by: &str, what: &str) {
        if self.excess == Excess::Granted {
            return;
        }
        let component = self.component;
        let text = format!(
            "the host does not grant \"{what}\"; add it to {granted_by} in [grants.{component}] of \
                the host's configuration, or leave it out here"
        );
        self.reader.fault(key, text);
    }

    fn within(&self, wanted: &HttpGrant, granted: &[HttpGrant]) -> Option<HttpGrant> {
        let within = granted.iter().find_map(|own| own.narrowed_to(wanted));
        if within.is_none() {
            self.too_much(&keys::HTTP, "http", &wanted.to_string());
        }
        within
    }
}
