//! The guest contract as Rust, written by `wit-bindgen` from `wit/events.wit`.
//!
//! Only the imports: every handler brings the export that it is.
#![expect(clippy::pedantic, missing_docs, reason = "generated")]

wit_bindgen::generate!({
    path: "wit",
    world: "imports",
    runtime_path: "::wit_bindgen::rt",
    generate_all,
    generate_unused_types: true,
});
