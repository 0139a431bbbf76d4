//! Native code of a component, as this process has it.
//!
//! Loading a component and trying it out touches much of its code, and most components of
//! a host then wait for hours. What is mapped from the cache need not stay in memory for
//! that: it is given back once, and comes again page by page, from the system's own cache
//! of the file, as it is used.

use rustix::mm::{Advice, madvise};
use rustix::param::page_size;
use wasmtime::component::Component;

/// A component, and where its code lies.
pub(crate) struct Native {
    pub(crate) component: Component,
    is_mapped: bool,
}

impl Native {
    /// Mapped from an entry of the cache.
    pub(crate) fn mapped(component: Component) -> Self {
        Self {
            component,
            is_mapped: true,
        }
    }

    /// In memory of this process alone.
    pub(crate) fn own(component: Component) -> Self {
        Self {
            component,
            is_mapped: false,
        }
    }

    /// Gives its memory back for now. Nothing changes but what is resident.
    pub(crate) fn give_back(&self) {
        if !self.is_mapped {
            return;
        }
        let (page, image) = (page_size(), self.component.image_range());
        let begin = image.start.addr().next_multiple_of(page);
        let end = image.end.addr() / page * page;
        let Some(bytes) = end.checked_sub(begin) else {
            return;
        };
        let from = image.start.with_addr(begin).cast_mut().cast();
        #[expect(unsafe_code, reason = "advice about memory that the engine has mapped")]
        // SAFETY: the range is whole pages of a private mapping of a file, which the component
        // keeps mapped. Nobody writes to them: the engine refuses code that would have to be
        // relocated, and only changes their protection. So what is dropped is read again
        // from the same file, which is never changed (`Cache::put` writes aside and renames).
        let given = unsafe { madvise(from, bytes, Advice::LinuxDontNeed) };
        if let Err(error) = given {
            tracing::debug!(%error, "the code of a component stays in memory");
        }
    }
}
