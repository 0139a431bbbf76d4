//! Accounts for every event, from the tables: what was recorded must be handled,
//! dead-lettered or waiting, and the sums must agree.

use std::collections::BTreeMap;

use qx_events::{ComponentName, Inbox, Resolution, Routes};
use qx_store::Audit;
use serde::Serialize;

use crate::app::Running;
use crate::cli::screen::{self, say};
use crate::cli::{Exit, Failure};

/// The account.
#[derive(Debug, PartialEq, Eq, Serialize)]
pub struct Account {
    /// Rows in the outbox that wait.
    pub pending: u64,
    /// Rows that were published and are still kept.
    pub published: u64,
    /// Rows that were set aside.
    pub set_aside: u64,
    /// Each component that has handled something, or should have.
    pub components: Vec<ComponentAccount>,
    /// Events that no component takes, with their rows.
    pub without_handler: BTreeMap<String, u64>,
    /// Whether it is known which component takes what. Otherwise nothing can be said
    /// of events that are on the stream and not handled yet.
    pub routes_known: bool,
}

/// One component's account.
#[derive(Debug, PartialEq, Eq, Serialize)]
pub struct ComponentAccount {
    /// Which.
    pub component: String,
    /// Events of the outbox that it takes; `None` when the routes are not known.
    pub subscribed: Option<u64>,
    /// Events whose effects are committed.
    pub handled: u64,
    /// Dead letters.
    pub dead_letters: u64,
    /// What is neither yet.
    pub waiting: u64,
}

impl Account {
    /// Draws it up. Without routes (no host runs) what should have been handled is
    /// not known, only what was.
    pub fn draw_up(audit: &Audit, routes: Option<&Routes>) -> Self {
        let mut components: BTreeMap<String, ComponentAccount> = BTreeMap::new();
        for counted in &audit.components {
            let account = entry(&mut components, &counted.component);
            account.handled = counted.handled;
            account.dead_letters = counted.dead;
        }
        let mut without_handler = BTreeMap::new();
        if let Some(routes) = routes {
            for component in routes.components() {
                entry(&mut components, component.name.as_str()).subscribed = Some(0);
            }
            for event in &audit.events {
                let rows = event.pending + event.published;
                let version = u32::try_from(event.event_version).unwrap_or(0);
                let takers = takers(routes, &event.event_name, version);
                if takers.is_empty() && rows > 0 {
                    *without_handler.entry(event.event_name.clone()).or_insert(0) += rows;
                }
                for taker in takers {
                    let account = entry(&mut components, taker.as_str());
                    account.subscribed = Some(account.subscribed.unwrap_or(0) + rows);
                }
            }
        }
        for account in components.values_mut() {
            let ended = account.handled + account.dead_letters;
            account.waiting = account.subscribed.unwrap_or(ended).saturating_sub(ended);
        }
        for component in routes.iter().flat_map(|routes| routes.components()) {
            if component.settings.inbox == Inbox::Effects {
                // What changed nothing left no mark: the tables do not say.
                entry(&mut components, component.name.as_str()).waiting = 0;
            }
        }
        Self {
            pending: audit.events.iter().map(|event| event.pending).sum(),
            published: audit.events.iter().map(|event| event.published).sum(),
            set_aside: audit.events.iter().map(|event| event.failed).sum(),
            components: components.into_values().collect(),
            without_handler,
            routes_known: routes.is_some(),
        }
    }

    /// Whether nothing waits anywhere.
    pub fn is_settled(&self) -> bool {
        self.pending == 0
            && self
                .components
                .iter()
                .all(|component| component.waiting == 0)
    }

    /// For a person.
    pub fn show(&self) {
        let rows = self.pending + self.published + self.set_aside;
        let (published, pending, aside) = (self.published, self.pending, self.set_aside);
        say(&format!(
            "{rows} events in the outbox: {published} published, {pending} pending, {aside} set aside\n"
        ));
        let number = |n: Option<u64>| n.map_or_else(|| "?".to_owned(), |n| n.to_string());
        let row = |own: &ComponentAccount| {
            vec![
                own.component.clone(),
                number(own.subscribed),
                own.handled.to_string(),
                own.dead_letters.to_string(),
                own.waiting.to_string(),
            ]
        };
        let rows: Vec<Vec<String>> = self.components.iter().map(row).collect();
        screen::table(
            &[
                "COMPONENT",
                "SUBSCRIBED",
                "HANDLED",
                "DEAD LETTERS",
                "WAITING",
            ],
            &rows,
        );
        if !self.without_handler.is_empty() {
            let each: Vec<String> = self
                .without_handler
                .iter()
                .map(|(name, rows)| format!("{name} ({rows})"))
                .collect();
            say(&format!(
                "\npublished, and no component here takes them: {}",
                each.join(", ")
            ));
        }
        say(match (self.is_settled(), self.routes_known) {
            (true, true) => "\nEvery event is accounted for.",
            (false, _) => "\nSome events are still on their way.",
            (true, false) => {
                "\nNo row waits. What a component subscribed to, and what waits on the stream, is not in these tables: see `qx-host handlers list`, and qx_component_lag in /metrics."
            }
        });
    }
}

fn entry<'a>(
    components: &'a mut BTreeMap<String, ComponentAccount>,
    name: &str,
) -> &'a mut ComponentAccount {
    components
        .entry(name.to_owned())
        .or_insert_with(|| ComponentAccount {
            component: name.to_owned(),
            subscribed: None,
            handled: 0,
            dead_letters: 0,
            waiting: 0,
        })
}

/// Who must end with this event handled or dead-lettered. A version that nobody
/// takes is parked by everybody who takes the name.
fn takers(routes: &Routes, name: &str, version: u32) -> Vec<ComponentName> {
    let Ok(name) = qx_events::EventName::parse(name) else {
        return Vec::new(); // Such a row is set aside.
    };
    let bound: Vec<_> = routes
        .takers(&name, version)
        .map(|(component, _)| component.name.clone())
        .collect();
    if !bound.is_empty() {
        return bound;
    }
    let parks = |resolution| matches!(resolution, Resolution::UnknownVersion);
    routes
        .components()
        .filter(|component| parks(component.export_for(&name, version)))
        .map(|component| component.name.clone())
        .collect()
}

/// Draws up the account of a running host and shows it.
pub(crate) async fn print(running: &Running) -> Result<Exit, Failure> {
    let account = running
        .observer()
        .account()
        .await
        .map_err(|fault| Failure::failed("account for the events", fault))?;
    say("");
    account.show();
    Ok(Exit::Done)
}

#[cfg(test)]
mod tests {
    use qx_store::{ComponentAudit, EventAudit};

    use super::*;

    fn audit(pending: u64, handled: u64) -> Audit {
        Audit {
            components: vec![ComponentAudit {
                component: "stars".to_owned(),
                handled,
                dead: 1,
            }],
            events: vec![EventAudit {
                event_name: "star".to_owned(),
                event_version: 1,
                pending,
                published: 3,
                failed: 0,
            }],
        }
    }

    #[test]
    fn without_routes_nothing_is_claimed_of_what_waits_on_the_stream() {
        let account = Account::draw_up(&audit(0, 1), None);
        assert!(!account.routes_known);
        assert_eq!(account.components[0].subscribed, None);
        assert!(
            !Account::draw_up(&audit(2, 1), None).is_settled(),
            "rows wait"
        );
    }

    #[test]
    fn with_routes_an_event_that_nobody_takes_is_named() {
        let account = Account::draw_up(&audit(0, 1), Some(&Routes::default()));
        assert!(account.routes_known);
        assert_eq!(account.without_handler.get("star"), Some(&3));
    }
}
