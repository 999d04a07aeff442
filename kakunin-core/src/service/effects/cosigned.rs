//! What was signed last of one feed.

use std::sync::Arc;

use crate::feed::Snapshot;
use crate::log::merkle::Frontier;
use crate::time::UnixTime;

/// What was signed last of one feed.
#[derive(Debug, Default)]
pub(crate) struct Feed {
    pub(super) cosigned: async_lock::Mutex<Option<Cosigned>>,
    pub(super) snapshot: async_lock::Mutex<Option<(UnixTime, Arc<Snapshot>)>>,
}

/// A checkpoint that the feed key cosigned.
#[derive(Clone, Debug)]
pub(super) struct Cosigned {
    pub(super) frontier: Frontier,
    pub(super) note: Arc<str>,
    pub(super) at: UnixTime,
}

impl Cosigned {
    pub(super) const fn size(&self) -> u64 {
        self.frontier.size()
    }
}
