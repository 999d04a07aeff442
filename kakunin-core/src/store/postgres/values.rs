//! Values as PostgreSQL's types have them.

use std::error::Error;
use std::time::{Duration, SystemTime};

use tokio_postgres::types::private::BytesMut;
use tokio_postgres::types::{IsNull, ToSql, Type, to_sql_checked};

use crate::error::StoreError;
use crate::month::Month;
use crate::time::UnixTime;

/// Days between 1970 and 2000, where PostgreSQL counts from.
const DAYS: i64 = 10_957;
/// Milliseconds in a day.
const DAY: i64 = 86_400_000;

/// The first day of a month.
#[derive(Clone, Copy, Debug)]
pub(super) struct FirstDay(i32);

impl FirstDay {
    pub(super) fn of(month: Month) -> Self {
        let first = UnixTime::from_rfc3339(&format!("{month}-01T00:00:00Z")).unwrap_or_default();
        let days = i64::try_from(first.millis()).unwrap_or_default() / DAY - DAYS;
        Self(i32::try_from(days).unwrap_or_default())
    }
}

impl ToSql for FirstDay {
    fn to_sql(&self, _: &Type, out: &mut BytesMut) -> Result<IsNull, Box<dyn Error + Sync + Send>> {
        out.extend_from_slice(&self.0.to_be_bytes());
        Ok(IsNull::No)
    }

    fn accepts(kind: &Type) -> bool {
        *kind == Type::DATE
    }

    to_sql_checked!();
}

/// A time that a column can have.
pub(super) fn moment(time: UnixTime) -> SystemTime {
    let since = Duration::from_millis(time.min(UnixTime::MAX_X509).millis());
    SystemTime::UNIX_EPOCH.checked_add(since).unwrap_or(SystemTime::UNIX_EPOCH)
}

/// A number as a column has it.
pub(super) fn signed(value: u64) -> Result<i64, StoreError> {
    i64::try_from(value).map_err(|_| StoreError::Corrupt("a number is beyond what can be stored".into()))
}

/// For bounds: nothing lies beyond the largest number that can be stored.
pub(super) fn clamp(value: impl TryInto<i64>) -> i64 {
    value.try_into().unwrap_or(i64::MAX)
}

/// A number as it was before it was stored.
pub(super) fn unsigned(value: i64) -> Result<u64, StoreError> {
    u64::try_from(value).map_err(|_| StoreError::Corrupt("a stored number is below zero".into()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn months_begin_on_their_first_day() {
        for (month, days) in [("1970-01", -10_957), ("2000-01", 0), ("2000-03", 60), ("2026-11", 9_801)] {
            assert_eq!(FirstDay::of(month.parse().unwrap()).0, days, "{month}");
        }
    }
}
