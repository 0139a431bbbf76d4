//! The memory of one instance: all its linear memories together, and its tables.
//!
//! A guest that asks for too much is told no, as the specification has it, and
//! may go on. What it asked for is kept: most guests answer with a trap that says
//! nothing.

use wasmtime::ResourceLimiter;

use crate::engine;

/// Elements of all tables of one instance: pointers, so 400 KiB.
pub(crate) const TABLE_ELEMENTS_TOTAL_MAX: usize = 50_000;

/// What an instance has, and may have.
#[derive(Debug)]
pub(crate) struct Memory {
    limit: usize,
    bytes: usize,
    elements: usize,
    denied: Option<Denied>,
}

/// What was asked for in vain.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Denied {
    /// Bytes of memory in all.
    Bytes { asked: usize, limit: usize },
    /// Elements of tables in all.
    Elements { asked: usize, limit: usize },
}

impl Memory {
    pub(crate) const fn new(limit: usize) -> Self {
        Self {
            limit,
            bytes: 0,
            elements: 0,
            denied: None,
        }
    }

    /// The same for the next call: what the instance has, it has still.
    pub(crate) fn renewed(self) -> Self {
        Self {
            denied: None,
            ..self
        }
    }

    /// Bytes of all linear memories: they only grow.
    pub(crate) const fn bytes(&self) -> usize {
        self.bytes
    }

    /// The last request that was denied.
    pub(crate) const fn denied(&self) -> Option<Denied> {
        self.denied
    }
}

impl std::fmt::Display for Denied {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Bytes { asked, limit } => {
                write!(
                    f,
                    "asked for {asked} bytes of memory, its limit is {limit} (limits.memory_mb)"
                )
            }
            Self::Elements { asked, limit } => write!(
                f,
                "asked for {asked} elements of tables, the limit is {limit}"
            ),
        }
    }
}

impl ResourceLimiter for Memory {
    fn memory_growing(
        &mut self,
        current: usize,
        desired: usize,
        maximum: Option<usize>,
    ) -> wasmtime::Result<bool> {
        let asked = self.bytes.saturating_add(desired.saturating_sub(current));
        if asked > self.limit {
            self.denied = Some(Denied::Bytes {
                asked,
                limit: self.limit,
            });
            return Ok(false);
        }
        // Over the bound that the component declares for itself: its own affair.
        if maximum.is_some_and(|maximum| desired > maximum) {
            return Ok(false);
        }
        self.bytes = asked;
        Ok(true)
    }

    fn table_growing(
        &mut self,
        current: usize,
        desired: usize,
        maximum: Option<usize>,
    ) -> wasmtime::Result<bool> {
        let asked = self
            .elements
            .saturating_add(desired.saturating_sub(current));
        if asked > TABLE_ELEMENTS_TOTAL_MAX || desired > engine::TABLE_ELEMENTS_MAX {
            let limit = if desired > engine::TABLE_ELEMENTS_MAX {
                engine::TABLE_ELEMENTS_MAX
            } else {
                TABLE_ELEMENTS_TOTAL_MAX
            };
            self.denied = Some(Denied::Elements { asked, limit });
            return Ok(false);
        }
        if maximum.is_some_and(|maximum| desired > maximum) {
            return Ok(false);
        }
        self.elements = asked;
        Ok(true)
    }

    fn instances(&self) -> usize {
        engine::count(engine::CORE_INSTANCES_PER_INSTANCE)
    }

    fn tables(&self) -> usize {
        engine::count(engine::TABLES_PER_INSTANCE)
    }

    fn memories(&self) -> usize {
        engine::count(engine::MEMORIES_PER_INSTANCE)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_memories_of_an_instance_share_one_limit() {
        let mut memory = Memory::new(100);
        assert!(memory.memory_growing(0, 60, None).unwrap());
        assert!(memory.memory_growing(0, 30, None).unwrap());
        assert_eq!(memory.denied(), None);
        assert!(!memory.memory_growing(30, 50, None).unwrap());
        let denied = Denied::Bytes {
            asked: 110,
            limit: 100,
        };
        assert_eq!(memory.denied(), Some(denied));
        assert!(memory.memory_growing(30, 40, None).unwrap());
    }

    #[test]
    fn a_components_own_bound_is_no_breach() {
        let mut memory = Memory::new(100);
        assert!(!memory.memory_growing(0, 60, Some(50)).unwrap());
        assert_eq!(memory.denied(), None);
    }

    #[test]
    fn tables_have_a_limit_too() {
        let mut memory = Memory::new(100);
        assert!(memory.table_growing(0, 10_000, None).unwrap());
        assert!(!memory.table_growing(10_000, 1 << 30, None).unwrap());
        assert!(memory.denied().unwrap().to_string().contains("tables"));
    }
}
