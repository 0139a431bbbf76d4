//! One instance of a component: made for a call, and used for more where its
//! component asks for that.
//!
//! Whatever way it goes, it is told of once: one that is dropped without a word,
//! because its call was cancelled or ran out of time, has failed.

use std::sync::Arc;

use qx_events::ports::Invocation;
use qx_events::{Breach, ComponentName, Reuse};
use wasmtime::component::{Instance as Guest, InstancePre};
use wasmtime::{Store, UpdateDeadline};

use crate::call::context::{Context, Shared, Stop};
use crate::call::cpu::CpuMeter;
use crate::call::event::{Entry, Given};
use crate::call::log::GuestLog;
use crate::call::wasi::{HANDLES_MAX, Wasi};
use crate::call::{Build, HOST_CALL_VALUES};
use crate::contract::Failure;
use crate::engine::Metering;
use crate::life::{Life, Retired};
use crate::log_sink::{CallId, Counted, LogSink};
use crate::slots::Keep;

/// Ticks of the epoch after which a running guest lets others run: every one.
const TICKS_PER_TURN: u64 = 1;

/// Handles left open, after which an instance is not used again: half of what it may
/// have, so that no call fails of what those before it left behind.
const HANDLES_LEFT_MAX: usize = HANDLES_MAX / 2;

/// Steps that a call gets where they are counted: time ends it, never these.
const FUEL: u64 = u64::MAX;

/// What a guest answered, or why it did not.
pub(crate) type Answer = wasmtime::Result<Result<(), Failure>>;

/// An instance, and what the host keeps for it.
pub(crate) struct Instance {
    store: Store<Context>,
    guest: Option<Guest>,
    pub(crate) log: Arc<GuestLog>,
    pub(crate) cpu: Arc<CpuMeter>,
    uses: u32,
    metering: Metering,
    end: End,
}

impl Instance {
    /// Not made yet: the guest is, when it is entered.
    pub(crate) fn new(
        build: &Build,
        invocation: Invocation,
        (log, cpu): (Arc<GuestLog>, Arc<CpuMeter>),
        end: End,
    ) -> Self {
        let context = Context::new(Arc::clone(&build.shared), invocation, Arc::clone(&log));
        let limits = &build.shared.settings.limits;
        let mut store = Store::new(build.pre.engine(), context);
        store.limiter(|context| &mut context.memory);
        store.set_hostcall_fuel(HOST_CALL_VALUES.saturating_mul(limits.value_bytes));
        store.set_max_component_handles(HANDLES_MAX);
        store.set_epoch_deadline(TICKS_PER_TURN);
        let (max, used) = (limits.cpu, Arc::clone(&cpu));
        // Touches the store's data and nothing else.
        store.epoch_deadline_callback(move |mut store| {
            let is_young = used.turn_is_young();
            if used.used() > max {
                let max = max.as_millis();
                let what = format!("used more than {max} ms of processor time (limits.cpu_ms)");
                return Err(store.data_mut().end(Stop::Limit(Breach::Cpu, what)));
            }
            if store.data().is_stopped() {
                return Ok(UpdateDeadline::Interrupt);
            }
            if is_young {
                return Ok(UpdateDeadline::Continue(TICKS_PER_TURN));
            }
            let turn = Box::pin(CpuMeter::next_turn(Arc::clone(&used)));
            Ok(UpdateDeadline::YieldCustom(TICKS_PER_TURN, turn))
        });
        Self {
            store,
            guest: None,
            log,
            cpu,
            uses: 0,
            metering: build.metering,
            end,
        }
    }

    /// Begins the next call, with every budget as at the first.
    pub(crate) fn renew(&mut self, invocation: Invocation) {
        self.end.tell(Life::Reused);
        self.store.data_mut().renew(invocation);
        self.store.set_epoch_deadline(TICKS_PER_TURN);
    }

    /// Makes the guest, if that is not done yet.
    pub(crate) async fn come_up(&mut self, pre: &InstancePre<Context>) -> wasmtime::Result<Guest> {
        if self.metering == Metering::Fuel {
            self.store.set_fuel(FUEL)?;
        }
        if let Some(guest) = self.guest {
            return Ok(guest);
        }
        self.end.tell(Life::Made);
        let guest = pre.instantiate_async(&mut self.store).await?;
        Ok(*self.guest.insert(guest))
    }

    /// Calls one export.
    pub(crate) async fn enter(
        &mut self,
        pre: &InstancePre<Context>,
        entry: Entry,
        given: Given<'_>,
    ) -> Answer {
        let guest = self.come_up(pre).await?;
        self.uses = self.uses.saturating_add(1);
        given.enter(entry, &guest, &mut self.store).await
    }

    /// What it has used.
    pub(crate) fn counted(&self) -> Counted {
        Counted {
            memory_bytes: self.store.data().memory.bytes(),
            fuel: self.store.get_fuel().ok().map(|left| FUEL - left),
        }
    }

    pub(crate) fn context(&mut self) -> &mut Context {
        self.store.data_mut()
    }

    /// How it stands after a call. To be asked before the outcome is made, which
    /// takes away why the host ended the call.
    pub(crate) fn after(&mut self, answer: &Answer) -> After {
        let is_clean = self.log.hit_nothing();
        let context = self.store.data_mut();
        let is_sound = answer.is_ok() && !context.is_stopped() && context.memory.denied().is_none();
        After {
            is_sound: is_sound && is_clean,
            uses: self.uses,
            memory_bytes: context.memory.bytes(),
            handles: context.wasi.as_mut().map_or(0, Wasi::handles),
        }
    }
}

impl Keep for Instance {
    fn retire(mut self, because: Retired) {
        self.end.because = because;
    }
}

/// What is known of an instance after a call.
#[derive(Debug, Clone, Copy)]
pub(crate) struct After {
    /// The guest answered, and hit no limit on the way.
    is_sound: bool,
    uses: u32,
    memory_bytes: usize,
    handles: usize,
}

impl After {
    /// Whether it may be used for one more call; if not, why.
    pub(crate) fn fits(&self, reuse: &Reuse) -> Result<(), Retired> {
        if !self.is_sound {
            return Err(Retired::Failed);
        }
        if self.uses >= reuse.uses {
            return Err(Retired::Uses);
        }
        if self.memory_bytes > reuse.memory_bytes {
            return Err(Retired::Memory);
        }
        if self.handles > HANDLES_LEFT_MAX {
            return Err(Retired::Handles);
        }
        Ok(())
    }
}

/// Tells of an instance what happens to it, its end included.
pub(crate) struct End {
    told: Option<(Arc<dyn LogSink>, ComponentName)>,
    because: Retired,
    was_made: bool,
}

impl End {
    /// Of an instance that may be used again, if anybody listens.
    pub(crate) fn new(shared: &Shared, sink: Option<&Arc<dyn LogSink>>) -> Self {
        let is_told = shared.settings.reuse.is_some();
        let sink = sink.filter(|_| is_told).map(Arc::clone);
        Self {
            told: sink.map(|sink| (sink, shared.name.clone())),
            because: Retired::Failed,
            was_made: false,
        }
    }

    /// Of an instance that serves no event.
    pub(crate) const fn untold() -> Self {
        Self {
            told: None,
            because: Retired::Failed,
            was_made: false,
        }
    }

    fn tell(&mut self, life: Life) {
        self.was_made = true;
        if let Some((sink, component)) = &self.told {
            sink.instance(component, life);
        }
    }
}

impl Drop for End {
    fn drop(&mut self) {
        if self.was_made {
            self.tell(Life::Retired(self.because));
        }
    }
}

/// For a call that begins on an instance that was kept.
impl Instance {
    /// Its log and meter belong to this call from here on.
    pub(crate) fn begin(&self, call: CallId) {
        self.log.begin(call);
        self.cpu.renew();
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn an_instance_is_used_again_within_its_bounds_and_never_after_a_failure() {
        let reuse = Reuse {
            uses: 3,
            memory_bytes: 100,
            idle: Duration::from_secs(1),
            instances: 1,
            across_tenants: false,
        };
        let good = After {
            is_sound: true,
            uses: 2,
            memory_bytes: 100,
            handles: HANDLES_LEFT_MAX,
        };
        let (is_sound, memory_bytes) = (false, 101);
        let table = [
            (good, Ok(())),
            (After { is_sound, ..good }, Err(Retired::Failed)),
            (After { uses: 3, ..good }, Err(Retired::Uses)),
            (
                After {
                    memory_bytes,
                    ..good
                },
                Err(Retired::Memory),
            ),
            (
                After {
                    handles: HANDLES_LEFT_MAX + 1,
                    ..good
                },
                Err(Retired::Handles),
            ),
        ];
        for (after, expected) in table {
            assert_eq!(after.fits(&reuse), expected, "{after:?}");
        }
    }
}
