//! Answers how things are: for health, metrics, listings, and for whoever waits
//! until nothing is left to do. Reads; changes nothing.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use qx_events::ports::{Lag, Stream};
use qx_events::shard::Split;
use qx_events::{ComponentName, Fault, LetterFilter};
use qx_pipeline::{Dispatcher, LEASE_PREFIX, Mediator};
use qx_store::Store;

use super::{App, Roles};
use crate::account::Account;
use crate::admin::{Check, HandlerView, Insight, Readiness, StoredView};
use crate::catalog::Catalog;
use crate::telemetry::{Sample, Sampled};

/// How often somebody who waits for the end looks.
const DRAINED_POLL: Duration = Duration::from_millis(100);
/// Looks in a row that must find nothing to do: an event may be between the
/// tables and the stream when one looks.
const DRAINED_LOOKS: u32 = 3;

/// Looks at a host.
#[derive(Clone)]
pub struct Observer {
    roles: Roles,
    split: Split,
    store: Store,
    stream: Option<Arc<dyn Stream>>,
    mediator: Arc<Mediator>,
    catalog: Arc<Catalog>,
    dispatcher: Arc<Dispatcher>,
}

impl Observer {
    pub(super) fn new(app: &App) -> Self {
        Self {
            roles: app.roles,
            split: app.config.relay.split,
            store: app.store.clone(),
            stream: app.stream.as_ref().map(|opened| Arc::clone(&opened.stream)),
            mediator: Arc::clone(&app.mediator),
            catalog: Arc::clone(&app.catalog),
            dispatcher: Arc::clone(&app.dispatcher),
        }
    }

    /// Returns when the folder of components has been dealt with once.
    pub(super) async fn loaded(&self) {
        while !self.catalog.has_looked() {
            tokio::time::sleep(DRAINED_POLL).await;
        }
    }

    /// The account of every event, from the tables.
    pub async fn account(&self) -> Result<Account, Fault> {
        let audit = self.store.audit().await?;
        Ok(Account::draw_up(&audit, Some(&self.mediator.routes())))
    }

    /// Returns when nothing is left to do: no row waits, no component is behind.
    pub async fn drained(&self) {
        let mut quiet = 0;
        while quiet < DRAINED_LOOKS {
            tokio::time::sleep(DRAINED_POLL).await;
            quiet = match self.is_quiet().await {
                Ok(true) => quiet + 1,
                // What cannot be read now is not known to be done.
                Ok(false) | Err(_) => 0,
            };
        }
    }

    async fn is_quiet(&self) -> Result<bool, Fault> {
        if !self.catalog.has_looked() || self.store.outbox().status().await?.pending > 0 {
            return Ok(false);
        }
        let in_service = self.in_service();
        let lags = self.lags(&in_service).await?;
        let is_idle = |name| lags.get(name) == Some(&Lag::default());
        Ok(in_service.iter().all(is_idle))
    }

    fn in_service(&self) -> Vec<ComponentName> {
        let routes = self.mediator.routes();
        let components = routes.components();
        components.map(|component| component.name.clone()).collect()
    }

    async fn lags(
        &self,
        components: &[ComponentName],
    ) -> Result<BTreeMap<ComponentName, Lag>, Fault> {
        match &self.stream {
            Some(stream) => stream.lags(components).await,
            None => Ok(BTreeMap::new()),
        }
    }

    async fn checks(&self) -> Vec<Check> {
        let mut checks = vec![match self.store.check().await {
            Ok(()) => Check::passed("database"),
            Err(error) => Check::failed("database", crate::cli::chain(&error)),
        }];
        if let Some(stream) = &self.stream {
            checks.push(match stream.check().await {
                Ok(()) => Check::passed("stream"),
                Err(fault) => Check::failed("stream", fault.chain()),
            });
        }
        if self.roles.relay && self.split != Split::Whole {
            checks.push(match self.store.split().await {
                Ok(split) if split == self.split => Check::passed("parts of the outbox"),
                Ok(split) => {
                    let text = format!("the outbox is in {split} by now; start this host anew");
                    Check::failed("parts of the outbox", text)
                }
                Err(fault) => Check::failed("parts of the outbox", fault.chain()),
            });
        }
        if self.roles.consumer {
            checks.push(if self.catalog.has_looked() {
                Check::passed("components")
            } else {
                Check::failed("components", "being loaded")
            });
        }
        checks
    }
}

#[async_trait::async_trait]
impl Insight for Observer {
    async fn handlers(&self) -> Vec<HandlerView> {
        let mut views = self.catalog.views();
        if views.iter().any(|view| view.order.is_some()) {
            // Who cannot be asked now is not named.
            let held = self.store.leases().held().await.unwrap_or_default();
            for view in views.iter_mut().filter(|view| view.order.is_some()) {
                let lease = held.iter().find(|held| {
                    held.name.strip_prefix(LEASE_PREFIX) == Some(view.component.as_str())
                });
                view.consumed_by = lease.map(|lease| lease.holder.clone());
            }
        }
        // What cannot be learned now is left out.
        let sizes = self.store.ledger().state_sizes().await.ok();
        let sizes: Option<BTreeMap<_, _>> = sizes.map(|sizes| sizes.into_iter().collect());
        for slot in &mut views {
            let name = ComponentName::parse(&slot.component).ok();
            slot.stored = slot
                .stored
                .take()
                .zip(sizes.as_ref())
                .map(|(bounds, sizes)| {
                    let size = name.as_ref().and_then(|name| sizes.get(name));
                    bounds.with(size.copied().unwrap_or_default())
                });
            let nearly_full = slot.stored.as_ref().and_then(StoredView::warning);
            slot.warning = slot.warning.take().or(nearly_full);
            let draining = |name| self.mediator.draining(name);
            slot.draining = name.as_ref().map_or(0, draining);
            let shut = name.and_then(|name| self.dispatcher.gates().shut(&name));
            // What is broken is paused as well, and its reason matters more.
            if let Some(shut) = shut.filter(|_| slot.digest.is_some()) {
                "paused".clone_into(&mut slot.state);
                slot.reason = Some(match slot.reason.take() {
                    Some(own) => format!("{}; {own}", shut.reason),
                    None => shut.reason,
                });
            }
        }
        views
    }

    async fn readiness(&self) -> Readiness {
        Readiness {
            checks: self.checks().await,
        }
    }
}

#[async_trait::async_trait]
impl Sampled for Observer {
    async fn sample(&self) -> Sample {
        // What cannot be learned now is left out.
        let lags = self.lags(&self.in_service()).await.unwrap_or_default();
        let (mut components, mut canaries) = (BTreeMap::new(), BTreeMap::new());
        let mut stored = BTreeMap::new();
        for slot in self.handlers().await {
            if let Some(canary) = &slot.canary {
                canaries.insert(slot.component.clone(), canary.percent);
            }
            stored.extend(slot.stored.map(|own| (slot.component.clone(), own.size())));
            *components.entry(slot.state).or_insert(0) += 1;
        }
        Sample {
            outbox: self.store.outbox().status().await.ok(),
            dead_letters: self
                .store
                .dead_letters()
                .count(&LetterFilter::default())
                .await
                .ok(),
            lags,
            components,
            canaries,
            stored,
        }
    }
}
