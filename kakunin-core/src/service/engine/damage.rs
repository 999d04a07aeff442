//! What was found that nobody here wrote: counted, named, and told to whoever operates the deployment.

use std::sync::{Mutex, MutexGuard, PoisonError};

use super::seal::RowKey;
use crate::id::{AgentId, hex_encode};
use crate::log::entry::LogId;
use crate::store::state::Kind;

/// Most that is named; the count goes on.
const NAMED: usize = 100;

/// What was found damaged since the deployment was opened. Damage is repaired from the logs where they say
/// how it was, and refused where they do not.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Damage {
    /// How often.
    pub count: u64,
    /// The first of them, a sentence each.
    pub named: Vec<String>,
}

/// Where damage is noted.
#[derive(Debug, Default)]
pub(crate) struct Damages(Mutex<Damage>);

impl Damages {
    fn all(&self) -> MutexGuard<'_, Damage> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Counts it, and names it unless it was named before.
    pub(crate) fn note(&self, what: impl Into<String>) {
        let (mut all, what) = (self.all(), what.into());
        all.count = all.count.saturating_add(1);
        if all.named.len() < NAMED && !all.named.contains(&what) {
            all.named.push(what);
        }
    }

    /// Rows of a log that were made anew from it.
    pub(crate) fn rebuilt(&self, log: &LogId, rows: &[RowKey]) {
        for (kind, key) in rows {
            let what = describe(log, *kind, key);
            self.note(format!("{what} was changed by somebody else; it is again what the log says"));
        }
        if rows.is_empty() {
            self.note(format!("the seal over the state of log {log} was changed by somebody else"));
        }
    }

    /// A row that is not believed.
    pub(crate) fn row(&self, log: &LogId, kind: Kind, key: &[u8]) {
        self.note(format!("{} was written by somebody else; it is passed over", describe(log, kind, key)));
    }

    pub(crate) fn found(&self) -> Damage {
        self.all().clone()
    }
}

/// What a row is to whoever operates the deployment.
fn describe(log: &LogId, kind: Kind, key: &[u8]) -> String {
    let text = String::from_utf8_lossy(key);
    match (log, kind, <[u8; 16]>::try_from(key)) {
        (LogId::Tenant(tenant), Kind::Agent, Ok(id)) => {
            format!("agent {} of tenant {tenant}", AgentId::from_bytes(id))
        }
        (LogId::Tenant(tenant), Kind::Standing, _) => {
            let (owner, place) = key.split_at(key.len().min(16));
            let id = <[u8; 16]>::try_from(owner).unwrap_or_default();
            match place.is_empty() {
                true => format!("how certificate {} of tenant {tenant} stands", hex_encode(key)),
                false => format!(
                    "the list of certificates of agent {} of tenant {tenant}",
                    AgentId::from_bytes(id)
                ),
            }
        }
        (LogId::System, Kind::Tenant, _) => format!("the row of tenant {}", text.escape_default()),
        (LogId::System, ..) => format!("the row {} of the deployment", text.escape_default()),
        _ => {
            let kind = format!("{kind:?}").to_lowercase();
            format!("the row {} of kind `{kind}` of log {log}", hex_encode(key))
        }
    }
}
