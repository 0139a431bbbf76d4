//! The room for calls of handlers: how many run at once in this process, whose they
//! are, and which one runs alone.
//!
//! A call that may bring the process down runs with no other beside it, so that it
//! is known which one it was. It is alone until its end is written down: an innocent
//! whose call has ended must not die unheard with the next. What came before it is
//! let in before it, and what comes later waits. The rule is in `places`.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use qx_events::{Component, ComponentName, Start};
use tokio::sync::oneshot;

use super::places::{Begun, Places, Ticket, Want};

/// The room for calls.
pub(super) struct Quarantine {
    hall: Arc<Hall>,
    place_bytes: usize,
}

struct Hall(Mutex<Inside>);

struct Inside {
    places: Places,
    /// How to tell those that wait.
    calls: HashMap<Ticket, oneshot::Sender<Begun>>,
}

impl Quarantine {
    /// Room for so many calls, each with so much memory.
    pub(super) fn new(calls_max: usize, place_bytes: usize) -> Self {
        let places = Places::new(calls_max.try_into().unwrap_or(u32::MAX));
        Self {
            hall: Arc::new(Hall(Mutex::new(Inside {
                places,
                calls: HashMap::new(),
            }))),
            place_bytes: place_bytes.max(1),
        }
    }

    /// Room for a call that begins like this, for as long as it is held. `sharers`:
    /// components in service.
    pub(super) async fn enter(&self, component: &Component, start: Start, sharers: usize) -> Room {
        let want = match start {
            Start::Unrecorded | Start::Recorded { .. } => Want::Beside(self.places_of(component)),
            Start::Alone { .. } => Want::Alone,
        };
        let mut asking = {
            let mut inside = self.hall.inside();
            inside
                .places
                .share_among(sharers.try_into().unwrap_or(u32::MAX));
            let ticket = inside.places.ask(&component.name, want);
            let (call, called) = oneshot::channel();
            inside.calls.insert(ticket, call);
            inside.begin();
            Asking {
                hall: &self.hall,
                component: &component.name,
                ticket,
                called: Some(called),
            }
        };
        asking.wait().await
    }

    /// Places that a call of the component takes: as many as its memory does.
    fn places_of(&self, component: &Component) -> u32 {
        let bytes = component.settings.limits.memory_bytes;
        let places = bytes.div_ceil(self.place_bytes);
        places.try_into().unwrap_or(u32::MAX)
    }
}

impl Hall {
    fn inside(&self) -> MutexGuard<'_, Inside> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn leave(&self, component: &ComponentName, begun: &Begun) {
        let mut inside = self.inside();
        inside.places.leave(component, begun);
        inside.begin();
    }
}

impl Inside {
    /// Lets in whoever may begin.
    fn begin(&mut self) {
        while let Some((ticket, begun)) = self.places.next() {
            let call = self.calls.remove(&ticket);
            let heard = call.is_some_and(|call| call.send(begun).is_ok());
            debug_assert!(heard, "a call is there for as long as its ticket is");
        }
    }
}

/// A call that waits for its turn. One that stops waiting gives back what it was given.
struct Asking<'q> {
    hall: &'q Arc<Hall>,
    component: &'q ComponentName,
    ticket: Ticket,
    called: Option<oneshot::Receiver<Begun>>,
}

impl Asking<'_> {
    async fn wait(&mut self) -> Room {
        let begun = match &mut self.called {
            Some(called) => called.await.ok(),
            None => None,
        };
        self.called = None;
        Room(begun.map(|begun| Held {
            hall: Arc::clone(self.hall),
            component: self.component.clone(),
            begun,
        }))
    }
}

impl Drop for Asking<'_> {
    fn drop(&mut self) {
        let Some(mut called) = self.called.take() else {
            return;
        };
        let mut inside = self.hall.inside();
        inside.calls.remove(&self.ticket);
        inside.places.withdraw(self.component, self.ticket);
        if let Ok(begun) = called.try_recv() {
            inside.places.leave(self.component, &begun);
        }
        inside.begin();
    }
}

/// The right to call, until it is dropped.
pub(super) struct Room(Option<Held>);

struct Held {
    hall: Arc<Hall>,
    component: ComponentName,
    begun: Begun,
}

impl Drop for Room {
    fn drop(&mut self) {
        if let Some(held) = self.0.take() {
            held.hall.leave(&held.component, &held.begun);
        }
    }
}

/// The room that a call alone keeps until its end is written down: with its task.
#[derive(Default)]
pub(crate) struct Kept(Mutex<Option<Room>>);

impl Kept {
    /// Keeps the room, if the call is one that runs alone.
    pub(super) fn keep(&self, start: Start, room: Room) {
        match start {
            Start::Alone { .. } => {
                *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(room);
            }
            Start::Unrecorded | Start::Recorded { .. } => drop(room),
        }
    }

    /// Lets others in before the call is made again.
    pub(super) fn leave(&self) {
        let room = self.0.lock().unwrap_or_else(PoisonError::into_inner).take();
        drop(room);
    }
}
