//! A small world for the tests of this folder: one of each sight, and a log that
//! can be read.

use std::io::{self, Write};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use qx_events::{ComponentName, DeadReason, DeadReasonKind, Digest, Envelope, Fault, TraceContext};
use qx_pipeline::witness::Attempt;
use qx_pipeline::{PausedBy, Sight};

/// Must not be seen anywhere.
pub(super) const PAYLOAD: &str = "the-payload";
/// Must not be seen anywhere either.
pub(super) const TENANT: &str = "2b1f5e0e-7d2f-4a35-9d2c-8e0f4a3f1b10";
pub(super) const REMOTE: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";

/// What the sights borrow from.
pub(super) struct Scene {
    pub(super) component: ComponentName,
    pub(super) envelope: Envelope,
    fault: Fault,
}

impl Scene {
    pub(super) fn new() -> Self {
        let body = format!(
            r#"{{"event_id":"6f1f5e0e-7d2f-4a35-9d2c-8e0f4a3f1b10","event_name":"github.star.created",
                "tenant_id":"{TENANT}","payload":"{PAYLOAD}"}}"#
        );
        let remote = TraceContext::parse(REMOTE, Some("vendor=1"));
        Self {
            component: ComponentName::parse("stars").unwrap(),
            envelope: Envelope::decode(body.as_bytes(), remote).unwrap(),
            fault: Fault::transient("connect", "refused"),
        }
    }

    fn attempt(&self, number: u32) -> Attempt<'_> {
        Attempt {
            component: &self.component,
            digest: Digest::new([7; 32]),
            envelope: &self.envelope,
            number,
            took: Duration::from_micros(400),
        }
    }

    pub(super) fn published() -> Sight<'static> {
        let took = Duration::from_millis(3);
        Sight::Published {
            rows: 5,
            duplicates: 1,
            took,
        }
    }

    pub(super) fn done(&self, emitted: usize) -> Sight<'_> {
        Sight::Done {
            attempt: self.attempt(1),
            emitted,
        }
    }

    pub(super) fn duplicate(&self) -> Sight<'_> {
        Sight::Duplicate {
            component: &self.component,
            envelope: &self.envelope,
        }
    }

    pub(super) fn redelivered<'a>(&'a self, reason: &'a str) -> Sight<'a> {
        let after = Duration::from_millis(40);
        Sight::Redelivered {
            attempt: self.attempt(2),
            after,
            outcome: "retry",
            reason,
        }
    }

    pub(super) fn buried(&self, text: &str) -> Sight<'_> {
        self.buried_as(DeadReasonKind::Rejected, text)
    }

    pub(super) fn buried_as(&self, kind: DeadReasonKind, text: &str) -> Sight<'_> {
        // Leaked: a test is short, and a sight borrows.
        let reason: &'static DeadReason = Box::leak(Box::new(DeadReason {
            kind,
            text: text.to_owned(),
        }));
        let (component, event_name) = (&self.component, self.envelope.event_name.as_str());
        Sight::Buried {
            component,
            event_name,
            attempts: 3,
            reason,
        }
    }

    pub(super) fn overfull(&self) -> Sight<'_> {
        Sight::Overfull {
            component: &self.component,
            limit: qx_events::StateLimit::Keys,
        }
    }

    pub(super) fn held(&self) -> Sight<'_> {
        Sight::Held {
            component: &self.component,
            fault: &self.fault,
        }
    }

    pub(super) fn paused(&self, by: PausedBy) -> Sight<'_> {
        Sight::Paused {
            component: &self.component,
            by,
            reason: "calls failed (trap: unreachable)",
        }
    }

    pub(super) fn unpaused(&self, by: PausedBy) -> Sight<'_> {
        Sight::Unpaused {
            component: &self.component,
            by,
        }
    }

    pub(super) fn resumed(&self) -> Sight<'_> {
        Sight::Resumed {
            component: &self.component,
        }
    }
}

/// Somewhere to write that can be read afterwards.
#[derive(Debug, Clone, Default)]
pub(super) struct Captured(Arc<Mutex<Vec<u8>>>);

impl Captured {
    pub(super) fn text(&self) -> String {
        String::from_utf8(self.0.lock().unwrap().clone()).unwrap()
    }

    pub(super) fn lines(&self) -> Vec<String> {
        self.text().lines().map(ToOwned::to_owned).collect()
    }

    /// Keeps what is logged meanwhile: level first, no time.
    pub(super) fn during(&self, filter: &str, body: impl FnOnce()) {
        let written = self.clone();
        let subscriber = tracing_subscriber::fmt()
            .without_time()
            .with_ansi(false)
            .with_env_filter(filter)
            .with_writer(move || written.clone())
            .finish();
        tracing::subscriber::with_default(subscriber, body);
    }
}

impl Write for Captured {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
