//! What dry runs let through that would have been refused: counted by code, and told of once a minute, code and agent.

use std::collections::{BTreeMap, HashMap};
use std::sync::{LazyLock, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use kakunin_core::id::AgentId;

use super::exposition::Exposition;

/// Between two lines about one code and agent.
const SELDOM: Duration = Duration::from_secs(60);
/// Codes and agents that are remembered; others have no lines while these have.
const REMEMBERED: usize = 1_000;

/// Of this process.
pub(crate) static DRY_RUNS: LazyLock<DryRuns> = LazyLock::new(DryRuns::default);

#[derive(Debug, Default)]
pub(crate) struct DryRuns(Mutex<Seen>);

#[derive(Debug, Default)]
struct Seen {
    codes: BTreeMap<&'static str, u64>,
    /// When each last had a line, and how many it did not have since.
    told: HashMap<(&'static str, Option<AgentId>), (Instant, u64)>,
}

impl DryRuns {
    /// Counts one, of an agent or of nobody. If it is time for a line: how many there were without one before.
    pub(crate) fn count(&self, code: &'static str, agent: Option<AgentId>) -> Option<u64> {
        self.count_at(code, agent, Instant::now())
    }

    fn count_at(&self, code: &'static str, agent: Option<AgentId>, now: Instant) -> Option<u64> {
        let mut seen = self.lock();
        let count = seen.codes.entry(code).or_default();
        *count = count.saturating_add(1);
        let is_old = |at: Instant| now.saturating_duration_since(at) >= SELDOM;
        if let Some((at, left_out)) = seen.told.get_mut(&(code, agent)) {
            if !is_old(*at) {
                *left_out = left_out.saturating_add(1);
                return None;
            }
            *at = now;
            return Some(std::mem::take(left_out));
        }
        if seen.told.len() >= REMEMBERED {
            seen.told.retain(|_, (at, _)| !is_old(*at));
        }
        if seen.told.len() >= REMEMBERED {
            return None;
        }
        seen.told.insert((code, agent), (now, 0));
        Some(0)
    }

    pub(super) fn write(&self, to: &mut Exposition) {
        let codes = self.lock().codes.clone();
        let help =
            "Requests that a dry run let through, by the code of the refusal that they would have had.";
        let lines = codes.into_iter().map(|(code, count)| (format!("code=\"{code}\""), count));
        to.counters("gateway_dry_run_total", help, lines);
    }

    fn lock(&self) -> MutexGuard<'_, Seen> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_code_and_agent_has_a_line_a_minute_and_memory_has_an_end() {
        let (runs, began) = (DryRuns::default(), Instant::now());
        let count = |code, agent, after| runs.count_at(code, agent, began + Duration::from_secs(after));
        let agents: Vec<_> = (0..3_000_u128).map(|n| Some(AgentId::from_bytes(n.to_be_bytes()))).collect();
        assert_eq!(count("scope_violation", agents[0], 0), Some(0));
        assert_eq!(count("scope_violation", agents[0], 1), None);
        assert_eq!(count("scope_violation", agents[0], 59), None);
        assert_eq!(count("scope_violation", None, 2), Some(0));
        assert_eq!(count("agent_revoked", agents[0], 2), Some(0));
        assert_eq!(count("scope_violation", agents[0], 60), Some(2));
        let lines = agents.iter().filter(|agent| count("agent_expired", **agent, 61).is_some()).count();
        assert_eq!(lines, REMEMBERED - 3);
        assert_eq!(count("agent_expired", agents[2_999], 61), None);
        assert_eq!(count("agent_expired", agents[2_999], 130), Some(0), "once others are old");
        let mut text = Exposition::default();
        runs.write(&mut text);
        let text = text.into_text();
        assert!(text.contains("kakunin_gateway_dry_run_total{code=\"agent_expired\"} 3002\n"), "{text}");
        assert!(text.contains("kakunin_gateway_dry_run_total{code=\"scope_violation\"} 5\n"), "{text}");
    }
}
