//! What follows from a score: a warning, the loss of an identity, or a hold where the breaker says so. And what would follow
//! from it by other rules.

use super::draft::Draft;
use super::observe::Observed;
use crate::error::StoreError;
use crate::id::AgentId;
use crate::issue::Issued;
use crate::log::record::{Braked, Control, Evidence, Shadowed};
use crate::policy::{Minimum, Mode};
use crate::revoke::{Cause, Said};
use crate::risk::{Assessment, Band, Score};
use crate::service::state::agent::AgentEntry;
use crate::service::state::certificates;
use crate::service::state::folding::is_suspicious;
use crate::service::state::own::InForce;

impl Draft<'_> {
    /// Whether an event that is so assessed takes its agent's identity away.
    pub(super) fn takes(&self, entry: &AgentEntry, assessment: Option<&Assessment>) -> bool {
        let policy = &self.policy.policy;
        assessment.is_some_and(|assessment| {
            let this = u32::from(is_suspicious(entry.score, assessment));
            policy.mode == Mode::Enforce
                && policy.band(assessment.score, entry.row.band) == Band::Revoke
                && entry.tally.suspicious(self.time).saturating_add(this) >= policy.minimum.events
        }) && certificates::present(&self.certificates, entry).is_some()
    }

    /// What follows from the agent's score after the event at this index, which is on record by now.
    pub(super) fn act_on(
        &mut self,
        agent: AgentId,
        event: u64,
        assessment: &Assessment,
        observed: &mut Observed,
    ) -> Result<(), StoreError> {
        let InForce { since, policy } = self.policy.clone();
        let Some(entry) = self.agent(&agent) else { return Ok(()) };
        // The one it has now, whichever it acted with.
        let present = certificates::present(&self.certificates, entry).map(|certificate| certificate.facts);
        let (from, to) = (observed.band, policy.band(assessment.score, observed.band));
        let enough = |minimum: Minimum| entry.tally.suspicious(self.time) >= minimum.events;
        let takes = to == Band::Revoke && policy.mode == Mode::Enforce && enough(policy.minimum);
        let lost = present.filter(|_| takes);
        let shadowed = policy.shadow.and_then(|shadow| {
            let (from, to) = (entry.row.shadow, policy.shadowed(assessment.score, entry.row.shadow)?);
            let told = to != from && from.max(to) >= Band::Warning;
            told.then(|| (from, to, to == Band::Revoke && enough(shadow.minimum), shadow.thresholds.revoke()))
        });
        if to == from && lost.is_none() && shadowed.is_none() {
            return Ok(());
        }
        observed.band = to;
        let evidence = |threshold: Score| Evidence {
            score: assessment.score,
            threshold,
            model: self.rules.model.id(),
            event,
            families: assessment.strongest(),
            policy: since,
            mode: policy.mode,
        };
        let (reason, serial) = (evidence(policy.thresholds.revoke()), present.map(|facts| facts.serial));
        if let Some((from, to, revokes, threshold)) = shadowed {
            let evidence = evidence(threshold);
            self.push(agent, serial, Control::RiskShadowed(Shadowed { from, to, revokes, evidence }))?;
        }
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

    /// Takes the identity away, or holds it, if the breaker has tripped or trips with this one.
    fn take_away(
        &mut self,
        facts: &Issued,
        evidence: Evidence,
        observed: &mut Observed,
    ) -> Result<(), StoreError> {
        let Some(tripped) = self.brakes(facts.agent)? else {
            observed.revoked = true;
            let revocation = facts.revocation(Cause::RiskThresholdExceeded, self.now);
            return self.revoke(revocation, Some(evidence));
        };
        observed.held = true;
        self.hold(facts, Said::default(), Some(Braked { tripped, evidence }))
    }
}
