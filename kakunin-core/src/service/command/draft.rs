//! Decisions that are not in the log yet: records, and the entries as they will be.
//!
//! A draft works on copies of the agents it touches. If the append fails it is dropped, and nothing
//! in memory knows of it.

use std::collections::{HashMap, HashSet};

use crate::access::JoinTokenFacts;
use crate::error::StoreError;
use crate::event::{ShortName, TokenKey};
use crate::id::{AgentId, IssuerId, JoinTokenId, Serial};
use crate::issue::Place;
use crate::log::record::{Body, Control, Evidence, Record};
use crate::revoke::{Revocation, RevocationChange, Said};
use crate::risk::{Models, RiskModel};
use crate::service::error::Error;
use crate::service::state::agent::AgentEntry;
use crate::service::state::api_keys::ApiKeys;
use crate::service::state::bound::BoundKeys;
use crate::service::state::certificates::{CertificateState, Certificates, Drafted};
use crate::service::state::folding::{Judging, Measure};
use crate::service::state::names::{self, Names};
use crate::service::state::own::{InForce, Own};
use crate::service::state::projection::Projection;
use crate::service::state::settings::Settings;
use crate::service::state::{apply, folding, notices};
use crate::store::bound::Binding;
use crate::store::state::{Change, Kind};
use crate::time::UnixTime;
use crate::x509::csr::CsrError;

/// What decisions go by beside the state.
#[derive(Clone, Copy)]
pub(crate) struct Rules<'p> {
    pub(crate) settings: &'p Settings,
    pub(crate) models: &'p Models,
    pub(crate) second: Option<&'p dyn RiskModel>,
    pub(crate) place: &'p Place,
    pub(crate) bound: &'p BoundKeys,
    pub(crate) api_keys: &'p ApiKeys,
}

/// Records in the making.
pub(crate) struct Draft<'p> {
    pub(crate) rules: Rules<'p>,
    pub(crate) tokens: &'p TokenKey,
    pub(crate) base: &'p Projection,
    /// Agents as they are after an append that is being written, and not in `base` yet.
    pub(crate) ahead: Option<&'p HashMap<AgentId, AgentEntry>>,
    first_index: u64,
    /// The time of the last record before the draft.
    last: UnixTime,
    /// The log's, which never decreases: what is put in order, counted and scored goes by it.
    pub(crate) time: UnixTime,
    /// The clock's: what others hold against theirs goes by it.
    pub(crate) now: UnixTime,
    by: Option<ShortName>,
    /// Whether there is room for nothing but what takes trust away.
    pub(crate) scarce: bool,
    /// Whether the same may be decided once more, into another draft.
    pub(crate) again: bool,
    pub(crate) agents: HashMap<AgentId, AgentEntry>,
    pub(crate) certificates: Drafted<'p>,
    /// Agents whose name or class changed.
    pub(crate) names: Names,
    pub(crate) records: Vec<Record>,
    pub(crate) changes: Vec<Change>,
    /// Agents whose rows changed.
    pub(crate) rows: HashSet<AgentId>,
    pub(crate) revocations: Vec<RevocationChange>,
    /// Join tokens that open nothing from now on.
    pub(crate) voided: Vec<JoinTokenId>,
    /// Keys that become agents' with this.
    bound: HashMap<IssuerId, AgentId>,
    /// What the tenant decided for itself, if that changed.
    pub(super) own: Option<Own>,
    /// Whether the breaker holds somebody no more whom it held before.
    unbraked: bool,
    /// The policy that is in force after the draft so far,
    pub(crate) policy: InForce,
    /// and the model that judges by it.
    pub(crate) judging: Judging<'p>,
}

impl<'p> Draft<'p> {
    pub(crate) fn new(
        rules: Rules<'p>,
        tokens: &'p TokenKey,
        base: &'p Projection,
        (first_index, last): (u64, UnixTime),
        (time, now): (UnixTime, UnixTime),
    ) -> Self {
        Self {
            rules,
            tokens,
            base,
            ahead: None,
            first_index,
            last,
            time,
            now,
            by: None,
            scarce: false,
            again: false,
            agents: HashMap::new(),
            certificates: Drafted::over(&base.certificates),
            names: Names::default(),
            records: Vec::new(),
            changes: Vec::new(),
            rows: HashSet::new(),
            revocations: Vec::new(),
            voided: Vec::new(),
            bound: HashMap::new(),
            own: None,
            unbraked: false,
            policy: InForce::of(&base.own, &rules.settings.policy),
            judging: Judging::now(&base.own, rules.models),
        }
    }

    /// Whoever asked for what is drafted; events are never asked for.
    pub(crate) fn asked_by(&mut self, by: Option<ShortName>) {
        self.by = by;
    }

    pub(crate) const fn by(&self) -> Option<&ShortName> {
        self.by.as_ref()
    }

    /// An agent as it will be after the draft so far.
    pub(crate) fn agent(&self, id: &AgentId) -> Option<&AgentEntry> {
        self.agents.get(id).or_else(|| self.before(id))
    }

    /// An agent as it was before the draft.
    pub(crate) fn before(&self, id: &AgentId) -> Option<&'p AgentEntry> {
        self.ahead.and_then(|ahead| ahead.get(id)).or_else(|| self.base.agents.get(id))
    }

    /// Whether a key may become an agent's with what is drafted, as far as that is known here: the store decides.
    pub(crate) fn may_bind(&self, key: IssuerId, agent: AgentId) -> Result<(), CsrError> {
        match self.bound.get(&key) {
            Some(drafted) if *drafted != agent => Err(CsrError::Duplicate),
            _ => self.rules.bound.check(Binding { key, agent }),
        }
    }

    pub(crate) fn agent_of(&self, serial: &Serial) -> Option<AgentId> {
        self.certificate(serial).map(|certificate| certificate.facts.agent)
    }

    /// A certificate as it will be after the draft so far.
    pub(crate) fn certificate(&self, serial: &Serial) -> Option<&CertificateState> {
        self.certificates.get(serial)
    }

    /// The certificate of an agent that is neither revoked nor expired, held or not.
    pub(crate) fn standing(&self, entry: &AgentEntry) -> Option<&CertificateState> {
        self.certificates.standing(entry, self.now)
    }

    /// How much was recorded: a decision that refuses leaves it where it was.
    pub(crate) fn position(&self) -> (usize, usize) {
        (self.records.len(), self.revocations.len())
    }

    /// Goes by this time from now on, whatever the clock says, but never back behind the last record.
    pub(crate) fn at(&mut self, recorded: UnixTime) {
        self.time = recorded.max(self.last_time());
        self.now = self.time;
    }

    /// Goes by the clock again, which said `now`.
    pub(crate) fn by_clock(&mut self, time: UnixTime, now: UnixTime) {
        self.time = time.max(self.last_time());
        self.now = now;
    }

    fn last_time(&self) -> UnixTime {
        self.records.last().map_or(self.last, |record| record.time)
    }

    pub(crate) fn next_index(&self) -> u64 {
        self.next_index_after(self.records.len())
    }

    /// Index of the record that follows the first so many of this draft.
    pub(crate) fn next_index_after(&self, records: usize) -> u64 {
        // A draft holds a few thousand records at the most.
        self.first_index + u64::try_from(records).unwrap_or(u64::MAX)
    }

    /// Adds a record that is not an event; and if it takes trust away, what it takes with it.
    pub(crate) fn push(
        &mut self,
        agent: AgentId,
        serial: Option<Serial>,
        control: Control,
    ) -> Result<(), StoreError> {
        let record = Record::control(self.time, Some(agent), serial, control);
        self.add(agent, record.asked_by(self.by.clone()))?;
        self.void(agent)
    }

    /// Ends what is under way for an agent, if the last record took trust away.
    fn void(&mut self, agent: AgentId) -> Result<(), StoreError> {
        let Some(row) = self.agents.get(&agent).map(|entry| &entry.row) else { return Ok(()) };
        if row.void_before != self.next_index() {
            return Ok(());
        }
        let two = row.two().into_iter().flatten();
        let granted = two.filter_map(|serial| self.certificate(&serial)).filter(|c| c.granted);
        let granted: Vec<_> = granted.filter_map(|c| Some((c.facts.serial, c.key.clone()?))).collect();
        if let Some(JoinTokenFacts { id, .. }) = row.join {
            self.voided.push(id);
            self.push(agent, None, Control::JoinTokenVoided { id })?;
        }
        for (serial, key) in granted {
            self.push(agent, Some(serial), Control::KeyGrantsVoided { key })?;
        }
        Ok(())
    }

    /// Adds a record that is about no agent.
    pub(crate) fn push_own(&mut self, control: Control) -> Result<(), StoreError> {
        let record = Record::control(self.time, None, None, control).asked_by(self.by.clone());
        self.apply_own(self.next_index(), &record)?;
        self.changes.extend(notices::changes(&record, self.next_index())?);
        self.records.push(record);
        Ok(())
    }

    /// What the tenant decided for itself, as it will be after the draft so far.
    pub(crate) fn own(&self) -> &Own {
        self.own.as_ref().unwrap_or(&self.base.own)
    }

    fn apply_own(&mut self, index: u64, record: &Record) -> Result<(), StoreError> {
        if Own::concerns(record) {
            let own = self.own.get_or_insert_with(|| self.base.own.clone());
            own.apply(index, record, &mut self.changes)?;
            self.policy = InForce::of(own, &self.rules.settings.policy);
            self.judging = Judging::now(own, self.rules.models);
        }
        Ok(())
    }

    /// What scores are made and counted by.
    pub(crate) fn measure<'m>(&'m self, policy: &'m InForce) -> Measure<'m> {
        let Rules { settings, second, .. } = self.rules;
        Measure { judging: self.judging, second, prior: &settings.prior, policy: &policy.policy }
    }

    pub(crate) fn add(&mut self, agent: AgentId, record: Record) -> Result<(), StoreError> {
        let index = self.next_index();
        let mut entry = self.agents.remove(&agent).or_else(|| self.before(&agent).cloned());
        let is_control = matches!(record.body, Body::Control(_));
        let before = entry.as_ref().filter(|_| is_control).map(names::known_as);
        let braked = entry.as_ref().is_some_and(|entry| entry.row.braked.is_some());
        let redeemed = entry.as_ref().filter(|_| is_control).and_then(|entry| entry.row.redeemed);
        if let Some(entry) = &mut entry {
            entry.judged_by(self.judging);
        }
        let certificates = &mut self.certificates;
        let changed = apply::apply(&mut entry, certificates, index, &record, &mut self.changes)?;
        if let Some(mut entry) = entry {
            // An event is folded by whoever assesses it.
            if is_control {
                folding::fold(&mut entry, index, &record, self.measure(&self.policy.clone()));
            }
            self.voided.extend(redeemed.filter(|_| entry.row.redeemed.is_none()).map(|old| old.facts.id));
            self.unbraked |= braked && entry.row.braked.is_none();
            if changed {
                self.rows.insert(agent);
                self.names.moved(before.as_ref().map(|(name, class)| (name, *class)), &entry);
            }
            self.agents.insert(agent, entry);
        }
        self.apply_own(index, &record)?;
        self.bound.extend(Binding::of(&record).map(|bound| (bound.key, bound.agent)));
        self.records.push(record);
        Ok(())
    }

    /// Adds a revocation and what it takes with it, with what that means for the issuer's revocation log.
    pub(crate) fn revoke(
        &mut self,
        revocation: Revocation,
        evidence: Option<Evidence>,
    ) -> Result<(), StoreError> {
        self.revoke_saying(revocation, evidence, Said::default())
    }

    /// As [`Draft::revoke`], with what whoever ordered it had to say.
    pub(crate) fn revoke_saying(
        &mut self,
        revocation: Revocation,
        evidence: Option<Evidence>,
        said: Said,
    ) -> Result<(), StoreError> {
        let others = self.taken_with(&revocation);
        for revocation in [revocation].into_iter().chain(others) {
            self.revocations.push(RevocationChange::Revoked(revocation));
            let (evidence, said) = (evidence.clone(), said.clone());
            let control = Control::CertificateRevoked { revocation, evidence, said };
            self.push(revocation.agent, Some(revocation.serial), control)?;
        }
        Ok(())
    }
}

/// What a draft leaves behind.
pub(crate) struct Decided {
    pub(crate) agents: HashMap<AgentId, AgentEntry>,
    pub(crate) certificates: HashMap<Serial, CertificateState>,
    /// Certificates that leave with it.
    pub(crate) left: HashSet<Serial>,
    pub(crate) records: Vec<Record>,
    pub(crate) changes: Vec<Change>,
    pub(crate) revocations: Vec<RevocationChange>,
    pub(crate) voided: Vec<JoinTokenId>,
    /// Keys that become agents' with it.
    pub(crate) bound: HashMap<IssuerId, AgentId>,
    /// What the tenant decided for itself, if that changed with it.
    pub(crate) own: Option<Own>,
    /// Whether it may be written where there is no room for anything else.
    pub(crate) reserved: bool,
}

/// Most records of an append that may use what is set aside because of one that takes trust away.
const FEW: usize = 16;

impl Decided {
    /// Whether it only adds events to histories: no agent's row changes, no certificate and nothing that the tenant decided
    /// for itself, nothing is taken away, and nobody is told of anything.
    pub(crate) fn only_adds(&self) -> bool {
        let events = self.records.iter().all(|record| matches!(record.body, Body::Event(..)));
        events
            && self.changes.iter().all(|change| change.kind == Kind::Dedup)
            && self.certificates.is_empty()
            && self.left.is_empty()
            && self.revocations.is_empty()
            && self.voided.is_empty()
            && self.bound.is_empty()
            && self.own.is_none()
    }

    /// Whether it takes trust away, and little else is recorded with that.
    pub(crate) const fn is_small_and_takes(&self) -> bool {
        !self.revocations.is_empty() && self.records.len() <= FEW
    }
}

impl Draft<'_> {
    pub(crate) fn decided(mut self) -> Result<Decided, StoreError> {
        if self.unbraked {
            self.by = None;
            self.close_if_empty()?;
        }
        for entry in self.rows.iter().filter_map(|id| self.agents.get(id)) {
            self.changes.push(entry.change()?);
        }
        Ok(Decided {
            agents: self.agents,
            certificates: self.certificates.changed,
            left: self.certificates.left,
            records: self.records,
            changes: last_of_each(self.changes),
            revocations: self.revocations,
            voided: self.voided,
            bound: self.bound,
            own: self.own,
            reserved: false,
        })
    }
}

/// Of rows that change with each event, as that of a stream does, the last is written.
fn last_of_each(changes: Vec<Change>) -> Vec<Change> {
    let mut known = HashSet::with_capacity(changes.len());
    let last = changes.into_iter().rev().filter(|change| known.insert((change.kind, change.key.clone())));
    let mut last: Vec<_> = last.collect();
    last.reverse();
    last
}

/// The agent, as it will be after the draft so far.
pub(crate) fn known<'d>(draft: &'d Draft<'_>, agent: &AgentId) -> Result<&'d AgentEntry, Error> {
    draft.agent(agent).ok_or(Error::NotFound("agent"))
}
