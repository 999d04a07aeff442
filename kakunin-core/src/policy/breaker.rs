//! When a tenant's own revocations are too many to be true.

use crate::risk::Score;
use crate::time::{DAY, HOUR, MINUTE};

/// When further automatic revocations become holds, until a person looks: after too many in a while, or where many agents
/// fail against one target, so that it is the target that is broken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(default)]
pub struct BreakerPolicy {
    /// How far back it looks, in milliseconds: 1 min to 1 day.
    pub window: u64,
    /// How many automatic revocations are let through in the window,
    pub revocations: u32,
    /// or which share of the active agents, in millionths, if that is more.
    pub share: Score,
    /// From how many agents on that failed against the same target within the window it is not the agents' fault; at least 2.
    pub same_target: u32,
}

/// An hour, 5 revocations or 5 % of the agents, 3 agents at one target.
impl Default for BreakerPolicy {
    fn default() -> Self {
        Self { window: HOUR, revocations: 5, share: Score::from_millionths(50_000), same_target: 3 }
    }
}

impl BreakerPolicy {
    /// How many automatic revocations are let through in the window, with so many active agents.
    #[must_use]
    pub fn allowed(&self, agents: usize) -> u64 {
        let agents = u64::try_from(agents).unwrap_or(u64::MAX);
        let share = agents.saturating_mul(self.share.millionths().into()) / 1_000_000;
        share.max(self.revocations.into())
    }

    pub(super) fn is_sound(&self) -> bool {
        (MINUTE..=DAY).contains(&self.window) && self.same_target >= 2
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_share_counts_where_it_is_more() {
        let breaker = BreakerPolicy::default();
        let allowed = [0, 1, 100, 119, 120, 10_000].map(|agents| breaker.allowed(agents));
        assert_eq!(allowed, [5, 5, 5, 5, 6, 500]);
        assert_eq!(BreakerPolicy { revocations: 0, ..breaker }.allowed(19), 0, "all are held");
    }
}
