//! Decimal numbers, and whether a double holds one to the digit.

use std::borrow::Cow;

/// Largest whole number that every reader keeps, 2^53 - 1.
pub const MAX_INTEGER: u64 = 9_007_199_254_740_991;

/// A number without its sign: 0.`digits` times ten to the power of `point`, no zero at either end.
#[derive(PartialEq, Eq)]
pub(super) struct Decimal<'a> {
    digits: Cow<'a, str>,
    point: i64,
}

impl<'a> Decimal<'a> {
    pub(super) fn new(whole: &'a str, fraction: &'a str, exponent: i64) -> Self {
        let all =
            if fraction.is_empty() { Cow::Borrowed(whole) } else { Cow::Owned([whole, fraction].concat()) };
        let leading = all.bytes().take_while(|b| *b == b'0').count();
        let end = all.trim_end_matches('0').len().max(leading);
        let digits = match all {
            Cow::Borrowed(all) => Cow::Borrowed(all.get(leading..end).unwrap_or_default()),
            Cow::Owned(all) => Cow::Owned(all.get(leading..end).unwrap_or_default().to_owned()),
        };
        let places = |count: usize| i64::try_from(count).unwrap_or(i64::MAX / 4);
        let point = places(whole.len()).saturating_sub(places(leading)).saturating_add(exponent);
        Self { digits, point }
    }

    /// As it stands in JSON.
    fn written(text: &'a str) -> Option<Self> {
        let text = text.trim_start_matches('-');
        let (mantissa, exponent) = text.split_once('e').unwrap_or((text, "0"));
        let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
        Some(Self::new(whole, fraction, exponent.parse().ok()?))
    }

    /// Whether a double holds it to the digit: what canonical JSON writes of the double is this number.
    pub(super) fn is_kept(&self, text: &str, plain: bool) -> bool {
        if self.digits.is_empty() {
            return !text.starts_with('-');
        }
        // Fifteen digits always are, in the range of whole numbers that are.
        if self.digits.len() <= 15 && (-290..=15).contains(&self.point) {
            return true;
        }
        if plain {
            return text.trim_start_matches('-').parse::<u64>().is_ok_and(|n| n <= MAX_INTEGER);
        }
        let Ok(double) = text.parse::<f64>() else { return false };
        // Canonical JSON writes these as whole numbers (RFC 8785, 3.2.2.3), larger ones with an exponent.
        if !double.is_finite() || (9_007_199_254_740_992.0..1e21).contains(&double.abs()) {
            return false;
        }
        Self::shortest(double).is_some_and(|shortest| shortest == *self)
    }

    /// What canonical JSON writes of it: the fewest digits that give it back, the nearest of those, and of two as
    /// near the even one (ECMA-262, 6.1.6.1.20, note 2). The standard library leaves open which of two it prints as
    /// shortest; with a count of digits it rounds to the even one.
    fn shortest(double: f64) -> Option<Decimal<'static>> {
        let short = format!("{double:e}");
        let digits = short.bytes().take_while(|b| *b != b'e').filter(u8::is_ascii_digit).count();
        let nearest = format!("{double:.*e}", digits.saturating_sub(1));
        let gives_it_back = nearest.parse::<f64>().is_ok_and(|back| back.to_bits() == double.to_bits());
        Decimal::written(if gives_it_back { &nearest } else { &short }).map(Decimal::into_owned)
    }

    fn into_owned(self) -> Decimal<'static> {
        Decimal { digits: Cow::Owned(self.digits.into_owned()), point: self.point }
    }
}
