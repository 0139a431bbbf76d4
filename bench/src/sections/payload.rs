//! End to end with envelopes from 200 bytes to 256 KB.

use crate::host::BEST;
use crate::lab::Lab;
use crate::report::Report;
use crate::sections::consumer::Expects;
use crate::sections::{Section, end_to_end};

const HERE: Section = Section::Payload;

/// Sizes of an envelope, in bytes. The handler is given the payload alone, whose
/// limit is 256 KiB.
const SIZES: [usize; 6] = [200, 500, 2_000, 16_000, 64_000, 256_000];

/// Bytes of all envelopes of one full run together, and the most of them.
const BYTES: u64 = 128 << 20;
const ROWS_MAX: u64 = 20_000;

pub(crate) async fn run(lab: &Lab, report: &mut Report) -> anyhow::Result<()> {
    for _ in 0..lab.runs_of_long() {
        for bytes in SIZES {
            let rows = lab.size.of((BYTES / bytes as u64).min(ROWS_MAX));
            let speed =
                end_to_end::ours(lab, rows, BEST, "bench-noop", Expects::Marks, bytes).await?;
            report.add_with_cpu(HERE, &format!("{bytes} bytes"), speed.rate, speed.cpu);
        }
    }
    Ok(())
}
