//! The commit of an attempt: mark, state, emitted events and, where the call ran any, its
//! SQL, in one transaction. Waits for the database for as long as it takes.
//!
//! Never: calls a handler, or decides what becomes of the message.

use qx_events::ports::{Settled, SqlTransaction};
use qx_events::{DeadReason, DeadReasonKind, Effects, Known, Overfull};

use super::{Dispatcher, Task};
use crate::backoff::Backoff;
use crate::settler::Unsettled;
use crate::witness::Sight;

/// What a commit came to.
pub(super) enum Committed {
    Done,
    Duplicate,
    Overtaken,
    Refused(DeadReason),
    Fenced,
    Stopped,
}

impl Dispatcher {
    /// No attempt would change it: somebody has to make room, or to allow more.
    fn overfull(&self, task: &Task, over: Overfull) -> Committed {
        self.saw(&Sight::Overfull {
            component: &task.component.name,
            limit: over.limit,
        });
        Committed::Refused(DeadReason {
            kind: DeadReasonKind::Rejected,
            text: over.to_string(),
        })
    }

    /// Commits in the transaction in which the call ran its SQL. There is one try: what
    /// was lost with the connection is called again, unless it was committed after all.
    pub(super) async fn commit_with(
        &self,
        task: &Task,
        effects: Effects,
        sql: Box<dyn SqlTransaction>,
    ) -> Committed {
        let services = self.services();
        let component = &task.component.name;
        let emits = !effects.emitted.is_empty();
        let settlement = task.settlement(effects);
        let mut fault = match sql.settle(&settlement).await {
            Ok(Settled::Committed) => {
                if emits {
                    services.nudge.notify_one();
                }
                return Committed::Done;
            }
            Ok(Settled::Duplicate) => return Committed::Duplicate,
            Ok(Settled::Conflict) => return Committed::Overtaken,
            Ok(Settled::Fenced) => return Committed::Fenced,
            Ok(Settled::Overfull(over)) => return self.overfull(task, over),
            Err(fault) if fault.is_transient() => fault,
            Err(fault) => {
                return Committed::Refused(DeadReason {
                    kind: DeadReasonKind::Unsettleable,
                    text: fault.chain(),
                });
            }
        };
        let event_id = task.envelope.event_id;
        let mut backoff = Backoff::default();
        loop {
            if !self.hold(component, &fault, &mut backoff).await {
                return Committed::Stopped;
            }
            match services.ledger.known(component, &[event_id]).await {
                Ok(known) => {
                    self.saw(&Sight::Resumed { component });
                    let handled = known.get(&event_id) == Some(&Known::Handled);
                    return if handled {
                        services.nudge.notify_one();
                        Committed::Done
                    } else {
                        Committed::Overtaken
                    };
                }
                Err(again) => fault = again,
            }
        }
    }

    /// Commits, waiting for the database for as long as it takes.
    pub(super) async fn commit(&self, task: &Task, effects: Effects) -> Committed {
        let services = self.services();
        let emits = !effects.emitted.is_empty();
        let mut settlement = task.settlement(effects);
        let mut backoff = Backoff::default();
        let mut unknown = false;
        loop {
            match services.settler.settle(settlement).await {
                Ok(Settled::Duplicate) if !unknown => return Committed::Duplicate,
                // Duplicate: an earlier try whose answer was lost has committed after all.
                Ok(Settled::Committed | Settled::Duplicate) => {
                    if emits {
                        services.nudge.notify_one();
                    }
                    return Committed::Done;
                }
                Ok(Settled::Conflict) => return Committed::Overtaken,
                Ok(Settled::Fenced) => return Committed::Fenced,
                Ok(Settled::Overfull(over)) => return self.overfull(task, over),
                Err(Unsettled::Stopping) => return Committed::Stopped,
                Err(Unsettled::Fault(fault, again)) if fault.is_transient() => {
                    (settlement, unknown) = (*again, true);
                    if !self.hold(&task.component.name, &fault, &mut backoff).await {
                        return Committed::Stopped;
                    }
                }
                Err(Unsettled::Fault(fault, _)) => {
                    return Committed::Refused(DeadReason {
                        kind: DeadReasonKind::Unsettleable,
                        text: fault.chain(),
                    });
                }
            }
        }
    }
}
