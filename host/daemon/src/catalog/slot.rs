//! One place of the catalog: what serves there, or why nothing does.

use std::sync::Arc;

use chrono::{DateTime, Utc};
use qx_events::{Component, Order};
use qx_sandbox::LoadStep;

use crate::admin::{HandlerView, RightsView};
use crate::signing::Standing;

/// A build that takes events, and what is known of who made it.
#[derive(Debug, Clone)]
pub struct Served {
    /// The build.
    pub component: Arc<Component>,
    /// Whose signature it carries.
    pub standing: Standing,
    /// Events that do not fit its types.
    pub warning: Option<String>,
}

/// Why a file is not in service.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NotLoaded {
    /// Where it was found.
    pub step: LoadStep,
    /// In words, with what to do.
    pub reason: String,
}

impl NotLoaded {
    /// Found at this step.
    pub fn at(step: LoadStep, reason: String) -> Self {
        Self { step, reason }
    }
}

impl From<String> for NotLoaded {
    /// Found while reading.
    fn from(reason: String) -> Self {
        Self::at(LoadStep::Read, reason)
    }
}

/// One component's place.
#[derive(Debug)]
pub enum Slot {
    /// It takes events.
    Serving {
        /// The build.
        served: Served,
        /// Since when.
        since: DateTime<Utc>,
    },
    /// The file that lies there cannot be loaded.
    Broken {
        /// Why.
        fault: NotLoaded,
        /// Since when.
        since: DateTime<Utc>,
        /// The build before, which still takes events.
        still: Option<Served>,
    },
}

impl Slot {
    /// A file that can be no component.
    pub fn stranger(reason: String, since: DateTime<Utc>) -> Self {
        Self::Broken {
            fault: reason.into(),
            since,
            still: None,
        }
    }

    /// The build that takes events.
    pub fn serving(&self) -> Option<&Served> {
        match self {
            Self::Serving { served, .. } => Some(served),
            Self::Broken { still, .. } => still.as_ref(),
        }
    }

    /// The build that takes events.
    pub fn into_serving(self) -> Option<Served> {
        match self {
            Self::Serving { served, .. } => Some(served),
            Self::Broken { still, .. } => still,
        }
    }

    /// As it is listed.
    pub fn view(&self, name: &str) -> HandlerView {
        let standing = self.serving().map(|served| served.standing);
        let serving = self.serving().map(|served| &served.component);
        let bindings = serving
            .map(|component| component.bindings())
            .unwrap_or_default();
        let (state, fault, since) = match self {
            Self::Serving { since, .. } => ("serving", None, since),
            Self::Broken {
                fault,
                since,
                still: Some(_),
            } => ("degraded", Some(fault), since),
            Self::Broken {
                fault,
                since,
                still: None,
            } => ("broken", Some(fault), since),
        };
        HandlerView {
            component: name.to_owned(),
            digest: serving.map(|component| component.digest.to_string()),
            state: state.to_owned(),
            events: bindings
                .iter()
                .map(|binding| binding.pattern.to_string())
                .collect(),
            versions: bindings
                .iter()
                .map(|binding| binding.versions.to_string())
                .collect(),
            signature: standing.map(|standing| standing.as_str().to_owned()),
            signed_by: standing.and_then(Standing::by).map(|key| key.to_string()),
            order: serving.and_then(|component| order(component)),
            consumed_by: None,
            rights: serving.map(|component| RightsView::of(&component.settings.rights)),
            draining: 0,
            step: fault.map(|fault| fault.step.as_str().to_owned()),
            reason: fault.map(|fault| fault.reason.clone()),
            warning: self.serving().and_then(|served| served.warning.clone()),
            since: since.to_rfc3339(),
        }
    }
}

fn order(component: &Component) -> Option<String> {
    match component.settings.order {
        Order::None => None,
        Order::Key(field) => Some(field.as_str().to_owned()),
    }
}
