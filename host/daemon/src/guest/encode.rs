//! From what the compiler wrote to a component that takes events.

use wasi_preview1_component_adapter_provider::{
    WASI_SNAPSHOT_PREVIEW1_ADAPTER_NAME, WASI_SNAPSHOT_PREVIEW1_REACTOR_ADAPTER,
};
use wit_component::{ComponentEncoder, DecodedWasm};

/// A component begins with these bytes; a core module has other ones in the
/// second half.
const COMPONENT_MAGIC: [u8; 8] = [0x00, 0x61, 0x73, 0x6d, 0x0d, 0x00, 0x01, 0x00];

/// What the compiler wrote is no handler.
#[derive(Debug, thiserror::Error)]
pub enum EncodeError {
    /// It is something else.
    #[error(
        "it takes no events: in Rust use the crate qx-guest and mark a function with \
            #[handler(\"event.name\")], in C write QX_HANDLER(name, \"event.name\") {{ … }}, or export what \
            wit/1.0.0/events.wit says"
    )]
    NoHandler,
    /// It is damaged, or made for other tools.
    #[error(
        "it cannot be encoded as a component; is its wit-bindgen of another time than the host?"
    )]
    Refused(#[source] anyhow::Error),
}

/// Encodes a core module as a component; a component stays as it is. Both must
/// export something of the guest contract.
pub(super) fn component(wasm: Vec<u8>) -> Result<Vec<u8>, EncodeError> {
    let component = if wasm.starts_with(&COMPONENT_MAGIC) {
        wasm
    } else {
        if !wit_component::metadata::decode(&wasm)
            .map_err(EncodeError::Refused)
            .map(|(_, bound)| knows_contract(&bound.resolve))?
        {
            return Err(EncodeError::NoHandler);
        }
        encoded(&wasm).map_err(EncodeError::Refused)?
    };
    match wit_component::decode(&component).map_err(EncodeError::Refused)? {
        DecodedWasm::Component(resolve, world) => {
            let exports = resolve
                .worlds
                .get(world)
                .is_some_and(|w| !w.exports.is_empty());
            if exports && knows_contract(&resolve) {
                Ok(component)
            } else {
                Err(EncodeError::NoHandler)
            }
        }
        DecodedWasm::WitPackage(..) => Err(EncodeError::NoHandler),
    }
}

/// With what stands between a C library of WASI's first preview and WASI 0.2. It is
/// left out where the module asks for nothing of it.
fn encoded(wasm: &[u8]) -> anyhow::Result<Vec<u8>> {
    ComponentEncoder::default()
        .validate(true)
        .module(wasm)?
        .adapter(
            WASI_SNAPSHOT_PREVIEW1_ADAPTER_NAME,
            WASI_SNAPSHOT_PREVIEW1_REACTOR_ADAPTER,
        )?
        .encode()
}

fn knows_contract(resolve: &wit_parser::Resolve) -> bool {
    let mut packages = resolve.package_names.keys();
    packages.any(|name| name.namespace == "qx" && name.name == "events")
}
