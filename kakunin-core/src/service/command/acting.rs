//! What follows from a score: a warning, the loss of an identity, or a hold where the breaker says so. And what would follow
//! from it by other rules.

use super::draft::Draft;
use super::observe::Observed;
use crate::error::StoreError;
use crate::id::AgentId;
use crate::issue::Issued;
use crate::log::record::{Braked, Control, Evidence, Shadowed};
use crate::policy::{Mode, Shadow};
use crate::revoke::{Cause, Said};
use crate::risk::{Assessment, Band};
use crate::service::state::agent::AgentEntry;
use crate::service::state::certificates;
use crate::service::state::own::InForce;
use crate::service::state::second::Second;

impl Draft<'_> {
    /// The certificate that an event takes away which is so assessed and not folded in yet: the one that the agent has
    /// now, whichever it acted with.
    pub(super) fn loses(&self, entry: &AgentEntry, assessment: &Assessment) -> Option<Issued> {
        let policy = &self.policy.policy;
        // The band may be one that is not left yet: nothing is taken away below the threshold.
        let takes = policy.mode == Mode::Enforce
            && assessment.score >= policy.thresholds.revoke()
            && self.judging.model.is_ground(entry.score, assessment)
            && entry.tally.suspicious(self.time).saturating_add(1) >= policy.minimum.events;
        let present = takes.then(|| certificates::present(&self.certificates, entry)).flatten();
        present.map(|certificate| certificate.facts)
    }

    /// What follows from the agent's score after the event at this index, which is on record by now.
    pub(super) fn act_on(
        &mut self,
        agent: AgentId,
        event: u64,
        (assessment, lost): (&Assessment, Option<Issued>),
        observed: &mut Observed,
    ) -> Result<(), StoreError> {
        let InForce { since, policy, .. } = self.policy.clone();
        let Some(entry) = self.agent(&agent) else { return Ok(()) };
        let (from, to) = (observed.band, policy.band(assessment.score, observed.band));
        let shadowed = self.shadowed(entry, assessment, event);
        if to == from && lost.is_none() && shadowed.is_none() {
            return Ok(());
        }
        observed.band = to;
        let present = certificates::present(&self.certificates, entry);
        let serial = present.map(|certificate| certificate.facts.serial);
        if let Some(shadowed) = shadowed {
            self.push(agent, serial, Control::RiskShadowed(shadowed))?;
        }
        let reason = Evidence {
            score: assessment.score,
            threshold: policy.thresholds.revoke(),
            model: self.judging.model.id(),
            event,
            families: assessment.strongest(),
            policy: since,
            mode: policy.mode,
        };
        // Whoever jumps past both thresholds is warned of first.
        let jumps = from < Band::Warning && to == Band::Revoke;
        let steps = [Band::Warning].into_iter().filter(|_| jumps).chain([to]);
        let mut from = from;
        for to in steps.filter(|to| *to != from).collect::<Vec<_>>() {
            self.push(agent, serial, Control::BandChanged { from, to, evidence: reason.clone() })?;
            from = to;
        }
        lost.map_or(Ok(()), |facts| self.take_away(&facts, reason, observed))
    }

    /// What other rules or another model would do, if that changes with this event, and one of both is worth a warning.
    fn shadowed(&self, entry: &AgentEntry, assessment: &Assessment, event: u64) -> Option<Shadowed> {
        let InForce { since, policy, .. } = &self.policy;
        let second = entry.second.as_deref();
        let own = || second.map(|_| Shadow { thresholds: policy.thresholds, minimum: policy.minimum });
        let rules = policy.shadow.or_else(own)?;
        let score = second.map_or(assessment.score, |second| second.score);
        let (from, to) = (entry.row.shadow, policy.shadowed(&rules, score, entry.row.shadow));
        let enough = entry.tally.suspicious(self.time) >= rules.minimum.events;
        let revokes = to == Band::Revoke && enough;
        let changes = to != from || revokes != entry.row.shadow_revokes;
        if !changes || from.max(to) < Band::Warning {
            return None;
        }
        let evidence = Evidence {
            score,
            threshold: rules.thresholds.revoke(),
            model: second.map_or_else(|| self.judging.model.id(), |second| second.model.clone()),
            event,
            families: second.map_or_else(|| assessment.strongest(), Second::families),
            policy: *since,
            mode: policy.mode,
        };
        Some(Shadowed { from, to, revokes, evidence })
    }

    /// Takes the identity away, or holds it, if the breaker has tripped or trips with this one.
    fn take_away(
        &mut self,
        facts: &Issued,
        evidence: Evidence,
        observed: &mut Observed,
    ) -> Result<(), StoreError> {
        let held = self.held_of(&facts.agent).is_some();
        let Some(tripped) = self.brakes(facts.agent)? else {
            observed.revoked = true;
            let revocation = facts.revocation(Cause::RiskThresholdExceeded, self.now);
            return self.revoke(revocation, Some(evidence));
        };
        // What is reported late, of a certificate that was replaced: whoever held it knows why.
        if held {
            return Ok(());
        }
        observed.held = true;
        self.hold(facts, Said::default(), Some(Braked { tripped, evidence }))
    }
}
