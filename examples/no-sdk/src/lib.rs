//! Counts branches, tags and labels that come and go: a handler written against
//! `wit/` alone, with nothing but `wit-bindgen`.
//!
//! The component exports the interface `handler`; which events reach it, its
//! sidecar `no-sdk.toml` says. What another language does looks like this.

/// The part that only a component has: its exports have names that no native
/// linker takes.
#[cfg(target_arch = "wasm32")]
mod component {
    wit_bindgen::generate!({
        path: "../../wit/1.0.0",
        world: "component",
    });

    use exports::qx::events::handler::{Event, Failure, Guest};
    use qx::events::{log, state, types};

    struct Counter;

    impl Guest for Counter {
        fn handle(event: Event) -> Result<(), Failure> {
            let key = format!("seen/{}", event.name);
            let seen = super::next(state::get(&key).as_deref()).map_err(Failure::Reject)?;
            state::set(&key, &seen.to_string()).map_err(|state::Error::Limit(reason)| {
                Failure::Retry(types::Retry {
                    reason,
                    after: None,
                })
            })?;
            log::log(log::Level::Info, &format!("{} number {seen}", event.name));
            Ok(())
        }
    }

    export!(Counter);
}

/// The count after one more.
///
/// # Errors
/// When what was counted before is no number.
pub fn next(before: Option<&str>) -> Result<u64, String> {
    let Some(text) = before else {
        return Ok(1);
    };
    match text.parse::<u64>() {
        Ok(seen) => Ok(seen + 1),
        Err(error) => Err(format!("the state is no number: {error}")),
    }
}

#[cfg(test)]
mod tests {
    use super::next;

    #[test]
    fn the_count_goes_on_from_the_state() {
        assert_eq!(next(None), Ok(1));
        assert_eq!(next(Some("41")), Ok(42));
        assert!(next(Some("many")).is_err());
    }
}
