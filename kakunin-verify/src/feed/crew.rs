//! What all who follow for one client share.

use std::sync::Arc;

use kakunin_core::id::IssuerId;
use kakunin_core::log::cosignature::CosignerKey;
use kakunin_core::time::Clock;

use super::backoff::Backoff;
use super::board::Board;
use super::follow::Follow;
use super::follower::{FollowError, Follower};
use super::transport::Transport;
use crate::revocation::RevocationHandle;

/// What all who follow for one client share.
#[derive(Debug)]
pub(super) struct Crew {
    pub(super) transport: Transport,
    pub(super) key: Arc<CosignerKey>,
    pub(super) handle: RevocationHandle,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) board: Board,
}

impl Crew {
    /// One more, who follows this issuing CA.
    pub(super) fn follow(&self, issuer: IssuerId) -> Result<Follow, FollowError> {
        let follower = Follower::new(issuer, self.key.clone(), self.handle.clone())?;
        self.board.change(&issuer, |_| ());
        Ok(Follow {
            transport: self.transport.clone(),
            follower,
            clock: self.clock.clone(),
            board: self.board.clone(),
            backoff: Backoff::new(),
        })
    }
}
