//! Components as they lie in the folder: what is read before anything is compiled, and
//! the whole way to a call.

use qx_events::Outcome;
use qx_sandbox::testing;

use crate::host::{Script, World, told};

/// What is read of a component before it is compiled: names, imports, routes.
pub fn names(data: &[u8]) {
    if let Err(error) = testing::read_names(data) {
        told(&error);
    }
}

/// A component is loaded, and its first handler called.
pub fn component(data: &[u8]) {
    World::shared().block_on(|world| async move {
        match world.load(data.to_vec()).await {
            Ok(loaded) => {
                let outcome = world.call(&loaded, Script::default()).await;
                let is_hosts = matches!(outcome, Outcome::HostFault(_));
                assert!(!is_hosts, "{outcome:?}");
            }
            Err(error) => told(&error),
        }
    });
}
