//! What was done and met, in counts: the last hour in slots of five minutes, thirty days, and doors that stayed shut today.

use super::codec::{Reader, Writer};
use crate::event::{Effect, Facts, Outcome, Token};
use crate::time::{DAY, HOUR, MINUTE, UnixTime};

/// Length of a slot.
const SLOT: u64 = 5 * MINUTE;
/// Slots that make the last hour.
const SLOTS: usize = 12;
/// Days that are remembered.
const DAYS: usize = 30;
/// Doors of a day that are told apart.
const DOORS: usize = 16;
/// Numbers of hours that are told apart: whole days.
const HOURS_KEPT: u16 = 24 * 2_730;
/// How much busier than the days before a day may be, and still count in full as usual.
const DAY_CAP: u64 = 3;

/// Counts of new targets, by effect.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Met([u8; 6]);

impl Met {
    /// How many with this effect.
    pub(super) fn of(&self, effect: Effect) -> u64 {
        self.0.get(place(effect)).copied().map_or(0, u64::from)
    }

    fn by_acts(&self) -> u64 {
        self.0.iter().skip(1).copied().map(u64::from).sum()
    }

    fn add(&mut self, effect: Effect) {
        self.0.get_mut(place(effect)).into_iter().for_each(|n| *n = n.saturating_add(1));
    }

    fn is_empty(self) -> bool {
        self == Self::default()
    }
}

const fn place(effect: Effect) -> usize {
    match effect {
        Effect::Read => 0,
        Effect::Write => 1,
        Effect::Send => 2,
        Effect::Pay => 3,
        Effect::Delete => 4,
        Effect::Rights => 5,
    }
}

/// Five minutes of the last hour.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Slot {
    done: u16,
    pays: u8,
    out: u8,
    met: Met,
}

/// One day: what succeeded, the most of it within an hour, payments, and new targets.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Tally {
    done: u32,
    peak: u16,
    pays: u8,
    met: Met,
}

impl Slot {
    fn is_empty(&self) -> bool {
        self.done == 0 && self.out == 0 && self.met.is_empty()
    }

    fn encode(&self, out: &mut Writer) {
        out.u16(self.done);
        out.u8(self.pays);
        out.u8(self.out);
        self.met.0.iter().for_each(|n| out.u8(*n));
    }

    fn decode(bytes: &mut Reader<'_>) -> Option<Self> {
        let slot = Self { done: bytes.u16()?, pays: bytes.u8()?, out: bytes.u8()?, met: Met::decode(bytes)? };
        (!slot.is_empty() && u16::from(slot.pays) <= slot.done).then_some(slot)
    }
}

impl Tally {
    fn is_empty(&self) -> bool {
        self.done == 0 && self.met.is_empty()
    }

    fn encode(&self, out: &mut Writer) {
        out.u32(self.done);
        out.u16(self.peak);
        out.u8(self.pays);
        self.met.0.iter().for_each(|n| out.u8(*n));
    }

    fn decode(bytes: &mut Reader<'_>) -> Option<Self> {
        let (done, peak, pays) = (bytes.u32()?, bytes.u16()?, bytes.u8()?);
        let day = Self { done, peak, pays, met: Met::decode(bytes)? };
        (!day.is_empty() && u32::from(pays) <= done).then_some(day)
    }
}

impl Met {
    fn decode(bytes: &mut Reader<'_>) -> Option<Self> {
        let mut counts = [0; 6];
        for n in &mut counts {
            *n = bytes.u8()?;
        }
        Some(Self(counts))
    }
}

/// An act on something that was refused or failed to authenticate on a day, and how often.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Door {
    key: u32,
    hour: u16,
    times: u8,
    login: u8,
}

impl Door {
    /// Whether it is still counted in the hour `now`: a refusal all day, a login as long as the failures go on.
    fn counts(self, now: u16) -> bool {
        let same_day = self.hour / 24 == now / 24;
        let goes_on = (self.hour..=self.hour.saturating_add(1)).contains(&now)
            || self.hour == HOURS_KEPT - 1 && now == 0;
        self.times > 0 && if self.login == 1 { goes_on } else { same_day }
    }
}

/// What the days before today say is usual.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Usual {
    /// Days on which something succeeded.
    pub(super) days: u64,
    /// Mean of the busiest hours, in hundredths of an event.
    pub(super) peak: u64,
    /// Mean of the payments of a day, in hundredths.
    pub(super) pays: u64,
    /// Mean of the new targets of a day with the effect asked for, in hundredths.
    pub(super) met: u64,
    /// Mean of the new targets of a day to which more was done than to read, in hundredths.
    pub(super) met_by_acts: u64,
    /// Days with such a new target.
    pub(super) fresh_days: u64,
    /// Days with any new target, in hundredths, of which one of each further day back counts a seventh less.
    pub(super) recent_fresh: u64,
}

/// Counts up to the time of the last event.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub(super) struct Ledger {
    last: UnixTime,
    slots: [Slot; SLOTS],
    days: [Tally; DAYS],
    doors: [Door; DOORS],
    taught: Slot,
}

impl Ledger {
    /// The ledger as it stands at `at`; a time before the last event counts as that event's.
    pub(super) fn at(&self, at: UnixTime) -> Self {
        let mut moved = self.clone();
        moved.advance(at);
        moved
    }

    /// Moves on to `at`.
    pub(super) fn advance(&mut self, at: UnixTime) {
        let (from, to) = (self.last.millis(), at.millis().max(self.last.millis()));
        expire(&mut self.slots, from / SLOT, to / SLOT);
        expire(&mut self.days, from / DAY, to / DAY);
        self.last = UnixTime::from_millis(to);
    }

    /// Takes an event in; `fresh` if it names somebody it never was about.
    pub(super) fn add(&mut self, facts: &Facts, fresh: bool) {
        let (day, slot) = (self.day(), self.last.millis() / SLOT);
        let done = facts.outcome == Outcome::Ok;
        let pay = done && facts.effect == Effect::Pay;
        if let Some(slot) = self.slots.get_mut(index::<SLOTS>(slot)) {
            slot.done = slot.done.saturating_add(u16::from(done));
            slot.pays = slot.pays.saturating_add(u8::from(pay));
            slot.out = slot.out.saturating_add(u8::from(facts.out_of_scope));
            if fresh {
                slot.met.add(facts.effect);
            }
        }
        let peak = u16::try_from(self.done()).unwrap_or(u16::MAX);
        if let Some(day) = self.days.get_mut(index::<DAYS>(day)) {
            day.done = day.done.saturating_add(u32::from(done));
            day.pays = day.pays.saturating_add(u8::from(pay));
            day.peak = day.peak.max(if done { peak } else { 0 });
            if fresh {
                day.met.add(facts.effect);
            }
        }
        if facts.outcome == Outcome::Denied {
            self.shut(refusal_door(facts), false);
        }
        if facts.auth_failure {
            self.shut(account_door(facts), true);
        }
    }

    /// Days since the epoch.
    const fn day(&self) -> u64 {
        self.last.millis() / DAY
    }

    /// What succeeded in the last hour.
    pub(super) fn done(&self) -> u64 {
        self.slots.iter().map(|s| u64::from(s.done)).sum()
    }

    /// The same, of which each five minutes count as `most` at the most: what went on all the time is more than what came at once.
    pub(super) fn spread(&self, most: u64) -> u64 {
        self.slots.iter().map(|s| u64::from(s.done).min(most)).sum()
    }

    /// Payments made in the last hour.
    pub(super) fn pays(&self) -> u64 {
        self.slots.iter().map(|s| u64::from(s.pays)).sum()
    }

    /// Acts of the last hour outside the scope.
    pub(super) fn out(&self) -> u64 {
        self.slots.iter().map(|s| u64::from(s.out)).sum()
    }

    /// New targets of the last hour to which more was done than to read.
    pub(super) fn met_by_acts(&self) -> u64 {
        self.slots.iter().map(|s| s.met.by_acts()).sum()
    }

    /// New targets of the last hour with this effect.
    pub(super) fn met(&self, effect: Effect) -> u64 {
        self.slots.iter().map(|s| s.met.of(effect)).sum()
    }

    /// New targets of today with this effect.
    pub(super) fn met_today(&self, effect: Effect) -> u64 {
        self.days.get(index::<DAYS>(self.day())).map_or(0, |day| day.met.of(effect))
    }

    /// How busy a person said that an hour may be.
    pub(super) fn taught(&self, effect: Effect) -> (u64, u64) {
        (self.taught.done.into(), self.taught.met.of(effect))
    }

    /// Takes an hour as busy as the last for usual.
    pub(super) fn teach(&mut self) {
        self.taught.done = self.taught.done.max(u16::try_from(self.done()).unwrap_or(u16::MAX));
        for slot in self.slots {
            self.taught.pays = self.taught.pays.saturating_add(slot.pays);
            for (most, n) in self.taught.met.0.iter_mut().zip(slot.met.0) {
                *most = most.saturating_add(n);
            }
        }
    }

    /// What the days before today say. A day much above those before it counts as far as a multiple of them.
    pub(super) fn usual(&self, effect: Effect) -> Usual {
        let (newer, older) = self.days.split_at((index::<DAYS>(self.day())).min(DAYS));
        // From the oldest to yesterday.
        let days = older.iter().skip(1).chain(newer).filter(|d| !d.is_empty());
        let (mut n, mut peak, mut pays, mut met, mut fresh, mut recent, mut acts) =
            (0_u64, 0_u64, 0_u64, 0_u64, 0_u64, 0_u64, 0_u64);
        for day in days {
            let capped = |sum: u64, value: u64, least: u64| {
                (DAY_CAP * sum).checked_div(n).map_or(value, |most| value.min(most.max(least)))
            };
            peak += capped(peak, u64::from(day.peak), 10);
            pays += capped(pays, day.pays.into(), 3);
            met += capped(met, day.met.of(effect), 3);
            acts += capped(acts, day.met.by_acts(), 5);
            fresh += u64::from(day.met.of(effect) > 0);
            recent = recent * 6 / 7 + if day.met.is_empty() { 0 } else { 100 };
            n += 1;
        }
        let mean = |sum: u64| (sum * 100).checked_div(n).unwrap_or(0);
        Usual {
            days: n,
            peak: mean(peak),
            pays: mean(pays),
            met: mean(met),
            met_by_acts: mean(acts),
            fresh_days: fresh,
            recent_fresh: recent,
        }
    }

    /// How often today this act was refused here.
    pub(super) fn refusals(&self, facts: &Facts) -> u64 {
        self.times(refusal_door(facts))
    }

    /// How often it failed to authenticate at this account just now.
    pub(super) fn failures(&self, facts: &Facts) -> u64 {
        self.times(account_door(facts))
    }

    fn times(&self, key: u32) -> u64 {
        let now = self.short_hour();
        self.doors.iter().find(|d| d.key == key && d.counts(now)).map_or(0, |d| d.times.into())
    }

    /// At how many accounts it fails to authenticate just now.
    pub(super) fn logins(&self) -> u64 {
        let now = self.short_hour();
        self.doors.iter().filter(|d| d.login == 1 && d.counts(now)).map(|_| 1).sum()
    }

    fn shut(&mut self, key: u32, login: bool) {
        let hour = self.short_hour();
        if let Some(door) = self.doors.iter_mut().find(|d| d.key == key && d.counts(hour)) {
            (door.hour, door.times) = (hour, door.times.saturating_add(1));
            return;
        }
        // What no longer counts goes first, then the one least often tried.
        if let Some(door) = self.doors.iter_mut().min_by_key(|d| (d.counts(hour), d.times)) {
            *door = Door { key, hour, times: 1, login: u8::from(login) };
        }
    }

    // An hour's number as far as hours near each other are told apart.
    fn short_hour(&self) -> u16 {
        u16::try_from(self.last.millis() / HOUR % u64::from(HOURS_KEPT)).unwrap_or(0)
    }

    pub(super) fn encode(&self, out: &mut Writer) {
        out.u64(self.last.millis());
        used(&self.slots, Slot::is_empty, out);
        self.slots.iter().filter(|s| !s.is_empty()).for_each(|s| s.encode(out));
        used(&self.days, Tally::is_empty, out);
        self.days.iter().filter(|d| !d.is_empty()).for_each(|d| d.encode(out));
        used(&self.doors, |d| d.times == 0, out);
        for door in self.doors.iter().filter(|d| d.times > 0) {
            out.u32(door.key);
            out.u16(door.hour);
            out.u8(door.times);
            out.u8(door.login);
        }
        out.u16(self.taught.done);
        out.u8(self.taught.pays);
        out.u8(self.taught.out);
        self.taught.met.0.iter().for_each(|n| out.u8(*n));
    }

    pub(super) fn decode(bytes: &mut Reader<'_>) -> Option<Self> {
        let last = UnixTime::from_millis(bytes.u64()?);
        let slots = read_used(bytes, Slot::decode)?;
        let days = read_used(bytes, Tally::decode)?;
        let doors = read_used(bytes, |b| {
            let door = Door { key: b.u32()?, hour: b.u16()?, times: b.u8()?, login: b.u8()? };
            (door.times > 0 && door.login <= 1 && door.hour < HOURS_KEPT).then_some(door)
        })?;
        let taught =
            Slot { done: bytes.u16()?, pays: bytes.u8()?, out: bytes.u8()?, met: Met::decode(bytes)? };
        Some(Self { last, slots, days, doors, taught })
    }
}

// An act and what it is about.
fn refusal_door(facts: &Facts) -> u32 {
    door(facts.action, facts.counterparty.or(facts.target).unwrap_or(0))
}

// A wrong password is about its account, whatever act it was for; about the act if it names none.
fn account_door(facts: &Facts) -> u32 {
    door(1, facts.counterparty.or(facts.target).unwrap_or(facts.action))
}

fn door(act: Token, other: Token) -> u32 {
    let mixed = (act.rotate_left(21) ^ other).wrapping_mul(0x9E37_79B9_7F4A_7C15);
    u32::try_from(mixed >> 32).unwrap_or(0)
}

fn index<const N: usize>(period: u64) -> usize {
    u64::try_from(N).ok().and_then(|n| usize::try_from(period % n.max(1)).ok()).unwrap_or(0)
}

// Empties the entries of the periods after `from` up to `to`; after a long gap that is each entry once.
fn expire<T: Default, const N: usize>(ring: &mut [T; N], from: u64, to: u64) {
    let gone = usize::try_from(to - from).unwrap_or(N).min(N);
    (from + 1..=to).take(gone).for_each(|period| {
        ring.get_mut(index::<N>(period)).into_iter().for_each(|entry| *entry = T::default());
    });
}

fn used<T, const N: usize>(ring: &[T; N], is_empty: impl Fn(&T) -> bool, out: &mut Writer) {
    out.u32(ring.iter().rev().fold(0, |map, entry| map << 1 | u32::from(!is_empty(entry))));
}

fn read_used<T: Default + Copy, const N: usize>(
    bytes: &mut Reader<'_>,
    one: impl Fn(&mut Reader<'_>) -> Option<T>,
) -> Option<[T; N]> {
    let mut used = bytes.u32()?;
    let mut ring = [T::default(); N];
    for entry in &mut ring {
        if used & 1 == 1 {
            *entry = one(bytes)?;
        }
        used >>= 1;
    }
    (used == 0).then_some(ring)
}
