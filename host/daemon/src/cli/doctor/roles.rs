//! Whether the roles that components run SQL as are fit for it, with the SQL that puts
//! right what is not.

use std::collections::BTreeSet;

use super::Finding;
use crate::config::{Config, DatabaseUrl};
use crate::open;

/// What the line is called.
const WHAT: &str = "sql role";

/// A finding for each thing that speaks against a role, or one that nothing does.
pub(super) async fn look(config: &Config) -> Vec<Finding> {
    let roles: BTreeSet<&str> = config.components.grants.roles().collect();
    if roles.is_empty() {
        return Vec::new();
    }
    if matches!(config.database.url, DatabaseUrl::Sqlite(_)) {
        let text = "components are granted SQL, which needs PostgreSQL: set database.url";
        return vec![Finding::broken(WHAT, text)];
    }
    let Ok(store) = open::existing_store(config).await else {
        return Vec::new(); // Said of the database already.
    };
    let mut findings = Vec::new();
    for role in roles {
        match store.role(role).await {
            None => {}
            Some(Err(fault)) => findings.push(Finding::broken(WHAT, fault.chain())),
            Some(Ok(report)) if report.flaws.is_empty() => {
                let text =
                    format!("{role}: the host may act as it, and it has no right on its tables");
                findings.push(Finding::ok(WHAT, text));
            }
            Some(Ok(report)) => findings.extend(report.flaws.iter().map(|flaw| {
                let text = flaw.sentence(&report);
                if flaw.is_grave() {
                    Finding::broken(WHAT, text)
                } else {
                    Finding::warning(WHAT, text)
                }
            })),
        }
    }
    findings
}
