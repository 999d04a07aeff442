//! How a follower stands, in one form for all of them.

use crate::error::StoreError;
use crate::service::error::Error;
use crate::time::UnixTime;

/// How a follower of the logs stands: one value for each, over all logs that it follows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FollowerStatus {
    /// Its name, which stays: `key_tasks`, `crls` and the like.
    pub name: &'static str,
    /// In a word.
    pub state: FollowerState,
    /// How many logs it follows: a tenant's each, an issuing CA's each, or the system's.
    pub logs: usize,
    /// What it has found and not done: keys to be told, CRLs to be made, receipts to be signed.
    pub left: usize,
    /// Records that were appended since it looked last.
    pub behind: u64,
    /// Logs whose last attempt failed.
    pub failing: usize,
    /// Up to when it had done everything, over all its logs; `None` if there is one that it has not done yet.
    pub level_at: Option<UnixTime>,
    /// Since when it fails, or an attempt is under way that should have ended.
    pub since: Option<UnixTime>,
    /// When the next attempt is of what failed.
    pub next_attempt: Option<UnixTime>,
    /// Why the last attempt failed that failed.
    pub error: Option<FollowerError>,
}

/// How a follower stands, in a word.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum FollowerState {
    /// It has done everything.
    Level,
    /// There is something that it is about to do.
    Behind,
    /// Another process over the same store does it.
    Elsewhere,
    /// It fails, and is tried again; or an attempt has been under way for more than a minute.
    Failing,
}

impl FollowerStatus {
    /// Where another process does what it does.
    pub(super) fn elsewhere(self) -> Self {
        Self {
            state: FollowerState::Elsewhere,
            left: 0,
            behind: 0,
            failing: 0,
            level_at: None,
            since: None,
            next_attempt: None,
            error: None,
            ..self
        }
    }
}

impl FollowerState {
    /// `level`, `behind`, `elsewhere` or `failing`.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Level => "level",
            Self::Behind => "behind",
            Self::Elsewhere => "elsewhere",
            Self::Failing => "failing",
        }
    }
}

/// Why a follower failed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FollowerError {
    /// Stable code: see [`Error::code`].
    pub code: &'static str,
    /// What happened, with its causes, for whoever operates the deployment: it may name keys.
    pub message: String,
}

impl From<&Error> for FollowerError {
    fn from(error: &Error) -> Self {
        let (code, mut message) = (error.code(), error.to_string());
        let mut source = std::error::Error::source(error);
        while let Some(cause) = source {
            message.push_str(": ");
            message.push_str(&cause.to_string());
            source = cause.source();
        }
        Self { code, message }
    }
}

/// Whether it is but for want of room: that is shown by itself, and whoever follows goes on once there is some.
pub(super) const fn is_full(error: &Error) -> bool {
    matches!(error, Error::Store(StoreError::Full))
}
