//! What components reach outside the host, bound to each by its rights.

use std::collections::BTreeMap;
use std::sync::Arc;

use qx_events::ports::{Http, SecretSource};
use qx_events::{Capability, ComponentName, Rights};
use qx_outbound::{Outbound, TlsError};
use qx_pipeline::trace::Propagation;
use qx_sandbox::Outside;

use crate::config::Config;
use crate::secrets::LiveSecret;
use crate::telemetry::{Metrics, Watched};

/// Everything that could be granted. One for the process.
pub struct Reach {
    secrets: BTreeMap<String, Arc<dyn SecretSource>>,
    /// None where nobody is granted to send requests.
    outbound: Option<Outbound>,
    metrics: Option<Metrics>,
    propagation: Arc<dyn Propagation>,
}

impl Reach {
    /// As the configuration has it.
    pub fn open(
        config: &Config,
        (metrics, propagation): (&Option<Metrics>, &Arc<dyn Propagation>),
    ) -> Result<Self, TlsError> {
        let components = &config.components;
        let secrets = components.secrets.iter().map(|(name, secret)| {
            let live: Arc<dyn SecretSource> = Arc::new(LiveSecret::new(name, secret));
            (name.clone(), live)
        });
        let outbound = components
            .grants
            .is_granted(Capability::Http)
            .then(|| Outbound::new(config.http.tls_ca.as_deref()))
            .transpose()?;
        Ok(Self {
            secrets: secrets.collect(),
            outbound,
            metrics: metrics.clone(),
            propagation: Arc::clone(propagation),
        })
    }

    /// What one component gets of it.
    pub fn outside(&self, component: &ComponentName, rights: &Rights) -> Outside {
        let mut outside = Outside::default();
        if rights.allow(Capability::Secrets) {
            let granted = |(name, _): &(&String, &Arc<dyn SecretSource>)| {
                rights.secrets.contains(name.as_str())
            };
            let secrets = self.secrets.iter().filter(granted);
            outside.secrets = secrets
                .map(|(name, secret)| (name.clone(), Arc::clone(secret)))
                .collect();
        }
        if let Some(outbound) = &self.outbound
            && rights.allow(Capability::Http)
        {
            let client: Arc<dyn Http> =
                Arc::new(outbound.client(component.clone(), rights.http.clone()));
            let whose = (component.clone(), rights.http.clone());
            let watched = Watched::new(client, whose, Arc::clone(&self.propagation));
            outside.http = Some(Arc::new(watched.counting(self.metrics.as_ref())));
        }
        outside
    }
}
