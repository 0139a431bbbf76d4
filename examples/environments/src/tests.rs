//! What `environments` promises, natively.

use super::*;

#[test]
fn the_cases_hold() {
    cases::check(env!("CARGO_MANIFEST_DIR"), |host, _, given| {
        host.deliver(given, keep)
    });
}
