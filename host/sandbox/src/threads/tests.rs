//! The guests' threads with futures that say themselves when their turn is over.

use super::*;
use crate::slots::Slots;

/// A future that takes so many turns, says on which threads, and then waits once.
struct Turns {
    left: u32,
    cpu: Arc<CpuMeter>,
    threads: Arc<Mutex<Vec<String>>>,
    waited: bool,
}

impl Future for Turns {
    type Output = u32;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<u32> {
        let name = std::thread::current().name().unwrap_or("none").to_owned();
        self.threads.lock().unwrap().push(name);
        if self.left > 0 {
            self.left -= 1;
            self.cpu.end_turn();
            return Poll::Pending;
        }
        if !self.waited {
            self.waited = true;
            cx.waker().wake_by_ref();
            return Poll::Pending;
        }
        Poll::Ready(7)
    }
}

struct World {
    threads: Threads<u32>,
    owner: Owner,
    pace: Arc<Pace>,
    seen: Arc<Mutex<Vec<String>>>,
}

impl World {
    fn new() -> Self {
        Self {
            threads: Threads::start(1).unwrap(),
            owner: Slots::<crate::call::instance::Instance>::new(1, 0).owner(),
            pace: Arc::default(),
            seen: Arc::default(),
        }
    }

    fn call(&self, turns: u32) -> Call<u32> {
        let cpu = Arc::new(CpuMeter::default());
        let work = Box::pin(Turns {
            left: turns,
            cpu: Arc::clone(&cpu),
            threads: Arc::clone(&self.seen),
            waited: false,
        });
        self.threads.run(work, self.owner, (&self.pace, &cpu))
    }

    /// A call that computes for so long.
    fn spin(&self, time: Duration) -> Call<u32> {
        let cpu = Arc::new(CpuMeter::default());
        let (meter, threads) = (Arc::clone(&cpu), Arc::clone(&self.seen));
        let work = Box::pin(async move {
            let spin = async {
                let name = std::thread::current().name().unwrap_or("none").to_owned();
                threads.lock().unwrap().push(name);
                while meter.used() < time {
                    std::hint::spin_loop();
                }
            };
            meter.measured(spin).await;
            7
        });
        self.threads.run(work, self.owner, (&self.pace, &cpu))
    }

    /// `g`: a turn on a guests' thread; `h`: on the host's.
    fn seen(&self) -> String {
        let seen = std::mem::take(&mut *self.seen.lock().unwrap());
        let letter = |name: &String| {
            if name.starts_with("qx-guest") {
                'g'
            } else {
                'h'
            }
        };
        seen.iter().map(letter).collect()
    }
}

#[tokio::test]
async fn a_call_goes_away_when_its_turn_is_over() {
    let world = World::new();
    assert_eq!(world.call(0).await, 7);
    assert_eq!(world.seen(), "hh");
    assert_eq!(world.call(3).await, 7);
    // One turn here, then there; it waits there, and is asked again here.
    assert_eq!(world.seen(), "hgggh");
    assert_eq!(world.call(0).await, 7);
    assert_eq!(
        world.seen(),
        "hh",
        "a tick met it, which says nothing of the next"
    );
}

#[tokio::test]
async fn after_a_call_that_was_long_for_certain_the_next_ones_begin_away() {
    let world = World::new();
    world.pace.saw(SHORT * 2, true);
    for _ in 0..LONG_CALLS {
        assert_eq!(world.call(0).await, 7);
        assert_eq!(world.seen(), "gh");
    }
    assert_eq!(world.call(0).await, 7);
    assert_eq!(world.seen(), "hh");
}

#[tokio::test]
async fn a_call_that_looked_long_has_the_next_one_measured_exactly() {
    let world = World::new();
    world.pace.saw(SHORT * 2, false); // Others may have had the processor meanwhile.
    assert_eq!(world.call(0).await, 7);
    assert_eq!(world.seen(), "hh", "it was short");
    world.pace.saw(SHORT * 2, false);
    assert_eq!(world.spin(SHORT * 2).await, 7);
    assert_eq!(world.seen(), "h");
    assert_eq!(world.call(0).await, 7);
    assert_eq!(world.seen(), "gh", "it was long");
}

#[tokio::test]
async fn a_call_that_nobody_waits_for_any_longer_is_dropped() {
    struct Endless(Arc<CpuMeter>, Arc<AtomicBool>);
    impl Future for Endless {
        type Output = u32;
        fn poll(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<u32> {
            self.0.end_turn();
            Poll::Pending
        }
    }
    impl Drop for Endless {
        fn drop(&mut self) {
            self.1.store(true, Ordering::Release);
        }
    }
    let world = World::new();
    let (cpu, dropped) = (
        Arc::new(CpuMeter::default()),
        Arc::new(AtomicBool::new(false)),
    );
    let work = Box::pin(Endless(Arc::clone(&cpu), Arc::clone(&dropped)));
    let mut call = world.threads.run(work, world.owner, (&world.pace, &cpu));
    let once = std::future::poll_fn(|cx| Poll::Ready(Pin::new(&mut call).poll(cx)));
    assert!(once.await.is_pending());
    drop(call);
    // The thread goes on with others.
    assert_eq!(world.call(1).await, 7);
    assert!(dropped.load(Ordering::Acquire));
}

/// The bound that `docs/limits.md` states: whatever others have there, and however they
/// come again, so many turns begin before a call's own.
#[test]
fn a_call_waits_for_one_turn_of_each_other_component_and_as_many_for_each_of_its_own_before_it() {
    let mut dice = fastrand::Rng::with_seed(7);
    for _ in 0..2_000 {
        let slots = Slots::<crate::call::instance::Instance>::new(1, 0);
        let owners: Vec<_> = (0..dice.usize(1..9)).map(|_| slots.owner()).collect();
        let (others, own) = (dice.usize(0..owners.len()), dice.usize(0..6));
        let mut ring = Ring::default();
        let mut jobs = Vec::new();
        for other in 1..=others {
            jobs.extend(std::iter::repeat_n(other, dice.usize(1..40)));
        }
        jobs.extend(std::iter::repeat_n(0, own));
        dice.shuffle(&mut jobs);
        for job in jobs {
            ring.push(owners[job], (job, false));
        }
        for _ in 0..dice.usize(0..50) {
            // What had its turn comes again, as a call that has not ended.
            if let Some((job, _)) = ring.pop() {
                ring.push(owners[job], (job, false));
            }
        }
        ring.push(owners[0], (0, true));
        let mut turns = 0;
        while let Some((job, is_it)) = ring.pop() {
            turns += 1;
            if is_it {
                break;
            }
            ring.push(owners[job], (job, false));
            // And more of it.
            if job > 0 && dice.bool() {
                ring.push(owners[job], (job, false));
            }
        }
        let most = (own + 1) * (others + 1);
        assert!(
            turns <= most,
            "{turns} turns, with {own} of {others} others"
        );
    }
}

#[test]
fn every_component_has_its_turn_after_the_other_whatever_the_number_of_its_calls() {
    let slots = Slots::<crate::call::instance::Instance>::new(1, 0);
    let (greedy, modest) = (slots.owner(), slots.owner());
    let mut ring = Ring::default();
    for number in 0..100 {
        ring.push(greedy, number);
    }
    ring.push(modest, 1_000);
    let order: Vec<i32> = std::iter::from_fn(|| ring.pop()).take(4).collect();
    assert_eq!(order, [0, 1_000, 1, 2]);
    ring.push(modest, 1_001);
    assert_eq!(ring.pop(), Some(3));
    assert_eq!(ring.pop(), Some(1_001));
}
