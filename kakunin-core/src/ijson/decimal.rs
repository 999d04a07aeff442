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
        // Of two that are as short and as near, canonical JSON and this writer take the even one; the standard library does not.
        let shortest = serde_json::Number::from_f64(double).map(|number| number.to_string());
        shortest.as_deref().and_then(Decimal::written).is_some_and(|shortest| shortest == *self)
    }
}
