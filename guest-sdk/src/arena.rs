//! The component's allocator: starts on a static arena, and grows the memory only
//! when an event needs more than that.
//!
//! The arena is part of the initial memory, which the host maps copy-on-write.
//! Growing, on the other hand, is a system call that does not scale over threads:
//! it decides how many events a host gets through.
#![expect(unsafe_code, reason = "an allocator hands out raw memory")]

use std::alloc::Layout;
use std::arch::wasm32::memory_grow;
use std::ptr::NonNull;

use talc::base::Talc;
use talc::base::binning::Binning;
use talc::cell::TalcSyncCell;
use talc::source::Source;
use talc::wasm::WasmBinning;

/// Enough for an event of 27 KB, parsed, several times over.
const ARENA_BYTES: usize = 192 << 10;

/// The unit in which WebAssembly's memory grows.
const PAGE_BYTES: usize = 64 << 10;

/// The least to grow by, 1 MiB: an event that outgrew the arena will want more.
const GROW_PAGES_MIN: usize = 16;

/// What the allocator itself needs of what it claims, generously.
const CLAIM_OVERHEAD_BYTES: usize = 1 << 10;

static mut ARENA: [u8; ARENA_BYTES] = [0; ARENA_BYTES];

#[global_allocator]
static ALLOCATOR: TalcSyncCell<ArenaThenGrow, WasmBinning> =
    TalcSyncCell::new_wasm(ArenaThenGrow::Untouched);

/// Where the next memory comes from.
#[derive(Debug)]
enum ArenaThenGrow {
    /// The arena.
    Untouched,
    /// The end of the memory, beside what was claimed last where that is possible.
    Growing {
        /// The end of the last claim.
        end: NonNull<u8>,
    },
}

// SAFETY: `acquire` reaches the allocator only through its argument and allocates
// nothing itself.
unsafe impl Source for ArenaThenGrow {
    fn acquire<B: Binning>(talc: &mut Talc<Self, B>, layout: Layout) -> Result<(), ()> {
        let end = match talc.source {
            // SAFETY: nobody but the allocator touches the arena, and this arm runs
            // once: the source is `Growing` afterwards.
            Self::Untouched => unsafe { talc.claim((&raw mut ARENA).cast(), ARENA_BYTES) },
            Self::Growing { end } => {
                let (base, bytes) = grow(layout).ok_or(())?;
                if end.as_ptr() == base {
                    // SAFETY: the grown memory begins where the last claim ends, and
                    // is nobody else's.
                    Some(unsafe { talc.extend(end, base.wrapping_add(bytes)) })
                } else {
                    // SAFETY: the grown memory is nobody else's.
                    unsafe { talc.claim(base, bytes) }
                }
            }
        };
        talc.source = Self::Growing {
            end: end.ok_or(())?,
        };
        Ok(())
    }
}

/// New memory for at least this, or none when the sandbox's limit is reached.
fn grow(layout: Layout) -> Option<(*mut u8, usize)> {
    let bytes = layout.size().checked_add(layout.align())?;
    let needed = bytes
        .checked_add(CLAIM_OVERHEAD_BYTES)?
        .div_ceil(PAGE_BYTES);
    [needed.max(GROW_PAGES_MIN), needed]
        .into_iter()
        .map(|pages| (memory_grow::<0>(pages), pages))
        .find(|(before, _)| *before != usize::MAX)
        .map(|(before, pages)| {
            let base = std::ptr::with_exposed_provenance_mut(before * PAGE_BYTES);
            (base, pages * PAGE_BYTES)
        })
}
