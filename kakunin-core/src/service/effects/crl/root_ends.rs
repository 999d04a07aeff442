//! CRLs of roots end as well, and whoever checks whole chains then refuses every agent below them.

use std::collections::HashSet;

use async_trait::async_trait;

use crate::id::IssuerId;
use crate::key::SignError;
use crate::log::entry::LogId;
use crate::log::record::Stage;
use crate::service::effects::ending::Notice;
use crate::service::effects::follower::Follower;
use crate::service::effects::running::{Kakunin, Running};
use crate::service::effects::unit::{Pace, Turn};
use crate::service::error::Error;
use crate::time::{DAY, SECOND, UnixTime};

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
    /// can be used. What came of it is in [`Kakunin::root_crl_endings`]. [`Kakunin::run`] does this by itself; without it
    /// call this every few minutes.
    pub async fn tend_root_crls(&self) {
        let _ = self.inner.turns_of(&OfRoots).await;
    }
}

/// Makes the CRLs of roots whose keys are here.
pub(in crate::service::effects) struct OfRoots;

#[async_trait]
impl Follower for OfRoots {
    fn name(&self) -> &'static str {
        "root_crls"
    }

    fn logs(&self, _: &Running) -> Option<Vec<LogId>> {
        Some(vec![LogId::System])
    }

    fn pace(&self) -> Pace {
        Pace { rest: 30 * SECOND, again: 30 * SECOND, longest: 30 * SECOND }
    }

    async fn step(&self, running: &Running, _: &LogId, turn: &mut Turn<'_>) -> Result<(), Error> {
        let mut done = Ok(());
        for (root, offline) in running.roots_in_use() {
            let made = if offline { Ok(()) } else { running.tend_root_crl(&root).await };
            let mut known = running.root_crls.windows();
            if made.is_ok() {
                known.failing.remove(&root);
            } else {
                known.failing.insert(root);
            }
            done = done.and(made);
        }
        turn.left = running.root_crls.windows().failing.len();
        done
    }
}

impl Running {
    /// The roots above whoever issues now, and whether their keys are elsewhere.
    fn roots_in_use(&self) -> Vec<(IssuerId, bool)> {
        let above: HashSet<_> = self.cas.issuing_now().iter().map(|ca| ca.root.id()).collect();
        let roots = self.cas.roots().into_iter().map(|root| (root.issuer.id(), root.key.is_none()));
        roots.filter(|(id, _)| above.contains(id)).collect()
    }

    /// Its key can be used, and its CRL is far from its end. Before somebody asked for the first one, none is made.
    async fn tend_root_crl(&self, id: &IssuerId) -> Result<(), Error> {
        let roots = self.cas.roots();
        let key = roots.iter().find(|root| root.issuer.id() == *id).and_then(|root| root.key.as_ref());
        let key = key.ok_or(Error::RootOffline)?;
        self.parts.keys.open(key).await?;
        if !self.root_crls.knows(id) {
            return Ok(());
        }
        // While the key cannot be used the last one is given.
        let crl = self.root_crl(id).await?;
        let lost = || SignError::unavailable("sign", key, "the next CRL of the root could not be made");
        if crl.fresh(self.now()) { Ok(()) } else { Err(lost().into()) }
    }
}
