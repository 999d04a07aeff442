//! The revocation feed: pages of an issuing CA's revocation log, its cosigned checkpoint, snapshots.

use std::sync::Arc;

use async_trait::async_trait;
use base64ct::{Base64, Encoding};

use super::cosigned::Cosigned;
use super::follower::Follower;
use super::running::{Followed, Kakunin, Running};
use super::unit::{Pace, Turn};
use crate::error::StoreError;
use crate::feed::{Frame, FrameEntry, MAX_ENTRIES, Snapshot, Standing};
use crate::id::IssuerId;
use crate::log::checkpoint::Checkpoint;
use crate::log::entry::{Entry, LogId};
use crate::log::merkle::Frontier;
use crate::service::engine::backoff::MAX_WAIT;
use crate::service::error::Error;
use crate::time::{MINUTE, SECOND, UnixTime};

/// How old a snapshot may be: what it lacks is on the feed.
const SNAPSHOT_AGE: u64 = 5 * SECOND;
/// Revocations read at once.
const STEP: usize = 65_536;

/// A page of the feed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FeedPage {
    /// Records and checkpoint, as they travel.
    pub frame: Frame,
    /// Size of the log by that checkpoint.
    pub size: u64,
    /// As of when.
    pub at: UnixTime,
}

impl Kakunin {
    /// The revocation log of an issuing CA from index `after` on, at most `limit` records and never more than
    /// [`MAX_ENTRIES`], with a checkpoint that covers them and that they lead to. Beyond the end of the log there
    /// are none, and the checkpoint says so.
    ///
    /// # Errors
    /// [`Error::NotFound`] if this is no issuing CA of this deployment, or one that has expired; what store
    /// and feed key say.
    pub async fn feed(&self, issuer: &IssuerId, after: u64, limit: usize) -> Result<FeedPage, Error> {
        let ca = self.inner.cas.get(issuer).ok_or(Error::NotFound("issuing CA"))?;
        let ca = self.inner.followed(ca);
        // First the checkpoint: what is appended meanwhile is left for the next page.
        let cosigned = self.inner.cosigned(&ca).await?;
        let left = usize::try_from(cosigned.size().saturating_sub(after)).unwrap_or(usize::MAX);
        let wanted = left.min(limit).min(MAX_ENTRIES);
        let entries = match wanted {
            0 => Vec::new(),
            _ => self.inner.parts.sink.read(&LogId::Revocations(*issuer), after, wanted).await?,
        };
        let short = || StoreError::Corrupt("a revocation log ends before its checkpoint".into());
        let entries = entries.get(..wanted).ok_or_else(short)?;
        let entries = entries.iter().map(travelling).collect::<Result<_, _>>()?;
        let frame = Frame { from: after, entries, checkpoint: cosigned.note.to_string() };
        Ok(FeedPage { frame, size: cosigned.size(), at: cosigned.at })
    }

    /// What stands revoked by an issuing CA, for followers that are new: at most 5 s old.
    ///
    /// # Errors
    /// As [`Kakunin::feed`].
    pub async fn feed_snapshot(&self, issuer: &IssuerId) -> Result<Arc<Snapshot>, Error> {
        let inner = &self.inner;
        let ca = inner.cas.get(issuer).ok_or(Error::NotFound("issuing CA"))?;
        let ca = inner.followed(ca);
        let mut kept = ca.feed.snapshot.lock().await;
        let now = inner.now();
        if let Some((made, snapshot)) = &*kept
            && *made <= now
            && now.since(*made) < SNAPSHOT_AGE
        {
            return Ok(snapshot.clone());
        }
        let snapshot = Arc::new(inner.make_snapshot(&ca).await?);
        *kept = Some((now, snapshot.clone()));
        Ok(snapshot)
    }
}

/// Cosigns what was appended, before anybody asks: that the feed key does not sign, or a log lost records, shows at once.
pub(super) struct Feeds;

#[async_trait]
impl Follower for Feeds {
    fn name(&self) -> &'static str {
        "feed"
    }

    fn logs(&self, running: &Running) -> Option<Vec<LogId>> {
        Some(running.revocation_logs())
    }

    fn on_duty(&self) -> bool {
        // Each process cosigns for those who ask it.
        false
    }

    fn pace(&self) -> Pace {
        Pace { rest: SECOND, again: MINUTE, longest: MAX_WAIT }
    }

    async fn step(&self, running: &Running, log: &LogId, _: &mut Turn<'_>) -> Result<(), Error> {
        let Some(ca) = running.follows(log) else { return Ok(()) };
        running.cosigned(&ca).await.map(drop)
    }
}

impl Running {
    /// The log's checkpoint, cosigned within this second: one signature for all who ask.
    async fn cosigned(&self, ca: &Followed) -> Result<Cosigned, Error> {
        let mut kept = ca.feed.cosigned.lock().await;
        // Before the look at the log, so that the time never says more than was looked at.
        let now = self.now().whole_secs();
        if let Some(last) = &*kept
            && last.at == now
            && last.size() == ca.growth.size()
        {
            return Ok(last.clone());
        }
        let cosigned = self.cosign(ca, kept.as_ref(), now).await?;
        *kept = Some(cosigned.clone());
        Ok(cosigned)
    }

    async fn cosign(&self, ca: &Followed, last: Option<&Cosigned>, at: UnixTime) -> Result<Cosigned, Error> {
        let log = LogId::Revocations(ca.issuer.id());
        let (head, note) = self.parts.sink.head(&log).await?;
        let log_key = self.log_key(&log)?;
        let note = match note {
            Some(note) => note,
            None => self.empty_note(&log_key).await?,
        };
        let signed = Checkpoint::open(&note, &log_key)?;
        let same = signed.size == head.frontier.size() && signed.root == head.frontier.root();
        let grown = last.is_none_or(|last| match last.size() {
            size if size == signed.size => last.frontier == head.frontier,
            size => size < signed.size,
        });
        // The feed key's word for a log that lost records, or has others now, could not be taken back.
        if !same || !grown {
            return Err(StoreError::Corrupt(format!("log {log} is not what was cosigned before")).into());
        }
        let line = self.feed_key.cosign(&signed.to_text(), at).await?;
        Ok(Cosigned { frontier: head.frontier, note: format!("{note}{line}").into(), at })
    }

    /// The checkpoint of a log that nobody has written to.
    async fn empty_note(&self, key: &crate::log::note::VerifierKey) -> Result<String, Error> {
        let root = Frontier::default().root();
        let empty = Checkpoint { origin: key.name().to_owned(), size: 0, root };
        let signature = self.log_signer.sign(empty.to_text().as_bytes()).await?;
        Ok(empty.to_note(key, signature.as_bytes()))
    }

    async fn make_snapshot(&self, ca: &Followed) -> Result<Snapshot, Error> {
        // What changes while the store is read may be in it already: to follow the log from here on gives the
        // same in the end, because changes are idempotent, and meanwhile errs on the side of refusing.
        let cosigned = self.cosigned(ca).await?;
        let (issuer, now) = (ca.issuer.id(), self.now());
        let (mut revoked, mut cursor) = (Vec::new(), 0);
        loop {
            let more = self.parts.revocations.after(&issuer, cursor, STEP).await?;
            let Some((last, _)) = more.last() else { break };
            cursor = last + 1;
            let standing = more.into_iter().map(|(_, r)| r).filter(|r| r.expires >= now);
            revoked.extend(standing.map(|r| (r.serial, r.cause.reason())));
        }
        let size = cosigned.size();
        let body = Standing { frontier: cosigned.frontier, revoked }.encode();
        let origin = crate::feed::origin(&self.feed_key.key, &issuer)?;
        let text = Snapshot::statement_text(&origin.in_epoch(self.origins.epoch()), size, &body);
        let line = self.feed_key.cosign(&text, cosigned.at).await?;
        Ok(Snapshot {
            statement: format!("{text}\n{line}"),
            checkpoint: cosigned.note.to_string(),
            body: Base64::encode_string(&body),
        })
    }
}

fn travelling(entry: &Entry) -> Result<FrameEntry, StoreError> {
    let payload = entry.payload.as_ref();
    let payload = payload.ok_or_else(|| StoreError::Corrupt("a revocation lacks its payload".into()))?;
    Ok(FrameEntry::new(&entry.leaf, &payload.salt, &payload.octets))
}
