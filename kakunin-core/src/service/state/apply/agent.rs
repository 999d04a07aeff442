//! Agents: halted, reinstated, warned, and let in by a token.

use super::step::Step;
use crate::agent::AgentState;
use crate::error::StoreError;
use crate::id::{HaltId, JoinTokenId};
use crate::log::record::Evidence;
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
        self.row.agent.state = AgentState::Suspended;
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
        row.reinstated = self.index;
        row.self_renewals.clear();
    }

    pub(super) fn band_changed(
        &mut self,
        from: Band,
        to: Band,
        evidence: &Evidence,
    ) -> Result<(), StoreError> {
        // A score that falls through the band warns of nothing.
        if to == Band::Warning && from < to {
            self.changes.push(Item::about(self.record, self.index).warned(evidence.clone()).change()?);
        }
        self.row.band = to;
        Ok(())
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
