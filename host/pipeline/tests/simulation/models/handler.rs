//! A handler that follows a script.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use async_trait::async_trait;
use futures::future::BoxFuture;
use qx_events::ports::{Handler, Invocation};
use qx_events::{ExportIndex, Outcome};

use crate::history::{Effect, History};
use crate::mischief::Life;

/// What a handler does with a call.
pub(crate) type Act = Arc<dyn Fn(Invocation) -> BoxFuture<'static, Outcome> + Send + Sync>;

/// A handler in one process.
pub(crate) struct Scripted {
    pub(crate) component: String,
    pub(crate) build: u8,
    pub(crate) act: Act,
    pub(crate) life: Life,
    pub(crate) history: History,
    pub(crate) load: Arc<Load>,
}

/// How many calls run at once.
#[derive(Default)]
pub(crate) struct Load {
    now: AtomicUsize,
    pub(crate) most: AtomicUsize,
}

#[async_trait]
impl Handler for Scripted {
    async fn call(&self, _: ExportIndex, invocation: Invocation) -> Outcome {
        self.life.check().await;
        let (component, event) = (
            self.component.clone(),
            invocation.envelope.event_id.as_u128(),
        );
        self.history.push(Effect::Called {
            component: component.clone(),
            build: self.build,
            event,
            attempt: invocation.attempt,
        });
        let running = self.load.now.fetch_add(1, Ordering::SeqCst) + 1;
        self.load.most.fetch_max(running, Ordering::SeqCst);
        let outcome = (self.act)(invocation).await;
        self.load.now.fetch_sub(1, Ordering::SeqCst);
        self.life.check().await;
        self.history.push(Effect::Returned { component, event });
        outcome
    }
}
