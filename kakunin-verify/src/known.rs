//! What a verifier goes by, as far as it grows: anchors, and the issuers under them.

use std::collections::HashMap;
use std::sync::Arc;

use arc_swap::ArcSwap;
use kakunin_core::id::IssuerId;
use kakunin_core::time::UnixTime;

use crate::issuer::Issuer;
use crate::trust::Trust;

// Strangers add issuers only under our anchors. Beyond this number they are validated at each use.
const MAX_ISSUERS: usize = 256;

/// Anchors, and the issuers that were validated. Readers never wait.
pub(crate) struct Known {
    pub(crate) trust: ArcSwap<Trust>,
    issuers: ArcSwap<HashMap<IssuerId, Arc<Issuer>>>,
}

impl Known {
    pub(crate) fn new(trust: Trust, issuers: HashMap<IssuerId, Arc<Issuer>>) -> Self {
        Self { trust: ArcSwap::from_pointee(trust), issuers: ArcSwap::from_pointee(issuers) }
    }

    pub(crate) fn issuer(&self, id: &IssuerId) -> Option<Arc<Issuer>> {
        self.issuers.load().get(id).cloned()
    }

    pub(crate) fn valid_issuer(&self, id: &IssuerId, now: UnixTime) -> Option<Arc<Issuer>> {
        self.issuer(id).filter(|issuer| issuer.valid_at(now))
    }

    pub(crate) fn ids(&self) -> Vec<IssuerId> {
        self.issuers.load().keys().copied().collect()
    }

    /// Remembers one that a stranger presented, if there is room.
    pub(crate) fn remember(&self, issuer: Issuer) -> Arc<Issuer> {
        self.insert(Arc::new(issuer), MAX_ISSUERS)
    }

    /// Remembers one that the deployment named.
    pub(crate) fn add(&self, issuer: Issuer) {
        self.insert(Arc::new(issuer), usize::MAX);
    }

    fn insert(&self, issuer: Arc<Issuer>, most: usize) -> Arc<Issuer> {
        self.issuers.rcu(|known| {
            let mut known = (**known).clone();
            if known.len() < most || known.contains_key(&issuer.id) {
                known.insert(issuer.id, issuer.clone());
            }
            known
        });
        issuer
    }
}
