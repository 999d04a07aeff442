//! What was appended last, kept for whoever asks at once for a proof of it: it knows the frontier before and the leaves
//! since, so a proof in the very checkpoint that was signed with them reads nothing.

use std::collections::VecDeque;
use std::fmt;
use std::ops::Range;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use crate::log::entry::LogId;
use crate::log::merkle::{Frontier, Hash, leaf_hash};
use crate::log::subtrees::{Stretch, Subtree};
use crate::store::audit::Append;

/// Octets of leaves that are kept, of all tenants together.
const MOST_OCTETS: usize = 8 * 1024 * 1024;
/// Appends that are kept, however small.
const MOST: usize = 1_024;

/// What was appended last to the logs of tenants.
#[derive(Debug, Default)]
pub(crate) struct Recent(Mutex<Kept>);

#[derive(Debug, Default)]
struct Kept {
    appended: VecDeque<Arc<Appended>>,
    octets: usize,
}

/// One append.
pub(crate) struct Appended {
    log: LogId,
    before: Frontier,
    pub(crate) checkpoint: String,
    /// The leaves, one after the other, and where each ends.
    octets: Vec<u8>,
    ends: Vec<usize>,
    stretch: OnceLock<Stretch>,
}

impl Recent {
    /// Keeps what was appended.
    pub(super) fn keep(&self, appended: Arc<Appended>) {
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        kept.octets += appended.octets.len();
        kept.appended.push_back(appended);
        while kept.octets > MOST_OCTETS || kept.appended.len() > MOST {
            let Some(oldest) = kept.appended.pop_front() else { break };
            kept.octets -= oldest.octets.len();
        }
    }

    /// The append with all of these leaves in it, if it is kept.
    pub(crate) fn with(&self, log: &LogId, range: &Range<u64>) -> Option<Arc<Appended>> {
        let kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let has = |one: &&Arc<Appended>| {
            let indices = one.indices();
            one.log == *log && indices.start <= range.start && range.end <= indices.end
        };
        kept.appended.iter().rev().find(has).cloned()
    }
}

impl Appended {
    /// What is about to be appended, if it is a tenant's.
    pub(super) fn of_tenant(append: &Append) -> Option<Arc<Self>> {
        matches!(append.log, LogId::Tenant(_)).then(|| Arc::new(Self::of(append)))
    }

    fn of(append: &Append) -> Self {
        let (mut octets, mut ends) = (Vec::new(), Vec::with_capacity(append.entries.len()));
        octets.reserve_exact(append.entries.iter().map(|entry| entry.leaf.len()).sum());
        for entry in &append.entries {
            octets.extend_from_slice(&entry.leaf);
            ends.push(octets.len());
        }
        Self {
            log: append.log.clone(),
            before: append.expected.frontier.clone(),
            checkpoint: append.checkpoint.clone(),
            octets,
            ends,
            stretch: OnceLock::new(),
        }
    }

    fn indices(&self) -> Range<u64> {
        let first = self.before.size();
        first..first.saturating_add(u64::try_from(self.ends.len()).unwrap_or(u64::MAX))
    }

    /// Size of the log after it.
    pub(crate) fn size(&self) -> u64 {
        self.indices().end
    }

    /// A leaf, by its index in the log.
    pub(crate) fn leaf(&self, index: u64) -> Option<&[u8]> {
        let place = usize::try_from(index.checked_sub(self.before.size())?).ok()?;
        let start = place.checked_sub(1).map_or(Some(0), |before| self.ends.get(before).copied())?;
        self.octets.get(start..*self.ends.get(place)?)
    }

    /// The hashes of leaves, by their indices in the log.
    pub(crate) fn hashes(&self, range: &Range<u64>) -> Option<&[Hash]> {
        let place = |index: u64| usize::try_from(index.checked_sub(self.before.size())?).ok();
        self.stretch().leaves().get(place(range.start)?..place(range.end)?)
    }

    /// The root of a full subtree of the log after it, if a proof of one of its leaves may need it.
    pub(crate) fn root(&self, subtree: Subtree) -> Option<Hash> {
        self.stretch().root(subtree)
    }

    // It costs as much as the append's own hashes, so it is made for the first who asks.
    fn stretch(&self) -> &Stretch {
        let stretch = || {
            let leaves = self.indices().filter_map(|index| self.leaf(index)).map(leaf_hash).collect();
            Stretch::new(self.before.clone(), leaves)
        };
        self.stretch.get_or_init(stretch)
    }
}

impl fmt::Debug for Appended {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Appended({}, {:?})", self.log, self.indices())
    }
}
