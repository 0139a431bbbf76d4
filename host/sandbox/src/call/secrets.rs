//! Secrets that the operator grants, given by name.

use std::sync::Arc;

use crate::call::context::Context;
use crate::call::text::visible;
use crate::contract::secrets::{Error, Host};

/// Bytes of a name that are shown: it is the guest's.
const NAME_BYTES_SHOWN: usize = 100;

impl Host for Context {
    async fn get(&mut self, name: String) -> wasmtime::Result<Result<String, Error>> {
        self.enter()?;
        let component = &self.shared.name;
        let Some(secret) = self.shared.outside.secrets.get(&name).map(Arc::clone) else {
            let name = visible(&name, NAME_BYTES_SHOWN);
            return Ok(Err(Error::Denied(format!(
                "`{component}` has no secret `{name}`: add it to `secrets` under `[grants.{component}]` \
                    of qx-host.toml, and in `{component}.toml` if that file has the key"
            ))));
        };
        Ok(Ok(secret.value().await.as_ref().to_owned()))
    }
}
