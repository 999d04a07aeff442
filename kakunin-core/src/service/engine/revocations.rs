//! The revocation log of an issuing CA, its projection and the live set: brought level, and held against each other.

use std::collections::{BTreeMap, BTreeSet};

use super::cas::Ca;
use super::inner::Inner;
use super::ledger::Ledger;
use super::seal;
use super::system;
use super::yielding::yield_now;
use crate::error::StoreError;
use crate::log::entry::LogId;
use crate::log::merkle::{Frontier, leaf_hash};
use crate::log::record::{Body, Control, Record};
use crate::revoke::{Revocation, RevokedSet};
use crate::service::error::Error;
use crate::store::audit::Turn;
use crate::store::memory::Revocations;

/// Revocations read at once.
const STEP: usize = 65_536;

impl Inner {
    pub(crate) async fn load_revocations(&self, ca: &Ca) -> Result<(), Error> {
        let mut log = ca.log.lock().await;
        log.unsettled();
        self.settle_revocations(ca, &mut log).await
    }

    /// Makes sure that the revocation log, its projection and the live set agree.
    pub(crate) async fn settle_revocations(&self, ca: &Ca, log: &mut Ledger) -> Result<(), Error> {
        if log.is_stale() {
            log.reload(&*self.parts.sink).await?;
            log.unsettled();
            self.is_all_there(log)?;
            self.level_revocations(ca, log).await?;
            self.check_revocations(ca, log).await?;
            self.load_live(ca).await?;
            ca.growth.raise(log.size());
            self.commits.grew(log.log(), log.size());
            log.settled();
        }
        Ok(())
    }

    /// Waits for its turn at the revocation log, and applies what others appended before.
    pub(super) async fn revocation_turn(&self, ca: &Ca, log: &mut Ledger) -> Result<Box<dyn Turn>, Error> {
        let turn = self.parts.sink.turn(log.log()).await?;
        self.settle_revocations(ca, log).await?;
        if turn.size().is_some_and(|size| size != log.size()) {
            self.read_revocations(ca, log).await?;
        }
        Ok(turn)
    }

    /// Applies what others appended to the revocation log, unless that is done.
    pub(crate) async fn follow_revocations(&self, ca: &Ca, size: u64) -> Result<(), Error> {
        let mut log = ca.log.lock().await;
        self.settle_revocations(ca, &mut log).await?;
        if log.size() < size { self.read_revocations(ca, &mut log).await } else { Ok(()) }
    }

    async fn read_revocations(&self, ca: &Ca, log: &mut Ledger) -> Result<(), Error> {
        let mut frontier = log.frontier().clone();
        log.reload(&*self.parts.sink).await?;
        // Memory is behind it until all is applied.
        log.unsettled();
        if frontier.size() > log.size() {
            return Err(system::cut_off(log.log()).into());
        }
        let mut changes = Vec::new();
        while frontier.size() < log.size() {
            let left = usize::try_from(log.size() - frontier.size()).unwrap_or(usize::MAX);
            let entries = self.parts.sink.read(log.log(), frontier.size(), left.min(4_096)).await?;
            if entries.is_empty() {
                return Err(seal::altered(log.log()).into());
            }
            for entry in &entries {
                if let Body::Control(control) = Record::open(entry)?.body
                    && let Control::RevocationChanged(change) = *control
                {
                    changes.push((frontier.size(), change));
                }
                frontier.push(leaf_hash(&entry.leaf));
            }
        }
        if frontier != *log.frontier() {
            return Err(seal::altered(log.log()).into());
        }
        self.parts.revocations.apply(&ca.issuer.id(), &changes).await?;
        self.live.apply_all(changes.iter().map(|(_, change)| change));
        self.lead.saw(log.last_time(), &*self.parts.clock);
        log.settled();
        ca.growth.raise(log.size());
        self.commits.grew(log.log(), log.size());
        Ok(())
    }

    /// Makes the live set what the store has.
    pub(crate) async fn load_live(&self, ca: &Ca) -> Result<(), Error> {
        let standing = self.stored_revocations(ca).await?;
        let entries = standing.iter().map(|(_, revocation)| (revocation.serial, revocation.cause.reason()));
        self.live.replace(ca.issuer.id(), &RevokedSet::from_entries(entries));
        Ok(())
    }

    /// Holds the projection against the revocation log, and makes it what that says.
    pub(crate) async fn check_revocations(&self, ca: &Ca, log: &Ledger) -> Result<(), Error> {
        system::verify(&self.parts, log, Frontier::default()).await?;
        if self.revocations_agree(ca, log.size()).await? {
            return Ok(());
        }
        let issuer = ca.issuer.id();
        let logged = self.logged_revocations(ca, log.size()).await?.by_index;
        let stored: BTreeMap<_, _> = self.stored_revocations(ca).await?.into_iter().collect();
        let differs = |index: &&u64| logged.get(*index) != stored.get(*index);
        let wrong: BTreeSet<_> = logged.keys().chain(stored.keys()).filter(differs).collect();
        for revocation in wrong.iter().filter_map(|index| logged.get(index).or_else(|| stored.get(index))) {
            let what = format!("the revocation of certificate {} by CA {issuer}", revocation.serial);
            self.damages.note(format!("{what} was changed by somebody else; it is again what the log says"));
        }
        let standing: Vec<_> = logged.into_iter().collect();
        self.parts.revocations.replace(&issuer, log.size(), &standing).await?;
        self.load_live(ca).await
    }

    /// Whether the projection is what the revocation log says below `size`.
    pub(crate) async fn revocations_agree(&self, ca: &Ca, size: u64) -> Result<bool, Error> {
        let logged = self.logged_revocations(ca, size).await?.by_index;
        let stored = self.stored_revocations(ca).await?;
        Ok(logged.len() == stored.len() && logged.iter().zip(&stored).all(|(l, s)| (*l.0, *l.1) == *s))
    }

    async fn stored_revocations(&self, ca: &Ca) -> Result<Vec<(u64, Revocation)>, Error> {
        let issuer = ca.issuer.id();
        let mut stored: Vec<(u64, Revocation)> = Vec::new();
        loop {
            let cursor = stored.last().map_or(0, |(last, _)| last.saturating_add(1));
            let more = self.parts.revocations.after(&issuer, cursor, STEP).await?;
            if more.is_empty() {
                return Ok(stored);
            }
            let step = more.len();
            stored.extend(more);
            if step == STEP {
                yield_now().await;
            }
        }
    }

    async fn logged_revocations(&self, ca: &Ca, size: u64) -> Result<Revocations, Error> {
        let log = LogId::Revocations(ca.issuer.id());
        let (mut standing, mut index) = (Revocations::default(), 0);
        while index < size {
            let entries = self.parts.sink.read(&log, index, 4_096).await?;
            if entries.is_empty() {
                return Err(StoreError::Corrupt("a revocation log ends before its head".into()).into());
            }
            for entry in entries.iter().take(usize::try_from(size - index).unwrap_or(usize::MAX)) {
                if let Body::Control(control) = Record::open(entry)?.body
                    && let Control::RevocationChanged(change) = *control
                {
                    standing.apply(index, &change);
                }
                index += 1;
            }
            if index < size {
                yield_now().await;
            }
        }
        Ok(standing)
    }

    /// Applies what the revocation log has and the projection lacks.
    async fn level_revocations(&self, ca: &Ca, log: &Ledger) -> Result<(), Error> {
        let issuer = ca.issuer.id();
        let mut index = self.parts.revocations.applied(&issuer).await?;
        while index < log.size() {
            let entries = self.parts.sink.read(log.log(), index, 4_096).await?;
            let mut changes = Vec::new();
            for entry in &entries {
                if let Body::Control(control) = Record::open(entry)?.body
                    && let Control::RevocationChanged(change) = *control
                {
                    changes.push((index, change));
                }
                index += 1;
            }
            if entries.is_empty() {
                return Err(StoreError::Corrupt("a revocation log ends before its head".into()).into());
            }
            self.parts.revocations.apply(&issuer, &changes).await?;
        }
        Ok(())
    }
}
