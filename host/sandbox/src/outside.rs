//! What of the world outside a component is given, each thing behind a port and bound
//! to the component already.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use qx_events::ports::{Http, SecretSource};

/// What a component reaches. Nothing, unless somebody says so.
#[derive(Clone, Default)]
pub struct Outside {
    /// The secrets that it is granted, by name.
    pub secrets: BTreeMap<String, Arc<dyn SecretSource>>,
    /// Who sends its requests, to where it is granted to send them.
    pub http: Option<Arc<dyn Http>>,
}

/// Names only.
impl fmt::Debug for Outside {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { secrets, http } = self;
        f.debug_struct("Outside")
            .field("secrets", &secrets.keys())
            .field("http", &http.is_some())
            .finish()
    }
}
