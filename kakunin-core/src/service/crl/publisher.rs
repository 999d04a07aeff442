//! Signs, records and serves the CRLs of issuing CAs.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::draft::Draft;
use super::follow::followed_key;
use super::guard::{Regression, keeps_entries};
use super::index::Index;
use super::mark::{Mark, mark_key};
use super::published::PublishedCrl;
use super::unwritten::ToRecord;
use crate::error::StoreError;
use crate::id::IssuerId;
use crate::log::sink::LogId;
use crate::service::backoff::Backoff;
use crate::service::cas::Ca;
use crate::service::error::Error;
use crate::service::{Inner, Kakunin};
use crate::state::{Change, Kind};
use crate::time::{SECOND, UnixTime};

/// Most CRLs that are recorded in one append: each lies beside its record.
pub(super) const MAX_BATCH: usize = 128;
/// How long a CRL that the guard refused is left alone.
const REFUSED_WAIT: u64 = 30 * SECOND;

/// The CRLs of one issuing CA.
#[derive(Debug, Default)]
pub(in crate::service) struct Publisher {
    /// Filled when it is first needed. Never held while something is signed.
    index: async_lock::Mutex<Option<Index>>,
    /// Held by whoever signs.
    turn: async_lock::Mutex<Turn>,
    known: Mutex<Known>,
}

/// How publishing without being asked goes.
#[derive(Debug, Default)]
struct Turn {
    backoff: Backoff,
    /// Code of the last error, if the last attempt failed.
    failing: Option<&'static str>,
}

/// What was published, and what must not be; the full CRL under `None`.
#[derive(Debug, Default)]
pub(super) struct Known {
    pub(super) published: HashMap<Option<u16>, Arc<PublishedCrl>>,
    /// The highest that was given out, and when: a call that is dropped may leave a CRL on record that was
    /// never served.
    given: HashMap<Option<u16>, (Mark, UnixTime)>,
    refused: HashMap<Option<u16>, (Regression, UnixTime)>,
}

/// How the publication of CRLs goes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Publishing {
    /// CRLs that lack a revocation.
    pub left: usize,
    /// Issuing CAs whose last attempt failed, with the code of the error.
    pub failing: Vec<(IssuerId, &'static str)>,
    /// CRLs that would take back what an earlier one said.
    pub refused: Vec<RefusedCrl>,
}

/// A CRL that is not published, because it would take back what the last one said.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RefusedCrl {
    /// Whose.
    pub issuer: IssuerId,
    /// Which shard; the full CRL if there is none.
    pub shard: Option<u16>,
    /// Why.
    pub why: Regression,
}

impl Publisher {
    pub(super) fn known(&self) -> MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn last(&self, shard: Option<u16>) -> Option<Arc<PublishedCrl>> {
        self.known().published.get(&shard).cloned()
    }

    /// A mark above that of every CRL with this coverage before it, and above the one `on_record`.
    fn next_mark(&self, shard: Option<u16>, on_record: Mark, now: UnixTime) -> Mark {
        let mut known = self.known();
        let last = known.last_mark(shard).max(on_record);
        let next = last.next(now);
        known.given.insert(shard, (next, now));
        next
    }

    /// The newest CRL, if it says everything that it has to say now.
    fn served(&self, index: &Index, shard: Option<u16>, now: UnixTime) -> Option<Arc<PublishedCrl>> {
        let crl = self.last(shard).filter(|crl| crl.fresh(now))?;
        let current = match shard {
            Some(shard) => !index.dirty().contains(&shard),
            None => crl.cursor == index.cursor || crl.young(now),
        };
        current.then_some(crl)
    }

    /// Shards that changed, or are about to end; those that were refused a moment ago are left alone, and those
    /// that wait for the clock.
    fn due(&self, index: &Index, now: UnixTime) -> Vec<Option<u16>> {
        let known = self.known();
        let ending = known.published.iter().filter(|(shard, crl)| shard.is_some() && !crl.fresh(now));
        let mut due: Vec<_> = ending.map(|(shard, _)| *shard).collect();
        due.extend(index.dirty().iter().copied().map(Some));
        due.sort_unstable();
        due.dedup();
        let waits = |(_, at): &(Regression, UnixTime)| *at <= now && now.since(*at) < REFUSED_WAIT;
        due.retain(|shard| !known.refused.get(shard).is_some_and(waits) && !known.waits(*shard, now));
        due
    }
}

impl Known {
    fn last_mark(&self, shard: Option<u16>) -> Mark {
        let given = self.given.get(&shard).map_or_else(Mark::default, |(mark, _)| *mark);
        self.published.get(&shard).map_or(given, |crl| crl.mark().max(given))
    }

    /// Whether the next one is for a second from now: after so many that thisUpdate has caught up with the clock,
    /// there is one a second, and what comes in between is on the next. A clock that was set back is not waited
    /// for, since that would keep revocations off the CRL: then thisUpdate lies ahead of it.
    fn waits(&self, shard: Option<u16>, now: UnixTime) -> bool {
        let just_now = |made: UnixTime| made <= now && now.since(made) < SECOND;
        self.last_mark(shard).next(now).this_update > now
            && self.given.get(&shard).is_some_and(|(_, made)| just_now(*made))
    }
}

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
        let Some(ca) = inner.cas.get(issuer) else {
            return match shard {
                None => inner.root_crl(issuer).await,
                Some(_) => Err(Error::NotFound("CRL")),
            };
        };
        let now = inner.now();
        let mut index = ca.crls.index.lock().await;
        if let Some(crl) = ca.crls.served(inner.level_index(&ca, &mut index).await?, shard, now) {
            return Ok(crl);
        }
        drop(index);
        let _turn = ca.crls.turn.lock().await;
        inner.publish(&ca, &[shard], false).await?;
        ca.crls.last(shard).ok_or(Error::NotFound("CRL"))
    }

    /// A new CRL of the CA that issues now, DER: one shard, or every revoked certificate that has not expired.
    ///
    /// # Errors
    /// As [`Kakunin::published_crl`].
    pub async fn crl(&self, shard: Option<u16>) -> Result<Vec<u8>, Error> {
        let ca = self.inner.cas.current();
        let _turn = ca.crls.turn.lock().await;
        self.inner.publish(&ca, &[shard], true).await?;
        Ok(ca.crls.last(shard).ok_or(Error::NotFound("CRL"))?.der.clone())
    }

    /// Publishes every CRL shard that lacks a revocation or is about to end. To be called about five times
    /// a second; what was revoked between two calls is one CRL. After a failure the next attempt of that
    /// issuing CA waits 1 s, then twice as long, at most a minute. Says what is left.
    pub async fn publish_due(&self) -> Publishing {
        let mut publishing = Publishing::default();
        // What fails is tried again with the next call.
        let _ = self.inner.record_unwritten().await;
        for ca in self.inner.cas.all() {
            self.inner.publish_due(&ca, &mut publishing).await;
        }
        publishing.clone_into(&mut self.inner.publishing.lock().unwrap_or_else(PoisonError::into_inner));
        publishing
    }

    /// What the last call of [`Kakunin::publish_due`] left.
    #[must_use]
    pub fn publishing(&self) -> Publishing {
        self.inner.publishing.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl Inner {
    async fn publish_due(&self, ca: &Ca, publishing: &mut Publishing) {
        let issuer = ca.issuer.id();
        // Whoever signs for a reader now leaves the rest for the next call.
        if let Some(mut turn) = ca.crls.turn.try_lock() {
            if turn.backoff.is_due(self.now()) {
                turn.failing = self.catch_up(ca).await.err().map(|error| error.code());
                match turn.failing {
                    None => turn.backoff.succeeded(),
                    Some(_) => turn.backoff.failed(self.now()),
                }
            }
            publishing.failing.extend(turn.failing.map(|code| (issuer, code)));
        }
        if let Some(index) = ca.crls.index.lock().await.as_ref() {
            publishing.left += index.dirty().len();
        }
        let known = ca.crls.known();
        let refused = known.refused.iter().map(|(shard, (why, _))| (*shard, *why));
        publishing.refused.extend(refused.map(|(shard, why)| RefusedCrl { issuer, shard, why }));
    }

    /// Publishes what is due of one issuing CA, and remembers how far that is.
    async fn catch_up(&self, ca: &Ca) -> Result<(), Error> {
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

    async fn remember(&self, ca: &Ca, cursor: u64) -> Result<(), Error> {
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
    async fn publish(&self, ca: &Ca, shards: &[Option<u16>], anyway: bool) -> Result<bool, Error> {
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
    async fn make(&self, ca: &Ca, shard: Option<u16>, anyway: bool) -> Result<Next, Error> {
        let mut guard = ca.crls.index.lock().await;
        let index = self.level_index(ca, &mut guard).await?;
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

    /// The mark of the last CRL with this coverage that is on record and was lost before it was served, or
    /// with the state.
    pub(super) async fn mark_on_record(&self, issuer: &IssuerId, shard: Option<u16>) -> Result<Mark, Error> {
        let key = mark_key(issuer, shard);
        let corrupt = || StoreError::Corrupt("the number of a CRL does not decode".into());
        match self.parts.state.get(&LogId::System, Kind::Cursor, &key).await? {
            Some(octets) => Ok(Mark::from_row(&octets).ok_or_else(corrupt)?),
            None => Ok(Mark::default()),
        }
    }

    /// Puts new CRLs on record, in one append, and serves them from then on.
    async fn record(&self, ca: &Ca, made: Vec<(Option<u16>, Arc<PublishedCrl>)>) -> Result<(), Error> {
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

impl Publisher {
    /// The CRLs that a new one must not take back: the last one, or every shard if it is to be full.
    pub(super) fn held_against(&self, shard: Option<u16>) -> Vec<(Option<u16>, Arc<PublishedCrl>)> {
        let known = self.known();
        let those = known.published.iter().filter(|(of, _)| shard.is_none() || **of == shard);
        those.map(|(of, crl)| (*of, crl.clone())).collect()
    }
}

fn served(ca: &Ca, index: &mut Index, shard: Option<u16>, crl: Arc<PublishedCrl>) {
    if let Some(shard) = shard {
        index.published(shard, crl.cursor);
    }
    let mut known = ca.crls.known();
    known.refused.remove(&shard);
    known.published.insert(shard, crl);
}

/// Lets other tasks run.
async fn yield_now() {
    let mut yielded = false;
    core::future::poll_fn(|context| {
        if yielded {
            return core::task::Poll::Ready(());
        }
        yielded = true;
        context.waker().wake_by_ref();
        core::task::Poll::Pending
    })
    .await;
}
