//! CRLs on record: and where there is no room for that, served all the same, and recorded later (ADR 21).

use std::cmp::Ordering;
use std::sync::PoisonError;

use async_trait::async_trait;
use sha2::{Digest, Sha256};

use super::kept::ToRecord;
use crate::error::StoreError;
use crate::id::hex_encode;
use crate::log::entry::LogId;
use crate::log::record::{Control, Record};
use crate::service::effects::follower::Follower;
use crate::service::effects::running::Running;
use crate::service::effects::unit::{Pace, Turn};
use crate::service::engine::ledger::Ledger;
use crate::service::error::Error;
use crate::service::state::crl_mark::Mark;
use crate::time::SECOND;

/// Most CRLs that are recorded in one append: each lies beside its record.
pub(super) const MAX_BATCH: usize = 128;

/// How often they are written anew because somebody else recorded something meanwhile.
const TRIES: usize = 64;

/// How much of a CRL is written.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Much {
    /// Its record, its mark, and the CRL.
    All,
    /// As much, into what is set aside.
    AllReserved,
    /// Its record and its mark, into what is set aside: the next one is above it, whatever happens.
    MarkReserved,
}

/// Puts CRLs on record that there was no room for.
pub(in crate::service::effects) struct CrlRecords;

#[async_trait]
impl Follower for CrlRecords {
    fn name(&self) -> &'static str {
        "crl_records"
    }

    fn logs(&self, _: &Running) -> Option<Vec<LogId>> {
        Some(vec![LogId::System])
    }

    fn on_duty(&self) -> bool {
        // Each has its own.
        false
    }

    fn pace(&self) -> Pace {
        Pace { rest: SECOND, again: SECOND, longest: 4 * SECOND }
    }

    async fn step(&self, running: &Running, _: &LogId, turn: &mut Turn<'_>) -> Result<(), Error> {
        let done = running.record_unwritten().await;
        turn.left = running.unwritten.0.lock().unwrap_or_else(PoisonError::into_inner).len();
        done
    }
}

impl Running {
    /// Puts CRLs on record, each with the row that keeps it. Where there is no room, those that tell of revocations leave
    /// their mark, and the others nothing: they may be served, since numbers grow with the clock, too.
    pub(super) async fn record_crls(&self, crls: Vec<ToRecord>) -> Result<(), Error> {
        let mut system = self.system.lock().await;
        match self.write_crls(&mut system, &crls, Much::All).await {
            Err(Error::Store(StoreError::Full)) => {}
            written => return written,
        }
        let telling: Vec<_> = crls.iter().filter(|one| one.tells).cloned().collect();
        match self.write_crls(&mut system, &telling, Much::MarkReserved).await {
            // What is set aside is used up: they are served nevertheless.
            Err(Error::Store(StoreError::Full)) => {}
            written => written?,
        }
        let mut unwritten = self.unwritten.0.lock().unwrap_or_else(PoisonError::into_inner);
        unwritten.extend(crls.into_iter().map(|one| ((one.issuer, one.shard), one)));
        Ok(())
    }

    /// Puts on record what there was no room for.
    async fn record_unwritten(&self) -> Result<(), Error> {
        let left: Vec<_> = {
            let unwritten = self.unwritten.0.lock().unwrap_or_else(PoisonError::into_inner);
            unwritten.values().cloned().collect()
        };
        if left.is_empty() || self.parts.sink.room().await.full {
            return Ok(());
        }
        let mut system = self.system.lock().await;
        for some in left.chunks(MAX_BATCH) {
            let (mut newest, mut rows) = (Vec::with_capacity(some.len()), Vec::new());
            for one in some {
                let on_record = self.mark_on_record(&one.issuer, one.shard).await?.number;
                // A newer one may be on record since.
                match on_record.cmp(&one.crl.number) {
                    Ordering::Less => newest.push(one.clone()),
                    Ordering::Equal => rows.push(one.crl.row(&one.issuer, one.shard)),
                    Ordering::Greater => {}
                }
            }
            self.write_crls(&mut system, &newest, Much::All).await?;
            let rows: Vec<_> =
                rows.into_iter().map(|row| self.seal_key.tagged(&LogId::System, row)).collect();
            if !rows.is_empty() {
                self.parts.state.put(&LogId::System, &rows).await?;
            }
            self.are_written(some);
        }
        Ok(())
    }

    pub(super) async fn write_crls(
        &self,
        system: &mut Ledger,
        crls: &[ToRecord],
        much: Much,
    ) -> Result<(), Error> {
        if crls.is_empty() {
            return Ok(());
        }
        let _turn = self.parts.sink.turn(&LogId::System).await?;
        for _ in 0..TRIES {
            match self.try_to_write_crls(system, crls, much).await {
                Err(Error::Store(StoreError::Conflict)) if self.are_above(crls).await? => {}
                written => return written,
            }
        }
        Err(StoreError::Conflict.into())
    }

    /// Whether each is above what is on record, as far as others write that, too.
    async fn are_above(&self, crls: &[ToRecord]) -> Result<bool, Error> {
        for one in crls.iter().filter(|_| self.is_shared()) {
            if self.mark_on_record(&one.issuer, one.shard).await?.number >= one.crl.number {
                return Ok(false);
            }
        }
        Ok(true)
    }

    async fn try_to_write_crls(
        &self,
        system: &mut Ledger,
        crls: &[ToRecord],
        much: Much,
    ) -> Result<(), Error> {
        self.settle_system(system).await?;
        if !self.are_above(crls).await? {
            return Err(StoreError::Conflict.into());
        }
        let time = system.time(self.log_now());
        let (mut records, mut rows) = (Vec::new(), Vec::new());
        for ToRecord { issuer, shard, crl, .. } in crls {
            let (issuer, shard, sha256) = (*issuer, *shard, hex_encode(&Sha256::digest(&crl.der)));
            let Mark { number, this_update } = crl.mark();
            let (this_update, entries) = (Some(this_update), crl.entries);
            let published = Control::CrlPublished { issuer, shard, number, this_update, entries, sha256 };
            records.push(Record::control(time, None, None, published));
            if much != Much::MarkReserved {
                rows.push(crl.row(&issuer, shard));
            }
        }
        self.append_system(system, &records, rows, much != Much::All).await?;
        if much != Much::MarkReserved {
            self.are_written(crls);
        }
        Ok(())
    }

    /// They, or newer ones, are on record.
    fn are_written(&self, crls: &[ToRecord]) {
        let mut unwritten = self.unwritten.0.lock().unwrap_or_else(PoisonError::into_inner);
        for one in crls {
            let key = (one.issuer, one.shard);
            if unwritten.get(&key).is_some_and(|left| left.crl.number <= one.crl.number) {
                unwritten.remove(&key);
            }
        }
    }
}
