//! Which toolchain is taken, from what was found.

use super::*;

fn seen(targets: &[Target]) -> Seen {
    Seen::Present {
        rustc: "rustc 1.95.0".to_owned(),
        targets: targets.to_vec(),
    }
}

#[test]
fn the_smallest_target_wins_and_then_the_active_toolchain() {
    use Target::{Unknown, Wasip1, Wasip2};
    let table = [
        (seen(&[Unknown]), Seen::Absent, Channel::Active, Unknown),
        (
            seen(&[Unknown, Wasip2]),
            seen(&[Unknown]),
            Channel::Active,
            Unknown,
        ),
        (seen(&[]), seen(&[Unknown]), Channel::Linked, Unknown),
        (seen(&[Wasip2]), seen(&[Unknown]), Channel::Linked, Unknown),
        (
            seen(&[Wasip2, Wasip1]),
            seen(&[Wasip1]),
            Channel::Active,
            Wasip2,
        ),
        (seen(&[Wasip1]), seen(&[Wasip2]), Channel::Linked, Wasip2),
        (Seen::Absent, seen(&[Unknown]), Channel::Linked, Unknown),
    ];
    for (active, linked, channel, target) in table {
        let found = decide(&active, &linked).unwrap();
        assert_eq!(
            (found.channel, found.target),
            (channel, target),
            "{active:?} {linked:?}"
        );
    }
}

#[test]
fn without_a_target_the_commands_that_help_are_listed() {
    let said = |active: &Seen| decide(active, &Seen::Absent).unwrap_err().to_string();
    let none = said(&seen(&[]));
    for remedy in [
        "rustc 1.95.0 has no target",
        "rustup target add wasm32-unknown-unknown",
        "qx-host build --install-toolchain",
        "tools/guest-toolchain.sh",
    ] {
        assert!(none.contains(remedy), "{none}");
    }
    assert!(!none.contains("wasip1"), "{none}");
    assert!(said(&seen(&[Target::Wasip1])).contains("wasm32-wasip1 is there, but"));
    assert!(said(&Seen::Absent).contains("https://rustup.rs"));
}

#[test]
fn this_machine_compiles_handlers() {
    let found = find().unwrap_or_else(|error| panic!("{error}"));
    assert!(found.to_string().contains("wasm32-"), "{found}");
}

#[test]
fn the_script_that_the_binary_carries_builds_the_toolchain_that_is_looked_for() {
    assert!(INSTALL_SCRIPT.contains(&format!("NAME={LINKED}\n")));
    assert!(INSTALL_SCRIPT.contains(&format!("TARGET={}\n", Target::Unknown.as_str())));
}
