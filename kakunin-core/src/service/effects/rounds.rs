//! Turns for whoever has a timer of their own instead of [`Kakunin::run`].

use std::collections::BTreeSet;

use super::crl::{CrlRecords, Crls, Publishing};
use super::erasures::Erasures;
use super::graces::Graces;
use super::guards::Guards;
use super::indexing::Indexing;
use super::key_tasks::{KEY_TASKS, KeyTasks};
use super::receipts::{RECEIPTS, Receipts};
use super::running::Kakunin;
use super::sealing::Checks;
use super::snapshots::Snapshots;
use crate::service::error::Error;

/// What is left to tell the key provider.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tended {
    /// Keys to be disabled, enabled, retired or looked for, and receipts to be signed, over all tenants that are loaded.
    pub left: usize,
    /// Tenants whose last attempt failed.
    pub failing: usize,
}

impl Kakunin {
    /// One turn for the followers of tenants' logs that are loaded, and one look at what is stored. It supersedes renewed
    /// certificates whose grace is over, and tells the key provider what it has yet to be told: after a failure the next
    /// attempt waits 1 s, then twice as long, at most a minute. After three attempts in vain an item in the inbox says so.
    /// Looks as well whether somebody else wrote to the store, and at a few records of the logs: see [`Kakunin::damage`].
    /// Stores risk histories once a minute, if anything happened, indexes up to 65,536 records of each log, and destroys keys of
    /// what was erased.
    /// [`Kakunin::run`] does all this by itself; without it call this about once a second.
    ///
    /// # Errors
    /// What the store says. A provider that fails is no error: it is counted.
    pub async fn tend(&self) -> Result<Tended, Error> {
        self.inner.look_at_duty().await;
        let graces = self.inner.turns_of(&Graces).await;
        let tasks = self.inner.turns_of(&KeyTasks).await;
        let receipts = self.inner.turns_of(&Receipts).await;
        let looked = self.inner.turns_of(&Checks).await;
        let kept = self.inner.turns_of(&Snapshots).await;
        // A guard that cannot be written shows in its status.
        let _ = self.inner.turns_of(&Guards).await;
        let indexed = self.inner.turns_of(&Indexing).await;
        let erased = self.inner.turns_of(&Erasures).await;
        tasks.and(receipts).and(graces).and(looked).and(kept).and(indexed).and(erased).map(|()| self.tended())
    }

    /// What is left to tell the key provider, as far as it was looked for.
    #[must_use]
    pub fn tended(&self) -> Tended {
        let units = &self.inner.units;
        let units: Vec<_> = [KEY_TASKS, RECEIPTS].into_iter().flat_map(|name| units.named(name)).collect();
        let failing = units.iter().filter(|unit| unit.left() > 0 && unit.failing().is_some());
        let failing: BTreeSet<_> = failing.map(|unit| &unit.log).collect();
        Tended { left: units.iter().map(|unit| unit.left()).sum(), failing: failing.len() }
    }

    /// Publishes every CRL shard that lacks a revocation or is about to end; what was revoked between two calls is one
    /// CRL. After a failure the next attempt of that issuing CA waits 1 s, then twice as long, at most a minute. Says what
    /// is left. [`Kakunin::run`] does this by itself; without it call this about five times a second.
    pub async fn publish_due(&self) -> Publishing {
        // What fails is in the status, and tried again with the next call.
        let _ = self.inner.turns_of(&CrlRecords).await;
        let _ = self.inner.turns_of(&Crls).await;
        self.publishing()
    }
}
