//! Signs, records and serves the CRLs of issuing CAs.

use std::sync::Arc;

use async_trait::async_trait;

use super::draft::Draft;
use super::follow::followed_key;
use super::guard::keeps_entries;
use super::index::Index;
use super::kept::{Publishing, RefusedCrl, ToRecord};
use super::published::{PublishedCrl, key};
use super::unwritten::MAX_BATCH;
use crate::error::StoreError;
use crate::id::IssuerId;
use crate::log::entry::LogId;
use crate::service::effects::follower::Follower;
use crate::service::effects::running::{Followed, Kakunin, Running};
use crate::service::effects::unit::{GATHER, Pace, Turn};
use crate::service::engine::backoff::MAX_WAIT;
use crate::service::engine::yielding::yield_now;
use crate::service::error::Error;
use crate::service::state::crl_mark::{Mark, mark_key};
use crate::store::state::{Change, Kind};
use crate::time::SECOND;

impl Kakunin {
    /// A CRL of an issuing CA, one shard or the full one, or the one of a root, as it stands: made when
    /// something was revoked since, or half of its time is over. A large full one may lack what was revoked
    /// within the last 30 s, and after 300 within five minutes any may lack what was revoked within the last second.
    ///
    /// # Errors
    /// [`Error::NotFound`] if this is no CA of this deployment, one that has expired, or an offline root
    /// whose CRL was not installed; [`Error::CrlRegression`]; what the store and the key provider say.
    pub async fn published_crl(
        &self,
        issuer: &IssuerId,
        shard: Option<u16>,
    ) -> Result<Arc<PublishedCrl>, Error> {
        let inner = &self.inner;
        let Some(ca) = inner.cas.get(issuer).map(|ca| inner.followed(ca)) else {
            return match shard {
                None => inner.root_crl(issuer).await,
                Some(_) => Err(Error::NotFound("CRL")),
            };
        };
        for _ in 0..TRIES {
            let now = inner.now();
            let mut index = ca.crls.index.lock().await;
            let level = inner.level_index(&ca, &mut index).await?;
            inner.learn_crl(&ca, shard, level).await?;
            if let Some(crl) = ca.crls.served(level, shard, now) {
                return Ok(crl);
            }
            drop(index);
            let _turn = ca.crls.turn.lock().await;
            match inner.publish(&ca, &[shard], false).await {
                // Another process was quicker.
                Err(Error::Store(StoreError::Conflict)) => {}
                published => {
                    published?;
                    return ca.crls.last(shard).ok_or(Error::NotFound("CRL"));
                }
            }
        }
        Err(StoreError::Conflict.into())
    }

    /// A new CRL of the CA that issues now, DER: one shard, or every revoked certificate that has not expired.
    ///
    /// # Errors
    /// As [`Kakunin::published_crl`].
    pub async fn crl(&self, shard: Option<u16>) -> Result<Vec<u8>, Error> {
        let ca = self.inner.followed(self.inner.cas.current());
        let _turn = ca.crls.turn.lock().await;
        self.inner.publish(&ca, &[shard], true).await?;
        Ok(ca.crls.last(shard).ok_or(Error::NotFound("CRL"))?.der.clone())
    }

    /// How the publication of CRLs goes, as far as it was looked at.
    #[must_use]
    pub fn publishing(&self) -> Publishing {
        let inner = &self.inner;
        let mut publishing = Publishing::default();
        for unit in inner.units.named(CRLS) {
            let Some(ca) = inner.follows(&unit.log) else { continue };
            let issuer = ca.issuer.id();
            publishing.left += unit.left();
            publishing.failing.extend(unit.failing().map(|code| (issuer, code)));
            let known = ca.crls.known();
            let refused = known.refused.iter().map(|(shard, (why, _))| (*shard, *why));
            publishing.refused.extend(refused.map(|(shard, why)| RefusedCrl { issuer, shard, why }));
        }
        publishing
    }
}

/// Publishes CRLs as revocations come and before the last ones end.
pub(in crate::service::effects) struct Crls;

const CRLS: &str = "crls";
/// How often a CRL is made anew because another process published one meanwhile.
const TRIES: usize = 4;

/// How long a revocation waits at the most for others that come on the same CRL, in milliseconds: while so many shards
/// change that signing them takes the machine from those who revoke. Else it is a fifth of that.
pub const COALESCE_MOST: u64 = SECOND;

/// Appends are gathered before that, too.
const COALESCE: u64 = COALESCE_MOST / 5 - GATHER;

#[async_trait]
impl Follower for Crls {
    fn name(&self) -> &'static str {
        CRLS
    }

    fn logs(&self, running: &Running) -> Option<Vec<LogId>> {
        Some(running.revocation_logs())
    }

    fn pace(&self) -> Pace {
        Pace { rest: COALESCE, again: SECOND, longest: MAX_WAIT }
    }

    async fn step(&self, running: &Running, log: &LogId, turn: &mut Turn<'_>) -> Result<(), Error> {
        let Some(ca) = running.follows(log) else { return Ok(()) };
        let done = match ca.crls.turn.try_lock() {
            Some(_turn) if turn.due => running.catch_up(&ca).await,
            // Whoever signs for a reader now leaves the rest for the next turn.
            _ => {
                turn.idle = true;
                Ok(())
            }
        };
        turn.left = ca.crls.index.lock().await.as_ref().map_or(turn.left, |index| index.dirty().len());
        let worked = running.now().since(turn.now);
        turn.pace.rest = worked.saturating_mul(2).clamp(COALESCE, COALESCE_MOST - GATHER);
        if turn.left > 0 {
            turn.pace.again = turn.pace.rest;
        }
        done
    }
}

impl Running {
    /// Publishes what is due of one issuing CA, and remembers how far that is.
    async fn catch_up(&self, ca: &Followed) -> Result<(), Error> {
        // A call that was dropped while it wrote may have left a revocation that nobody was told of.
        if let Some(mut log) = ca.log.try_lock() {
            self.settle_revocations(ca, &mut log).await?;
        }
        let mut index = ca.crls.index.lock().await;
        if index.as_ref().is_none_or(|index| index.cursor < ca.growth.size()) {
            self.level_index(ca, &mut index).await?;
        }
        let Some(level) = index.as_ref() else { return Ok(()) };
        let (due, cursor) = (ca.crls.due(level, self.now()), level.cursor);
        let mut complete = level.dirty().iter().all(|shard| due.contains(&Some(*shard)));
        let remembered = level.followed_to() == cursor;
        drop(index);
        for batch in due.chunks(MAX_BATCH) {
            match self.publish(ca, batch, false).await {
                // It is on record as refused, and the others go on.
                Err(Error::CrlRegression(_)) => {}
                // Another process was quicker, and the next turn looks what it said.
                Err(Error::Store(StoreError::Conflict)) => complete = false,
                all => complete &= all?,
            }
        }
        if complete && !remembered && ca.crls.known().refused.is_empty() {
            match self.remember(ca, cursor).await {
                // Without it a start follows more of the log, and no less.
                Err(Error::Store(StoreError::Full)) => {}
                remembered => remembered?,
            }
        }
        Ok(())
    }

    async fn remember(&self, ca: &Followed, cursor: u64) -> Result<(), Error> {
        let row = Change {
            kind: Kind::Cursor,
            key: followed_key(&ca.issuer.id()),
            value: Some(cursor.to_be_bytes().to_vec()),
        };
        self.parts.state.put(&LogId::System, &[self.seal_key.tagged(&LogId::System, row)]).await?;
        if let Some(index) = ca.crls.index.lock().await.as_mut() {
            index.followed(cursor);
        }
        Ok(())
    }

    /// Signs these CRLs, those that have something new to say or end soon, or all if `anyway`; then records
    /// and serves them. What was signed before one failed is published all the same. Says whether none is left.
    async fn publish(&self, ca: &Followed, shards: &[Option<u16>], anyway: bool) -> Result<bool, Error> {
        let (mut made, mut failed, mut all) = (Vec::new(), None, true);
        for shard in shards {
            match self.make(ca, *shard, anyway).await {
                Ok(Next::Made(crl)) => made.push((*shard, Arc::new(crl))),
                Ok(Next::Same) => {}
                Ok(Next::Waits) => all = false,
                Err(Error::CrlRegression(why)) => {
                    ca.crls.known().refused.insert(*shard, (why, self.now()));
                    failed = Some(Error::CrlRegression(why));
                }
                Err(error) => {
                    failed = Some(error);
                    break;
                }
            }
            // A key that is near signs without waiting for anything, and others want to run.
            yield_now().await;
        }
        self.record(ca, made).await?;
        failed.map_or(Ok(all), Err)
    }

    /// The next CRL of this coverage, if there is a reason for one.
    async fn make(&self, ca: &Followed, shard: Option<u16>, anyway: bool) -> Result<Next, Error> {
        let mut guard = ca.crls.index.lock().await;
        let index = self.level_index(ca, &mut guard).await?;
        self.learn_crl(ca, shard, index).await?;
        let now = self.now();
        let last = ca.crls.last(shard);
        let draft = Draft::take(index, shard, now);
        let same = last.as_ref().filter(|last| last.content == draft.content && last.fresh(now));
        if let Some(last) = same.filter(|_| !anyway) {
            // What was revoked elsewhere is no reason to sign again, nor to lengthen the log.
            let touched = Arc::new(PublishedCrl { cursor: draft.cursor, ..(**last).clone() });
            served(ca, index, shard, touched);
            return Ok(Next::Same);
        }
        if last.is_some() && ca.crls.known().waits(shard, now) {
            return Ok(Next::Waits);
        }
        let next = draft.serials();
        for (_, last) in ca.crls.held_against(shard) {
            keeps_entries(&last.kept, &next, |serial| index.was_released(serial), now)?;
        }
        drop(guard);
        let on_record = self.mark_on_record(&ca.issuer.id(), shard).await?;
        let mark = ca.crls.next_mark(shard, on_record, now);
        draft.sign(&ca.issuer, &*ca.signer, &self.place, mark, last.as_deref(), now).await.map(Next::Made)
    }

    /// Takes the CRL of another process for the last one, if it published one since. Of a full one only the mark is stored:
    /// the next is made above it.
    async fn learn_crl(&self, ca: &Followed, shard: Option<u16>, index: &mut Index) -> Result<(), Error> {
        let Some(last) = ca.crls.last(shard).filter(|_| self.is_shared()) else { return Ok(()) };
        let issuer = ca.issuer.id();
        if last.number >= self.mark_on_record(&issuer, shard).await?.number {
            return Ok(());
        }
        let key = key(&issuer, shard);
        let crl = match self.parts.state.get(&LogId::System, Kind::Crl, &key).await? {
            Some(row) => self.published_row(&issuer, shard, &key, &row).await?,
            None => None,
        };
        match crl.filter(|crl| !crl.der.is_empty()) {
            Some(crl) => served(ca, index, shard, Arc::new(crl)),
            None => _ = ca.crls.known().published.remove(&shard),
        }
        Ok(())
    }

    /// The mark of the last CRL with this coverage that is on record and was lost before it was served, or
    /// with the state.
    pub(in super::super) async fn mark_on_record(
        &self,
        issuer: &IssuerId,
        shard: Option<u16>,
    ) -> Result<Mark, Error> {
        let key = mark_key(issuer, shard);
        let corrupt = || StoreError::Corrupt("the number of a CRL does not decode".into());
        match self.parts.state.get(&LogId::System, Kind::CrlMark, &key).await? {
            Some(octets) => Ok(Mark::from_row(&octets).ok_or_else(corrupt)?),
            None => Ok(Mark::default()),
        }
    }

    /// Puts new CRLs on record, in one append, and serves them from then on.
    async fn record(&self, ca: &Followed, made: Vec<(Option<u16>, Arc<PublishedCrl>)>) -> Result<(), Error> {
        if made.is_empty() {
            return Ok(());
        }
        let issuer = ca.issuer.id();
        let lacking =
            ca.crls.index.lock().await.as_ref().map(|index| index.dirty().clone()).unwrap_or_default();
        let crls = made.iter().map(|(shard, crl)| {
            let tells = shard.is_some_and(|shard| lacking.contains(&shard));
            ToRecord { issuer, shard: *shard, crl: crl.clone(), tells }
        });
        self.record_crls(crls.collect()).await?;
        let mut index = ca.crls.index.lock().await;
        if let Some(index) = index.as_mut() {
            for (shard, crl) in made {
                served(ca, index, shard, crl);
            }
        }
        Ok(())
    }
}

/// What came of looking whether a CRL is due.
enum Next {
    Made(PublishedCrl),
    /// The last one says it already.
    Same,
    /// It is for the next second.
    Waits,
}

fn served(ca: &Followed, index: &mut Index, shard: Option<u16>, crl: Arc<PublishedCrl>) {
    if let Some(shard) = shard {
        index.published(shard, crl.cursor);
    }
    let mut known = ca.crls.known();
    known.refused.remove(&shard);
    known.published.insert(shard, crl);
}
