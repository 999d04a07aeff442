//! Whether logs are what was signed: every leaf, payload and head is read again.

use std::collections::{BTreeMap, VecDeque};

use crate::error::StoreError;
use crate::id::AgentId;
use crate::log::checkpoint::Checkpoint;
use crate::log::entry::{Entry, LogId};
use crate::log::leaf::Leaf;
use crate::log::merkle::Hash;
use crate::log::note::VerifierKey;
use crate::log::record::{Body, Control, EVENT, Record};
use crate::log::walk::{Beside, Fault, SignedHead, Walk, look};
use crate::month::Month;
use crate::service::engine::yielding::yield_now;
use crate::service::error::Error;
use crate::store::audit::AuditSink;
use crate::store::heads::Heads;

/// Entries that are read at once, and heads.
const STEP: usize = 1_024;

/// Leaf kind of `log.recovered`.
const RECOVERED: u16 = 68;

/// Checks logs against the log key. It opens no deployment, holds nobody up and remembers nothing of what it read but where
/// payloads are gone, so it runs beside a server, for as long as it takes.
#[derive(Debug)]
pub struct LogCheck<'s> {
    sink: &'s dyn AuditSink,
    heads: &'s dyn Heads,
    key: VerifierKey,
    host: String,
}

/// What came of checking one log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CheckedLog {
    /// Which.
    pub log: LogId,
    /// The first record that was looked at.
    pub from: u64,
    /// The size of the log when it was begun; if payloads were gone, when those were looked for.
    pub size: u64,
    /// Records that are what was signed.
    pub records: u64,
    /// Payloads that are what their leaves commit to.
    pub payloads: u64,
    /// Payloads that are gone, as a record behind them says.
    pub erased: u64,
    /// Heads that were held against their leaves.
    pub heads: u64,
    /// Checkpoints that were kept elsewhere of what was lost before a recovery, as its record says.
    pub lost: u64,
    /// Root of what was looked at.
    pub root: Hash,
    /// The first that does not fit. Nothing was looked at behind it.
    pub bad: Option<BadRecords>,
}

/// Records that are not what was signed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BadRecords {
    /// Index of the first of them.
    pub first: u64,
    /// Index of the last: another than the first where only the head over all of them shows it.
    pub last: u64,
    /// What does not fit.
    pub fault: Fault,
}

/// How far it has come: records that were looked at, of how many.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Progress<'l> {
    /// In which log.
    pub log: &'l LogId,
    /// Records that were looked at.
    pub done: u64,
    /// Of how many.
    pub of: u64,
}

/// Who is told.
pub type OnProgress<'p> = &'p mut (dyn FnMut(Progress<'_>) + Send);

impl<'s> LogCheck<'s> {
    /// Checks what `sink` reads, which gives payloads as they were recorded ([`decrypted`](crate::service::decrypted)), against what `heads` keeps and the verifier
    /// key of the system log. Without one it is the key on record: then a deployment that was written anew as a whole, under
    /// another key, is good. `VerifierKey::parse` reads what somebody kept.
    ///
    /// # Errors
    /// [`Error::Deployment`] if the key is not of a system log; if there is none, what the store says of the first
    /// record.
    pub async fn new(
        sink: &'s dyn AuditSink,
        heads: &'s dyn Heads,
        key: Option<VerifierKey>,
    ) -> Result<Self, Error> {
        let key = match key {
            Some(key) => key,
            None => on_record(sink).await?,
        };
        let log = format!("/{}/", LogId::System);
        let host = key.name().split_once(&log).map(|(host, _)| host.to_owned());
        let host = host.ok_or_else(|| {
            Error::Deployment(
                "the verifier key must be that of the log `_system`: `HOST/_system/1+...`".into(),
            )
        })?;
        Ok(Self { sink, heads, key, host })
    }

    /// The verifier key of the system log that it goes by.
    #[must_use]
    pub const fn key(&self) -> &VerifierKey {
        &self.key
    }

    /// Checks one log, up to its head as it is now: from the largest head on that has at most `from` leaves. Each of the
    /// signed notes that were `kept` elsewhere, and are this log's, must be of its past, as far as that is looked at.
    ///
    /// # Errors
    /// What the store says; what it finds damaged is in the answer.
    pub async fn log(
        &self,
        log: &LogId,
        from: u64,
        kept: &[String],
        progress: OnProgress<'_>,
    ) -> Result<CheckedLog, Error> {
        let walk = Walk::new(&format!("{}/{log}/", self.host), &self.key)?;
        let size = self.heads.at_most(log, u64::MAX).await?.map_or(0, |head| head.size);
        let kept = kept.iter().filter_map(|note| walk.open(note).ok()).collect();
        let done = CheckedLog {
            log: log.clone(),
            from: 0,
            size,
            records: 0,
            payloads: 0,
            erased: 0,
            heads: 0,
            lost: 0,
            root: walk.root(),
            bad: None,
        };
        let mut run = Run { check: self, walk, kept, heads: VecDeque::new(), gone: BTreeMap::new(), done };
        let found = run.all(from, progress).await;
        run.done.root = run.walk.root();
        match found {
            Ok(()) => {}
            Err(Stop::Bad(bad)) => run.done.bad = Some(bad),
            Err(Stop::Store(error)) => return Err(error.into()),
        }
        Ok(run.done)
    }
}

/// One log that is being checked.
struct Run<'c> {
    check: &'c LogCheck<'c>,
    walk: Walk,
    /// With the epoch of each.
    kept: Vec<(u64, Checkpoint)>,
    heads: VecDeque<SignedHead>,
    /// Payloads that no record was seen to erase so far: the index of the first of each agent and month, and how many.
    gone: BTreeMap<(AgentId, Month), (u64, u64)>,
    done: CheckedLog,
}

/// Why it ends before the end.
enum Stop {
    Bad(BadRecords),
    Store(StoreError),
}

impl From<StoreError> for Stop {
    fn from(error: StoreError) -> Self {
        Self::Store(error)
    }
}

impl Run<'_> {
    async fn all(&mut self, from: u64, progress: OnProgress<'_>) -> Result<(), Stop> {
        let (check, log) = (self.check, self.done.log.clone());
        if let Some(head) = if from > 0 { check.heads.at_most(&log, from).await? } else { None } {
            self.walk.skip_to(&head).map_err(|fault| bad((0, head.size.saturating_sub(1)), fault))?;
        }
        self.done.from = self.walk.size();
        self.before().await?;
        let mut begun = self.done.from;
        loop {
            self.on(progress).await?;
            self.end().await?;
            // Whoever erases puts that on record first: the record of what was gone is there by now.
            let Some(first) = self.gone.values().map(|(first, _)| *first).min() else { return Ok(()) };
            let size = check.heads.at_most(&log, u64::MAX).await?.map_or(0, |head| head.size);
            if first < begun || size <= self.done.size {
                return Err(bad((first, first), Fault::PayloadGone));
            }
            begun = std::mem::replace(&mut self.done.size, size);
        }
    }

    /// Walks on to the end.
    async fn on(&mut self, progress: &mut (dyn FnMut(Progress<'_>) + Send)) -> Result<(), Stop> {
        let (log, of) = (self.done.log.clone(), self.done.size - self.done.from);
        while self.walk.size() < self.done.size {
            for entry in self.read().await? {
                self.entry(&entry)?;
                self.head().await?;
            }
            progress(Progress { log: &log, done: self.done.records, of });
            yield_now().await;
        }
        Ok(())
    }

    /// Reads what is before, and believes it: keys have other names after an erasure, and a recovery says what was lost.
    async fn before(&mut self) -> Result<(), Stop> {
        let (mut at, mut count) = (0, STEP);
        while at < self.done.from {
            let left = usize::try_from(self.done.from - at).unwrap_or(STEP);
            let entries = match self.check.sink.read(&self.done.log, at, count.min(left)).await {
                Err(StoreError::Corrupt(_)) if count > 1 => {
                    count /= 2;
                    continue;
                }
                Err(StoreError::Corrupt(_)) => Vec::new(),
                read => read?,
            };
            (at..).zip(&entries).filter(|(_, entry)| look(entry).is_ok()).for_each(|(index, entry)| {
                self.recovered(index, entry);
            });
            // One that is not there is not looked at.
            at += u64::try_from(entries.len()).unwrap_or_default().max(1);
            count = STEP;
            yield_now().await;
        }
        Ok(())
    }

    /// The next entries. Where some cannot be read it reads fewer, up to the first of those.
    async fn read(&self) -> Result<Vec<Entry>, Stop> {
        let (from, left) = (self.walk.size(), self.done.size - self.walk.size());
        let mut count = usize::try_from(left).unwrap_or(STEP).min(STEP);
        loop {
            match self.check.sink.read(&self.done.log, from, count).await {
                Err(StoreError::Corrupt(_)) if count > 1 => count /= 2,
                Ok(entries) if !entries.is_empty() => return Ok(entries),
                Ok(_) | Err(StoreError::Corrupt(_)) => return Err(bad((from, from), Fault::Missing)),
                Err(error) => return Err(error.into()),
            }
        }
    }

    fn entry(&mut self, entry: &Entry) -> Result<(), Stop> {
        let index = self.walk.size();
        let here = |fault| bad((index, index), fault);
        let (leaf, beside) = self.walk.entry(entry).map_err(here)?;
        match (beside, leaf.agent) {
            (Beside::Nothing, _) => {}
            (Beside::Payload, agent) => {
                self.done.payloads += 1;
                match agent {
                    Some(agent) => self.erase(entry, agent),
                    None => self.recovered(index, entry),
                }
            }
            // It may be erased: by a record that is yet to come.
            (Beside::Gone, Some(agent)) if leaf.kind == EVENT => {
                self.gone.entry((agent, Month::of(leaf.time))).or_insert((index, 0)).1 += 1;
            }
            (Beside::Gone, _) => return Err(here(Fault::PayloadGone)),
        }
        self.done.records += 1;
        let (size, walk) = (index + 1, &self.walk);
        match self.kept.iter().any(|(_, kept)| kept.size == size && kept.root != walk.root()) {
            true => Err(here(Fault::Kept)),
            false => Ok(()),
        }
    }

    /// Counts what this record of an agent erased, if it did.
    fn erase(&mut self, entry: &Entry, of: AgentId) {
        let Ok(Record { body: Body::Control(control), .. }) = Record::open(entry) else { return };
        if let Control::PayloadErased { from, to, .. } = *control {
            let erased = |(agent, month): &(AgentId, Month)| *agent == of && (from..=to).contains(month);
            self.done.erased +=
                self.gone.extract_if(.., |at, _| erased(at)).map(|(_, (_, count))| count).sum::<u64>();
        }
    }

    /// Passes over what was kept of records that this one says were lost: the log went on from an older copy here.
    fn recovered(&mut self, index: u64, entry: &Entry) {
        if !Leaf::decode(&entry.leaf).is_ok_and(|leaf| leaf.kind == RECOVERED) {
            return;
        }
        let Ok(Record { body: Body::Control(control), .. }) = Record::open(entry) else { return };
        if let Control::LogRecovered(recovery) = *control {
            let known = self.kept.len();
            self.kept.retain(|(epoch, kept)| *epoch >= recovery.epoch || kept.size <= index);
            self.done.lost += u64::try_from(known - self.kept.len()).unwrap_or_default();
        }
    }

    /// Holds the head against its leaves that is over what was looked at, if one is.
    async fn head(&mut self) -> Result<(), Stop> {
        let (size, signed) = (self.walk.size(), self.walk.signed());
        if self.heads.is_empty() {
            self.heads = self.check.heads.above(&self.done.log, signed, STEP).await?.into();
        }
        if let Some(head) = self.heads.pop_front_if(|head| head.size <= size) {
            self.walk.head(&head).map_err(|fault| bad((signed, size - 1), fault))?;
            self.done.heads += 1;
        }
        Ok(())
    }

    /// Whether heads, leaves and what was kept end together.
    async fn end(&self) -> Result<(), Stop> {
        let (size, log) = (self.done.size, &self.done.log);
        if self.walk.signed() < size {
            return Err(bad((self.walk.signed(), size - 1), Fault::Gap));
        }
        // A leaf that is there comes with its head.
        let further = self.check.sink.read(log, size, 1).await;
        let further = !further.is_ok_and(|entries| entries.is_empty());
        if further && self.check.heads.above(log, size, 1).await?.is_empty() {
            return Err(bad((size, size), Fault::Gap));
        }
        if let Some((_, kept)) = self.kept.iter().find(|(_, kept)| kept.size > size) {
            return Err(bad((size, kept.size - 1), Fault::CutOff));
        }
        Ok(())
    }
}

fn bad((first, last): (u64, u64), fault: Fault) -> Stop {
    Stop::Bad(BadRecords { first, last, fault })
}

/// The verifier key of the system log, as its first record says.
async fn on_record(sink: &dyn AuditSink) -> Result<VerifierKey, Error> {
    let missing = || StoreError::Corrupt("the deployment's record is missing".into());
    let first = sink.read(&LogId::System, 0, 1).await?.pop().ok_or_else(missing)?;
    match Record::open(&first)?.body {
        Body::Control(control) => match *control {
            Control::DeploymentCreated { log_verifier, .. } => Ok(VerifierKey::parse(&log_verifier)?),
            _ => Err(missing().into()),
        },
        Body::Event(..) => Err(missing().into()),
    }
}
