//! Taking events in: recorded once, scored, and acted upon.

use super::decide::{Command, Need};
use super::draft::{Draft, Rules};
use crate::error::StoreError;
use crate::event::{Attribution, Event, Facts, Outcome, ShortName};
use crate::id::AgentId;
use crate::log::leaf::Act;
use crate::log::record::{Body, Record};
use crate::risk::{Assessment, Band, Score};
use crate::service::error::Error;
use crate::service::state::agent::AgentEntry;
use crate::service::state::certificates::{self, Reckoning};
use crate::service::state::dedup::{Fingerprint, Reporter};
use crate::service::state::folding::Measure;
use crate::time::UnixTime;
use crate::words::words;

words! {
    /// What became of an event.
    #[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize)]
    #[non_exhaustive]
    pub enum EventStatus {
        /// Recorded and scored.
        Scored = "scored",
        /// Recorded, not scored: nobody showed that it was the agent.
        Unattributed = "unattributed",
        /// Recorded, not scored: the certificate is revoked or held, or was replaced or ran out too long ago.
        NotAccepted = "not_accepted",
        /// Recorded before, so not again.
        Duplicate = "duplicate",
    }
}

/// The answer to one event. It is given after the record is on disk. That to a duplicate is the first one, read from the
/// record, as far as that says it: the band is by the thresholds that are in force now, unless it changed with the event; and
/// evidence is on record only where something followed from it. Where it is not known which event it is a duplicate of, it says
/// how the agent stands now.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize)]
pub struct Observed {
    /// Index in the tenant's log; of a duplicate, that of the event that was recorded, or `None` if its number is so old
    /// that it is not known any more which event had it.
    pub index: Option<u64>,
    /// What became of it.
    pub status: EventStatus,
    /// When it was recorded, by the log's time.
    pub at: UnixTime,
    /// The agent's score after it.
    pub score: Score,
    /// The agent's band after it.
    pub band: Band,
    /// Whether this event took the agent's identity away: the certificate it has now.
    pub revoked: bool,
    /// Whether it would have, and the breaker holds the identity instead until a person looks.
    pub held: bool,
    /// What each family contributed to the score after it, in the order of [`Family::ALL`](crate::risk::Family::ALL), in
    /// millionths: see [`Family::ranked`](crate::risk::Family::ranked).
    pub evidence: [u32; 4],
}

/// What became of each event, in their order.
pub(crate) type Each = Vec<Result<Observed, Error>>;

/// Events of one call.
#[derive(Clone)]
pub(crate) struct Batch {
    pub(crate) reporter: Reporter,
    pub(crate) events: Vec<Event>,
    /// The time of each, where the clock says nothing.
    pub(crate) times: Option<Vec<UnixTime>>,
    /// Whether one that is refused keeps the others from being recorded.
    pub(crate) whole: bool,
}

/// Takes one caller's events into the draft.
impl Command for Batch {
    const NEED: Need = Need::Events;
    type Answer = Each;

    fn records(&self) -> usize {
        self.events.len()
    }

    fn decide(self, draft: &mut Draft<'_>) -> Result<Each, Error> {
        if draft.scarce && self.whole {
            return Ok(self.events.iter().map(|_| Err(StoreError::Full.into())).collect());
        }
        let known = self.events.iter().filter_map(|event| draft.agent_of(&event.serial));
        let mut before = self.whole.then(|| draft.mark(known));
        let (time, now) = (draft.time, draft.now);
        let mut times = self.times.unwrap_or_default().into_iter();
        let mut each = Vec::with_capacity(self.events.len());
        for (index, event) in self.events.into_iter().enumerate() {
            if let Some(recorded) = times.next() {
                draft.at(recorded);
            }
            let observed = draft.observe(self.reporter, event);
            match observed {
                // It takes nothing away, and the next one may.
                Err(Error::Store(StoreError::Full)) if draft.scarce => {
                    each.push(Err(StoreError::Full.into()))
                }
                Err(Error::Store(error)) => return Err(error.into()),
                Err(error) if self.whole => {
                    before.take().into_iter().for_each(|mark| draft.back_to(mark));
                    return Err(Error::OneOfMany { index, error: Box::new(error) });
                }
                observed => each.push(observed),
            }
        }
        // Who decides next in this draft goes by the clock.
        draft.by_clock(time, now);
        Ok(each)
    }
}

impl Draft<'_> {
    /// Takes one event in: recorded once, scored if it is the agent's own, and acted upon. What is refused
    /// leaves nothing behind.
    pub(crate) fn observe(&mut self, reporter: Reporter, event: Event) -> Result<Observed, Error> {
        let (Rules { settings, .. }, tokens, judging) = (self.rules, self.tokens, self.judging);
        let agent = self.agent_of(&event.serial).ok_or(Error::NO_CERTIFICATE)?;
        let corrupt = || StoreError::Corrupt("an event's agent is gone".into());
        self.end_due_grace(&agent)?;
        let role = if event.once { "nonce" } else { "client" };
        let client_id = event.client_id.as_ref().map(|id| tokens.token(role, id.as_str()));
        let entry = self.agent(&agent).ok_or_else(corrupt)?;
        // What is refused leaves nothing behind: so not in the draft.
        let anew = entry.is_of_another(judging).then(|| {
            let mut anew = entry.clone();
            anew.judged_by(judging);
            anew
        });
        let entry = anew.as_ref().unwrap_or(entry);
        let before = Observed {
            index: None,
            status: EventStatus::Duplicate,
            at: self.time,
            score: entry.score,
            band: entry.row.band,
            revoked: false,
            held: false,
            evidence: entry.evidence,
        };
        if let Some(index) = self.seen(entry, &event, client_id, reporter)? {
            return Ok(Observed { index, ..before });
        }
        let facts = tokens.facts(&event);
        let accepted =
            counts(certificates::reckons(&self.certificates, entry, &event.serial, self.now), &event);
        let assessment = (accepted && event.attribution > Attribution::Asserted)
            .then(|| judging.model.assess(&entry.history, &settings.prior, self.time, &facts));
        let status = match (accepted, &assessment) {
            (true, Some(_)) => EventStatus::Scored,
            (true, None) => EventStatus::Unattributed,
            (false, _) => EventStatus::NotAccepted,
        };
        let lost = assessment.as_ref().and_then(|assessment| self.loses(entry, assessment));
        if self.scarce && lost.is_none() {
            return Err(StoreError::Full.into());
        }
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
        let mut observed = Observed { index: Some(index), status, ..before };
        if let Some(assessment) = assessment {
            self.fold_in(agent, index, &assessment)?;
            (observed.score, observed.evidence) = (assessment.score, assessment.evidence);
            self.act_on(agent, index, (&assessment, lost), &mut observed)?;
            // The agent has its new certificate.
            let newest = self.agent(&agent).and_then(|entry| entry.row.agent.certificate);
            if named && newest == Some(serial) {
                self.end_grace(&agent)?;
            }
        }
        Ok(observed)
    }

    /// Takes the event that was added last into its agent's history, as replay does.
    fn fold_in(&mut self, agent: AgentId, index: u64, assessment: &Assessment) -> Result<(), StoreError> {
        let (Rules { settings, second, .. }, policy) = (self.rules, self.policy.policy.clone());
        let judging = self.judging;
        let entry = self.agents.get_mut(&agent);
        let entry = entry.ok_or_else(|| StoreError::Corrupt("an event's agent is gone".into()))?;
        if let Some(Record { body: Body::Event(act, _), .. }) = self.records.last() {
            let measure = Measure { judging, second, prior: &settings.prior, policy: &policy };
            entry.record((index, self.time), act, assessment, measure);
        }
        Ok(())
    }

    /// Whether an event was recorded before, and at which index if that is known; refused if what was recorded under its
    /// identifier or number is another.
    fn seen(
        &self,
        entry: &AgentEntry,
        event: &Event,
        client_id: Option<u64>,
        reporter: Reporter,
    ) -> Result<Option<Option<u64>>, Error> {
        if event.once && client_id.is_some_and(|nonce| entry.seen.nonce(self.time, nonce)) {
            return Err(Error::NonceUsed);
        }
        let number = event.stream.map(|at| entry.seen.number(self.time, reporter, at)).transpose()?.flatten();
        let id = client_id.filter(|_| !event.once).and_then(|id| entry.seen.id(self.time, reporter, id));
        let print = id.flatten().or(number.flatten()).map(|_| Fingerprint::of(event));
        for (taken, reused) in [(id, Error::IdReused), (number, Error::NumberReused)] {
            if taken.flatten().zip(print).is_some_and(|(first, print)| !first.is_of(&print, event.unnamed)) {
                return Err(reused);
            }
        }
        let first = id.flatten().or(number.flatten());
        Ok(id.or(number).map(|_| first.map(|first| first.index)))
    }
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
        once: event.once && client_id.is_some(),
    }
}
