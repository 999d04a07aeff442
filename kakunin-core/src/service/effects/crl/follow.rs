//! The index follows the revocation log.

use std::sync::Arc;

use super::guard::keeps_entries;
use super::index::Index;
use super::published::{PublishedCrl, prefix, shard_of};
use crate::error::StoreError;
use crate::id::IssuerId;
use crate::log::entry::{Entry, LogId};
use crate::log::record::{Body, Control, Record};
use crate::service::effects::running::{Followed, Running};
use crate::service::error::{Error, Regression};
use crate::store::state::Kind;
use crate::time::UnixTime;

/// Rows read at once.
const STEP: usize = 65_536;
/// Records of a log, and rows of CRLs, read at once.
const SMALL_STEP: usize = 1_024;

impl Running {
    /// The index, once it says what the revocation log says.
    pub(super) async fn level_index<'i>(
        &self,
        ca: &Followed,
        index: &'i mut Option<Index>,
    ) -> Result<&'i mut Index, Error> {
        let level = match index {
            Some(level) => level,
            None => index.insert(self.fill(ca).await?),
        };
        let log = LogId::Revocations(ca.issuer.id());
        loop {
            let entries = self.parts.sink.read(&log, level.cursor, SMALL_STEP).await?;
            if entries.is_empty() {
                break;
            }
            for entry in &entries {
                follow(ca, level, entry)?;
            }
        }
        if !level.checked {
            suspect(ca, level, self.now())?;
            level.checked = true;
        }
        Ok(level)
    }

    /// An index from the projection, and what was published before: one pass over both. It begins where
    /// every shard was published last, so that what the log says since is applied again.
    async fn fill(&self, ca: &Followed) -> Result<Index, Error> {
        let issuer = ca.issuer.id();
        let state = &self.parts.state;
        let followed = followed_key(&issuer);
        let row = state.get(&LogId::System, Kind::Cursor, &followed).await?;
        // Without it all is followed again.
        let row = row.and_then(|row| self.opened_one(&LogId::System, Kind::Cursor, &followed, &row));
        let cursor = match row {
            Some(octets) => octets.try_into().map(u64::from_be_bytes).map_err(|_| corrupt())?,
            None => 0,
        };
        if cursor > ca.growth.size() {
            return Err(Regression::Cursor.into());
        }
        let mut index = Index::new(cursor);
        let mut next = 0;
        loop {
            let standing = self.parts.revocations.after(&issuer, next, STEP).await?;
            let Some((last, _)) = standing.last() else { break };
            next = last + 1;
            index.fill(&standing, self.now())?;
        }
        let (prefix, mut after) = (prefix(&issuer).into_bytes(), prefix(&issuer).into_bytes());
        loop {
            let rows = state.scan(&LogId::System, Kind::Crl, Some(&after), SMALL_STEP).await?;
            let ours = rows.iter().take_while(|(key, _)| key.starts_with(&prefix));
            for (key, value) in ours {
                let shard = shard_of(&issuer, key).ok_or_else(corrupt)?;
                let Some(crl) = self.published_row(&issuer, shard, key, value).await? else { continue };
                let crl = Arc::new(crl);
                ca.crls.known().published.insert(shard, crl);
            }
            match rows.last().filter(|(key, _)| key.starts_with(&prefix)) {
                Some((key, _)) => after.clone_from(key),
                None => return Ok(index),
            }
        }
    }
}

impl Running {
    /// A CRL as it was published; none, and noted, if its row is not the last one that was written.
    pub(super) async fn published_row(
        &self,
        issuer: &IssuerId,
        shard: Option<u16>,
        key: &[u8],
        value: &[u8],
    ) -> Result<Option<PublishedCrl>, Error> {
        let Some(row) = self.opened_one(&LogId::System, Kind::Crl, key, value) else { return Ok(None) };
        let crl = PublishedCrl::from_row(&row)?;
        // An older one, put back by somebody, or left by a crash between log and state: the next is made anew.
        let on_record = self.mark_on_record(issuer, shard).await?;
        Ok(Some(crl).filter(|crl| crl.number >= on_record.number))
    }
}

fn follow(ca: &Followed, index: &mut Index, entry: &Entry) -> Result<(), Error> {
    if let Body::Control(control) = Record::open(entry)?.body
        && let Control::RevocationChanged(change) = *control
    {
        let (_, serial) = change.serial();
        return Ok(index.apply(&change, ca.issuer.shard_of(&serial))?);
    }
    index.cursor += 1;
    Ok(())
}

/// Has every shard made anew whose last CRL says more than the projection: the guard then says so, long
/// before the shard is due.
fn suspect(ca: &Followed, index: &mut Index, now: UnixTime) -> Result<(), Error> {
    for (shard, last) in ca.crls.held_against(None) {
        let Some(shard) = shard else { continue };
        let released = |serial: &_| index.was_released(serial);
        if keeps_entries(&last.kept, &index.serials(shard), released, now).is_err() {
            index.touch(shard)?;
        }
    }
    Ok(())
}

pub(super) fn followed_key(issuer: &IssuerId) -> Vec<u8> {
    format!("crl-followed/{issuer}").into_bytes()
}

fn corrupt() -> StoreError {
    StoreError::Corrupt("a row of the CRLs does not decode".into())
}
