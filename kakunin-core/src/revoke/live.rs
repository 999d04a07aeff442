//! What every issuer of a deployment revoked, as it is now.

use std::collections::HashMap;

use arc_swap::ArcSwap;

use super::reason::Reason;
use super::record::RevocationChange;
use super::set::RevokedSet;
use crate::id::{IssuerId, SerialNumber};

/// Revoked serials of every issuer of one deployment, behind an atomic pointer: readers never wait.
#[derive(Debug, Default)]
pub struct LiveRevocations(ArcSwap<HashMap<IssuerId, RevokedSet>>);

impl LiveRevocations {
    /// What is known of a certificate: `Err` if the issuer is not one of this deployment.
    ///
    /// # Errors
    /// [`UnknownIssuer`].
    pub fn reason(&self, issuer: &IssuerId, serial: &SerialNumber) -> Result<Option<Reason>, UnknownIssuer> {
        self.0.load().get(issuer).map(|set| set.reason(serial)).ok_or(UnknownIssuer)
    }

    /// Replaces the set of one issuer.
    pub fn replace(&self, issuer: IssuerId, set: &RevokedSet) {
        self.0.rcu(|all| {
            let mut all = (**all).clone();
            all.insert(issuer, set.clone());
            all
        });
    }

    /// Applies one change of one issuer.
    pub fn apply(&self, change: &RevocationChange) {
        self.apply_all([change]);
    }

    /// Applies changes in their order; readers see all of them, or none.
    pub(crate) fn apply_all<'c>(&self, changes: impl IntoIterator<Item = &'c RevocationChange> + Clone) {
        self.0.rcu(|all| {
            let mut all = (**all).clone();
            for change in changes.clone() {
                let (issuer, _) = change.serial();
                let set = all.remove(&issuer).unwrap_or_default();
                all.insert(issuer, set.with(change));
            }
            all
        });
    }
}

/// The issuer is not one whose revocations are known here, so nothing of it may be accepted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the revocations of this issuer are not known here")]
pub struct UnknownIssuer;

#[cfg(test)]
mod tests {
    use super::super::reason::Cause;
    use super::super::set::tests::{revoked, serial};
    use super::*;

    #[test]
    fn an_unknown_issuer_is_an_error_not_an_absence() {
        let live = LiveRevocations::default();
        let issuer = IssuerId::from_bytes([1; 20]);
        assert_eq!(live.reason(&issuer, &serial(1)), Err(UnknownIssuer));
        live.replace(issuer, &RevokedSet::default());
        assert_eq!(live.reason(&issuer, &serial(1)), Ok(None));
        live.apply(&revoked(1, Cause::Retired));
        assert_eq!(live.reason(&issuer, &serial(1)), Ok(Some(Reason::CessationOfOperation)));
    }
}
