//! Agents: halted, reinstated, warned, and let in by a token.

use super::step::Step;
use crate::agent::AgentState;
use crate::error::StoreError;
use crate::id::{HaltId, JoinTokenId};
use crate::log::record::Evidence;
use crate::policy::{Mode, RiskState, Verdict};
use crate::revoke::{Halt, Receipt};
use crate::risk::Band;
use crate::service::state::agent::Redeemed;
use crate::service::state::certificates::Certificates;
use crate::service::state::inbox::Item;
use crate::service::state::key_task::{receipt_key, receipt_task};
use crate::store::state::{Change, Kind};
use crate::time::DAY;

impl<C: Certificates> Step<'_, C> {
    pub(super) fn halted(&mut self, halt: &Halt) -> Result<(), StoreError> {
        (self.row.halt, self.row.receipt) = (Some(*halt), None);
        // From here on it is suspended for this, and the breaker's hold of what ran out says no more.
        (self.row.agent.state, self.row.braked) = (AgentState::Suspended, None);
        if let Some(mut state) = self.certificate(halt.serial) {
            (state.halt, state.receipt) = (Some(*halt), None);
            self.store(state)?;
        }
        self.changes.push(Item::about(self.record, self.index).halted(halt).change()?);
        self.changes.push(receipt_task(self.row.agent.id, *halt)?);
        Ok(())
    }

    pub(super) fn receipt(&mut self, halt: &HaltId, receipt: &Receipt) -> Result<(), StoreError> {
        if self.row.halt.is_some_and(|first| first.id == *halt) {
            self.row.receipt = Some(receipt.clone());
        }
        if let Some(mut state) = self.certificate(self.record.serial) {
            state.receipt = Some(receipt.clone());
            self.store(state)?;
        }
        self.changes.push(Change { kind: Kind::Plan, key: receipt_key(halt), value: None });
        Ok(())
    }

    pub(super) fn reinstated(&mut self) {
        let row = &mut *self.row;
        row.agent.state = AgentState::Pending;
        (row.halt, row.receipt, row.band, row.join) = (None, None, Band::Low, None);
        (row.reinstated, row.braked) = (self.index, None);
        (row.shadow, row.shadow_revokes) = (Band::Low, false);
        if row.risk_state != RiskState::None {
            row.risk_state = RiskState::Remediated;
        }
        row.self_renewals.clear();
    }

    pub(super) fn band_changed(
        &mut self,
        from: Band,
        to: Band,
        evidence: &Evidence,
    ) -> Result<(), StoreError> {
        self.row.band = to;
        if evidence.mode == Mode::Observe || from >= Band::Warning || to < Band::Warning {
            return Ok(());
        }
        self.row.risk_state = RiskState::AtRisk;
        if to == Band::Warning {
            self.changes.push(Item::about(self.record, self.index).warned(evidence.clone()).change()?);
        }
        Ok(())
    }

    /// A person said what to make of its score.
    pub(super) fn judged(&mut self, verdict: Verdict) {
        self.row.risk_state = match verdict {
            Verdict::Dismiss => RiskState::Dismissed,
            Verdict::ConfirmSafe => RiskState::ConfirmedSafe,
            Verdict::ConfirmCompromised => RiskState::ConfirmedCompromised,
        };
        if verdict != Verdict::ConfirmCompromised {
            (self.row.band, self.row.shadow, self.row.shadow_revokes) = (Band::Low, Band::Low, false);
        }
    }

    pub(super) fn renewal_refused(&mut self) -> Result<(), StoreError> {
        self.row.refused_on = Some(self.record.time.millis() / DAY);
        self.changes.push(Item::about(self.record, self.index).renewal_refused().change()?);
        Ok(())
    }

    pub(super) fn possession_missing(&mut self) -> Result<(), StoreError> {
        self.row.alerted_on = Some(self.record.time.millis() / DAY);
        self.changes.push(Item::about(self.record, self.index).impersonated().change()?);
        Ok(())
    }

    pub(super) fn redeemed(&mut self, id: &JoinTokenId) {
        if let Some(facts) = self.row.join.take().filter(|facts| facts.id == *id) {
            self.row.redeemed = Some(Redeemed { facts, key_id: None });
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::agent::{Agent, NewAgent};
    use crate::id::AgentId;
    use crate::log::record::{Control, Evidence, Record};
    use crate::risk::{Band, ModelId, Score};
    use crate::service::state::agent::AgentEntry;
    use crate::service::state::apply;
    use crate::service::state::certificates::Issuances;
    use crate::store::state::Kind;
    use crate::time::UnixTime;

    #[test]
    fn a_rise_to_the_warning_is_told_each_time_and_a_fall_to_it_never() {
        let id = AgentId::from_bytes([7; 16]);
        let spec = NewAgent::new("one", &format!("sha256:{:064}", 0), ["read:accounts"]).unwrap();
        let agent = Agent::register(id, "acme".parse().unwrap(), spec, UnixTime::default()).unwrap();
        let (mut entry, mut certificates) = (Some(AgentEntry::new(agent)), Issuances::default());
        let score = Score::default();
        let evidence = Evidence {
            score,
            threshold: score,
            model: ModelId("m".into()),
            event: 3,
            families: Vec::new(),
            policy: None,
            mode: crate::policy::Mode::Warn,
        };
        let mut told = |from, to| {
            let control = Control::BandChanged { from, to, evidence: evidence.clone() };
            let record = Record::control(UnixTime::default(), Some(id), None, control);
            let mut changes = Vec::new();
            apply::apply(&mut entry, &mut certificates, 4, &record, &mut changes).unwrap();
            changes.iter().filter(|change| change.kind == Kind::Inbox).count()
        };
        assert_eq!(told(Band::Low, Band::Warning), 1);
        assert_eq!(told(Band::Warning, Band::Revoke), 0);
        assert_eq!(told(Band::Revoke, Band::Warning), 0);
        assert_eq!(told(Band::Warning, Band::Medium), 0);
        assert_eq!(told(Band::Medium, Band::Warning), 1, "the same day");
    }
}
