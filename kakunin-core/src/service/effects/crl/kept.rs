//! The CRLs of one issuing CA, as far as they are published, and how publishing goes.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::index::Index;
use super::published::PublishedCrl;
use crate::id::IssuerId;
use crate::service::error::Regression;
use crate::service::state::crl_mark::Mark;
use crate::time::{SECOND, UnixTime};

/// How long a CRL that the guard refused is left alone.
const REFUSED_WAIT: u64 = 30 * SECOND;

/// The CRLs of one issuing CA.
#[derive(Debug, Default)]
pub(crate) struct Publisher {
    /// Filled when it is first needed. Never held while something is signed.
    pub(super) index: async_lock::Mutex<Option<Index>>,
    /// Held by whoever signs.
    pub(super) turn: async_lock::Mutex<()>,
    pub(super) known: Mutex<Known>,
}

/// What was published, and what must not be; the full CRL under `None`.
#[derive(Debug, Default)]
pub(super) struct Known {
    pub(super) published: HashMap<Option<u16>, Arc<PublishedCrl>>,
    /// The highest that was given out, and when: a call that is dropped may leave a CRL on record that was
    /// never served.
    pub(super) given: HashMap<Option<u16>, (Mark, UnixTime)>,
    pub(super) refused: HashMap<Option<u16>, (Regression, UnixTime)>,
}

/// How the publication of CRLs goes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Publishing {
    /// CRLs that lack a revocation.
    pub left: usize,
    /// Issuing CAs whose last attempt failed, with the code of the error.
    pub failing: Vec<(IssuerId, &'static str)>,
    /// CRLs that would take back what an earlier one said.
    pub refused: Vec<RefusedCrl>,
}

/// A CRL that is not published, because it would take back what the last one said.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RefusedCrl {
    /// Whose.
    pub issuer: IssuerId,
    /// Which shard; the full CRL if there is none.
    pub shard: Option<u16>,
    /// Why.
    pub why: Regression,
}

impl Publisher {
    pub(super) fn known(&self) -> MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn last(&self, shard: Option<u16>) -> Option<Arc<PublishedCrl>> {
        self.known().published.get(&shard).cloned()
    }

    /// A mark above that of every CRL with this coverage before it, and above the one `on_record`.
    pub(super) fn next_mark(&self, shard: Option<u16>, on_record: Mark, now: UnixTime) -> Mark {
        let mut known = self.known();
        let last = known.last_mark(shard).max(on_record);
        let next = last.next(now);
        known.given.insert(shard, (next, now));
        next
    }

    /// The newest CRL, if it says everything that it has to say now.
    pub(super) fn served(
        &self,
        index: &Index,
        shard: Option<u16>,
        now: UnixTime,
    ) -> Option<Arc<PublishedCrl>> {
        let crl = self.last(shard).filter(|crl| crl.fresh(now))?;
        let current = match shard {
            Some(shard) => !index.dirty().contains(&shard),
            None => crl.cursor == index.cursor || crl.young(now),
        };
        current.then_some(crl)
    }

    /// Shards that changed, or are about to end; those that were refused a moment ago are left alone, and those
    /// that wait for the clock.
    pub(super) fn due(&self, index: &Index, now: UnixTime) -> Vec<Option<u16>> {
        let known = self.known();
        let ending = known.published.iter().filter(|(shard, crl)| shard.is_some() && !crl.fresh(now));
        let mut due: Vec<_> = ending.map(|(shard, _)| *shard).collect();
        due.extend(index.dirty().iter().copied().map(Some));
        due.sort_unstable();
        due.dedup();
        let waits = |(_, at): &(Regression, UnixTime)| *at <= now && now.since(*at) < REFUSED_WAIT;
        due.retain(|shard| !known.refused.get(shard).is_some_and(waits) && !known.waits(*shard, now));
        due
    }
}

impl Known {
    fn last_mark(&self, shard: Option<u16>) -> Mark {
        let given = self.given.get(&shard).map_or_else(Mark::default, |(mark, _)| *mark);
        self.published.get(&shard).map_or(given, |crl| crl.mark().max(given))
    }

    /// Whether the next one is for a second from now: after so many that thisUpdate has caught up with the clock,
    /// there is one a second, and what comes in between is on the next. A clock that was set back is not waited
    /// for, since that would keep revocations off the CRL: then thisUpdate lies ahead of it.
    pub(super) fn waits(&self, shard: Option<u16>, now: UnixTime) -> bool {
        let just_now = |made: UnixTime| made <= now && now.since(made) < SECOND;
        self.last_mark(shard).next(now).this_update > now
            && self.given.get(&shard).is_some_and(|(_, made)| just_now(*made))
    }
}

impl Publisher {
    /// The CRLs that a new one must not take back: the last one, or every shard if it is to be full.
    pub(super) fn held_against(&self, shard: Option<u16>) -> Vec<(Option<u16>, Arc<PublishedCrl>)> {
        let known = self.known();
        let those = known.published.iter().filter(|(of, _)| shard.is_none() || **of == shard);
        those.map(|(of, crl)| (*of, crl.clone())).collect()
    }
}

/// The newest CRLs of roots.
#[derive(Debug, Default)]
pub(crate) struct RootCrls {
    pub(super) newest: async_lock::Mutex<HashMap<IssuerId, Arc<PublishedCrl>>>,
    /// Of what is read without waiting.
    pub(super) windows: Mutex<Windows>,
}

/// What is known of the CRLs of roots without waiting for a key.
#[derive(Debug, Default)]
pub(super) struct Windows {
    pub(super) of: HashMap<IssuerId, (UnixTime, UnixTime)>,
    pub(super) failing: HashSet<IssuerId>,
}

impl RootCrls {
    pub(super) fn windows(&self) -> MutexGuard<'_, Windows> {
        self.windows.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn learn_end(&self, root: IssuerId, crl: &PublishedCrl) {
        self.windows().of.insert(root, (crl.this_update, crl.next_update));
    }

    pub(super) fn knows(&self, root: &IssuerId) -> bool {
        self.windows().of.contains_key(root)
    }
}

/// The newest CRL of each coverage that is served, and not wholly on record.
#[derive(Debug, Default)]
pub(crate) struct Unwritten(pub(super) Mutex<HashMap<Coverage, ToRecord>>);

type Coverage = (IssuerId, Option<u16>);

/// A CRL that is to be on record.
#[derive(Clone, Debug)]
pub(super) struct ToRecord {
    pub(super) issuer: IssuerId,
    pub(super) shard: Option<u16>,
    pub(super) crl: Arc<PublishedCrl>,
    /// Whether it tells of what was revoked since the last one.
    pub(super) tells: bool,
}
