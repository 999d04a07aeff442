//! What an agent is used to: its actions, and whom or what it does them to, learned slowly.

use super::codec::{Reader, Writer};
use crate::event::{Facts, Outcome, Token};

/// Most actions remembered.
const ACTIONS: usize = 48;
/// Most pairs remembered.
const PAIRS: usize = 256;
/// Uses that are counted at most.
const MOST_USES: u32 = 1_000_000;
/// Distinct days after which a pair is taken for granted.
pub(super) const KNOWN: u8 = 2;
/// Busy hours that count at most, so that the measure keeps up.
const SETTLED: u8 = 200;

/// How often an action was used, and how often in a row on nothing new.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct ActionHabit {
    pub(super) action: Token,
    pub(super) last_day: u32,
    pub(super) uses: u32,
    pub(super) run: u32,
    pub(super) amount: u8,
}

/// An action together with its target, its counterparty, or its refusal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Pair {
    key: u64,
    last_day: u32,
    days: u8,
}

/// Two bounded tables in order of their keys, and how busy an hour gets.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Habits {
    actions: Vec<ActionHabit>,
    pairs: Vec<Pair>,
    busy: u32,
    busy_hours: u8,
    day: u32,
    quiet_days: u8,
    fresh_today: bool,
}

/// What is done to whom, as one key; `None` if an act names nobody.
pub(super) fn pair_key(facts: &Facts) -> Option<u64> {
    let other = facts.counterparty.or(facts.target)?;
    Some(mixed(facts.action, other))
}

/// The key of being refused an action on a target.
pub(super) fn refusal_key(facts: &Facts) -> u64 {
    mixed(!facts.action, facts.counterparty.or(facts.target).unwrap_or(0))
}

// Both tokens are uniform already; the rotation keeps the pair ordered.
const fn mixed(a: Token, b: Token) -> u64 {
    (a.rotate_left(21) ^ b).wrapping_mul(0x9E37_79B9_7F4A_7C15)
}

impl Habits {
    /// What is known of an action; nothing yet if it never was used.
    pub(super) fn action(&self, action: Token) -> Option<&ActionHabit> {
        self.actions.binary_search_by_key(&action, |a| a.action).ok().and_then(|i| self.actions.get(i))
    }

    /// On how many days a pair was met in calm, if at all, up to [`KNOWN`].
    pub(super) fn days(&self, key: u64) -> Option<u8> {
        self.pairs.binary_search_by_key(&key, |p| p.key).ok().and_then(|i| self.pairs.get(i)).map(|p| p.days)
    }

    /// Days of work in a row, before `day`, on which it met nothing new.
    pub(super) fn quiet_days(&self, day: u32) -> u8 {
        match (day > self.day, self.fresh_today) {
            (_, true) => 0,
            (false, false) => self.quiet_days,
            (true, false) => self.quiet_days.saturating_add(1).min(SETTLED),
        }
    }

    /// Events in a busy hour, and over how many hours that was learned.
    pub(super) const fn busy(&self) -> (u32, u8) {
        (self.busy, self.busy_hours)
    }

    /// Takes an hour of `events` in that is over: quickly down is as wrong as quickly up.
    pub(super) fn learn_hour(&mut self, events: u32) {
        self.busy = if events > self.busy {
            self.busy + (events - self.busy).div_ceil(4)
        } else {
            self.busy - (self.busy - events) / 32
        };
        self.busy_hours = self.busy_hours.saturating_add(1).min(SETTLED);
    }

    /// Takes an act in. What was suspicious is noticed, and trusted only after calm days; what was
    /// refused is no habit of doing.
    pub(super) fn learn(&mut self, day: u32, facts: &Facts, suspicious: bool) {
        if facts.out_of_scope {
            self.meet(refusal_key(facts), day, false);
        }
        if facts.outcome == Outcome::Denied {
            return;
        }
        if day > self.day {
            self.quiet_days = if self.day == 0 { 0 } else { self.quiet_days(day) };
            (self.day, self.fresh_today) = (day, false);
        }
        let key = pair_key(facts);
        let fresh = key.is_some_and(|k| self.days(k).is_none());
        self.used(day, facts, fresh, suspicious);
        self.fresh_today |= fresh && !suspicious;
        if let Some(key) = key {
            self.meet(key, day, suspicious);
        }
    }

    /// Takes an hour as busy as this for usual.
    pub(super) fn teach_hour(&mut self, events: u32) {
        (self.busy, self.busy_hours) = (self.busy.max(events), self.busy_hours.max(1));
    }

    /// Takes an act for granted from now on, because a person said so.
    pub(super) fn teach(&mut self, day: u32, facts: &Facts) {
        self.learn(day, facts, false);
        let amount = facts.amount.unwrap_or(0).min(64);
        // What was refused is no habit of doing, whatever it was worth.
        if facts.outcome != Outcome::Denied
            && let Ok(at) = self.actions.binary_search_by_key(&facts.action, |a| a.action)
            && let Some(habit) = self.actions.get_mut(at)
        {
            habit.amount = habit.amount.max(amount);
        }
        let refused = facts.out_of_scope.then(|| refusal_key(facts));
        for key in pair_key(facts).into_iter().chain(refused) {
            if let Ok(at) = self.pairs.binary_search_by_key(&key, |p| p.key)
                && let Some(pair) = self.pairs.get_mut(at)
            {
                pair.days = KNOWN;
            }
        }
    }

    fn used(&mut self, day: u32, facts: &Facts, fresh: bool, suspicious: bool) {
        let at = match self.actions.binary_search_by_key(&facts.action, |a| a.action) {
            Ok(at) => at,
            Err(_) => {
                make_room(&mut self.actions, ACTIONS, |a| (a.last_day, a.uses));
                let at = self.actions.partition_point(|a| a.action < facts.action);
                self.actions.insert(at, ActionHabit { action: facts.action, ..ActionHabit::default() });
                at
            }
        };
        let Some(habit) = self.actions.get_mut(at) else {
            return;
        };
        habit.last_day = day;
        habit.uses = (habit.uses + 1).min(MOST_USES);
        habit.run = match (fresh, suspicious) {
            (true, false) => 0,
            (true, true) => habit.run / 2,
            (false, _) => (habit.run + 1).min(MOST_USES),
        };
        // An unusual amount becomes usual one doubling at a time, and not by a suspicious act.
        let amount = facts.amount.unwrap_or(0).min(64);
        if amount > habit.amount && !suspicious {
            habit.amount = if habit.amount == 0 { amount } else { habit.amount + 1 };
        }
    }

    fn meet(&mut self, key: u64, day: u32, suspicious: bool) {
        let calm = u8::from(!suspicious);
        if let Ok(at) = self.pairs.binary_search_by_key(&key, |p| p.key) {
            if let Some(pair) = self.pairs.get_mut(at).filter(|p| p.last_day < day) {
                pair.days = (pair.days + calm).min(KNOWN);
                pair.last_day = day;
            }
            return;
        }
        make_room(&mut self.pairs, PAIRS, |p| (p.days, p.last_day));
        let at = self.pairs.partition_point(|p| p.key < key);
        self.pairs.insert(at, Pair { key, last_day: day, days: calm });
    }

    pub(super) fn encode(&self, out: &mut Writer) {
        out.u32(self.busy);
        out.u8(self.busy_hours);
        out.u32(self.day);
        out.u8(self.quiet_days);
        out.u8(u8::from(self.fresh_today));
        out.u16(u16::try_from(self.actions.len()).unwrap_or(u16::MAX));
        for a in &self.actions {
            out.u64(a.action);
            out.u32(a.last_day);
            out.u32(a.uses);
            out.u32(a.run);
            out.u8(a.amount);
        }
        out.u16(u16::try_from(self.pairs.len()).unwrap_or(u16::MAX));
        for p in &self.pairs {
            out.u64(p.key);
            out.u32(p.last_day);
            out.u8(p.days);
        }
    }

    /// `today` is the day of the newest event: nothing can be remembered from later.
    pub(super) fn decode(bytes: &mut Reader<'_>, today: u32) -> Option<Self> {
        let (busy, busy_hours, day) = (bytes.u32()?, bytes.u8()?, bytes.u32()?);
        let (quiet_days, fresh_today) = (bytes.u8()?, bytes.u8()?);
        let actions = table(bytes, ACTIONS, |b| {
            let (action, last_day, uses, run, amount) = (b.u64()?, b.u32()?, b.u32()?, b.u32()?, b.u8()?);
            let sound = (1..=MOST_USES).contains(&uses) && run <= uses && amount <= 64 && last_day <= today;
            sound.then_some(ActionHabit { action, last_day, uses, run, amount })
        })?;
        let pairs = table(bytes, PAIRS, |b| {
            let (key, last_day, days) = (b.u64()?, b.u32()?, b.u8()?);
            (days <= KNOWN && last_day <= today).then_some(Pair { key, last_day, days })
        })?;
        let sorted =
            actions.is_sorted_by(|a, b| a.action < b.action) && pairs.is_sorted_by(|a, b| a.key < b.key);
        let counts = busy_hours <= SETTLED && quiet_days <= SETTLED && fresh_today <= 1 && day <= today;
        let fresh_today = fresh_today == 1;
        (sorted && counts).then_some(Self { actions, pairs, busy, busy_hours, day, quiet_days, fresh_today })
    }
}

fn make_room<T, K: Ord>(table: &mut Vec<T>, most: usize, worth: impl Fn(&T) -> K) {
    if table.len() < most {
        return;
    }
    if let Some((least, _)) = table.iter().enumerate().min_by_key(|(_, entry)| worth(entry)) {
        table.remove(least);
    }
}

fn table<T>(
    bytes: &mut Reader<'_>,
    most: usize,
    entry: impl Fn(&mut Reader<'_>) -> Option<T>,
) -> Option<Vec<T>> {
    let len = usize::from(bytes.u16()?);
    if len > most {
        return None;
    }
    (0..len).map(|_| entry(bytes)).collect()
}
