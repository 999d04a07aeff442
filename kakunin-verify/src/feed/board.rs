//! How it stands with each issuing CA, for everybody to see.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use kakunin_core::id::IssuerId;
use kakunin_core::time::UnixTime;

/// What a client does about one issuing CA.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum FeedState {
    /// Connects, or waits before it connects again.
    #[default]
    Connecting,
    /// Reads the stream; what it lacks is on its way.
    CatchingUp,
    /// Knows everything.
    Following,
    /// The feed key confirmed two different logs: nothing is believed any more, and it has stopped.
    Forked,
}

/// How it stands with one issuing CA.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FeedStatus {
    /// What the client does.
    pub state: FeedState,
    /// As of when everything is known.
    pub as_of: Option<UnixTime>,
    /// How many records are known.
    pub size: u64,
    /// What went wrong last, and its stable code.
    pub last_error: Option<(&'static str, String)>,
    /// How often something went wrong.
    pub errors: u64,
}

/// Where everybody can see how it stands.
#[derive(Clone, Debug, Default)]
pub(super) struct Board(Arc<Mutex<HashMap<IssuerId, FeedStatus>>>);

impl Board {
    pub(super) fn lock(&self) -> MutexGuard<'_, HashMap<IssuerId, FeedStatus>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn change(&self, issuer: &IssuerId, change: impl FnOnce(&mut FeedStatus)) {
        change(self.lock().entry(*issuer).or_default());
    }
}
