//! The bars that the host is measured by: each a ratio of two figures of the same
//! run, or a plain figure, and what it must reach.

use crate::report::{Judged, Report, Verdict, shown};
use crate::sections::Section::{
    Backlog, Consumer, Dispatch, Embedded, EndToEnd, Fleet, Latency, Relay, Swap,
};

/// Which side of a bar is the good one.
#[derive(Clone, Copy)]
enum Side {
    AtLeast,
    AtMost,
}

/// One bar: what it says, which side is good, the number to reach and the better one.
struct Bar {
    figure: &'static str,
    says: [&'static str; 2],
    side: Side,
    reach: f64,
    stretch: Option<f64>,
    unit: &'static str,
    value: Option<f64>,
}

/// Holds everything that was measured against the bars.
pub(crate) fn judge(report: &Report) -> Vec<Judged> {
    let all = [
        relay(report),
        consumer(report),
        latency(report),
        calls(report),
        fleet(report),
    ];
    all.into_iter().flatten().map(Bar::judged).collect()
}

fn at_least(
    figure: &'static str,
    says: [&'static str; 2],
    unit: &'static str,
    numbers: (f64, Option<f64>),
    value: Option<f64>,
) -> Bar {
    let (reach, stretch) = numbers;
    Bar {
        figure,
        says,
        side: Side::AtLeast,
        reach,
        stretch,
        unit,
        value,
    }
}

fn at_most(
    figure: &'static str,
    says: [&'static str; 2],
    unit: &'static str,
    numbers: (f64, Option<f64>),
    value: Option<f64>,
) -> Bar {
    let side = Side::AtMost;
    Bar {
        side,
        ..at_least(figure, says, unit, numbers, value)
    }
}

fn ratio(one: Option<f64>, other: Option<f64>) -> Option<f64> {
    Some(one? / other?)
}

fn relay(report: &Report) -> Vec<Bar> {
    let get = |name| report.get(Relay, name);
    let ours = get("relay");
    let seed = ratio(ours, get("qx-events relay at its best"));
    let raw = percent(ratio(ours, get("raw pipelined publish")));
    let synced = ratio(
        get("relay, synced stream"),
        get("raw publish, synced stream"),
    );
    vec![
        at_least(
            "relay, against the predecessor's best",
            ["≥ 10 ×", "–"],
            "×",
            (10.0, None),
            seed,
        ),
        at_least(
            "relay, against raw pipelined publish",
            ["≥ 60 %", "80 %"],
            "%",
            (60.0, Some(80.0)),
            raw,
        ),
        at_least(
            "relay on a stream synced on every write, against pipelined publish",
            ["≥ 3 ×", "6 ×"],
            "×",
            (3.0, Some(6.0)),
            synced,
        ),
    ]
}

fn consumer(report: &Report) -> Vec<Bar> {
    let get = |name| report.get(Consumer, name);
    let (noop, effect) = (get("no-op, at least once"), get("effect once"));
    let seed = get("qx-worker at its best");
    let raw = percent(ratio(noop, get("raw pull, parse, ack")));
    let whole = ratio(
        report.get(EndToEnd, "effect once"),
        report.get(EndToEnd, "qx-events and qx-worker at their best"),
    );
    let embedded = report.get(Embedded, "end to end, effect once");
    vec![
        at_least(
            "consumer, no-op at least once, against the predecessor's best",
            ["≥ 12 ×", "–"],
            "×",
            (12.0, None),
            ratio(noop, seed),
        ),
        at_least(
            "consumer, no-op at least once, against raw pull + parse + ack",
            ["≥ 25 %", "40 %"],
            "%",
            (25.0, Some(40.0)),
            raw,
        ),
        at_least(
            "consumer, effect once, against the predecessor's best",
            ["≥ 6 ×", "10 ×"],
            "×",
            (6.0, Some(10.0)),
            ratio(effect, seed),
        ),
        at_least(
            "end to end, effect once, against the predecessor",
            ["≥ 5 ×", "8 ×"],
            "×",
            (5.0, Some(8.0)),
            whole,
        ),
        at_least(
            "embedded, end to end, effect once",
            ["≥ 3,000/s", "10,000/s"],
            "/s",
            (3_000.0, Some(10_000.0)),
            embedded,
        ),
    ]
}

fn latency(report: &Report) -> Vec<Bar> {
    let get = |name| report.get(Latency, name);
    let p50 = get("commit to effect, 200/s, p50");
    let seed = ratio(
        get("qx-events and qx-worker at their defaults, 50/s, p50"),
        p50,
    );
    vec![
        at_most(
            "commit → effect at 200/s, p50",
            ["≤ 8 ms", "3 ms"],
            "ms",
            (8.0, Some(3.0)),
            p50,
        ),
        at_most(
            "commit → effect at 200/s, p99",
            ["≤ 25 ms", "–"],
            "ms",
            (25.0, None),
            get("commit to effect, 200/s, p99"),
        ),
        at_least(
            "the predecessor's latency at its defaults, against ours (p50)",
            ["≥ 50 ×", "–"],
            "×",
            (50.0, None),
            seed,
        ),
    ]
}

fn calls(report: &Report) -> Vec<Bar> {
    let get = |name| report.get(Dispatch, name);
    let ours = get("sandbox, fresh instance, 1 thread");
    let on_top = ours.zip(get("bare call, fresh instance, 1 thread"));
    let on_top = on_top.map(|(ours, bare)| ours - bare);
    let threads = ratio(ours, get("sandbox, fresh instance, 2 threads"));
    vec![
        at_most(
            "dispatch on top of the bare call, fresh instance",
            ["≤ 10 µs", "5 µs"],
            "µs",
            (10.0, Some(5.0)),
            on_top,
        ),
        at_least(
            "dispatch: two threads against one",
            ["grows", "–"],
            "×",
            (1.0, None),
            threads,
        ),
    ]
}

fn fleet(report: &Report) -> Vec<Bar> {
    let get = |name| report.get(Fleet, name);
    let read = ratio(
        most_kept(report),
        report.get(Backlog, "read of 200 rows, 0 kept"),
    );
    let standstill = report.get(Swap, "longest standstill while it is replaced");
    vec![
        at_most(
            "outbox read with the most rows kept, against an empty table",
            ["≤ 1.5 ×", "1.1 ×"],
            "×",
            (1.5, Some(1.1)),
            read,
        ),
        at_most(
            "1,000 components: start from the cache",
            ["≤ 3 s", "1 s"],
            "s",
            (3.0, Some(1.0)),
            get("start from the cache, 1000 components"),
        ),
        at_most(
            "memory of one idle Rust component",
            ["≤ 1 MB", "–"],
            "MB",
            (1.0, None),
            get("memory of one idle component"),
        ),
        at_most(
            "hot swap: throughput lost",
            ["< 10 %", "–"],
            "%",
            (10.0, None),
            lost(report),
        ),
        at_most(
            "hot swap: longest standstill",
            ["≤ 100 ms", "–"],
            "ms",
            (100.0, None),
            standstill,
        ),
        at_most(
            "idle host with 100 components: processor",
            ["< 1 %", "0.3 %"],
            "% of a core",
            (1.0, Some(0.3)),
            get("idling, 100 components"),
        ),
        at_most(
            "idle host with 100 components: memory",
            ["< 80 MB", "–"],
            "MB",
            (80.0, None),
            get("memory, 100 components"),
        ),
    ]
}

fn percent(ratio: Option<f64>) -> Option<f64> {
    ratio.map(|ratio| ratio * 100.0)
}

fn lost(report: &Report) -> Option<f64> {
    let with = report.get(Swap, "throughput while it is replaced")?;
    Some(100.0 * (1.0 - with / report.get(Swap, "throughput undisturbed")?))
}

/// The read beside the largest backlog that was measured.
fn most_kept(report: &Report) -> Option<f64> {
    let reads = report
        .of(Backlog)
        .filter(|figure| figure.name.starts_with("read of"));
    reads.last()?.median()
}

impl Bar {
    fn judged(self) -> Judged {
        let reached = |number: f64| {
            self.value.map(|value| match self.side {
                Side::AtLeast => value >= number,
                Side::AtMost => value <= number,
            })
        };
        let verdict = match (reached(self.reach), self.stretch.and_then(reached)) {
            (None, _) => Verdict::Unknown,
            (Some(false), _) => Verdict::Missed,
            (Some(true), Some(true)) => Verdict::Stretch,
            (Some(true), _) => Verdict::Met,
        };
        let [bar, stretch] = self.says;
        let measured = self
            .value
            .map(|value| format!("{} {}", shown(value), self.unit));
        Judged {
            figure: self.figure,
            measured: measured.unwrap_or_else(|| "not measured".to_owned()),
            bar,
            stretch,
            verdict,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn verdict_of(side: Side, value: Option<f64>) -> Verdict {
        let stretch = match side {
            Side::AtLeast => 20.0,
            Side::AtMost => 5.0,
        };
        let bar = at_least("f", ["b", "s"], "x", (10.0, Some(stretch)), value);
        Bar { side, ..bar }.judged().verdict
    }

    #[test]
    fn a_bar_is_reached_from_its_good_side_and_unknown_without_a_figure() {
        for (side, value, verdict) in [
            (Side::AtLeast, Some(9.9), Verdict::Missed),
            (Side::AtLeast, Some(10.0), Verdict::Met),
            (Side::AtLeast, Some(20.0), Verdict::Stretch),
            (Side::AtMost, Some(10.1), Verdict::Missed),
            (Side::AtMost, Some(10.0), Verdict::Met),
            (Side::AtMost, Some(5.0), Verdict::Stretch),
            (Side::AtMost, None, Verdict::Unknown),
        ] {
            assert_eq!(verdict_of(side, value), verdict, "{value:?}");
        }
    }
}
