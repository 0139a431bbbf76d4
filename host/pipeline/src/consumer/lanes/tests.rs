//! The rules one by one, and all of them at once by dice.

use super::*;

const SECOND: Duration = Duration::from_secs(1);

fn key(name: &str) -> Option<LaneKey> {
    (!name.is_empty()).then(|| LaneKey::new(name))
}

/// Lanes with these messages: position and key, in the order of arrival.
fn lanes(taken: &[(u64, &str)]) -> Lanes<u64> {
    let mut lanes = Lanes::new();
    for (position, name) in taken {
        lanes.take(*position, key(name), *position);
    }
    lanes
}

fn started(lanes: &mut Lanes<u64>, now: Instant) -> Vec<u64> {
    std::iter::from_fn(|| lanes.start(now).map(|(position, _)| position)).collect()
}

#[tokio::test(start_paused = true)]
async fn one_of_each_key_runs_and_all_without_a_key() {
    let now = Instant::now();
    let mut lanes = lanes(&[(1, "a"), (2, "a"), (3, "b"), (4, ""), (5, ""), (6, "b")]);
    assert_eq!(started(&mut lanes, now), [1, 3, 4, 5]);
    lanes.finish(3);
    assert_eq!(started(&mut lanes, now), [6]);
    lanes.finish(4);
    assert_eq!(started(&mut lanes, now), [0; 0]);
    lanes.finish(1);
    assert_eq!(started(&mut lanes, now), [2]);
    for position in [2, 5, 6] {
        lanes.finish(position);
    }
    assert_eq!(lanes.in_hand(), 0);
}

#[tokio::test(start_paused = true)]
async fn the_lowest_position_goes_first_in_whatever_order_they_came() {
    let now = Instant::now();
    let mut lanes = lanes(&[(7, "a"), (3, "a"), (5, "a")]);
    assert_eq!(started(&mut lanes, now), [3]);
    lanes.finish(3);
    assert_eq!(started(&mut lanes, now), [5]);
}

#[tokio::test(start_paused = true)]
async fn a_pause_holds_its_own_key_back_and_no_other() {
    let now = Instant::now();
    let mut lanes = lanes(&[(1, "a"), (2, "a"), (3, "b")]);
    assert_eq!(started(&mut lanes, now), [1, 3]);
    lanes.pause(1, now + SECOND);
    lanes.take(4, key("b"), 4);
    lanes.finish(3);
    assert_eq!(started(&mut lanes, now), [4]);
    assert_eq!(lanes.next_due(), Some(now + SECOND));
    lanes.wake(now + SECOND / 2);
    assert_eq!(started(&mut lanes, now), [0; 0]);
    lanes.wake(now + SECOND);
    assert_eq!(started(&mut lanes, now), [1]);
    lanes.finish(1);
    assert_eq!(started(&mut lanes, now), [2]);
    assert_eq!(lanes.next_due(), None);
}

#[tokio::test(start_paused = true)]
async fn an_arrival_is_new_a_copy_back_again_or_behind_us() {
    let now = Instant::now();
    let mut lanes = lanes(&[(1, "a"), (2, "a")]);
    assert_eq!(lanes.knows(3), Known::New);
    assert_eq!(lanes.knows(2), Known::InHand(&2));
    lanes.pass(5);
    assert_eq!(lanes.knows(5), Known::Passed);
    assert_eq!(lanes.knows(4), Known::Passed, "never taken, and behind us");
    started(&mut lanes, now);
    assert_eq!(lanes.knows(1), Known::InHand(&1));
    lanes.finish(1);
    assert_eq!(lanes.knows(1), Known::Passed);
}

#[tokio::test(start_paused = true)]
async fn followers_of_a_lane_that_stands_make_room_and_nothing_overtakes_them() {
    let now = Instant::now();
    let many: Vec<(u64, &str)> = (1..=100).map(|position| (position, "a")).collect();
    let mut lanes = lanes(&many);
    lanes.take(101, key("b"), 101);
    assert_eq!(started(&mut lanes, now), [1, 101]);
    assert_eq!(lanes.relieve(now), [], "it moves");
    lanes.pause(1, now + SECOND * 5);
    let backs = lanes.relieve(now);
    let items: Vec<u64> = backs.iter().map(|back| back.item).collect();
    assert_eq!(items, (10..=100).collect::<Vec<_>>());
    assert!(backs.iter().all(|back| back.pause == SECOND * 5));
    assert_eq!(lanes.in_hand(), 10);
    // Later ones of the key stay behind those that are away.
    lanes.take(102, key("a"), 102);
    for position in 1..=9 {
        lanes.wake(now + SECOND * 5);
        assert_eq!(started(&mut lanes, now), [position]);
        lanes.finish(position);
    }
    assert_eq!(started(&mut lanes, now), [0; 0]);
    assert_eq!(lanes.knows(11), Known::Away);
    lanes.take(11, key("a"), 11);
    assert_eq!(started(&mut lanes, now), [0; 0], "10 is still away");
    lanes.take(10, key("a"), 10);
    assert_eq!(started(&mut lanes, now), [10]);
    assert!(!lanes.is_missing(now + SECOND * 5));
    assert!(lanes.is_missing(now + SECOND * 6), "12 did not come");
}

#[tokio::test(start_paused = true)]
async fn a_call_that_takes_long_lets_its_followers_make_room() {
    let now = Instant::now();
    let many: Vec<(u64, &str)> = (1..=20).map(|position| (position, "a")).collect();
    let mut lanes = lanes(&many);
    started(&mut lanes, now);
    assert_eq!(lanes.relieve(now + STILL_AFTER).len(), 11);
    assert_eq!(lanes.relieve(now + STILL_AFTER), [], "once");
}

/// What the property is checked against: who runs, and what of each key is not
/// finished.
#[derive(Default)]
struct Model {
    open: BTreeMap<u64, u64>,
    running: BTreeSet<u64>,
    paused: BTreeMap<u64, Instant>,
    away: BTreeSet<u64>,
    handled: BTreeMap<u64, Vec<u64>>,
}

impl Model {
    fn key_of(position: u64) -> u64 {
        position * 7 % 5
    }

    fn began(&mut self, position: u64) {
        let key = Self::key_of(position);
        let lower = self.open.range(..position).any(|(_, other)| *other == key);
        assert!(!lower, "{position} overtakes one of its key");
        assert!(self.running.insert(position), "{position} runs twice");
        assert!(!self.paused.contains_key(&position) && !self.away.contains(&position));
    }
}

/// Any interleaving of arrivals, ends, pauses and hand-backs: each key in order,
/// one at a time, everything in the end, and the count of what is in hand right.
#[tokio::test(start_paused = true)]
async fn whatever_happens_a_key_is_handled_in_order_and_everything_in_the_end() {
    for seed in 0..300 {
        let mut dice = fastrand::Rng::with_seed(seed);
        let (mut lanes, mut model) = (Lanes::new(), Model::default());
        let (mut now, mut next) = (Instant::now(), 1);
        for _ in 0..600 {
            now += Duration::from_millis(dice.u64(..800));
            play(&mut lanes, &mut model, (now, &mut next), &mut dice);
            let in_hand = model.open.len() - model.away.len();
            assert_eq!(lanes.in_hand(), in_hand, "seed {seed}");
            assert_eq!(lanes.items().count(), in_hand, "seed {seed}");
        }
        for position in std::mem::take(&mut model.away) {
            lanes.take(
                position,
                key(&Model::key_of(position).to_string()),
                position,
            );
        }
        model.paused.clear();
        while !model.open.is_empty() {
            now += SECOND * 60;
            lanes.wake(now);
            for position in started(&mut lanes, now) {
                model.began(position);
            }
            let ran: Vec<u64> = std::mem::take(&mut model.running).into_iter().collect();
            assert!(!ran.is_empty(), "seed {seed}: stuck with {:?}", model.open);
            for position in ran {
                end(&mut lanes, &mut model, position);
            }
        }
        assert_eq!(lanes.in_hand(), 0);
        assert!(model.handled.values().all(|done| done.is_sorted()));
        assert_eq!(model.handled.values().flatten().count() as u64, next - 1);
    }
}

fn end(lanes: &mut Lanes<u64>, model: &mut Model, position: u64) {
    lanes.finish(position);
    model.open.remove(&position);
    let key = Model::key_of(position);
    model.handled.entry(key).or_default().push(position);
}

fn play(
    lanes: &mut Lanes<u64>,
    model: &mut Model,
    (now, next): (Instant, &mut u64),
    dice: &mut fastrand::Rng,
) {
    let key = |position| key(&Model::key_of(position).to_string());
    let running: Vec<u64> = model.running.iter().copied().collect();
    let some = (!running.is_empty()).then(|| running[dice.usize(..running.len())]);
    match (dice.u32(..10), some) {
        (0..4, _) => {
            lanes.take(*next, key(*next), *next);
            model.open.insert(*next, Model::key_of(*next));
            *next += 1;
        }
        (4..6, Some(position)) => {
            model.running.remove(&position);
            end(lanes, model, position);
        }
        (6, Some(position)) => {
            let until = now + Duration::from_millis(dice.u64(..9_000));
            model.running.remove(&position);
            model.paused.insert(position, until);
            lanes.pause(position, until);
        }
        (7, _) => {
            for back in lanes.relieve(now) {
                assert!(!model.running.contains(&back.item));
                assert!(model.away.insert(back.item));
            }
        }
        (8, _) => {
            let away: Vec<u64> = model.away.iter().copied().collect();
            for position in away.into_iter().filter(|_| dice.bool()) {
                assert_eq!(lanes.knows(position), Known::Away);
                model.away.remove(&position);
                lanes.take(position, key(position), position);
            }
        }
        _ => {
            lanes.wake(now);
            model.paused.retain(|_, until| *until > now);
            while dice.u32(..4) > 0
                && let Some((position, _)) = lanes.start(now)
            {
                model.began(position);
            }
        }
    }
}
