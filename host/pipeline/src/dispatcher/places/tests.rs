//! The rule against tables and against dice.

use super::*;

fn name(number: usize) -> ComponentName {
    ComponentName::parse(&format!("c{number}")).unwrap()
}

/// The rule, and what runs.
struct Hall {
    places: Places,
    running: Vec<(usize, Ticket, Begun)>,
    waiting: Vec<(usize, Ticket)>,
}

impl Hall {
    fn new(all: u32, sharers: u32) -> Self {
        let mut places = Places::new(all);
        places.share_among(sharers);
        Self {
            places,
            running: Vec::new(),
            waiting: Vec::new(),
        }
    }

    fn ask(&mut self, component: usize, want: Want) -> Ticket {
        let ticket = self.places.ask(&name(component), want);
        self.waiting.push((component, ticket));
        self.begin();
        ticket
    }

    fn ask_many(&mut self, component: usize, times: usize) {
        for _ in 0..times {
            self.ask(component, Want::Beside(1));
        }
    }

    fn begin(&mut self) {
        while let Some((ticket, begun)) = self.places.next() {
            let at = self.waiting.iter().position(|(_, own)| *own == ticket);
            let (component, _) = self.waiting.remove(at.unwrap());
            self.running.push((component, ticket, begun));
        }
    }

    fn leave(&mut self, at: usize) {
        let (component, _, begun) = self.running.remove(at);
        self.places.leave(&name(component), &begun);
        self.begin();
    }

    fn runs(&self, ticket: Ticket) -> bool {
        self.running.iter().any(|(_, own, _)| *own == ticket)
    }

    fn has(&self, component: usize) -> usize {
        let own = |running: &&(usize, Ticket, Begun)| running.0 == component;
        self.running.iter().filter(own).count()
    }
}

#[test]
fn a_component_alone_in_service_has_all_places() {
    let mut hall = Hall::new(64, 1);
    hall.ask_many(0, 100);
    assert_eq!(hall.has(0), 64);
}

#[test]
fn however_many_never_end_a_component_finds_its_own_part_at_once() {
    // 1 to 31 components that take whatever they get and never give anything back.
    for greedy in 1..32_usize {
        let mut hall = Hall::new(64, u32::try_from(greedy + 1).unwrap());
        for component in 1..=greedy {
            hall.ask_many(component, 200);
        }
        let own = (32 / (greedy + 1)).max(1);
        hall.ask_many(0, own);
        assert_eq!(hall.has(0), own, "beside {greedy}");
        let taken: usize = hall.running.len();
        assert!(taken <= 64);
    }
}

#[test]
fn with_more_components_in_service_than_places_are_kept_those_at_work_still_find_one() {
    let mut hall = Hall::new(64, 500);
    for component in 1..32 {
        hall.ask_many(component, 200);
    }
    hall.ask_many(0, 1);
    assert_eq!(hall.has(0), 1);
}

#[test]
fn what_is_lent_goes_to_the_one_that_has_least() {
    let mut hall = Hall::new(8, 2);
    // Of eight, two are each one's own and four are lent.
    hall.ask_many(0, 8);
    assert_eq!(hall.has(0), 6);
    hall.ask_many(1, 8);
    assert_eq!(hall.has(1), 2);
    for expected in [(5, 3), (4, 4), (4, 4)] {
        let first_of_0 = hall.running.iter().position(|(c, ..)| *c == 0).unwrap();
        hall.leave(first_of_0);
        assert_eq!((hall.has(0), hall.has(1)), expected);
    }
}

#[test]
fn a_call_that_takes_many_places_is_not_overtaken_for_ever_by_small_ones() {
    let mut hall = Hall::new(8, 2);
    hall.ask_many(0, 20);
    let large = hall.ask(1, Want::Beside(4));
    assert!(!hall.runs(large));
    let mut left = 0;
    while !hall.runs(large) {
        hall.leave(0);
        left += 1;
        assert!(left <= 6, "everything that ran before it has ended");
    }
    // More than what is lent is cut to it: it could never begin otherwise.
    let mut hall = Hall::new(8, 2);
    let huge = hall.ask(0, Want::Beside(1_000));
    assert!(hall.runs(huge));
    hall.ask_many(1, 8);
    assert_eq!(hall.has(1), 4, "two of its own, two that are not lent");
}

#[test]
fn a_call_that_runs_alone_waits_for_all_before_it_and_holds_back_all_behind_it() {
    let mut hall = Hall::new(4, 2);
    hall.ask_many(0, 2);
    let alone = hall.ask(1, Want::Alone);
    let behind = hall.ask(2, Want::Beside(1));
    assert!(!hall.runs(alone) && !hall.runs(behind));
    hall.leave(0);
    assert!(!hall.runs(alone) && !hall.runs(behind));
    hall.leave(0);
    assert!(hall.runs(alone) && !hall.runs(behind));
    hall.leave(0);
    assert!(hall.runs(behind));
}

#[test]
fn who_stops_waiting_is_in_nobodys_way() {
    let mut hall = Hall::new(2, 1);
    hall.ask_many(0, 1);
    let alone = hall.ask(1, Want::Alone);
    let behind = hall.ask(2, Want::Beside(1));
    assert!(hall.places.withdraw(&name(1), alone));
    hall.waiting.retain(|(_, ticket)| *ticket != alone);
    hall.begin();
    assert!(hall.runs(behind));
    assert!(!hall.places.withdraw(&name(2), behind), "it has begun");
}

#[test]
fn whatever_comes_and_goes_places_are_never_more_nobody_waits_for_its_own_and_all_begin() {
    for seed in 0..100 {
        let mut dice = fastrand::Rng::with_seed(seed);
        let (all, sharers) = (dice.u32(1..40), dice.u32(1..12));
        let mut hall = Hall::new(all, sharers);
        let own = ((all - all / 2) / sharers).max(1);
        let are_kept = own * sharers <= all - all / 2;
        for _ in 0..400 {
            let component = dice.usize(0..usize::try_from(sharers).unwrap());
            if dice.u32(0..5) < 3 {
                let has = hall.has(component);
                let waits = hall.waiting.iter().any(|(c, _)| *c == component);
                let alone_waits = !hall.places.wants_alone.is_empty() || hall.places.alone;
                let want = match dice.u32(0..40) {
                    0 => Want::Alone,
                    1..4 => Want::Beside(dice.u32(1..50)),
                    _ => Want::Beside(1),
                };
                let had = hall
                    .places
                    .shares
                    .get(&name(component))
                    .map_or(0, |s| s.has);
                let ticket = hall.ask(component, want);
                let is_own = had < own && want == Want::Beside(1) && !waits && !alone_waits;
                assert!(
                    !(is_own && are_kept) || hall.runs(ticket),
                    "seed {seed}: with {has} of {own} it had to wait"
                );
            } else if !hall.running.is_empty() {
                hall.leave(dice.usize(0..hall.running.len()));
            }
            let taken: u32 = hall.running.iter().map(|(.., begun)| begun.places).sum();
            assert!(taken <= all && taken == hall.places.taken, "seed {seed}");
        }
        while !hall.running.is_empty() {
            hall.leave(0);
        }
        assert!(
            hall.waiting.is_empty(),
            "seed {seed}: somebody waits for ever"
        );
        assert!(
            hall.places.shares.is_empty(),
            "seed {seed}: nothing is left behind"
        );
    }
}
