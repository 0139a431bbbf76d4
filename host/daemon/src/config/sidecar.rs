//! A component's own file, `<name>.toml`: its routes, and its settings over the
//! host's defaults. Same reader, same faults.
//!
//! It can narrow what the host grants, never widen it.

mod keys;
mod rights;
mod routes;

use std::collections::{BTreeMap, BTreeSet};
use std::io::ErrorKind;
use std::path::Path;
use std::time::Duration;

use qx_events::shard::Split;
use qx_events::web::HttpGrant;
use qx_events::{
    BreakerPolicy, CanaryPolicy, Inbox, KeyField, Limits, Order, Pattern, RetryPolicy, Reuse,
    Rights, Settings, StateBounds, Versions,
};
use toml_edit::TableLike;

use super::fault::{ConfigFault, ConfigFaults};
use super::key::Key;
use super::layers::{File, Values};
use super::load::{count, percent, size, start};
use super::model::ComponentsConfig;
use super::reader::{Reader, kind_of};

/// What a component's file says, complete with the host's defaults.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sidecar {
    /// Settings.
    pub settings: Settings,
    /// Routes, in place of those the component carries.
    pub routes: Option<Vec<SidecarRoute>>,
    /// What the file itself names of the world outside.
    pub asked: Asked,
}

/// What a component's file asks for by name, before it is held against what the host
/// grants. `None`: the file does not say, and asks for all of it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Asked {
    /// Secrets.
    pub secrets: Option<BTreeSet<String>>,
    /// Where requests go.
    pub http: Option<Vec<HttpGrant>>,
}

/// One line of routes. An export that was left out is the component's only one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SidecarRoute {
    /// Which events. Not empty.
    pub patterns: Vec<Pattern>,
    /// Which versions of them; version 1 when the file does not say.
    pub versions: Versions,
    /// To which export.
    pub export: Option<String>,
}

/// Every key, for the reference.
pub(super) use keys::ALL as KEYS;

/// Sections that are no keys of their own.
const SECTIONS: [&str; 7] = [
    "routes", "retry", "breaker", "canary", "limits", "reuse", "config",
];

impl Sidecar {
    /// What a component without a file gets: all that the host grants it.
    pub fn of_defaults(component: &str, host: &ComponentsConfig) -> Self {
        Self {
            settings: Settings {
                rights: host.grants.rights_of(component),
                ..host.defaults.clone()
            },
            routes: None,
            asked: Asked::default(),
        }
    }

    /// Reads a component's file; one that is not there is one that says nothing.
    pub fn load(path: &Path, host: &ComponentsConfig) -> Result<Self, ConfigFaults> {
        let absent = std::fs::metadata(path).is_err_and(|e| e.kind() == ErrorKind::NotFound);
        if absent {
            return Ok(Self::of_defaults(&name_of(path), host));
        }
        Self::from_file(&name_of(path), File::read(path), host)
    }

    /// As [`Sidecar::load`], with the file's text at hand.
    pub fn parse(path: &Path, text: &str, host: &ComponentsConfig) -> Result<Self, ConfigFaults> {
        Self::from_file(&name_of(path), File::parse(path, text), host)
    }

    fn from_file(
        component: &str,
        file: Result<File, ConfigFault>,
        host: &ComponentsConfig,
    ) -> Result<Self, ConfigFaults> {
        let sidecar = Self::of_defaults(component, host);
        let file = match file {
            Ok(file) => file,
            Err(fault) => return ConfigFaults::check(sidecar, vec![fault]),
        };
        let (mut values, mut faults) = (Values::new(), Vec::new());
        let found = (&mut values, &mut faults);
        file.take(file.root(), ("", ""), (keys::ALL, &SECTIONS), found);
        for section in ["retry", "breaker", "canary", "limits", "reuse"] {
            if let Some(table) = table(&file, section, &mut faults) {
                let found = (&mut values, &mut faults);
                file.take(table, (section, section), (keys::ALL, &[]), found);
            }
        }
        let config = read_config(&file, &mut faults);
        let routes = routes::read_routes(&file, &mut faults);
        let variables = BTreeMap::new();
        let reader = Reader::new(values, Path::new(""), &variables, faults);
        let settings = read_settings(&reader, host);
        let reuses = file.root().contains_key("reuse");
        let asked = rights::asked(&reader);
        let granted = (sidecar.settings.rights, host.grants.excess());
        let settings = Settings {
            config,
            rights: rights::read(&reader, component, granted, &asked),
            reuse: reuses.then(|| read_reuse(&reader, &settings)),
            ..settings
        };
        let sidecar = Self {
            settings,
            routes,
            asked,
        };
        ConfigFaults::check(sidecar, reader.into_faults())
    }
}

/// The component that a file belongs to: its stem.
fn name_of(path: &Path) -> String {
    let stem = path.file_stem().unwrap_or_default();
    stem.to_string_lossy().into_owned()
}

/// A section that must be a table, if it is there.
fn table<'f>(
    file: &'f File,
    section: &str,
    faults: &mut Vec<ConfigFault>,
) -> Option<&'f dyn TableLike> {
    let item = file.root().get(section)?;
    let table = item.as_table_like();
    if table.is_none() {
        let text = format!("is a section; write `[{section}]` and its keys below it");
        faults.push(file.fault(item.span(), section, text));
    }
    table
}

/// What the guest reads through `config`: texts of any name.
fn read_config(file: &File, faults: &mut Vec<ConfigFault>) -> BTreeMap<String, String> {
    let Some(table) = table(file, "config", faults) else {
        return BTreeMap::new();
    };
    let mut config = BTreeMap::new();
    for (name, item) in table.iter() {
        if let Some(text) = item.as_str() {
            config.insert(name.to_owned(), text.to_owned());
        } else {
            let text = format!("expected text, found {}; put it in quotes", kind_of(item));
            faults.push(file.fault(item.span(), format!("config.{name}"), text));
        }
    }
    config
}

fn read_settings(reader: &Reader<'_>, host: &ComponentsConfig) -> Settings {
    let base = &host.defaults;
    let order = read_order(reader, host.split);
    let number = |key: &Key| reader.number_given(key);
    let millis = |key: &Key| number(key).map(Duration::from_millis);
    let retry = RetryPolicy {
        attempts_max: number(&keys::RETRY_ATTEMPTS).map_or(base.retry.attempts_max, count),
        initial: millis(&keys::RETRY_INITIAL).unwrap_or(base.retry.initial),
        max: millis(&keys::RETRY_MAX).unwrap_or(base.retry.max),
    };
    if retry.max < retry.initial {
        reader.disagreement(
            (
                &keys::RETRY_MAX,
                "shorter than the first pause; make it longer",
            ),
            (
                &keys::RETRY_INITIAL,
                "longer than the longest pause; set retry.max_ms too",
            ),
        );
    }
    let limits = &base.limits;
    let limits = Limits {
        timeout: millis(&keys::TIMEOUT).unwrap_or(limits.timeout),
        cpu: millis(&keys::CPU).unwrap_or(limits.cpu),
        memory_bytes: number(&keys::MEMORY).map_or(limits.memory_bytes, |mb| size(mb) << 20),
        host_calls: number(&keys::HOST_CALLS).map_or(limits.host_calls, count),
        log_lines: number(&keys::LOG_LINES).map_or(limits.log_lines, count),
        log_line_bytes: limits.log_line_bytes,
        log_bytes: number(&keys::LOG_KB).map_or(limits.log_bytes, |kb| size(kb) << 10),
        emitted_events: number(&keys::EMITTED).map_or(limits.emitted_events, count),
        value_bytes: number(&keys::VALUE).map_or(limits.value_bytes, |kb| size(kb) << 10),
        http_requests: number(&keys::HTTP_REQUESTS).map_or(limits.http_requests, count),
        http_response_bytes: number(&keys::HTTP_RESPONSE)
            .map_or(limits.http_response_bytes, |kb| size(kb) << 10),
        state: StateBounds {
            keys: number(&keys::STATE_KEYS).unwrap_or(limits.state.keys),
            bytes: number(&keys::STATE_MB).map_or(limits.state.bytes, |mb| mb << 20),
        },
    };
    Settings {
        retry,
        breaker: read_breaker(reader, &base.breaker),
        canary: read_canary(reader, &base.canary),
        limits,
        concurrency: number(&keys::CONCURRENCY).map_or(base.concurrency, size),
        order,
        inbox: match reader.word_given(&keys::INBOX) {
            Some("effects") => Inbox::Effects,
            Some(_) | None => base.inbox,
        },
        start: reader.word_given(&keys::START).map_or(base.start, start),
        reuse: None,
        config: BTreeMap::new(),
        rights: Rights::none(),
    }
}

/// Of a file that has the section, however little stands in it.
fn read_reuse(reader: &Reader<'_>, settings: &Settings) -> Reuse {
    let base = Reuse::of(&settings.limits, settings.concurrency);
    let number = |key: &Key| reader.number_given(key);
    let memory = number(&keys::REUSE_MEMORY).map(|mb| size(mb) << 20);
    if memory.is_some_and(|bytes| bytes > settings.limits.memory_bytes) {
        let text = "more than the instance may have; make it less than limits.memory_mb";
        reader.fault(&keys::REUSE_MEMORY, text);
    }
    Reuse {
        uses: number(&keys::REUSE_USES).map_or(base.uses, count),
        memory_bytes: memory.unwrap_or(base.memory_bytes),
        idle: number(&keys::REUSE_IDLE).map_or(base.idle, Duration::from_secs),
        instances: number(&keys::REUSE_INSTANCES).map_or(base.instances, size),
        across_tenants: reader.flag(&keys::REUSE_TENANTS),
    }
}

/// Both keys, or none of them; and a key whose events are in one part of the outbox.
fn read_order(reader: &Reader<'_>, split: Split) -> Order {
    let order = reader.word_given(&keys::ORDER);
    let key = reader.word_given(&keys::KEY).and_then(KeyField::parse);
    match (order, key) {
        (Some("key"), Some(key)) => {
            if let Split::By(by, _) = split
                && by != key
            {
                let (key, by) = (key.as_str(), by.as_str());
                let text = format!(
                    "the outbox is in {split}, and events of one {key} may be in different ones, \
                     which keep no order among them; write \"{by}\", or split the outbox by {key} \
                     (relay.shard_by)"
                );
                reader.fault(&keys::KEY, text);
            }
            Order::Key(key)
        }
        (Some("key"), None) if !reader.is_given(&keys::KEY) => {
            let text = "\"key\" needs to know which; add key = \"tenant\", \"correlation\" or \"ordering-key\"";
            reader.fault(&keys::ORDER, text);
            Order::None
        }
        (_, Some(_)) if order != Some("key") => {
            let text =
                "says what events follow each other by; add order = \"key\", or leave it out";
            reader.fault(&keys::KEY, text);
            Order::None
        }
        (_, _) => Order::None,
    }
}

fn read_breaker(reader: &Reader<'_>, base: &BreakerPolicy) -> BreakerPolicy {
    let number = |key: &Key| reader.number_given(key);
    let millis = |key: &Key| number(key).map(Duration::from_millis);
    let breaker = BreakerPolicy {
        failures: number(&keys::BREAKER_FAILURES).map_or(base.failures, count),
        pause: millis(&keys::BREAKER_PAUSE).unwrap_or(base.pause),
        pause_max: millis(&keys::BREAKER_PAUSE_MAX).unwrap_or(base.pause_max),
    };
    if breaker.pause_max < breaker.pause {
        reader.disagreement(
            (
                &keys::BREAKER_PAUSE_MAX,
                "shorter than the first pause; make it longer",
            ),
            (
                &keys::BREAKER_PAUSE,
                "longer than the longest pause; set breaker.pause_max_ms too",
            ),
        );
    }
    breaker
}

fn read_canary(reader: &Reader<'_>, base: &CanaryPolicy) -> CanaryPolicy {
    let number = |key: &Key| reader.number_given(key);
    let of_hundred = |key: &Key, base: u8| number(key).map_or(base, percent);
    CanaryPolicy {
        percent: of_hundred(&keys::CANARY_PERCENT, base.percent),
        events: number(&keys::CANARY_EVENTS).map_or(base.events, count),
        time: number(&keys::CANARY_TIME).map_or(base.time, Duration::from_secs),
        failed_percent: of_hundred(&keys::CANARY_FAILED, base.failed_percent),
        declined_percent: of_hundred(&keys::CANARY_DECLINED, base.declined_percent),
    }
}
#[cfg(test)]
mod tests;
