//! How a tenant is loaded: state and histories under their seals, and what the log has that they lack.

use std::collections::HashSet;

use super::boxed::Boxed;
use super::inner::Inner;
use super::ledger::Ledger;
use super::seal::{self, Rows, SealKey};
use super::system;
use super::telling::ScoresDiffer;
use super::tenant::Sequencer;
use crate::error::StoreError;
use crate::id::AgentId;
use crate::log::entry::{Entry, LogId};
use crate::log::merkle::{Frontier, leaf_hash};
use crate::log::record::{Body, Record};
use crate::risk::Score;
use crate::service::error::Error;
use crate::service::state::agent::AgentEntry;
use crate::service::state::certificates::{CertificateState, Certificates as _};
use crate::service::state::folding::{Judging, Measure};
use crate::service::state::key_task::receipt_task;
use crate::service::state::own::{self, InForce, Own};
use crate::service::state::projection::Projection;
use crate::service::state::{apply, certificates, dedup, folding, names, notices};
use crate::store::bound::Binding;
use crate::store::state::{Change, Kind, StateView};
use crate::time::UnixTime;

/// Records read at once when a log is replayed.
const REPLAY_STEP: usize = 4_096;

/// Tables that follow from the log and are not in the sum that its seal is over: none of their rows stays when all are
/// made anew.
pub(super) const UNSUMMED: [Kind; 3] = [Kind::Certificate, Kind::Dedup, Kind::Inbox];

/// What is believed of stored rows.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Believes {
    /// What is under the seal of its log.
    TheSeal,
    Nothing,
}

impl Sequencer {
    /// Reads head, state and histories, and replays what they lack. Fires no effect.
    pub(crate) fn reload<'a>(&'a mut self, inner: &'a Inner) -> Boxed<'a, Result<(), Error>> {
        Box::pin(self.reload_by(inner, Believes::TheSeal))
    }

    /// As [`Sequencer::reload`], and makes anew whatever follows from the log: who calls it has named what is wrong.
    pub(crate) fn rebuild<'a>(&'a mut self, inner: &'a Inner) -> Boxed<'a, Result<(), Error>> {
        Box::pin(self.reload_by(inner, Believes::Nothing))
    }

    async fn reload_by(&mut self, inner: &Inner, believes: Believes) -> Result<(), Error> {
        // The lock of a turn goes with the connection over which an append failed, and another process has it.
        let held = self.turn.is_held();
        self.turn.end();
        if !held && self.reload_once(inner, believes).await? {
            return Ok(());
        }
        // What is mended is what others write, too.
        let turn = inner.parts.sink.turn(&self.ledger.log().clone()).await?;
        self.turn.begin(turn, &*inner.parts.clock);
        let done = self.reload_once(inner, believes).await;
        if !held {
            self.turn.end();
        }
        done.map(drop)
    }

    /// Says whether it was done: rows are mended in a turn, where others write them.
    async fn reload_once(&mut self, inner: &Inner, believes: Believes) -> Result<bool, Error> {
        let log = self.ledger.log().clone();
        let state = &*inner.parts.state;
        // All of one moment, whatever others write. The head is read after it, and so never behind it.
        let mut view = state.view(&log).await?;
        self.ledger.reload(&*inner.parts.sink).await?;
        self.ledger.unsettled();
        inner.is_all_there(&self.ledger)?;
        let applied = view.applied();
        if applied > self.ledger.size() {
            return Err(StoreError::Corrupt(format!("the state of {log} is ahead of its log")).into());
        }
        let (mut projection, stored) = load_rows(inner, &self.ledger, &mut *view).await?;
        let seals = system::scan_view(&mut *view, Kind::Seal).await?;
        let from = system::sealed_at(&self.ledger, &stored, seal_of(&seals, seal::ROWS))?;
        if from.as_ref().is_none_or(|from| from.size() < applied) && !self.may_mend(inner) {
            return Ok(false);
        }
        let from = from.filter(|_| believes == Believes::TheSeal);
        let (from, wrong) = if let Some(from) = from {
            self.ledger.rows = stored;
            (from, None)
        } else {
            let none = empty(inner, &log);
            (projection, self.ledger.rows) = (none, stored.cleared());
            (Frontier::default(), Some(stored))
        };
        let folded = match wrong {
            None => self.load_histories(inner, (&mut *view, &seals), &mut projection).await?,
            // Agents come with the replay, and their histories with them.
            Some(_) => {
                let unsealed = Change { kind: Kind::Seal, key: seal::ROWS.to_vec(), value: None };
                state.put(&log, &[unsealed]).await?;
                let from = self.forget_histories(inner, &log, &mut projection).await?;
                for kind in UNSUMMED {
                    inner.forget_table(&log, kind).await?;
                }
                from
            }
        };
        // A snapshot is never ahead of the rows: those are older ones that somebody put back.
        let folded = if folded.size() > from.size() {
            self.histories_differ(inner, &log);
            self.forget_histories(inner, &log, &mut projection).await?
        } else {
            folded
        };
        drop(view);
        let first = if folded.size() < from.size() { &folded } else { &from };
        system::verify(&inner.parts, &self.ledger, first.clone()).await?;
        let seen = if wrong.is_some() { 0 } else { applied };
        let reach = Reach { stored: applied, seen, sealed: from.size(), folded: folded.size() };
        self.changed.clear();
        self.arrivals.take(inner.reached(&log, from.size()).await?);
        if wrong.is_none() {
            know_erased(inner, &log, &projection)?;
        }
        self.replay(inner, &mut projection, first.clone(), &reach).await?;
        if let Some(stored) = wrong {
            self.rebuilt(inner, &projection, &stored, believes).await?;
        }
        projection.recount();
        self.roster.replace(projection.agents.iter().map(|(id, entry)| (*id, entry.row.agent.state)));
        remember(inner, &log, &projection)?;
        *self.committed.write() = projection;
        self.ahead = None;
        self.snapshot_at = folded.size();
        self.ledger.settled();
        // Whatever follows it looks at once.
        inner.commits.grew(&log, self.ledger.size());
        Ok(true)
    }

    /// Whether nobody else writes the rows of the log.
    pub(super) fn may_mend(&self, inner: &Inner) -> bool {
        !inner.is_shared() || self.turn.is_held()
    }

    /// Takes away what the log does not say, and says what was wrong. So a store of an older version is brought
    /// into this form as well.
    async fn rebuilt(
        &self,
        inner: &Inner,
        projection: &Projection,
        stored: &Rows,
        believes: Believes,
    ) -> Result<(), Error> {
        let wrong = self.ledger.rows.differing(stored);
        let extra = wrong.iter().filter(|(kind, key)| !self.ledger.rows.knows(*kind, key));
        let gone = extra.map(|(kind, key)| Change { kind: *kind, key: key.clone(), value: None });
        let mut changes: Vec<_> = gone.collect();
        // Older versions kept no receipt; what was to be done about this one is perhaps lost.
        for row in projection.agents.values().map(|entry| &entry.row) {
            if let (Some(halt), None) = (row.halt, &row.receipt) {
                changes.push(receipt_task(row.agent.id, halt)?);
            }
        }
        let sealing = self.ledger.rows.seal_anew(changes, self.ledger.frontier());
        inner.parts.state.put(self.ledger.log(), &sealing.changes).await?;
        let news = believes == Believes::TheSeal || !wrong.is_empty();
        if inner.is_sealed() && self.ledger.size() > 0 && news {
            inner.damages.rebuilt(self.ledger.log(), &wrong);
        }
        Ok(())
    }

    /// Applies and folds the records above `frontier` that the state and the histories lack.
    async fn replay(
        &mut self,
        inner: &Inner,
        projection: &mut Projection,
        mut frontier: Frontier,
        reach: &Reach,
    ) -> Result<(), Error> {
        let log = self.ledger.log().clone();
        let mut differing = None;
        while frontier.size() < self.ledger.size() {
            let entries = read(inner, &log, frontier.size(), reach).await?;
            if entries.is_empty() {
                return Err(seal::altered(&log).into());
            }
            let (mut changes, mut rows) = (Vec::new(), HashSet::new());
            for entry in &entries {
                let (record, index) = (Record::open(entry)?, frontier.size());
                let mut follows = Vec::new();
                let of = record.agent.and_then(|agent| projection.agents.get(&agent));
                // What is stored of this agent may be folded further.
                let lacks = index >= reach.folded.max(of.map_or(0, |of| of.reach));
                self.changed.extend(record.agent.filter(|_| lacks));
                let due = Due { apply: index >= reach.sealed, see: index >= reach.seen, fold: lacks };
                let scores = replay_one(inner, projection, (index, &record), due, (&mut follows, &mut rows))?;
                if let Some((recorded, folded)) = scores {
                    ScoresDiffer::note(&mut differing, index, (recorded, folded));
                    inner.parts.listener.score_folded(&log, index, recorded, folded);
                }
                // What the key provider was to be told before is there still, or done.
                changes.extend(follows.into_iter().filter(|c| c.kind != Kind::Plan || index >= reach.stored));
                frontier.push(leaf_hash(&entry.leaf));
            }
            if frontier.size() > reach.sealed {
                for entry in rows.iter().filter_map(|id| projection.agents.get(id)) {
                    changes.push(entry.change()?);
                }
                let items = self.arrivals.number(&mut changes)?;
                let sealing = self.ledger.rows.seal_anew(changes, &frontier);
                let index = (frontier.size(), reach.stored);
                match system::store(&inner.parts, &log, index, &sealing.changes).await {
                    // Rows are there as the log left them. The seal comes with the next, and orders wait for no room.
                    Err(StoreError::Full) if sealing.is_but_a_seal() && index.0 <= index.1 => {}
                    stored => stored?,
                }
                self.ledger.rows.take(sealing);
                self.arrivals.take(items);
            }
        }
        if let Some(differing) = differing {
            inner.parts.listener.scores_differ(&log, &differing);
        }
        Ok(())
    }
}

/// Has it known to the deployment which serials and keys are whose, and what was erased.
fn remember(inner: &Inner, log: &LogId, projection: &Projection) -> Result<(), StoreError> {
    let LogId::Tenant(tenant) = log else { return Ok(()) };
    let all = || projection.certificates.states();
    inner.serials.remember_all(tenant, all().map(|c| c.facts.serial));
    let bound = |c: &CertificateState| Some(Binding { key: c.key_id?, agent: c.facts.agent });
    inner.bound.remember(all().filter_map(bound));
    know_erased(inner, log, projection)
}

/// Has it known what was erased: by that the keys of payloads are named.
fn know_erased(inner: &Inner, log: &LogId, projection: &Projection) -> Result<(), StoreError> {
    let erased = |(id, entry): (&AgentId, &AgentEntry)| {
        let erased = &entry.row.erased;
        (!erased.is_empty()).then(|| (*id, erased.clone()))
    };
    inner.payloads.know(log, projection.agents.iter().filter_map(erased).collect())
}

/// Some records to replay. Scores are made of leaves: where it is known what was seen of events, their keys are not asked for,
/// so that nothing waits for the vault.
async fn read(inner: &Inner, log: &LogId, from: u64, reach: &Reach) -> Result<Vec<Entry>, StoreError> {
    let sink = &inner.parts.sink;
    match usize::try_from(reach.seen.saturating_sub(from)) {
        Ok(0) => sink.read(log, from, REPLAY_STEP).await,
        below => sink.read_leaves(log, from, below.map_or(REPLAY_STEP, |below| below.min(REPLAY_STEP))).await,
    }
}

/// Gives the score on record and the one that came out, if it was folded.
pub(super) fn replay_one(
    inner: &Inner,
    projection: &mut Projection,
    (index, record): (u64, &Record),
    Due { apply, see, fold }: Due,
    (changes, rows): (&mut Vec<Change>, &mut HashSet<AgentId>),
) -> Result<Option<(Score, Score)>, Error> {
    if apply && Own::concerns(record) {
        projection.own.apply(index, record, changes)?;
    }
    let Some(agent) = record.agent else {
        if apply {
            changes.extend(notices::changes(record, index)?);
        }
        return Ok(None);
    };
    let mut entry = projection.agents.remove(&agent);
    let is_control = matches!(record.body, Body::Control(_));
    let before = entry.as_ref().filter(|_| is_control).map(names::known_as);
    let seen = entry.as_mut().filter(|_| !see).map(|entry| std::mem::take(&mut entry.seen));
    // As whoever decided it.
    let judging = Judging::at(&projection.own, index, &inner.models);
    if let Some(entry) = entry.as_mut().filter(|_| fold) {
        entry.judged_by(judging);
    }
    if apply && apply::apply(&mut entry, &mut projection.certificates, index, record, changes)? {
        rows.insert(agent);
    }
    if let (Some(entry), Some(seen)) = (&mut entry, seen) {
        entry.seen = seen;
        changes.retain(|change| change.kind != Kind::Dedup);
    }
    let mut scores = None;
    if let Some(mut entry) = entry {
        if fold {
            let InForce { policy, .. } = InForce::before(&projection.own, index, &inner.settings.policy);
            let (prior, second) = (&inner.settings.prior, inner.parts.shadow.as_deref());
            let measure = Measure { judging, second, prior, policy: &policy };
            scores = folding::fold(&mut entry, index, record, measure);
        }
        if is_control {
            projection.names.moved(before.as_ref().map(|(name, class)| (name, *class)), &entry);
        }
        projection.agents.insert(agent, entry);
    }
    Ok(scores)
}

/// What is to be done with a record.
#[derive(Clone, Copy)]
pub(super) struct Due {
    /// What its rows follow from.
    pub(super) apply: bool,
    /// What is remembered of events follows from it, too.
    pub(super) see: bool,
    /// It goes into the risk history.
    pub(super) fold: bool,
}

/// Up to which record what is stored has come.
struct Reach {
    /// As the store says, which believes whoever writes to it.
    stored: u64,
    /// Of what is remembered of events: the same, unless all is made anew. Once more it would bring back what was forgotten
    /// since.
    seen: u64,
    /// As the seal over the rows says.
    sealed: u64,
    /// As the seal over the histories says.
    folded: u64,
}

/// The seal of this name among those of a log.
pub(super) fn seal_of(seals: &[(Vec<u8>, Vec<u8>)], name: &[u8]) -> Option<Vec<u8>> {
    seals.iter().find(|(key, _)| key == name).map(|(_, seal)| seal.clone())
}

/// What a log amounts to before its first record.
fn empty(inner: &Inner, log: &LogId) -> Projection {
    let mut projection = Projection::keeping(inner.settings.certificate_retention);
    if let LogId::Tenant(tenant) = log {
        projection.own = Own::of(inner.known.read(|state| state.tenants.model(tenant).cloned()));
    }
    projection
}

/// The rows of agents and certificates, as they stand in memory and under the seal.
async fn load_rows(
    inner: &Inner,
    ledger: &Ledger,
    view: &mut dyn StateView,
) -> Result<(Projection, Rows), Error> {
    let (mut rows, log) = (ledger.rows.cleared(), ledger.log());
    let mut projection = empty(inner, log);
    for kind in [Kind::Standing, Kind::Agent].into_iter().chain(own::TABLES) {
        for (key, row) in system::scan_view(view, kind).await? {
            // One that does not decode is not under the seal either.
            let bare = SealKey::bare(&row).unwrap_or_default();
            if own::TABLES.contains(&kind) {
                // As above.
                let _ = projection.own.load(kind, &key, bare);
            } else if kind == Kind::Agent {
                AgentEntry::from_row(bare).into_iter().for_each(|entry| projection.put(entry));
            } else if let Ok(Some(certificate)) = certificates::load(&key, bare) {
                projection.certificates.put(certificate);
            }
            rows.add(kind, key, &row);
        }
    }
    let (mut seen, now) = (Vec::new(), ledger.time(UnixTime::default()));
    let dedup = system::scan_view(view, Kind::Dedup).await?;
    for (key, value) in inner.opened(log, Kind::Dedup, dedup).await? {
        let row = dedup::Row::read(&key, &value, now);
        seen.push(row.ok_or_else(|| StoreError::Corrupt("a row of deduplication does not decode".into()))?);
    }
    seen.sort_by_key(dedup::Row::order);
    for row in seen {
        if let Some(entry) = projection.agents.get_mut(&row.agent) {
            entry.seen.load(row);
        }
    }
    Ok((projection, rows))
}
