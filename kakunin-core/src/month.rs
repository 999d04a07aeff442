//! Calendar months, in UTC: what the keys of payloads are for, and what is erased.

use core::fmt;
use core::str::FromStr;

use crate::time::{DAY, UnixTime};

/// A month of the calendar, in UTC, between 1970-01 and 9999-12. As text `2026-11`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize, serde::Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Month(u32);

/// A text is no month.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a month is written as 2026-11, from 1970-01 to 9999-12")]
pub struct MonthError;

/// Months before 1970, counted from the year 0.
const BEFORE: u32 = 1_970 * 12;
/// December 9999, counted from 1970.
const LAST: u32 = 9_999 * 12 + 11 - BEFORE;

impl Month {
    /// The month of a time, by the proleptic Gregorian calendar; the last there is for what comes after it.
    #[must_use]
    pub fn of(time: UnixTime) -> Self {
        // Years begin in March here, so that a leap day is the last: days since 0000-03-01.
        let days = time.min(UnixTime::MAX_X509).millis() / DAY + 719_468;
        let (era, day) = (days / 146_097, days % 146_097);
        let year = (day - day / 1_460 + day / 36_524 - day / 146_096) / 365;
        let day = day - (365 * year + year / 4 - year / 100);
        // Since March of that year.
        let month = (5 * day + 2) / 153;
        let months = (era * 400 + year) * 12 + month + 2;
        Self::clamped(months)
    }

    fn clamped(months: u64) -> Self {
        Self(u32::try_from(months).unwrap_or(u32::MAX).saturating_sub(BEFORE).min(LAST))
    }
}

impl fmt::Display for Month {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let months = self.0 + BEFORE;
        write!(f, "{:04}-{:02}", months / 12, months % 12 + 1)
    }
}

impl FromStr for Month {
    type Err = MonthError;

    fn from_str(text: &str) -> Result<Self, MonthError> {
        let (year, month) = text.split_once('-').ok_or(MonthError)?;
        let number = |text: &str, len| {
            let digits = text.len() == len && text.bytes().all(|b| b.is_ascii_digit());
            digits.then(|| text.parse::<u64>().ok()).flatten().ok_or(MonthError)
        };
        let (year, month) = (number(year, 4)?, number(month, 2)?);
        let known = (1_970..=9_999).contains(&year) && (1..=12).contains(&month);
        if known { Ok(Self::clamped(year * 12 + month - 1)) } else { Err(MonthError) }
    }
}

impl TryFrom<String> for Month {
    type Error = MonthError;

    fn try_from(text: String) -> Result<Self, MonthError> {
        text.parse()
    }
}

impl From<Month> for String {
    fn from(month: Month) -> Self {
        month.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_month_is_that_of_the_calendar() {
        // Each day until 2400, and the moments at which one begins and ends, against another implementation.
        for day in 0..157_000 {
            for time in [UnixTime::from_millis(day * DAY), UnixTime::from_millis(day * DAY + DAY - 1)] {
                assert_eq!(Month::of(time).to_string(), time.to_string()[..7], "{time}");
            }
        }
        assert_eq!(Month::of(UnixTime::MAX_X509).to_string(), "9999-12");
        assert_eq!(Month::of(UnixTime::from_millis(u64::MAX)).to_string(), "9999-12");
    }

    #[test]
    fn a_month_is_read_as_it_is_written_and_nothing_else_is() {
        for text in ["1970-01", "2026-11", "2026-12", "9999-12"] {
            assert_eq!(text.parse::<Month>().unwrap().to_string(), text);
        }
        assert!("2026-11".parse::<Month>().unwrap() < "2027-01".parse().unwrap());
        for text in [
            "",
            "2026",
            "2026-13",
            "2026-00",
            "1969-12",
            "26-11",
            "2026-1",
            "2026-11-01",
            "2026-1x",
            "+026-11",
            "２026-11",
        ] {
            assert_eq!(text.parse::<Month>(), Err(MonthError), "{text}");
        }
    }
}
