//! The rolling window of 30 days: counts and sums of surprise in 48 hourly and 30 daily buckets.

use super::codec::{Reader, Writer};
use super::fixed::{decayed, mul_div};
use crate::event::Facts;
use crate::time::{DAY, HOUR, MINUTE, UnixTime};

/// Hours that are told apart.
pub(super) const HOURS: usize = 48;
/// Days that are remembered.
pub(super) const DAYS: usize = 30;
/// Half-life of recent surprise.
const HALF_LIFE: u64 = 20 * MINUTE;

/// One day of an agent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Day {
    /// When it began, UTC.
    pub begin: UnixTime,
    /// Scored events.
    pub events: u32,
    /// Those outside the scope.
    pub out_of_scope: u32,
    /// Those that failed to authenticate.
    pub auth_failures: u32,
}

/// What happened in one hour or one day.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Bucket {
    pub(super) events: u32,
    pub(super) out_of_scope: u32,
    pub(super) auth_failures: u32,
    pub(super) surprise: [u32; 4],
}

impl Bucket {
    const EMPTY: Self = Self { events: 0, out_of_scope: 0, auth_failures: 0, surprise: [0; 4] };

    fn add(&mut self, facts: &Facts, surprise: &[u32; 4]) {
        self.events = self.events.saturating_add(1);
        self.out_of_scope = self.out_of_scope.saturating_add(u32::from(facts.out_of_scope));
        self.auth_failures = self.auth_failures.saturating_add(u32::from(facts.auth_failure));
        add_each(&mut self.surprise, surprise);
    }

    fn encode(&self, out: &mut Writer) {
        out.u32(self.events);
        out.u32(self.out_of_scope);
        out.u32(self.auth_failures);
        self.surprise.iter().for_each(|s| out.u32(*s));
    }

    // An empty bucket is not written, and none has more failures than events.
    fn decode(bytes: &mut Reader<'_>) -> Option<Self> {
        let (events, out_of_scope, auth_failures) = (bytes.u32()?, bytes.u32()?, bytes.u32()?);
        let surprise = [bytes.u32()?, bytes.u32()?, bytes.u32()?, bytes.u32()?];
        (events > 0 && out_of_scope <= events && auth_failures <= events).then_some(Self {
            events,
            out_of_scope,
            auth_failures,
            surprise,
        })
    }
}

/// What happened before today.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Past {
    pub(super) events: u64,
    pub(super) out_of_scope: u64,
    pub(super) auth_failures: u64,
}

/// Buckets up to the time of the last event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Window {
    last: UnixTime,
    recent: [u32; 4],
    hours: [Bucket; HOURS],
    days: [Bucket; DAYS],
}

impl Default for Window {
    fn default() -> Self {
        Self {
            last: UnixTime::default(),
            recent: [0; 4],
            hours: [Bucket::EMPTY; HOURS],
            days: [Bucket::EMPTY; DAYS],
        }
    }
}

impl Window {
    /// The window as it stands at `at`; a time before the last event counts as that event's.
    pub(super) fn at(&self, at: UnixTime) -> Self {
        let mut moved = self.clone();
        let (from, to) = (self.last.millis(), at.millis().max(self.last.millis()));
        expire(&mut moved.hours, from / HOUR, to / HOUR);
        expire(&mut moved.days, from / DAY, to / DAY);
        moved.recent = self.recent.map(|sum| decayed(sum, to - from, HALF_LIFE));
        moved.last = UnixTime::from_millis(to);
        moved
    }

    /// Takes an event in at the time of the window.
    pub(super) fn add(&mut self, facts: &Facts, surprise: &[u32; 4]) {
        add_each(&mut self.recent, surprise);
        let (hour, day) = (self.hour(), self.day());
        slot(&mut self.hours, hour).into_iter().for_each(|b| b.add(facts, surprise));
        slot(&mut self.days, day).into_iter().for_each(|b| b.add(facts, surprise));
    }

    /// What was suspicious is so no more; that it happened stays.
    pub(super) fn dismiss(&mut self) {
        self.recent = [0; 4];
        self.hours.iter_mut().chain(&mut self.days).for_each(|bucket| bucket.surprise = Default::default());
    }

    /// Hours since the epoch.
    pub(super) const fn hour(&self) -> u64 {
        self.last.millis() / HOUR
    }

    /// Days since the epoch.
    pub(super) const fn day(&self) -> u64 {
        self.last.millis() / DAY
    }

    /// Surprise of the last minutes, by family.
    pub(super) const fn recent(&self) -> [u32; 4] {
        self.recent
    }

    /// Surprise of two days by family, fading linearly with the hours.
    pub(super) fn hourly(&self) -> [u64; 4] {
        faded(&self.hours, self.hour(), u32::MAX)
    }

    /// Surprise of 30 days by family, fading linearly, of each day no more than `cap`.
    pub(super) fn daily(&self, cap: u32) -> [u64; 4] {
        faded(&self.days, self.day(), cap)
    }

    /// Events of this hour so far.
    pub(super) fn this_hour(&self) -> u32 {
        aged(&self.hours, self.hour()).next().map_or(0, |(_, b)| b.events)
    }

    /// The days on which something happened, oldest first.
    pub(super) fn days(&self) -> Vec<Day> {
        let used = aged(&self.days, self.day()).filter(|(_, b)| b.events > 0);
        let mut days: Vec<_> = used
            .map(|(age, b)| Day {
                begin: UnixTime::from_millis((self.day() - age) * DAY),
                events: b.events,
                out_of_scope: b.out_of_scope,
                auth_failures: b.auth_failures,
            })
            .collect();
        days.reverse();
        days
    }

    /// Sums over the days before this one.
    pub(super) fn before_today(&self) -> Past {
        aged(&self.days, self.day()).skip(1).filter(|(_, b)| b.events > 0).fold(
            Past::default(),
            |past, (_, b)| Past {
                events: past.events + u64::from(b.events),
                out_of_scope: past.out_of_scope + u64::from(b.out_of_scope),
                auth_failures: past.auth_failures + u64::from(b.auth_failures),
            },
        )
    }

    pub(super) fn encode(&self, out: &mut Writer) {
        out.u64(self.last.millis());
        self.recent.iter().for_each(|sum| out.u32(*sum));
        encode_used(&self.hours, out);
        encode_used(&self.days, out);
    }

    pub(super) fn decode(bytes: &mut Reader<'_>) -> Option<Self> {
        let last = UnixTime::from_millis(bytes.u64()?);
        let recent = [bytes.u32()?, bytes.u32()?, bytes.u32()?, bytes.u32()?];
        let (hours, days) = (decode_used(bytes)?, decode_used(bytes)?);
        Some(Self { last, recent, hours, days })
    }
}

fn add_each(sums: &mut [u32; 4], more: &[u32; 4]) {
    sums.iter_mut().zip(more).for_each(|(sum, m)| *sum = sum.saturating_add(*m));
}

// A period has the slot of its number modulo the length, so that nothing moves when time does.
fn slot<const N: usize>(ring: &mut [Bucket; N], period: u64) -> Option<&mut Bucket> {
    ring.get_mut(index::<N>(period))
}

fn index<const N: usize>(period: u64) -> usize {
    u64::try_from(N).ok().and_then(|n| usize::try_from(period % n.max(1)).ok()).unwrap_or(0)
}

// Empties the slots of the periods after `from` up to `to`; after a long gap that is each slot once.
fn expire<const N: usize>(ring: &mut [Bucket; N], from: u64, to: u64) {
    let gone = usize::try_from(to - from).unwrap_or(N).min(N);
    (from + 1..=to).take(gone).for_each(|period| {
        slot(ring, period).into_iter().for_each(|b| *b = Bucket::EMPTY);
    });
}

// Buckets from the newest with their age.
fn aged<const N: usize>(ring: &[Bucket; N], now: u64) -> impl Iterator<Item = (u64, &Bucket)> {
    let (newer, older) = ring.split_at((index::<N>(now) + 1).min(N));
    (0..).zip(newer.iter().rev().chain(older.iter().rev()))
}

fn faded<const N: usize>(ring: &[Bucket; N], now: u64, cap: u32) -> [u64; 4] {
    let span = u64::try_from(N).unwrap_or(1);
    aged(ring, now).filter(|(_, b)| b.events > 0).fold([0_u64; 4], |mut sums, (age, bucket)| {
        sums.iter_mut().zip(bucket.surprise).for_each(|(sum, s)| {
            *sum += mul_div(u64::from(s.min(cap)), span.saturating_sub(age), span);
        });
        sums
    })
}

fn encode_used<const N: usize>(ring: &[Bucket; N], out: &mut Writer) {
    let used = ring.iter().rev().fold(0_u64, |map, b| map << 1 | u64::from(b.events > 0));
    out.u64(used);
    ring.iter().filter(|b| b.events > 0).for_each(|b| b.encode(out));
}

fn decode_used<const N: usize>(bytes: &mut Reader<'_>) -> Option<[Bucket; N]> {
    let mut used = bytes.u64()?;
    let mut ring = [Bucket::EMPTY; N];
    for bucket in &mut ring {
        if used & 1 == 1 {
            *bucket = Bucket::decode(bytes)?;
        }
        used >>= 1;
    }
    (used == 0).then_some(ring)
}
