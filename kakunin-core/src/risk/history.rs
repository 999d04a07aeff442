//! What is remembered of an agent: a rolling window of evidence, and its habits.

use super::codec::{Reader, Writer};
use super::fixed::to_u32;
use super::habits::{Habits, pair_key};
use super::ledger::Ledger;
use super::window::{Day, Window};
use super::{Assessment, RiskModel};
use crate::event::{Facts, Outcome};
use crate::time::UnixTime;

/// Most octets that a model keeps of an agent beside its history.
pub const MAX_KEPT_LEN: usize = 4_096;
/// Most octets of an encoded history.
pub const MAX_HISTORY_LEN: usize = 8_192 + 2 + MAX_KEPT_LEN;

/// Versions of the encoding, without and with what a model keeps at its end, and its length before that.
const VERSION: u8 = 3;
const WITH_KEPT: u8 = 4;
/// The same before there was a ledger, which then starts empty.
const OLD: u8 = 1;
const OLD_WITH_KEPT: u8 = 2;
/// Surprise, in millionths of a bit, from which an event is no ground for trust.
pub(super) const SUSPICIOUS: u64 = 300_000;
/// Score, in millionths, from which nothing is trusted that an agent does.
pub(super) const UNTRUSTED: u32 = 300_000;

/// What is remembered of an agent: counts and surprise of 30 days, and what it is used to.
///
/// The size is bounded, an event is taken in in constant time, and a gap costs no more than an event.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct History {
    window: Window,
    habits: Habits,
    ledger: Ledger,
    kept: Vec<u8>,
}

impl History {
    /// Takes an event in that `model` assessed. Time does not go back: an earlier `at` counts as the last one.
    pub fn record(&mut self, model: &dyn RiskModel, at: UnixTime, facts: &Facts, assessment: &Assessment) {
        let kept = model.keep(self, at, facts, assessment);
        if kept.len() <= MAX_KEPT_LEN {
            self.kept = kept;
        }
        let suspicious = assessment.bits() >= SUSPICIOUS || assessment.score.millionths() >= UNTRUSTED;
        let window = self.window.at(at);
        if window.hour() > self.window.hour() && self.window.this_hour() > 0 {
            self.habits.learn_hour(self.window.this_hour());
        }
        self.window = window;
        self.window.add(facts, &assessment.surprise);
        self.ledger.advance(at);
        self.ledger.add(facts, self.is_fresh(facts));
        self.habits.learn(to_u32(self.window.day()), facts, suspicious);
    }

    /// Takes what was suspicious so far out of every later score; that it happened stays.
    pub fn dismiss(&mut self) {
        self.window.dismiss();
        self.kept.clear();
    }

    /// Learns as habits what was suspicious, and is the agent's work: these acts, and hours as busy as the last one.
    pub fn teach<'f>(&mut self, at: UnixTime, acts: impl Iterator<Item = &'f Facts>) {
        // The hour in which it did something last: people judge it later.
        self.habits.teach_hour(self.window.this_hour());
        self.ledger.teach();
        self.window = self.window.at(at);
        self.ledger.advance(at);
        let day = to_u32(self.window.day());
        acts.for_each(|facts| self.habits.teach(day, facts));
    }

    /// What the model keeps of the agent beside this: as [`RiskModel::keep`] gave it after the last event.
    #[must_use]
    pub fn kept(&self) -> &[u8] {
        &self.kept
    }

    /// The days of the window up to `at` on which something happened, oldest first.
    #[must_use]
    pub fn days(&self, at: UnixTime) -> Vec<Day> {
        self.window.at(at).days()
    }

    /// The window as it stands at `at`.
    pub(super) fn window_at(&self, at: UnixTime) -> Window {
        self.window.at(at)
    }

    /// The ledger as it stands at `at`.
    pub(super) fn ledger_at(&self, at: UnixTime) -> Ledger {
        self.ledger.at(at)
    }

    /// Whether an act names somebody it never was about, and was not refused for today either.
    pub(super) fn is_fresh(&self, facts: &Facts) -> bool {
        let unmet = pair_key(facts).is_some_and(|key| self.habits.days(key).is_none());
        unmet && (facts.outcome != Outcome::Denied || self.ledger.refusals(facts) == 0)
    }

    /// What the agent is used to.
    pub(super) const fn habits(&self) -> &Habits {
        &self.habits
    }

    /// Encodes: the same history always gives the same octets, at most [`MAX_HISTORY_LEN`].
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let mut out = Writer::default();
        out.u8(if self.kept.is_empty() { VERSION } else { WITH_KEPT });
        self.window.encode(&mut out);
        self.habits.encode(&mut out);
        self.ledger.encode(&mut out);
        if !self.kept.is_empty() {
            // At most MAX_KEPT_LEN.
            out.u16(u16::try_from(self.kept.len()).unwrap_or(u16::MAX));
            out.0.extend_from_slice(&self.kept);
        }
        out.0
    }

    /// As it was encoded before there was a ledger.
    #[cfg(test)]
    pub(super) fn encode_old(&self) -> Vec<u8> {
        let mut out = Writer::default();
        out.u8(if self.kept.is_empty() { OLD } else { OLD_WITH_KEPT });
        self.window.encode(&mut out);
        self.habits.encode(&mut out);
        if !self.kept.is_empty() {
            out.u16(u16::try_from(self.kept.len()).unwrap());
            out.0.extend_from_slice(&self.kept);
        }
        out.0
    }

    /// Decodes what [`History::encode`] gave, and what it gave before there was a ledger; `None` for anything else.
    #[must_use]
    pub fn decode(bytes: &[u8]) -> Option<Self> {
        let mut bytes = Reader(bytes);
        let version = bytes.u8()?;
        if !(OLD..=WITH_KEPT).contains(&version) {
            return None;
        }
        let window = Window::decode(&mut bytes)?;
        let habits = Habits::decode(&mut bytes, to_u32(window.day()))?;
        let ledger = match version {
            OLD | OLD_WITH_KEPT => Ledger::default(),
            _ => Ledger::decode(&mut bytes)?,
        };
        let kept = match version {
            WITH_KEPT | OLD_WITH_KEPT => bytes.kept()?,
            _ => Vec::new(),
        };
        bytes.end()?;
        Some(Self { window, habits, ledger, kept })
    }
}

impl Reader<'_> {
    fn kept(&mut self) -> Option<Vec<u8>> {
        let len = usize::from(self.u16()?);
        let (kept, rest) = self.0.split_at_checked(len)?;
        self.0 = rest;
        (1..=MAX_KEPT_LEN).contains(&len).then(|| kept.to_vec())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::{Effect, EventKind, Outcome};
    use crate::risk::{Prior, RiskModel, Weighted};
    use crate::time::DAY;

    fn worked(days: u64) -> History {
        let (model, mut history) = (Weighted::default(), History::default());
        for i in 0..days * 5 {
            let facts = Facts {
                kind: EventKind::ApiCall,
                effect: Effect::Write,
                outcome: if i % 7 == 0 { Outcome::Denied } else { Outcome::Ok },
                out_of_scope: i % 7 == 0,
                auth_failure: false,
                amount: Some(9),
                action: i % 4,
                target: Some(i % 9),
                counterparty: None,
                session: None,
            };
            let at = UnixTime::from_millis(1_767_571_200_000 + i * DAY / 5);
            let assessment = model.assess(&history, &Prior::default(), at, &facts);
            history.record(&model, at, &facts, &assessment);
        }
        history
    }

    #[test]
    fn decoding_is_strict() {
        let bytes = worked(3).encode();
        assert!(History::decode(&bytes).is_some());
        assert!((0..bytes.len()).all(|n| History::decode(&bytes[..n]).is_none()));
        assert!(History::decode(&[bytes.as_slice(), &[0]].concat()).is_none());
        assert!(History::decode(&[]).is_none());
        assert_eq!(History::decode(&History::default().encode()), Some(History::default()));
    }

    /// What was stored before there was a ledger is read, and judged by the older model as before.
    #[test]
    fn older_encodings_are_read() {
        let history = worked(9);
        let old = History::decode(&history.encode_old()).unwrap();
        assert_eq!((&old.window, &old.ledger), (&history.window, &Ledger::default()));
        let at = UnixTime::from_millis(1_767_571_200_000 + 10 * DAY);
        assert_eq!(old.encode_old(), history.encode_old());
        assert_eq!(Weighted::default().current(&old, at), Weighted::default().current(&history, at));
        let kept = History { kept: vec![7; 9], ..history };
        assert_eq!(History::decode(&kept.encode_old()).unwrap().kept, kept.kept);
        assert_eq!(History::decode(&kept.encode()), Some(kept));
    }

    // Whatever is accepted is what would have been written, and can be worked with.
    #[test]
    fn no_bytes_make_decoding_panic() {
        let good = worked(5).encode();
        let byte = |n: usize| u8::try_from(n % 256).unwrap();
        let mut seed = 7_u64;
        let mut next = || {
            seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            usize::try_from(seed >> 33).unwrap()
        };
        for round in 0..20_000 {
            let mut bytes = if round % 4 == 0 {
                (0..next() % 300).map(|_| byte(next())).collect::<Vec<u8>>()
            } else {
                good.clone()
            };
            for _ in 0..next() % 4 {
                let (at, byte) = (next() % bytes.len().max(1), byte(next()));
                if let Some(b) = bytes.get_mut(at) {
                    *b = byte;
                }
            }
            if let Some(history) = History::decode(&bytes) {
                assert_eq!(history.encode(), bytes);
                let _ = Weighted::default().current(&history, UnixTime::from_millis(u64::MAX));
            }
        }
    }

    /// A person judges hours later, and what was refused is no measure of what is usual.
    #[test]
    fn the_last_busy_hour_is_taught_and_no_amount_that_was_refused() {
        let (model, mut history) = (Weighted::default(), History::default());
        let at = UnixTime::from_millis(1_767_571_200_000);
        let mut facts = Facts {
            kind: EventKind::Transaction,
            effect: Effect::Pay,
            outcome: Outcome::Ok,
            out_of_scope: false,
            auth_failure: false,
            amount: Some(3),
            action: 1,
            target: Some(2),
            counterparty: None,
            session: None,
        };
        for _ in 0..90 {
            let assessment = model.assess(&history, &Prior::default(), at, &facts);
            history.record(&model, at, &facts, &assessment);
        }
        (facts.outcome, facts.amount) = (Outcome::Denied, Some(60));
        history.teach(at.plus(DAY / 4), [facts].iter());
        assert_eq!(history.habits().busy().0, 90);
        assert_eq!(history.habits().action(1).map(|habit| habit.amount), Some(3));
    }

    #[test]
    fn time_that_stands_still_or_goes_back_is_the_last_time() {
        let history = worked(2);
        let last = history.window_at(UnixTime::default());
        assert_eq!(last, history.window);
    }
}
