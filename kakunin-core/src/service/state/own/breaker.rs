//! Identities that a tenant's agents lost of late for what they did, and whether further ones are held instead.

use std::collections::VecDeque;

use crate::error::StoreError;
use crate::id::AgentId;
use crate::log::record::Tripped;
use crate::policy::BreakerPolicy;
use crate::service::state::rows::set;
use crate::store::state::{Change, Kind};
use crate::time::{DAY, UnixTime};

const KEY: &[u8] = b"breaker";
/// Losses that are remembered: of more than are ever let through in a window the oldest say nothing.
const MOST: usize = 10_000;

/// The breaker of a tenant.
#[derive(Clone, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub(crate) struct Breaker {
    /// When an agent lost its identity automatically, oldest first.
    lost: VecDeque<(UnixTime, AgentId)>,
    /// Since which record further losses are holds, and why.
    tripped: Option<(u64, Tripped)>,
}

impl Breaker {
    /// How many identities were lost in the window that ends at `now`.
    pub(crate) fn recent(&self, policy: &BreakerPolicy, now: UnixTime) -> u64 {
        let from = now.minus(policy.window);
        let recent = self.lost.iter().rev().take_while(|(at, _)| *at > from);
        u64::try_from(recent.count()).unwrap_or(u64::MAX)
    }

    /// Since which record further losses are holds, and why.
    pub(crate) const fn is_tripped(&self) -> Option<&(u64, Tripped)> {
        self.tripped.as_ref()
    }

    pub(super) fn lost(&mut self, at: UnixTime, agent: AgentId) -> Result<Change, StoreError> {
        let from = at.minus(DAY);
        // The certificate that stood beside the newest goes with it: that is one identity.
        if self.lost.back() == Some(&(at, agent)) {
            return self.row();
        }
        self.lost.push_back((at, agent));
        while self.lost.len() > MOST || self.lost.front().is_some_and(|(at, _)| *at <= from) {
            self.lost.pop_front();
        }
        self.row()
    }

    pub(super) fn tripped(&mut self, index: u64, tripped: &Tripped) -> Result<Change, StoreError> {
        self.tripped = Some((index, tripped.clone()));
        self.row()
    }

    /// A person looked: it begins anew.
    pub(super) fn resolved(&mut self) -> Result<Change, StoreError> {
        *self = Self::default();
        self.row()
    }

    pub(super) fn load(&mut self, value: &[u8]) -> Option<()> {
        *self = serde_json::from_slice(value).ok()?;
        Some(())
    }

    pub(super) fn row(&self) -> Result<Change, StoreError> {
        set(Kind::Breaker, KEY.to_vec(), self)
    }
}
