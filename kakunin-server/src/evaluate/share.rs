//! Shares with their uncertainty, and other small statistics.

use core::fmt;

use serde::ser::{Serialize, SerializeStruct, Serializer};

/// Two sides, 95 %.
const Z: f64 = 1.959_963_984_540_054;

/// So many of so many.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Share {
    /// How many.
    pub part: u64,
    /// Of how many.
    pub of: u64,
}

impl Share {
    pub(super) const NONE: Self = Self { part: 0, of: 0 };

    /// One more, which counts or does not.
    pub(super) fn add(&mut self, counts: bool) {
        self.part += u64::from(counts);
        self.of += 1;
    }

    /// Both together.
    #[must_use]
    pub const fn and(self, other: Self) -> Self {
        Self { part: self.part + other.part, of: self.of + other.of }
    }

    /// The share; 0 of nothing.
    #[must_use]
    pub fn rate(self) -> f64 {
        real(self.part) / real(self.of.max(1))
    }

    /// Between what and what the share lies with a probability of 95 % (Wilson's score interval); all of it if it is of
    /// nothing.
    #[must_use]
    pub fn interval(self) -> (f64, f64) {
        if self.of == 0 {
            return (0.0, 1.0);
        }
        let (n, p) = (real(self.of), self.rate());
        let scale = 1.0 + Z * Z / n;
        let middle = (p + Z * Z / (2.0 * n)) / scale;
        let half = Z * (p * (1.0 - p) / n + Z * Z / (4.0 * n * n)).sqrt() / scale;
        // The ends are exact where nothing, or everything, counts; rounding would leave them a little beside.
        let low = if self.part == 0 { 0.0 } else { middle - half };
        let high = if self.part == self.of { 1.0 } else { middle + half };
        (low, high)
    }
}

impl FromIterator<bool> for Share {
    fn from_iter<I: IntoIterator<Item = bool>>(all: I) -> Self {
        let mut share = Self::NONE;
        all.into_iter().for_each(|counts| share.add(counts));
        share
    }
}

/// `7 of 118 0.059 (0.029-0.117)`.
impl fmt::Display for Share {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (low, high) = self.interval();
        let text = match self.of {
            0 => "none".to_owned(),
            _ => format!("{} of {} {:.3} ({low:.3}-{high:.3})", self.part, self.of, self.rate()),
        };
        f.pad(&text)
    }
}

impl Serialize for Share {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let (low, high) = self.interval();
        let mut object = serializer.serialize_struct("Share", 5)?;
        object.serialize_field("part", &self.part)?;
        object.serialize_field("of", &self.of)?;
        object.serialize_field("rate", &self.rate())?;
        object.serialize_field("low", &low)?;
        object.serialize_field("high", &high)?;
        object.end()
    }
}

/// A count as a real number; exact up to 2^53, and no trace has so many of anything.
pub(super) fn real(count: u64) -> f64 {
    const HALF: f64 = 4_294_967_296.0;
    let high = u32::try_from(count >> 32).unwrap_or(u32::MAX);
    let low = u32::try_from(count & u64::from(u32::MAX)).unwrap_or(u32::MAX);
    f64::from(high) * HALF + f64::from(low)
}

/// The middle one, or the mean of the two in the middle.
pub(super) fn median(numbers: &[u64]) -> Option<f64> {
    let mut sorted = numbers.to_vec();
    sorted.sort_unstable();
    let upper = *sorted.get(sorted.len() / 2)?;
    let lower = *sorted.get(sorted.len().checked_sub(1)? / 2)?;
    Some((real(lower) + real(upper)) / 2.0)
}

/// The mean, to two decimals, a tie to the even one.
pub(super) fn mean(numbers: &[u64]) -> Option<f64> {
    let count = u64::try_from(numbers.len()).ok().filter(|count| *count > 0)?;
    format!("{:.2}", real(numbers.iter().sum()) / real(count)).parse().ok()
}

/// The smallest of them that 95 % do not exceed.
pub(super) fn ninety_fifth(numbers: &[u64]) -> Option<u64> {
    let mut sorted = numbers.to_vec();
    sorted.sort_unstable();
    sorted.get((sorted.len() * 95).div_ceil(100).checked_sub(1)?).copied()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn intervals_are_those_of_the_tables() {
        let near = |share: Share, low: f64, high: f64| {
            let (l, h) = share.interval();
            assert!((l - low).abs() < 5e-4 && (h - high).abs() < 5e-4, "{share}");
        };
        near(Share { part: 7, of: 118 }, 0.0290, 0.1174);
        near(Share { part: 0, of: 300 }, 0.0, 0.01265);
        near(Share { part: 300, of: 300 }, 0.98735, 1.0);
        near(Share { part: 1, of: 2 }, 0.0945, 0.9055);
        assert_eq!(Share::NONE.interval(), (0.0, 1.0));
    }

    #[test]
    fn middles_and_ends() {
        assert_eq!((median(&[]), median(&[3, 1]), median(&[5, 1, 9])), (None, Some(2.0), Some(5.0)));
        assert_eq!((mean(&[]), mean(&[1, 2, 2])), (None, Some(1.67)));
        assert_eq!(mean(&[1, 0, 0, 0, 0, 0, 0, 0]), Some(0.12));
        let hundred: Vec<u64> = (1..=100).collect();
        assert_eq!(
            (ninety_fifth(&hundred), ninety_fifth(&[4]), ninety_fifth(&[])),
            (Some(95), Some(4), None)
        );
        assert!((real(u64::MAX) - 18_446_744_073_709_551_615.0).abs() < 1.0);
    }
}
