//! The limits that are the same for every component: their words and values, for
//! the page that lists them. What can be set is in [`qx_events::Limits`].

use qx_events::ORDERING_KEY_BYTES_MAX;
use qx_events::ports::SqlBounds;

use crate::bind::BINDINGS_MAX;
use crate::call::HOST_CALL_VALUES;
use crate::call::context::{VALUES_KEPT_MAX, WAITING_TENTHS};
use crate::call::emit::DUE_DAYS_MAX;
use crate::call::memory::TABLE_ELEMENTS_TOTAL_MAX;
use crate::call::sql::STATEMENTS_MAX;
use crate::call::state::KEY_BYTES_MAX;
use crate::call::veil::HIDDEN_BYTES_MIN;
use crate::call::wasi::{HANDLES_MAX, RANDOM_BYTES_MAX, RANDOM_BYTES_TOTAL_MAX};
use crate::engine;
use crate::surface::{NAMES_MAX, NESTING_MAX, ROUTES_BYTES_MAX};
use crate::typed::{DEPTH_MAX, NODES_MAX, VALUES_MAX};

/// A limit that nobody can set.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FixedLimit {
    /// The word of the outcome, where it is one.
    pub word: &'static str,
    /// What is limited.
    pub what: &'static str,
    /// Its value.
    pub value: u64,
    /// The value's unit.
    pub unit: &'static str,
    /// What happens to who goes over it.
    pub then: &'static str,
}

impl FixedLimit {
    /// The fields in their order; bounds are counts in the code.
    pub const fn new(
        word: &'static str,
        what: &'static str,
        value: usize,
        unit: &'static str,
        then: &'static str,
    ) -> Self {
        Self {
            word,
            what,
            value: value as u64,
            unit,
            then,
        }
    }
}

/// What a call that goes over a limit comes to.
const FAILS: &str = "the attempt fails";

/// What happens to a component that is made of too much.
const NOT_LOADED: &str = "it is not loaded";

/// Every limit that nobody can set.
pub const FIXED: [FixedLimit; 25] = [
    FixedLimit::new(
        "stack",
        "stack of the guest",
        engine::GUEST_STACK_BYTES,
        "bytes",
        FAILS,
    ),
    FixedLimit::new(
        "tables",
        "one table",
        engine::TABLE_ELEMENTS_MAX,
        "elements",
        FAILS,
    ),
    FixedLimit::new(
        "tables",
        "all tables of an instance",
        TABLE_ELEMENTS_TOTAL_MAX,
        "elements",
        FAILS,
    ),
    FixedLimit::new(
        "host_data",
        "what is handed over in one call of the host, times `value_kb`",
        HOST_CALL_VALUES,
        "values",
        FAILS,
    ),
    FixedLimit::new(
        "host_data",
        "state read or written and payloads emitted in one call, times `value_kb`",
        VALUES_KEPT_MAX,
        "values",
        "a read fails the attempt; `set` and `emit` tell the handler",
    ),
    FixedLimit::new(
        "handles",
        "open handles: streams, clocks, descriptors",
        HANDLES_MAX,
        "handles",
        FAILS,
    ),
    FixedLimit::new(
        "random",
        "random bytes at once",
        RANDOM_BYTES_MAX,
        "bytes",
        FAILS,
    ),
    FixedLimit::new(
        "random",
        "random bytes of one call",
        RANDOM_BYTES_TOTAL_MAX,
        "bytes",
        FAILS,
    ),
    FixedLimit::new(
        "key_bytes",
        "a key of state",
        KEY_BYTES_MAX,
        "bytes",
        "`set` tells the handler",
    ),
    FixedLimit::new(
        "",
        "the ordering key of an emitted event",
        ORDERING_KEY_BYTES_MAX,
        "bytes",
        "`emit` tells the handler",
    ),
    FixedLimit::new(
        "sql_statements",
        "SQL statements of one call",
        STATEMENTS_MAX as usize,
        "statements",
        "`execute` and `query` tell the handler",
    ),
    FixedLimit::new(
        "sql_rows",
        "rows of one answer to SQL; their bytes, and those of a statement, are at most `value_kb`",
        SqlBounds::ROWS_MAX as usize,
        "rows",
        "`query` tells the handler",
    ),
    FixedLimit::new(
        "sql_time",
        "time of one SQL statement: what the call has left of this part of `timeout_ms`",
        WAITING_TENTHS as usize,
        "tenths",
        "the statement is undone; `execute` and `query` tell the handler",
    ),
    FixedLimit::new(
        "due",
        "how long after its call an emitted event may be due",
        DUE_DAYS_MAX,
        "days",
        "`emit` tells the handler",
    ),
    FixedLimit::new(
        "",
        "values of a payload that the type of a handler takes",
        VALUES_MAX,
        "values",
        "the event is rejected",
    ),
    FixedLimit::new(
        "",
        "parts of the type of a payload, written out",
        NODES_MAX,
        "parts",
        NOT_LOADED,
    ),
    FixedLimit::new(
        "",
        "nesting of the type of a payload",
        DEPTH_MAX,
        "levels",
        NOT_LOADED,
    ),
    FixedLimit::new(
        "",
        "secret that is looked for in what its component says, at least",
        HIDDEN_BYTES_MIN,
        "bytes",
        "a shorter one is not kept out of the component's own lines",
    ),
    FixedLimit::new(
        "",
        "tables of a component",
        engine::count(engine::TABLES_PER_INSTANCE),
        "tables",
        NOT_LOADED,
    ),
    FixedLimit::new(
        "",
        "memories of a component",
        engine::count(engine::MEMORIES_PER_INSTANCE),
        "memories",
        NOT_LOADED,
    ),
    FixedLimit::new(
        "",
        "core instances of a component",
        engine::count(engine::CORE_INSTANCES_PER_INSTANCE),
        "instances",
        NOT_LOADED,
    ),
    FixedLimit::new(
        "",
        "nesting of components and modules",
        NESTING_MAX,
        "levels",
        NOT_LOADED,
    ),
    FixedLimit::new(
        "",
        "imports and exports of a component",
        NAMES_MAX,
        "names",
        NOT_LOADED,
    ),
    FixedLimit::new(
        "",
        "routes that a component carries",
        ROUTES_BYTES_MAX,
        "bytes",
        NOT_LOADED,
    ),
    FixedLimit::new(
        "",
        "events and patterns of one component",
        BINDINGS_MAX,
        "routes",
        NOT_LOADED,
    ),
];
