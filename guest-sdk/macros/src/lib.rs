//! The attribute `#[handler]`: makes a function an export that takes events.
//!
//! What it writes is thin: a check of the signature, and in the component the
//! glue of `wit-bindgen` plus a line of routes. Never: changes the function, so
//! that a native test calls what the author wrote.
//!
//! Use it through `qx_guest::handler`; the promises are documented there.

mod args;
mod expand;
#[path = "../../src/names.rs"]
mod names;
mod signature;

use proc_macro::TokenStream;

/// Makes a function a handler of events.
///
/// ```text
/// #[handler("github.star.created")]
/// fn count_star(event: Event<Star>) -> Result<(), Failure> { … }
/// ```
///
/// **Events.** One or more names or patterns: `*` stands for one token, `>` for
/// the rest. Within a component an exact name wins over a pattern.
///
/// **Versions.** `versions = [1, 2]` or `versions = any`, after the names.
/// Without it the handler takes version 1: a version that it has not been written
/// for is parked by the host, visibly, rather than misread.
///
/// **Export.** The function's name in kebab case: `count_star` becomes
/// `count-star`. Several handlers in one component are several exports.
///
/// **Function.** `fn(Event<T>) -> Result<(), Failure>`, where `T` is anything that
/// implements `Deserialize`, or `Text` for the payload as it arrived.
#[proc_macro_attribute]
pub fn handler(attribute: TokenStream, item: TokenStream) -> TokenStream {
    expand::expand(attribute.into(), &item.into()).into()
}
