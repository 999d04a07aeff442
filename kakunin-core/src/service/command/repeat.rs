//! The same request once more, by whoever never got the answer (ADR 19). What it is told by is on record: for which key,
//! by which token, in place of what.

use super::certify::Order;
use crate::error::StoreError;
use crate::id::Serial;
use crate::service::error::Error;
use crate::service::state::agent::AgentEntry;
use crate::service::state::certificates::CertificateState;
use crate::time::MINUTE;

/// For how long the same request for a certificate gets the same answer, in milliseconds by the clock.
pub const REPEATABLE: u64 = 10 * MINUTE;

/// Whether this refusal is what a request gets that was fulfilled before.
pub(crate) const fn may_follow(refused: &Error) -> bool {
    // To answer once more nothing is recorded, so that it needs no room.
    matches!(
        refused,
        Error::Agent(_)
            | Error::Exists(_)
            | Error::Csr(_)
            | Error::JoinToken
            | Error::Store(StoreError::Full)
    )
}

impl Order {
    /// Whether an agent's newest certificate is what this was ordered for.
    pub(crate) fn was(&self, entry: &AgentEntry, newest: &CertificateState) -> bool {
        let redeemed = entry.row.redeemed.filter(|redeemed| redeemed.key_id == newest.key_id);
        match (&self.renews, self.join) {
            (Some((attested, old)), _) => {
                // Whoever orders for an agent says which agent, not which certificate.
                let named = |replaces: Serial| old.approves || old.serial == replaces;
                *attested == entry.row.agent.spec.model_hash && newest.replaces.is_some_and(named)
            }
            (None, Some(id)) => redeemed.is_some_and(|redeemed| redeemed.facts.id == id),
            (None, None) => redeemed.is_none() && newest.replaces.is_none() && newest.profile == self.profile,
        }
    }
}
