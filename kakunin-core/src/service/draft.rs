//! Decisions that are not in the log yet: records, and the entries as they will be.
//!
//! A draft works on copies of the agents it touches. If the append fails it is dropped, and nothing
//! in memory knows of it.

use std::collections::{HashMap, HashSet};

use super::Inner;
use super::certificates::{self, CertificateState, Certificates, Drafted, Reckoning};
use super::dedup::Reporter;
use super::error::Error;
use super::names::{self, Names};
use super::projection::{self, AgentEntry, Projection};
use crate::access::JoinTokenFacts;
use crate::error::StoreError;
use crate::event::{Attribution, Event, Facts, Outcome, ShortName, TokenKey};
use crate::id::{AgentId, JoinTokenId, Serial};
use crate::log::leaf::Act;
use crate::log::record::{Body, Control, Evidence, Record};
use crate::revoke::{Cause, Revocation, RevocationChange, Said};
use crate::risk::{Assessment, Band, Score};
use crate::state::Change;
use crate::time::UnixTime;

/// What became of an event.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum EventStatus {
    /// Recorded and scored.
    Scored,
    /// Recorded, not scored: nobody showed that it was the agent.
    Unattributed,
    /// Recorded, not scored: the certificate is revoked or held, or was replaced or ran out too long ago.
    NotAccepted,
    /// Recorded before, so not again.
    Duplicate,
}

/// The answer to one event. It is given after the record is on disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize)]
pub struct Observed {
    /// Index in the tenant's log; of a duplicate, that of the event that was recorded, or `None` if its number is so old
    /// that it is not known any more which event had it.
    pub index: Option<u64>,
    /// What became of it.
    pub status: EventStatus,
    /// When it was recorded, by the log's time; of a duplicate, when it was seen to be one.
    pub at: UnixTime,
    /// The agent's score after it.
    pub score: Score,
    /// The agent's band after it.
    pub band: Band,
    /// Whether this event took the agent's identity away: the certificate it has now.
    pub revoked: bool,
}

/// Records in the making.
pub(super) struct Draft<'p> {
    pub(super) inner: &'p Inner,
    tokens: &'p TokenKey,
    pub(super) base: &'p Projection,
    first_index: u64,
    /// The log's, which never decreases: what is put in order, counted and scored goes by it.
    pub(super) time: UnixTime,
    /// The clock's: what others hold against theirs goes by it.
    pub(super) now: UnixTime,
    by: Option<ShortName>,
    /// Whether there is room for nothing but what takes trust away.
    pub(super) scarce: bool,
    pub(super) agents: HashMap<AgentId, AgentEntry>,
    pub(super) certificates: Drafted<'p>,
    /// Agents whose name or class changed.
    pub(super) names: Names,
    pub(super) records: Vec<Record>,
    pub(super) changes: Vec<Change>,
    /// Agents whose rows changed.
    pub(super) rows: HashSet<AgentId>,
    pub(super) revocations: Vec<RevocationChange>,
    /// Join tokens that open nothing from now on.
    pub(super) voided: Vec<JoinTokenId>,
}

impl<'p> Draft<'p> {
    pub(super) fn new(
        inner: &'p Inner,
        tokens: &'p TokenKey,
        base: &'p Projection,
        first_index: u64,
        time: UnixTime,
    ) -> Self {
        Self {
            inner,
            tokens,
            base,
            first_index,
            time,
            now: inner.now(),
            by: None,
            scarce: false,
            agents: HashMap::new(),
            certificates: Drafted::over(&base.certificates),
            names: Names::default(),
            records: Vec::new(),
            changes: Vec::new(),
            rows: HashSet::new(),
            revocations: Vec::new(),
            voided: Vec::new(),
        }
    }

    /// Whoever asked for what is drafted; events are never asked for.
    pub(super) fn asked_by(&mut self, by: Option<ShortName>) {
        self.by = by;
    }

    /// An agent as it will be after the draft so far.
    pub(super) fn agent(&self, id: &AgentId) -> Option<&AgentEntry> {
        self.agents.get(id).or_else(|| self.base.agents.get(id))
    }

    pub(super) fn agent_of(&self, serial: &Serial) -> Option<AgentId> {
        self.certificate(serial).map(|certificate| certificate.facts.agent)
    }

    /// A certificate as it will be after the draft so far.
    pub(super) fn certificate(&self, serial: &Serial) -> Option<&CertificateState> {
        self.certificates.get(serial)
    }

    /// The certificate of an agent that is neither revoked nor expired, held or not.
    pub(super) fn standing(&self, entry: &AgentEntry) -> Option<&CertificateState> {
        self.certificates.standing(entry, self.now)
    }

    /// How much was recorded: a decision that refuses leaves it where it was.
    pub(super) fn position(&self) -> (usize, usize) {
        (self.records.len(), self.revocations.len())
    }

    fn next_index(&self) -> u64 {
        // A draft holds a few thousand records at the most.
        self.first_index + u64::try_from(self.records.len()).unwrap_or(u64::MAX)
    }

    /// Adds a record that is not an event; and if it takes trust away, what it takes with it.
    pub(super) fn push(
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
        let two = [row.agent.certificate, row.former.map(|former| former.serial)].into_iter().flatten();
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

    /// Begins an agent's account anew, whose certificate was just pushed.
    pub(super) fn certified(&mut self, agent: &AgentId, approved: bool) {
        if let Some(entry) = self.agents.get_mut(agent) {
            entry.certified(false, approved);
        }
    }

    /// Forgets the evidence against an agent, whose reinstatement was just pushed.
    pub(super) fn forgive(&mut self, agent: &AgentId) {
        if let Some(entry) = self.agents.get_mut(agent) {
            entry.forgive();
        }
    }

    fn add(&mut self, agent: AgentId, record: Record) -> Result<(), StoreError> {
        let index = self.next_index();
        let mut entry = self.agents.remove(&agent).or_else(|| self.base.agents.get(&agent).cloned());
        let is_control = matches!(record.body, Body::Control(_));
        let before = entry.as_ref().filter(|_| is_control).map(names::known_as);
        let redeemed = entry.as_ref().filter(|_| is_control).and_then(|entry| entry.row.redeemed);
        let certificates = &mut self.certificates;
        let changed = projection::apply(&mut entry, certificates, index, &record, &mut self.changes)?;
        if let Some(entry) = entry {
            self.voided.extend(redeemed.filter(|_| entry.row.redeemed.is_none()).map(|old| old.facts.id));
            if changed {
                self.rows.insert(agent);
                self.names.moved(before.as_ref().map(|(name, class)| (name, *class)), &entry);
            }
            self.agents.insert(agent, entry);
        }
        self.records.push(record);
        Ok(())
    }

    /// Adds a revocation and what it takes with it, with what that means for the issuer's revocation log.
    pub(super) fn revoke(
        &mut self,
        revocation: Revocation,
        evidence: Option<Evidence>,
    ) -> Result<(), StoreError> {
        self.revoke_saying(revocation, evidence, Said::default())
    }

    /// As [`Draft::revoke`], with what whoever ordered it had to say.
    pub(super) fn revoke_saying(
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

    /// Takes one event in: recorded once, scored if it is the agent's own, and acted upon. What is refused
    /// leaves nothing behind.
    pub(super) fn observe(&mut self, reporter: Reporter, event: Event) -> Result<Observed, Error> {
        let (policy, model, tokens) = (&self.inner.policy, &*self.inner.parts.model, self.tokens);
        let agent = self.agent_of(&event.serial).ok_or(Error::NotFound("certificate"))?;
        let corrupt = || StoreError::Corrupt("an event's agent is gone".into());
        self.end_due_grace(&agent)?;
        let client_id = event.client_id.as_ref().map(|id| tokens.token("client", id.as_str()));
        let entry = self.agent(&agent).ok_or_else(corrupt)?;
        let number = event.stream.map(|at| entry.seen.number(self.time, reporter, at)).transpose()?.flatten();
        let id = client_id.and_then(|id| entry.seen.id(self.time, reporter, id));
        let (score, band) = (entry.score, entry.row.band);
        for (taken, reused) in [(id, Error::IdReused), (number, Error::NumberReused)] {
            if taken.flatten().is_some_and(|first| !first.is_of(&event)) {
                return Err(reused);
            }
        }
        if id.or(number).is_some() {
            let index = id.flatten().or(number.flatten()).map(|first| first.index);
            let (status, at) = (EventStatus::Duplicate, self.time);
            return Ok(Observed { index, status, at, score, band, revoked: false });
        }
        let facts = tokens.facts(&event);
        let accepted =
            counts(certificates::reckons(&self.certificates, entry, &event.serial, self.now), &event);
        let assessment = (accepted && event.attribution > Attribution::Asserted)
            .then(|| model.assess(&entry.history, &policy.prior, self.time, &facts));
        let status = match (accepted, &assessment) {
            (true, Some(_)) => EventStatus::Scored,
            (true, None) => EventStatus::Unattributed,
            (false, _) => EventStatus::NotAccepted,
        };
        let (index, serial, named) = (self.next_index(), event.serial, !event.unnamed);
        let act = act(&event, facts, (client_id, reporter), assessment.as_ref().map(|a| a.score));
        let record = Record {
            time: self.time,
            agent: Some(agent),
            serial: Some(event.serial),
            by: None,
            body: Body::Event(Box::new(act), Some(Box::new(event))),
        };
        self.add(agent, record)?;
        let mut observed =
            Observed { index: Some(index), status, at: self.time, score, band, revoked: false };
        if let Some(assessment) = assessment {
            let time = self.time;
            let entry = self.agents.get_mut(&agent).ok_or_else(corrupt)?;
            if let Some(Record { body: Body::Event(act, _), .. }) = self.records.last() {
                entry.record((index, time), act, &assessment, &policy.thresholds);
            }
            observed.score = assessment.score;
            self.act_on(agent, index, &assessment, &mut observed)?;
            // The agent has its new certificate.
            let newest = self.agent(&agent).and_then(|entry| entry.row.agent.certificate);
            if named && newest == Some(serial) {
                self.end_grace(&agent)?;
            }
        }
        Ok(observed)
    }

    /// What is taken back to by [`Draft::back_to`], for events that are about these agents.
    pub(super) fn mark(&self, agents: impl Iterator<Item = AgentId>) -> Mark {
        let agents: HashSet<_> = agents.collect();
        let agents: Vec<_> = agents.into_iter().map(|id| (id, self.agents.get(&id).cloned())).collect();
        // An event takes nothing away but the newest one, and the one that stands beside it.
        let two = |(id, _): &(AgentId, _)| {
            let row = self.agent(id).map(|entry| &entry.row);
            row.map(|row| [row.agent.certificate, row.former.map(|former| former.serial)])
        };
        let drafted = |serial| (serial, self.certificates.changed.get(&serial).cloned());
        Mark {
            records: self.records.len(),
            revocations: self.revocations.len(),
            changes: self.changes.len(),
            voided: self.voided.len(),
            certificates: agents.iter().filter_map(two).flatten().flatten().map(drafted).collect(),
            agents,
        }
    }

    /// Undoes what was drafted since: rows that stay named are written as they are.
    pub(super) fn back_to(&mut self, mark: Mark) {
        self.records.truncate(mark.records);
        self.revocations.truncate(mark.revocations);
        self.changes.truncate(mark.changes);
        self.voided.truncate(mark.voided);
        for (serial, certificate) in mark.certificates {
            match certificate {
                Some(certificate) => _ = self.certificates.changed.insert(serial, certificate),
                None => _ = self.certificates.changed.remove(&serial),
            }
        }
        for (id, entry) in mark.agents {
            let undone = match entry {
                Some(entry) => self.agents.insert(id, entry),
                None => self.agents.remove(&id),
            };
            let entry = self.agents.get(&id).or_else(|| self.base.agents.get(&id));
            if let (Some((name, class)), Some(entry)) = (undone.as_ref().map(names::known_as), entry) {
                self.names.moved(Some((&name, class)), entry);
            }
        }
    }

    fn act_on(
        &mut self,
        agent: AgentId,
        event: u64,
        assessment: &Assessment,
        observed: &mut Observed,
    ) -> Result<(), StoreError> {
        let thresholds = &self.inner.policy.thresholds;
        let (from, to) = (observed.band, thresholds.band(assessment.score));
        // The one it has now, whichever it acted with.
        let present = self.agent(&agent).and_then(|entry| certificates::present(&self.certificates, entry));
        let present = present.map(|certificate| certificate.facts);
        let lost = present.filter(|_| to == Band::Revoke);
        if to == from && lost.is_none() {
            return Ok(());
        }
        observed.band = to;
        let evidence = Evidence {
            score: assessment.score,
            threshold: thresholds.revoke(),
            model: self.inner.parts.model.id(),
            event,
            families: assessment.strongest(),
        };
        if to != from {
            let changed = Control::BandChanged { from, to, evidence: evidence.clone() };
            self.push(agent, present.map(|facts| facts.serial), changed)?;
        }
        if let Some(facts) = lost {
            observed.revoked = true;
            self.revoke(revocation(&facts, Cause::RiskThresholdExceeded, self.now), Some(evidence))?;
        }
        Ok(())
    }
}

/// Where a draft stood.
pub(super) struct Mark {
    records: usize,
    revocations: usize,
    changes: usize,
    voided: usize,
    certificates: Vec<(Serial, Option<CertificateState>)>,
    agents: Vec<(AgentId, Option<AgentEntry>)>,
}

/// Whether an event counts against its agent. After its certificate has ended, whatever it asks for is refused;
/// so of refusals from then on only those count that would have been made before.
fn counts(reckoning: Reckoning, event: &Event) -> bool {
    match reckoning {
        Reckoning::Everything => true,
        Reckoning::Nothing => false,
        Reckoning::Until(ended) => {
            event.outcome != Outcome::Denied
                || event.out_of_scope
                || event.auth_failure
                || event.occurred_at.is_none_or(|at| at <= ended)
        }
    }
}

/// The revocation of a certificate.
pub(super) fn revocation(facts: &crate::issue::Issued, cause: Cause, at: UnixTime) -> Revocation {
    Revocation {
        issuer: facts.issuer,
        serial: facts.serial,
        agent: facts.agent,
        at,
        cause,
        expires: facts.not_after,
        shard: facts.shard,
    }
}

fn act(
    event: &Event,
    facts: Facts,
    (client_id, reporter): (Option<u64>, Reporter),
    score: Option<Score>,
) -> Act {
    let text = |name: &Option<ShortName>| name.as_ref().map(|n| n.as_str().to_owned());
    Act {
        subject: text(&event.subject),
        tool: text(&event.tool),
        action: event.action.clone(),
        correlation: text(&event.correlation),
        attribution: event.attribution,
        score,
        facts,
        stream: event.stream.map(|s| (s.stream, s.seq)),
        client_id,
        reporter,
    }
}
