//! Nonces that were used: each proves possession once.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::{Mutex, MutexGuard, PoisonError};

use kakunin_core::id::AgentId;
use kakunin_core::time::{MINUTE, SECOND, UnixTime};
use sha2::{Digest, Sha256};

use super::eras::Eras;
use super::profile::{MAX_AGE, MAX_AHEAD};
use crate::agent::VerifiedAgent;
use crate::denied::{Code, Denied};

/// Signatures a second that one agent is promised.
const RATE: usize = 2_000;
/// How many agents may use that at once before they share.
const AGENTS: usize = 8;
/// For how many seconds a nonce may have to be remembered.
const LIFE: usize = 70;
const _: () = assert!(MAX_AGE + MAX_AHEAD == 70 * SECOND);
/// A share, however small the capacity.
const LEAST: usize = 16;
/// Nonces further ahead than this are those of a clock that was set back since.
const ANOTHER_ERA: u64 = 10 * MINUTE;

/// Nonces that were used, remembered until their signatures are too old anyway. What may still come again is never
/// forgotten: who has used up its share is refused, and nobody else.
///
/// One agent, by whichever certificates, has at most an eighth of the capacity; one tenant half. When all of it is
/// taken, each tenant still has an equal part, and each of its agents an equal part of that; so that is exceeded by
/// twice such a part for each tenant at most, however many agents there are.
#[derive(Debug)]
pub struct Nonces {
    capacity: usize,
    used: Mutex<Used>,
}

/// How full a memory of nonces is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct NonceFigures {
    /// Nonces that may still come again.
    pub held: usize,
    /// Signatures that were refused because a share was full.
    pub refused: u64,
    /// When the last of them was.
    pub last_refused: Option<UnixTime>,
}

/// A nonce as it is remembered: a hash over it and whose it is, of 16 octets.
type Mark = [u8; 16];
/// A tenant: a hash over trust domain and name.
type Tenant = [u8; 16];

/// Whose share a nonce takes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct Holder {
    tenant: Tenant,
    agent: AgentId,
}

/// One use of a key.
#[derive(Clone, Copy, Debug)]
pub(super) struct Use {
    holder: Holder,
    mark: Mark,
    created: UnixTime,
    /// Second after which its signature is too old.
    end: u64,
}

#[derive(Debug, Default)]
struct Used {
    /// What was signed before then may have been used before then.
    since: UnixTime,
    marks: HashSet<Mark>,
    /// The same, by the second in which they end.
    ends: BTreeMap<u64, HashMap<Holder, Vec<Mark>>>,
    tenants: HashMap<Tenant, Shares>,
    /// Ends of nonces that were forgotten.
    eras: Eras,
    figures: NonceFigures,
}

/// What a tenant holds.
#[derive(Debug, Default)]
struct Shares {
    held: usize,
    agents: HashMap<AgentId, usize>,
}

impl Use {
    /// `end` is a moment of whole seconds.
    pub(super) fn new(agent: &VerifiedAgent, nonce: &str, created: UnixTime, end: UnixTime) -> Self {
        let tenant = short(&[agent.trust_domain().as_str(), "/", agent.tenant().as_str()].map(str::as_bytes));
        let holder = Holder { tenant, agent: *agent.agent() };
        let mark = short(&[&tenant, agent.agent().as_bytes(), agent.serial().as_bytes(), nonce.as_bytes()]);
        Self { holder, mark, created, end: end.secs() }
    }
}

// The parts before the last are of fixed length, or end with what they cannot hold.
fn short(parts: &[&[u8]]) -> [u8; 16] {
    let mut hash = Sha256::new();
    parts.iter().for_each(|part| hash.update(part));
    let whole: [u8; 32] = hash.finalize().into();
    let mut short = [0; 16];
    short.copy_from_slice(whole.split_at(16).0);
    short
}

impl Nonces {
    /// Room for 2,000 signatures a second of one agent, and for eight such agents: 1,120,000 nonces, of 70 octets where
    /// an agent signs often, of 170 where it signs once a second.
    pub const DEFAULT_CAPACITY: usize = Self::capacity_for(RATE);

    /// Room for eight agents that sign so often each second.
    #[must_use]
    pub const fn capacity_for(rate: usize) -> usize {
        rate.saturating_mul(LIFE).saturating_mul(AGENTS)
    }

    /// Remembers up to `capacity` nonces from `since` on: what was signed before is refused, because whoever
    /// remembered its nonce may be gone. [`UnixTime::default`] where nobody was before.
    #[must_use]
    pub fn new(capacity: usize, since: UnixTime) -> Self {
        Self { capacity, used: Mutex::new(Used { since, ..Used::default() }) }
    }

    /// How full it is.
    #[must_use]
    pub fn figures(&self) -> NonceFigures {
        let used = self.lock();
        NonceFigures { held: used.marks.len(), ..used.figures }
    }

    /// Refuses what was used, or may have been.
    pub(super) fn unused(&self, it: &Use, now: UnixTime) -> Result<(), Denied> {
        self.lock().check(it, now)
    }

    /// Uses a nonce up.
    pub(super) fn spend(&self, it: &Use, now: UnixTime) -> Result<(), Denied> {
        let mut used = self.lock();
        used.check(it, now)?;
        if !used.has_room(it.holder, self.capacity) {
            used.figures.refused = used.figures.refused.saturating_add(1);
            used.figures.last_refused = Some(now);
            return Err(Denied::new(Code::PossessionUnavailable));
        }
        used.take(it);
        Ok(())
    }

    fn lock(&self) -> MutexGuard<'_, Used> {
        self.used.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Used {
    fn check(&mut self, it: &Use, now: UnixTime) -> Result<(), Denied> {
        // A clock that was ahead when this began, and set right since: nothing is to wait for that moment again.
        self.since = self.since.min(now);
        self.forget(now);
        // `now` may be behind that of another call: read earlier, or of a clock that was set back.
        if it.created < self.since || self.eras.hold(it.end) {
            return Err(Denied::new(Code::PossessionStale));
        }
        if self.marks.contains(&it.mark) { Err(Denied::new(Code::PossessionReplayed)) } else { Ok(()) }
    }

    fn has_room(&self, holder: Holder, capacity: usize) -> bool {
        let shares = self.tenants.get(&holder.tenant);
        let (of_tenant, known) = shares.map_or((0, None), |s| (s.held, s.agents.get(&holder.agent).copied()));
        let agents = shares.map_or(0, |s| s.agents.len()) + usize::from(known.is_none());
        let tenants = self.tenants.len() + usize::from(shares.is_none());
        let of_agent = known.unwrap_or(0);
        let half = (capacity / 2).max(LEAST);
        let room = if self.marks.len() < capacity { half } else { half.min(capacity / tenants) };
        // An agent that comes late has its equal part, also where others were before it.
        let late = of_agent < (room / agents).max(1) && of_tenant < room.saturating_mul(2);
        capacity > 0 && of_agent < (capacity / AGENTS).max(LEAST) && (of_tenant < room || late)
    }

    fn take(&mut self, it: &Use) {
        let shares = self.tenants.entry(it.holder.tenant).or_default();
        shares.held += 1;
        *shares.agents.entry(it.holder.agent).or_default() += 1;
        self.ends.entry(it.end).or_default().entry(it.holder).or_default().push(it.mark);
        self.marks.insert(it.mark);
    }

    /// Forgets what cannot come again, or only once the clock is back in a time that it was set back from.
    fn forget(&mut self, now: UnixTime) {
        let (over, another) = (now.millis().div_ceil(SECOND), now.plus(ANOTHER_ERA).secs());
        while let Some(first) = self.ends.first_entry().filter(|first| *first.key() < over) {
            let (end, all) = first.remove_entry();
            self.forget_all(end, all);
        }
        while let Some(last) = self.ends.last_entry().filter(|last| *last.key() > another) {
            let (end, all) = last.remove_entry();
            self.forget_all(end, all);
        }
    }

    fn forget_all(&mut self, end: u64, all: HashMap<Holder, Vec<Mark>>) {
        self.eras.add(end);
        for (holder, marks) in all {
            marks.iter().for_each(|mark| _ = self.marks.remove(mark));
            self.give_back(holder, marks.len());
        }
    }

    fn give_back(&mut self, holder: Holder, count: usize) {
        let Some(shares) = self.tenants.get_mut(&holder.tenant) else { return };
        shares.held = shares.held.saturating_sub(count);
        if let Some(held) = shares.agents.get_mut(&holder.agent) {
            *held = held.saturating_sub(count);
            if *held == 0 {
                shares.agents.remove(&holder.agent);
            }
        }
        if shares.agents.is_empty() {
            self.tenants.remove(&holder.tenant);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(secs: u64) -> UnixTime {
        UnixTime::from_secs(secs)
    }

    fn holder(tenant: u8, agent: u8) -> Holder {
        Holder { tenant: [tenant; 16], agent: AgentId::from_bytes([agent; 16]) }
    }

    /// A nonce of a signature made at `created`.
    fn signed(holder: Holder, n: u32, created: u64) -> Use {
        let mark = short(&[&holder.tenant, holder.agent.as_bytes(), &n.to_be_bytes()]);
        Use { holder, mark, created: at(created), end: created + MAX_AGE / SECOND }
    }

    fn code(result: Result<(), Denied>) -> Option<Code> {
        result.err().map(|denied| denied.kind())
    }

    /// How many of so many signatures of one second are taken.
    fn taken(nonces: &Nonces, holder: Holder, now: u64, count: u32) -> usize {
        (0..count).filter(|n| nonces.spend(&signed(holder, *n, now), at(now)).is_ok()).count()
    }

    #[test]
    fn a_nonce_is_used_once_until_it_is_too_old() {
        let (nonces, a) = (Nonces::new(100, at(0)), holder(1, 1));
        let spend = |n, created, now| code(nonces.spend(&signed(a, n, created), at(now)));
        assert_eq!(
            (spend(1, 0, 0), spend(1, 0, 1), spend(1, 5, 5)),
            (None, Some(Code::PossessionReplayed), Some(Code::PossessionReplayed))
        );
        assert_eq!(spend(1, 0, 60), Some(Code::PossessionReplayed), "still young enough to come again");
        assert_eq!(code(nonces.unused(&signed(a, 2, 60), at(61))), None, "looking uses nothing up");
        assert_eq!((spend(2, 60, 61), nonces.figures().held), (None, 1), "the first is forgotten");
        assert_eq!(spend(1, 62, 62), None);
    }

    #[test]
    fn shares_are_of_agents_and_tenants_and_nobody_takes_anothers() {
        let nonces = Nonces::new(800, at(0));
        assert_eq!(taken(&nonces, holder(1, 1), 0, 900), 100, "an eighth");
        for agent in 2..40 {
            taken(&nonces, holder(1, agent), 0, 900);
        }
        let crowded = nonces.figures().held;
        assert!((400..=800).contains(&crowded), "half, and a part of it for each agent: {crowded}");
        assert!(taken(&nonces, holder(1, 99), 0, 900) <= 10, "it has no more");
        assert_eq!(taken(&nonces, holder(2, 1), 0, 900), 100, "another tenant does not feel it");
        for agent in 2..40 {
            taken(&nonces, holder(2, agent), 0, 900);
        }
        assert!(nonces.figures().held >= 800, "all is taken");
        assert_eq!(taken(&nonces, holder(3, 1), 0, 900), 100, "a third has an equal part");
        let figures = nonces.figures();
        assert!(
            figures.held <= 2 * 800 + 100 && figures.refused > 60_000 && figures.last_refused == Some(at(0)),
            "{figures:?}"
        );
        assert_eq!(taken(&nonces, holder(1, 1), 61, 900), 100, "its share is its own again");
        assert_eq!(nonces.figures().held, 100);
    }

    #[test]
    fn the_promised_rate_fits_and_memory_is_what_it_says() {
        let (nonces, seconds) = (Nonces::new(Nonces::DEFAULT_CAPACITY, at(0)), 75);
        for second in 0..seconds {
            let all =
                (0..2_000).map(|n| signed(holder(1, 1), u32::try_from(second).unwrap() * 2_000 + n, second));
            for it in all {
                assert_eq!(code(nonces.spend(&it, at(second))), None, "{second}");
            }
        }
        let held = nonces.figures().held;
        assert!(held <= 2_000 * 61 + 1, "{held}");
        let used = nonces.lock();
        let listed: usize =
            used.ends.values().flat_map(HashMap::values).map(|marks| marks.capacity() * 16).sum();
        let octets = used.marks.capacity() * 8 / 7 * 17 + listed;
        assert!(octets / held <= 70, "{} octets each", octets / held);
    }

    #[test]
    fn what_was_signed_before_the_memory_began_is_refused() {
        let nonces = Nonces::new(100, UnixTime::from_millis(100_500));
        let spend = |n, created| code(nonces.spend(&signed(holder(1, 1), n, created), at(102)));
        assert_eq!(
            (spend(1, 99), spend(1, 100), spend(1, 101)),
            (Some(Code::PossessionStale), Some(Code::PossessionStale), None)
        );
        // It began by a clock that was three hours ahead.
        let nonces = Nonces::new(100, at(20_000));
        let spend = |created, now| code(nonces.spend(&signed(holder(1, 1), 1, created), at(now)));
        assert_eq!((spend(9_199, 9_200), spend(9_200, 9_200)), (Some(Code::PossessionStale), None));
    }

    #[test]
    fn a_clock_that_is_set_neither_brings_a_nonce_back_nor_ends_everything() {
        let (nonces, a) = (Nonces::new(16, at(0)), holder(1, 1));
        let spend = |n, created, now| code(nonces.spend(&signed(a, n, created), at(now)));
        assert_eq!(spend(1, 1_000, 1_000), None);
        // Three hours ahead, for as long as it takes to fill the share and to forget what was before.
        assert_eq!(taken(&nonces, a, 11_800, 20), 16);
        assert_eq!((spend(99, 11_861, 11_861), spend(98, 11_862, 11_862)), (None, None));
        // And back: what was used stays used, in both times, and what is new is taken.
        assert_eq!(spend(1, 1_000, 1_002), Some(Code::PossessionStale));
        assert_eq!((spend(2, 1_002, 1_002), spend(2, 1_002, 1_003)), (None, Some(Code::PossessionReplayed)));
        assert_eq!(taken(&nonces, a, 1_100, 20), 16, "the share of another time is given back");
        for (n, created) in [(0, 11_800), (99, 11_861), (98, 11_862)] {
            assert_eq!(spend(n, created, created + 1), Some(Code::PossessionStale), "{n}");
        }
        assert_eq!(spend(97, 11_863, 11_863), None);
    }

    #[test]
    fn a_clock_that_is_set_back_a_little_remembers() {
        let (nonces, a) = (Nonces::new(100, at(0)), holder(1, 1));
        let spend = |n, created, now| code(nonces.spend(&signed(a, n, created), at(now)));
        assert_eq!((spend(1, 1_000, 1_000), spend(2, 970, 970)), (None, None), "30 s back");
        assert_eq!(spend(1, 1_000, 1_000), Some(Code::PossessionReplayed));
    }

    #[test]
    fn of_many_at_once_one_wins() {
        let nonces = Nonces::new(100, at(0));
        let wins = std::thread::scope(|scope| {
            let spend = || nonces.spend(&signed(holder(1, 1), 1, 0), at(0)).is_ok();
            let tries: Vec<_> = (0..16).map(|_| scope.spawn(spend)).collect();
            tries.into_iter().map(|t| t.join().unwrap()).filter(|won| *won).count()
        });
        assert_eq!(wins, 1);
    }
}
