//! What `qx-host doctor` says of the order of the outbox: a transaction that holds
//! rows back, or will; an outbox that is in other parts than this host was told.

use qx_pipeline::RowOrder;

use super::Finding;
use crate::config::Config;
use crate::open;

/// A transaction that is open for longer, and has recorded events, is worth a look.
const OPEN_MS_MAX: u64 = 10_000;

/// A finding, where rows leave in strict order. A database that cannot be used is
/// found by others.
pub(super) async fn look(config: &Config) -> Option<Finding> {
    let what = "order";
    let store = open::existing_store(config).await.ok()?;
    let (found, wanted) = (store.split().await.ok()?, config.relay.split);
    if found != wanted {
        let text = format!(
            "the outbox is in {found}, and relay.shards says {wanted}: correct it, or stop every \
             host and run `qx-host migrate`"
        );
        return Some(Finding::broken(what, text));
    }
    if config.relay.order != RowOrder::Strict {
        return None;
    }
    Some(match store.outbox().oldest_writer().await {
        Ok(None) => Finding::ok(what, "strict; no transaction holds rows back"),
        Ok(Some(writer)) if writer.open_ms.is_some_and(|ms| ms < OPEN_MS_MAX) => {
            Finding::ok(what, "strict; the transactions that are open are young")
        }
        Ok(Some(writer)) => {
            let pid = writer.pid.map(|pid| format!(" of session {pid}"));
            let age = writer.open_ms.map(|ms| format!(" for {} s", ms / 1_000));
            Finding::warning(
                what,
                format!(
                    "a transaction{} ({}) has written to the outbox and been open{}: rows that \
                     were recorded after it wait until it ends; end it, or set \
                     idle_in_transaction_session_timeout for those who write",
                    pid.unwrap_or_default(),
                    writer.who,
                    age.unwrap_or_default(),
                ),
            )
        }
        Err(fault) => Finding::broken(what, fault.chain()),
    })
}
