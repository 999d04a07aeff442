//! Reading rows.

use tokio_postgres::Row;
use tokio_postgres::types::FromSql;

use super::error::unread;
use super::link::Link;
use super::sql;
use super::values::{clamp, unsigned};
use crate::error::StoreError;
use crate::id::{IssuerId, Serial};
use crate::log::entry::{Entry, LogId, Payload};
use crate::log::merkle::{Frontier, Hash};
use crate::log::record::EVENT;
use crate::revoke::Revocation;
use crate::store::audit::Head;
use crate::store::state::Kind;
use crate::time::UnixTime;

/// Keys and values.
pub(super) type Pairs = Vec<(Vec<u8>, Vec<u8>)>;

/// Entries read at once, so that a long read is answered in parts.
const STEP: u64 = 8_192;

pub(super) fn column<'r, T: FromSql<'r>>(row: &'r Row, number: usize) -> Result<T, StoreError> {
    row.try_get(number).map_err(unread)
}

pub(super) fn number(row: &Row, column_number: usize) -> Result<u64, StoreError> {
    unsigned(column(row, column_number)?)
}

pub(super) async fn head(link: &Link, log: &LogId) -> Result<(Head, Option<String>), StoreError> {
    let Some(row) = link.query_one(sql::HEAD, &[&log.to_string()]).await? else {
        return Ok((Head::default(), None));
    };
    let octets: &[u8] = column(&row, 2)?;
    let roots: Vec<Hash> = octets.chunks_exact(32).filter_map(|c| c.try_into().ok()).collect();
    let frontier = Frontier::from_parts(number(&row, 0)?, roots);
    let frontier = frontier.ok_or_else(|| StoreError::Corrupt(format!("the head of log {log} is none")))?;
    let head = Head { frontier, time: UnixTime::from_millis(number(&row, 1)?) };
    Ok((head, Some(column(&row, 3)?)))
}

/// How many records a log has, by its head.
pub(super) async fn size(link: &Link, log: &LogId) -> Result<u64, StoreError> {
    link.query_one(sql::SIZE, &[&log.to_string()]).await?.map_or(Ok(0), |row| number(&row, 0))
}

/// How much of entries is read.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Much {
    All,
    /// Not the payloads of events.
    Leaves,
}

pub(super) async fn read(
    link: &Link,
    log: &LogId,
    from: u64,
    (limit, much): (usize, Much),
) -> Result<Vec<Entry>, StoreError> {
    // Before the rows, so that an append in between makes nothing missing.
    let end = size(link, log).await?.min(from.saturating_add(u64::try_from(limit).unwrap_or(u64::MAX)));
    let (name, mut entries, mut next) = (log.to_string(), Vec::new(), from);
    while next < end {
        let until = end.min(next.saturating_add(STEP));
        let (first, end) = (clamp(next), clamp(until));
        let rows = match much {
            Much::All => link.query(sql::READ, &[&name, &first, &end]).await?,
            Much::Leaves => link.query(sql::READ_LEAVES, &[&name, &first, &end, &i32::from(EVENT)]).await?,
        };
        for row in &rows {
            if number(row, 0)? != next {
                break;
            }
            entries.push(entry(row)?);
            next += 1;
        }
        if next < until {
            return Err(StoreError::Corrupt(format!("index {next} of log {log} is missing")));
        }
    }
    Ok(entries)
}

fn entry(row: &Row) -> Result<Entry, StoreError> {
    let (salt, octets): (Option<&[u8]>, Option<Vec<u8>>) = (column(row, 2)?, column(row, 3)?);
    let payload = match (salt.map(<[u8; 32]>::try_from), octets) {
        (Some(Ok(salt)), Some(octets)) => Some(Payload { salt, octets }),
        (None, None) => None,
        _ => return Err(StoreError::Corrupt("a payload has no salt of 32 octets".into())),
    };
    Ok(Entry { leaf: column(row, 1)?, payload })
}

pub(super) async fn logs(link: &Link) -> Result<Vec<LogId>, StoreError> {
    let rows = link.query(sql::LOGS, &[]).await?;
    rows.iter().map(|row| column::<&str>(row, 0)?.parse()).collect()
}

pub(super) async fn applied(link: &Link, log: &LogId) -> Result<u64, StoreError> {
    link.query_one(sql::APPLIED, &[&log.to_string()]).await?.map_or(Ok(0), |row| number(&row, 0))
}

pub(super) async fn get(
    link: &Link,
    log: &LogId,
    kind: Kind,
    key: &[u8],
) -> Result<Option<Vec<u8>>, StoreError> {
    let found = link.query_one(sql::GET, &[&log.to_string(), &i16::from(kind.code()), &key]).await?;
    found.map(|row| column(&row, 0)).transpose()
}

pub(super) async fn scan(
    link: &Link,
    log: &LogId,
    kind: Kind,
    after: Option<&[u8]>,
    limit: usize,
) -> Result<Pairs, StoreError> {
    let (log, code, limit) = (log.to_string(), i16::from(kind.code()), clamp(limit));
    let rows = match after {
        None => link.query(sql::SCAN, &[&log, &code, &limit]).await?,
        Some(after) => link.query(sql::SCAN_AFTER, &[&log, &code, &limit, &after]).await?,
    };
    rows.iter().map(|row| Ok((column(row, 0)?, column(row, 1)?))).collect()
}

pub(super) async fn revocations_applied(link: &Link, issuer: &IssuerId) -> Result<u64, StoreError> {
    let found = link.query_one(sql::REVOCATIONS_APPLIED, &[&issuer.as_bytes().as_slice()]).await?;
    found.map_or(Ok(0), |row| number(&row, 0))
}

pub(super) async fn find(
    link: &Link,
    issuer: &IssuerId,
    serial: &Serial,
) -> Result<Option<Revocation>, StoreError> {
    let (issuer, serial) = (issuer.as_bytes().as_slice(), serial.as_bytes().as_slice());
    let found = link.query_one(sql::FIND, &[&issuer, &serial]).await?;
    found.map(|row| revocation(&row, 0)).transpose()
}

pub(super) async fn after(
    link: &Link,
    issuer: &IssuerId,
    cursor: u64,
    limit: usize,
) -> Result<Vec<(u64, Revocation)>, StoreError> {
    let issuer = issuer.as_bytes().as_slice();
    let rows = link.query(sql::AFTER, &[&issuer, &clamp(cursor), &clamp(limit)]).await?;
    rows.iter().map(|row| Ok((number(row, 0)?, revocation(row, 1)?))).collect()
}

fn revocation(row: &Row, number: usize) -> Result<Revocation, StoreError> {
    serde_json::from_str(column(row, number)?)
        .map_err(|_| StoreError::Corrupt("a revocation does not decode".into()))
}
