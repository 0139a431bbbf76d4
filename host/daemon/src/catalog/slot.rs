//! One place of the catalog: what serves there, what is tried beside it, and why
//! what lies in the folder does not serve.

use std::sync::Arc;

use chrono::{DateTime, Utc};
use qx_events::{Component, Digest, Order, StateSize};
use qx_pipeline::Trial;
use qx_sandbox::LoadStep;

use crate::admin::{CanaryView, HandlerView, RightsView, StoredView};
use crate::signing::Standing;

/// Why a file is not in service.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NotLoaded {
    /// Where it was found.
    pub step: LoadStep,
    /// In words, with what to do.
    pub reason: String,
    /// Which build it is, when that is known.
    pub digest: Option<Digest>,
}

impl NotLoaded {
    /// Found at this step.
    pub fn at(step: LoadStep, reason: String) -> Self {
        Self {
            step,
            reason,
            digest: None,
        }
    }

    /// The same, of this build.
    #[must_use]
    pub fn of(self, digest: Digest) -> Self {
        Self {
            digest: Some(digest),
            ..self
        }
    }
}

impl From<String> for NotLoaded {
    /// Found while reading.
    fn from(reason: String) -> Self {
        Self::at(LoadStep::Read, reason)
    }
}

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

impl Served {
    /// Whether it is the same build with the same settings, signed by the same.
    pub fn is_same(&self, other: &Self) -> bool {
        let (own, theirs) = (&self.component, &other.component);
        own.digest == theirs.digest
            && own.settings == theirs.settings
            && own.bindings() == theirs.bindings()
            && self.standing == other.standing
    }
}

/// One component's place.
#[derive(Debug)]
pub struct Slot {
    /// What takes events there.
    state: State,
    /// Why the file that lies there does not.
    fault: Option<NotLoaded>,
    /// What happened last that a person should know.
    note: Option<String>,
    since: DateTime<Utc>,
}

/// What takes events in a place.
#[derive(Debug)]
enum State {
    /// Nothing.
    Empty,
    /// One build.
    Serving(Served),
    /// One build, and another gets a share.
    Trying {
        stable: Served,
        canary: Served,
        trial: Arc<Trial>,
    },
}

impl Slot {
    /// A build takes all events, from now on.
    pub fn of(served: Served, since: DateTime<Utc>) -> Self {
        Self {
            state: State::Serving(served),
            fault: None,
            note: None,
            since,
        }
    }

    /// A build is tried beside another one, from now on.
    pub fn trying(stable: Served, canary: Served, trial: Arc<Trial>, since: DateTime<Utc>) -> Self {
        Self {
            state: State::Trying {
                stable,
                canary,
                trial,
            },
            fault: None,
            note: None,
            since,
        }
    }

    /// A file that can be no component.
    pub fn stranger(reason: String, since: DateTime<Utc>) -> Self {
        Self::broken(None, reason.into(), since)
    }

    /// The file that lies there cannot be loaded; what served there goes on.
    pub fn broken(before: Option<Self>, fault: NotLoaded, since: DateTime<Utc>) -> Self {
        Self {
            state: before.map_or(State::Empty, |before| before.state),
            fault: Some(fault),
            note: None,
            since,
        }
    }

    /// The same, with what a person should know.
    #[must_use]
    pub fn noting(self, note: String) -> Self {
        Self {
            note: Some(note),
            ..self
        }
    }

    /// A person should know this, also when the file is what serves again.
    pub fn note(&mut self, note: String) {
        self.note = Some(note);
    }

    /// The file that lies there is what serves.
    pub fn mended(&mut self) {
        self.fault = None;
    }

    /// The build that takes events: all of them, or all but a canary's.
    pub fn serving(&self) -> Option<&Served> {
        match &self.state {
            State::Empty => None,
            State::Serving(served) | State::Trying { stable: served, .. } => Some(served),
        }
    }

    /// The build that is tried.
    pub fn canary(&self) -> Option<(&Served, &Arc<Trial>)> {
        match &self.state {
            State::Empty | State::Serving(_) => None,
            State::Trying { canary, trial, .. } => Some((canary, trial)),
        }
    }

    /// As it is listed.
    pub fn view(&self, name: &str) -> HandlerView {
        let standing = self.serving().map(|served| served.standing);
        let serving = self.serving().map(|served| &served.component);
        let bindings = serving
            .map(|component| component.bindings())
            .unwrap_or_default();
        let state = match (&self.fault, serving) {
            (None, _) => "serving",
            (Some(_), Some(_)) => "degraded",
            (Some(_), None) => "broken",
        };
        let fault = self.fault.as_ref();
        let reason = fault.map(|fault| fault.reason.clone());
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
            order: serving.and_then(|component| order(component)),
            signature: standing.map(|standing| standing.as_str().to_owned()),
            signed_by: standing.and_then(Standing::by).map(|key| key.to_string()),
            consumed_by: None,
            rights: serving.map(|component| RightsView::of(&component.settings.rights)),
            // How much it is the database knows.
            stored: serving.map(|component| {
                StoredView::of(StateSize::default(), component.settings.limits.state)
            }),
            draining: 0,
            loading: None,
            canary: self.canary().map(|(_, trial)| canary_view(trial)),
            file_digest: fault.and_then(|fault| Some(fault.digest?.to_string())),
            step: fault.map(|fault| fault.step.as_str().to_owned()),
            reason: reason.or_else(|| self.note.clone()),
            warning: self.serving().and_then(|served| served.warning.clone()),
            since: self.since.to_rfc3339(),
        }
    }
}

fn canary_view(trial: &Trial) -> CanaryView {
    let (canary, calls) = (trial.canary(), trial.calls().canary);
    let policy = &canary.settings.canary;
    CanaryView {
        digest: canary.digest.to_string(),
        percent: policy.percent,
        events: calls.handled,
        events_wanted: policy.events,
        failed: calls.failed,
        declined: calls.declined,
    }
}

fn order(component: &Component) -> Option<String> {
    match component.settings.order {
        Order::None => None,
        Order::Key(field) => Some(field.as_str().to_owned()),
    }
}
