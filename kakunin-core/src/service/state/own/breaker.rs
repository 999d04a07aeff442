//! Identities that a tenant's agents lost of late for what they did, and whether further ones are held instead.

use std::collections::VecDeque;

use crate::error::StoreError;
use crate::log::record::Tripped;
use crate::policy::BreakerPolicy;
use crate::service::state::rows::set;
use crate::store::state::{Change, Kind};
use crate::time::{DAY, MINUTE, UnixTime};

const KEY: &[u8] = b"breaker";

/// The breaker of a tenant.
#[derive(Clone, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub(crate) struct Breaker {
    /// How many lost theirs automatically, by minute since 1970, oldest first: a day of them.
    lost: VecDeque<(u64, u64)>,
    /// For which event the last one did.
    last: Option<u64>,
    /// Since which record further losses are holds, and why.
    tripped: Option<(u64, Tripped)>,
}

impl Breaker {
    /// How many identities were lost in the window that ends at `now`, to the minute.
    pub(crate) fn recent(&self, policy: &BreakerPolicy, now: UnixTime) -> u64 {
        let from = now.minus(policy.window).millis() / MINUTE;
        self.lost.iter().rev().take_while(|(minute, _)| *minute > from).map(|(_, count)| count).sum()
    }

    /// Since which record further losses are holds, and why.
    pub(crate) const fn is_tripped(&self) -> Option<&(u64, Tripped)> {
        self.tripped.as_ref()
    }

    pub(super) fn lost(&mut self, at: UnixTime, event: u64) -> Result<Change, StoreError> {
        // The certificate that stood beside the newest goes with it: that is one identity.
        if self.last.replace(event) == Some(event) {
            return self.row();
        }
        let minute = at.millis() / MINUTE;
        match self.lost.back_mut() {
            Some((last, count)) if *last >= minute => *count += 1,
            _ => self.lost.push_back((minute, 1)),
        }
        let over = |(before, _): &(u64, u64)| before.saturating_add(DAY / MINUTE) <= minute;
        while self.lost.front().is_some_and(over) {
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
