//! CRLs of roots end as well, and whoever checks whole chains then refuses every agent below them.

use std::collections::HashSet;

use crate::id::IssuerId;
use crate::log::record::Stage;
use crate::service::effects::ending::Notice;
use crate::service::effects::running::{Kakunin, Running};
use crate::time::{DAY, UnixTime};

/// The CRL of a root that is kept offline is told of from 90 days before its end, or from when a quarter of its time is
/// left if that is later; it is urgent from 30 days before, or from when a tenth is left.
const OF_OFFLINE_CRLS: Notice = Notice { told: (90 * DAY, 4), urgent: (30 * DAY, 10) };

/// How the newest CRL of a root in use stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RootCrlEnding {
    /// Whose.
    pub root: IssuerId,
    /// Until when it is valid; `None` if there is none.
    pub next_update: Option<UnixTime>,
    /// How near its end is. One whose root's key is here is made anew in time, and never near it.
    pub stage: Stage,
    /// Whether it should be made here, and cannot be: the root's key is gone, or does not sign.
    pub failing: bool,
    /// Whether the root's key is kept elsewhere, so that somebody has to bring the next one.
    pub offline: bool,
}

impl Kakunin {
    /// How the CRLs of the roots in use stand, as far as that is known here; the next ones under an offline root are to
    /// be installed in time.
    #[must_use]
    pub fn root_crl_endings(&self) -> Vec<RootCrlEnding> {
        let inner = &self.inner;
        let now = inner.now();
        let known = inner.root_crls.windows();
        let one = |(root, offline): (IssuerId, bool)| {
            let window = known.of.get(&root).copied();
            let stage = window
                .filter(|_| offline)
                .map_or(Stage::Far, |window| OF_OFFLINE_CRLS.stage(window, now, window.1 <= now));
            let failing = known.failing.contains(&root);
            RootCrlEnding { root, next_update: window.map(|(_, end)| end), stage, failing, offline }
        };
        inner.roots_in_use().into_iter().map(one).collect()
    }

    /// Has the CRLs of the roots in use made anew that are due, if their keys are here, and looks whether those keys
    /// can be used. To be called every few minutes; what came of it is in [`Kakunin::root_crl_endings`].
    pub async fn tend_root_crls(&self) {
        for (root, offline) in self.inner.roots_in_use() {
            let done = offline || self.inner.tend_root_crl(&root).await;
            let mut known = self.inner.root_crls.windows();
            if done {
                known.failing.remove(&root);
            } else {
                known.failing.insert(root);
            }
        }
    }
}

impl Running {
    /// The roots above whoever issues now, and whether their keys are elsewhere.
    fn roots_in_use(&self) -> Vec<(IssuerId, bool)> {
        let above: HashSet<_> = self.cas.issuing_now().iter().map(|ca| ca.root.id()).collect();
        let roots = self.cas.roots().into_iter().map(|root| (root.issuer.id(), root.key.is_none()));
        roots.filter(|(id, _)| above.contains(id)).collect()
    }

    /// Whether its key can be used. Before somebody asked for the first one, none is made.
    async fn tend_root_crl(&self, id: &IssuerId) -> bool {
        let roots = self.cas.roots();
        let key = roots.iter().find(|root| root.issuer.id() == *id).and_then(|root| root.key.as_ref());
        let Some(key) = key else { return false };
        if self.parts.keys.open(key).await.is_err() {
            return false;
        }
        if !self.root_crls.knows(id) {
            return true;
        }
        self.root_crl(id).await.is_ok_and(|crl| crl.fresh(self.now()))
    }
}
