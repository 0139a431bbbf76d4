//! What a component's file asks for, of what the host grants the component. A key
//! that is not there asks for all of it; one that asks for more is a fault that
//! says how to grant it.

use std::collections::BTreeSet;

use qx_events::Rights;
use qx_events::web::{HttpGrant, InvalidGrant};

use super::keys;
use crate::config::grants::patterns;
use crate::config::key::Key;
use crate::config::load::capabilities;
use crate::config::reader::Reader;

/// The rights that apply: both.
pub(super) fn read(reader: &Reader<'_>, component: &str, granted: Rights) -> Rights {
    let asked = Asked { reader, component };
    Rights {
        capabilities: match reader.words_given(&keys::GRANTS) {
            Some(words) => {
                let wanted = capabilities(&words);
                for missing in wanted.difference(&granted.capabilities) {
                    asked.too_much(&keys::GRANTS, "capabilities", missing.as_str());
                }
                &wanted & &granted.capabilities
            }
            None => granted.capabilities,
        },
        emit: match (patterns(reader, &keys::EMIT), granted.emit) {
            (Some(wanted), Some(granted)) => {
                for name in &wanted {
                    if !granted.iter().any(|own| own.covers(name)) {
                        asked.too_much(&keys::EMIT, "emit", name.as_str());
                    }
                }
                Some(wanted)
            }
            (wanted, granted) => wanted.or(granted),
        },
        secrets: match reader.list_given(&keys::SECRETS) {
            Some(names) => {
                let wanted: BTreeSet<String> = names.into_iter().collect();
                for missing in wanted.difference(&granted.secrets) {
                    asked.too_much(
                        &keys::SECRETS,
                        "secrets",
                        &missing.escape_debug().to_string(),
                    );
                }
                wanted
            }
            None => granted.secrets,
        },
        http: match reader.list_given(&keys::HTTP) {
            Some(urls) => {
                let one = |url: &String| asked.place(url, &granted.http);
                urls.iter().filter_map(one).collect()
            }
            None => granted.http,
        },
        sql: granted.sql,
    }
}

struct Asked<'a> {
    reader: &'a Reader<'a>,
    component: &'a str,
}

impl Asked<'_> {
    fn too_much(&self, key: &Key, granted_by: &str, what: &str) {
        let component = self.component;
        let text = format!(
            "the host does not grant \"{what}\"; add it to {granted_by} in [grants.{component}] of \
                the host's configuration, or leave it out here"
        );
        self.reader.fault(key, text);
    }

    fn place(&self, url: &str, granted: &[HttpGrant]) -> Option<HttpGrant> {
        let key = &keys::HTTP;
        let refused = |error: InvalidGrant| self.reader.fault(key, error.to_string());
        let wanted = HttpGrant::parse(url, false).map_err(refused).ok()?;
        let within = granted.iter().find_map(|own| own.narrowed_to(&wanted));
        if within.is_none() {
            self.too_much(key, "http", &wanted.to_string());
        }
        within
    }
}
