//! Time as an argument: Unix milliseconds, and the calendar that X.509 and RFC 3339 need.

use core::fmt;
use core::sync::atomic::{AtomicU64, Ordering};

use time::{Date, Month, OffsetDateTime, PrimitiveDateTime, Time};

/// Milliseconds since 1970-01-01T00:00:00Z, as the log and every decision use them.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize, serde::Deserialize,
)]
#[serde(transparent)]
pub struct UnixTime(u64);

/// Where the time comes from. Only the service and hosts read one; steps take [`UnixTime`].
pub trait Clock: fmt::Debug + Send + Sync {
    /// The current time.
    fn now(&self) -> UnixTime;

    /// Milliseconds since some moment, by a clock that nobody sets: what it says only grows, at the pace of time. It tells
    /// time that went by from a clock that was set.
    fn steady(&self) -> u64;
}

/// The operating system's clock.
#[cfg(not(target_family = "wasm"))]
#[derive(Clone, Copy, Debug, Default)]
pub struct SystemClock;

#[cfg(not(target_family = "wasm"))]
impl Clock for SystemClock {
    fn now(&self) -> UnixTime {
        let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
        UnixTime::from_millis(u64::try_from(since.as_millis()).unwrap_or(u64::MAX))
    }

    fn steady(&self) -> u64 {
        static BEGAN: std::sync::LazyLock<std::time::Instant> =
            std::sync::LazyLock::new(std::time::Instant::now);
        u64::try_from(BEGAN.elapsed().as_millis()).unwrap_or(u64::MAX)
    }
}

/// A clock that moves only when told: replays of recorded time, and tests.
#[derive(Debug, Default)]
pub struct ManualClock {
    now: AtomicU64,
    steady: AtomicU64,
}

impl ManualClock {
    /// A clock that stands at `now`.
    #[must_use]
    pub fn at(now: UnixTime) -> Self {
        Self { now: AtomicU64::new(now.millis()), steady: AtomicU64::new(0) }
    }

    /// Moves the clock to `now`. Forwards, that much time goes by; backwards, somebody set it.
    pub fn set(&self, now: UnixTime) {
        let before = self.now.swap(now.millis(), Ordering::Relaxed);
        self.steady.fetch_add(now.millis().saturating_sub(before), Ordering::Relaxed);
    }

    /// Somebody sets the clock to `now`, and no time goes by.
    pub fn leap(&self, now: UnixTime) {
        self.now.store(now.millis(), Ordering::Relaxed);
    }
}

impl Clock for ManualClock {
    fn now(&self) -> UnixTime {
        UnixTime(self.now.load(Ordering::Relaxed))
    }

    fn steady(&self) -> u64 {
        self.steady.load(Ordering::Relaxed)
    }
}

/// Milliseconds in a second.
pub const SECOND: u64 = 1_000;
/// Milliseconds in a minute.
pub const MINUTE: u64 = 60 * SECOND;
/// Milliseconds in an hour.
pub const HOUR: u64 = 60 * MINUTE;
/// Milliseconds in a day.
pub const DAY: u64 = 24 * HOUR;

impl UnixTime {
    /// The last second X.509 can express (9999-12-31T23:59:59Z).
    pub const MAX_X509: Self = Self(253_402_300_799_000);

    /// From Unix milliseconds.
    #[must_use]
    pub const fn from_millis(millis: u64) -> Self {
        Self(millis)
    }

    /// From Unix seconds.
    #[must_use]
    pub const fn from_secs(secs: u64) -> Self {
        Self(secs.saturating_mul(SECOND))
    }

    /// Unix milliseconds.
    #[must_use]
    pub const fn millis(self) -> u64 {
        self.0
    }

    /// Whole Unix seconds.
    #[must_use]
    pub const fn secs(self) -> u64 {
        self.0 / SECOND
    }

    /// This time plus `millis`.
    #[must_use]
    pub const fn plus(self, millis: u64) -> Self {
        Self(self.0.saturating_add(millis))
    }

    /// This time minus `millis`, not before the epoch.
    #[must_use]
    pub const fn minus(self, millis: u64) -> Self {
        Self(self.0.saturating_sub(millis))
    }

    /// Milliseconds from `earlier` to this time, zero if it is later.
    #[must_use]
    pub const fn since(self, earlier: Self) -> u64 {
        self.0.saturating_sub(earlier.0)
    }

    /// This time cut to whole seconds, as certificates carry it.
    #[must_use]
    pub const fn whole_secs(self) -> Self {
        Self(self.0 - self.0 % SECOND)
    }

    /// Reads RFC 3339, `2026-11-23T08:00:00.123Z` or with the distance from UTC, `+01:00`; finer than milliseconds is cut.
    #[must_use]
    pub fn from_rfc3339(text: &str) -> Option<Self> {
        let (local, zone) = zone(text)?;
        let (whole, fraction) = local.split_once('.').unwrap_or((local, "0"));
        let digits = |text: &str| !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
        let shape = whole.bytes().enumerate().all(|(i, b)| match i {
            4 | 7 => b == b'-',
            10 => b == b'T',
            13 | 16 => b == b':',
            _ => b.is_ascii_digit(),
        });
        if whole.len() != 19 || !shape || !digits(fraction) || fraction.len() > 9 {
            return None;
        }
        let number = |from: usize, to: usize| whole.get(from..to)?.parse::<u64>().ok();
        let civil = Civil {
            year: number(0, 4)?,
            month: number(5, 7)?,
            day: number(8, 10)?,
            hour: number(11, 13)?,
            minute: number(14, 16)?,
            second: number(17, 19)?,
        };
        let millis = format!("{fraction:0<3}").get(..3)?.parse::<u64>().ok()?;
        let local = civil.to_time()?.plus(millis);
        // Before 1970 and after 9999 there is none.
        match zone {
            Zone::East(distance) => (local.millis() >= distance).then(|| local.minus(distance)),
            Zone::West(distance) => {
                Some(local.plus(distance)).filter(|time| time.whole_secs() <= Self::MAX_X509)
            }
        }
    }

    /// Calendar date and time of day in UTC; of what lies behind [`UnixTime::MAX_X509`], that.
    #[must_use]
    pub fn civil(self) -> Civil {
        let secs = i64::try_from(self.min(Self::MAX_X509).secs()).unwrap_or_default();
        let at = OffsetDateTime::from_unix_timestamp(secs).unwrap_or(OffsetDateTime::UNIX_EPOCH);
        Civil {
            year: u64::try_from(at.year()).unwrap_or_default(),
            month: u64::from(u8::from(at.month())),
            day: at.day().into(),
            hour: at.hour().into(),
            minute: at.minute().into(),
            second: at.second().into(),
        }
    }
}

/// By how many milliseconds a local time is ahead of UTC, or behind it.
enum Zone {
    East(u64),
    West(u64),
}

/// A time without its zone, and that (RFC 3339, 5.6).
fn zone(text: &str) -> Option<(&str, Zone)> {
    if let Some(local) = text.strip_suffix('Z') {
        return Some((local, Zone::East(0)));
    }
    let (local, zone) = text.split_at_checked(text.len().checked_sub(6)?)?;
    let (&sign, distance) = zone.as_bytes().split_first()?;
    let &[h1, h2, b':', m1, m2] = distance else { return None };
    let digit = |octet: u8| octet.is_ascii_digit().then(|| u64::from(octet - b'0'));
    let (hours, minutes) = (digit(h1)? * 10 + digit(h2)?, digit(m1)? * 10 + digit(m2)?);
    let distance = (hours * HOUR) + (minutes * MINUTE);
    match sign {
        _ if hours > 23 || minutes > 59 => None,
        b'+' => Some((local, Zone::East(distance))),
        b'-' => Some((local, Zone::West(distance))),
        _ => None,
    }
}

/// A calendar date and time of day, UTC.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Civil {
    /// Year, 1970 or later.
    pub year: u64,
    /// Month, 1 to 12.
    pub month: u64,
    /// Day of the month, 1 to 31.
    pub day: u64,
    /// Hour, 0 to 23.
    pub hour: u64,
    /// Minute, 0 to 59.
    pub minute: u64,
    /// Second, 0 to 59.
    pub second: u64,
}

impl Civil {
    /// The time this date names, or `None` if there is no such date since 1970.
    #[must_use]
    pub fn to_time(self) -> Option<UnixTime> {
        let small = |number: u64| u8::try_from(number).ok();
        let month = Month::try_from(small(self.month)?).ok()?;
        let date = Date::from_calendar_date(i32::try_from(self.year).ok()?, month, small(self.day)?).ok()?;
        let time = Time::from_hms(small(self.hour)?, small(self.minute)?, small(self.second)?).ok()?;
        let secs = PrimitiveDateTime::new(date, time).assume_utc().unix_timestamp();
        u64::try_from(secs).ok().map(UnixTime::from_secs)
    }
}

/// RFC 3339 with milliseconds and `Z`.
impl fmt::Display for UnixTime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let c = self.civil();
        let ms = self.0 % SECOND;
        write!(
            f,
            "{:04}-{:02}-{:02}T{:02}:{:02}:{:02}.{ms:03}Z",
            c.year, c.month, c.day, c.hour, c.minute, c.second
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_what_it_writes_and_little_else() {
        let read = |text: &str| UnixTime::from_rfc3339(text).map(|t| t.to_string());
        for good in ["2026-11-23T08:00:00.123Z", "1970-01-01T00:00:00.000Z", "2028-02-29T23:59:59.999Z"] {
            assert_eq!(read(good).as_deref(), Some(good));
        }
        assert_eq!(read("2026-11-23T08:00:00+00:00").as_deref(), Some("2026-11-23T08:00:00.000Z"));
        // The same moment, by clocks elsewhere.
        for zoned in
            ["2026-11-23T09:30:00.25+01:30", "2026-11-22T20:00:00.25-12:00", "2026-11-23T08:00:00.25-00:00"]
        {
            assert_eq!(read(zoned).as_deref(), Some("2026-11-23T08:00:00.250Z"), "{zoned}");
        }
        assert_eq!(read("2026-11-23T08:00:00.5Z").as_deref(), Some("2026-11-23T08:00:00.500Z"));
        for bad in [
            "",
            "Z",
            "2026-11-23",
            "2026-02-29T00:00:00Z",
            "2026-11-23T24:00:00Z",
            "2026-11-23t08:00:00z",
            "2026-11-23T08:00:00.Z",
            "2026-11-23T08:00:00+1:00",
            "2026-11-23T08:00:00+0100",
            "2026-11-23T08:00:00+24:00",
            "2026-11-23T08:00:00 01:00",
            "2026-11-23T08:00:00\u{2212}01:00",
            "1970-01-01T00:59:59+01:00",
            "9999-12-31T23:59:59-00:01",
            "2026-11-23T08:00:0\u{e9}Z",
            "+026-11-23T08:00:00Z",
        ] {
            assert_eq!(read(bad), None, "{bad}");
        }
    }

    #[test]
    fn shows_rfc3339() {
        assert_eq!(UnixTime::from_millis(1_795_420_800_007).to_string(), "2026-11-23T08:00:00.007Z");
        assert_eq!(UnixTime::default().to_string(), "1970-01-01T00:00:00.000Z");
        assert_eq!(UnixTime::MAX_X509.to_string(), "9999-12-31T23:59:59.000Z");
        // Nobody's log has such a time; whoever sets a clock to it is not to stop a server.
        assert_eq!(UnixTime::from_millis(u64::MAX).to_string(), "9999-12-31T23:59:59.615Z");
    }

    #[test]
    fn calendar_round_trips_every_day_of_four_centuries() {
        for day in 0..150_000_u64 {
            let t = UnixTime::from_secs(day * 86_400 + 86_399);
            assert_eq!(t.civil().to_time(), Some(t));
        }
    }

    #[test]
    fn refuses_dates_that_do_not_exist() {
        let c = |year, month, day| Civil { year, month, day, hour: 0, minute: 0, second: 0 }.to_time();
        assert!(c(2023, 2, 29).is_none() && c(2100, 2, 29).is_none() && c(2024, 2, 29).is_some());
        assert!(c(1969, 12, 31).is_none() && c(2024, 13, 1).is_none() && c(2024, 4, 31).is_none());
        assert!(c(2024, 4, 0).is_none() && c(2024, 0, 4).is_none());
    }
}
