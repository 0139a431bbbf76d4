//! What operators ask of a host: pauses, written to the database, where every host
//! looks every few seconds; and builds that they are about to deploy. In the database
//! too: who consumes a component in order that this host would not.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use qx_events::ports::Pauses;
use qx_events::{ComponentName, Fault};
use qx_pipeline::Dispatcher;
use tokio_util::sync::CancellationToken;

use crate::admin::{Control, Refusal, Request, Resumed};
use crate::catalog::{Announcement, Catalog};

/// How often a host looks: how long another host goes on after a pause.
const EVERY: Duration = Duration::from_secs(2);

/// Pauses and resumes, and follows what other hosts were told.
#[derive(Clone)]
pub(super) struct Pausing {
    pauses: Arc<dyn Pauses>,
    dispatcher: Arc<Dispatcher>,
    catalog: Arc<Catalog>,
    has_components: bool,
}

impl Pausing {
    pub(super) fn new(
        pauses: Arc<dyn Pauses>,
        dispatcher: Arc<Dispatcher>,
        (catalog, has_components): (Arc<Catalog>, bool),
    ) -> Self {
        Self {
            pauses,
            dispatcher,
            catalog,
            has_components,
        }
    }

    /// Looks once.
    pub(super) async fn look(&self) -> Result<(), Fault> {
        let paused = self.pauses.paused().await?;
        self.dispatcher.set_pauses(paused);
        self.dispatcher.look_who_is_in_charge().await
    }

    /// Looks until `stop`. While the database does not answer, what was paused stays
    /// so.
    pub(super) async fn run(self, stop: CancellationToken) {
        loop {
            tokio::select! {
                biased; // Stop wins over one more look.
                () = stop.cancelled() => return,
                () = tokio::time::sleep(EVERY) => {}
            }
            if let Err(fault) = self.look().await {
                tracing::debug!(error = fault.chain(), "pauses cannot be read for now");
            }
        }
    }

    fn is_there(&self, component: &ComponentName) -> bool {
        let views = self.catalog.views();
        views
            .iter()
            .any(|slot| slot.component == component.as_str())
    }
}

#[async_trait]
impl Control for Pausing {
    async fn pause(&self, component: &ComponentName, request: &Request) -> Result<(), Refusal> {
        if !self.is_there(component) {
            return Err(Refusal::Unknown(component.clone()));
        }
        let (by, reason) = (&request.by, &request.reason);
        let written = self.pauses.pause(component, by, reason).await;
        written.map_err(Refusal::Database)?;
        self.look().await.map_err(Refusal::Database)
    }

    async fn announce(
        &self,
        component: &ComponentName,
        build: &Announcement,
    ) -> Result<(), Refusal> {
        if !self.has_components {
            return Err(Refusal::NoComponents);
        }
        Ok(self.catalog.announce(component, build)?)
    }

    async fn resume(&self, component: &ComponentName) -> Result<Resumed, Refusal> {
        let was = self.pauses.resume(component).await;
        let was = was.map_err(Refusal::Database)?;
        self.look().await.map_err(Refusal::Database)?;
        let closed = self.dispatcher.close_breaker(component);
        if was || closed {
            Ok(Resumed::Now)
        } else if self.is_there(component) {
            Ok(Resumed::Already)
        } else {
            Err(Refusal::Unknown(component.clone()))
        }
    }
}
