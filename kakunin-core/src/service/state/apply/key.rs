//! Keys: planned, bound, given up, granted.

use super::step::Step;
use crate::error::StoreError;
use crate::id::IssuerId;
use crate::key::{KeyRef, PlannedKeyId};
use crate::log::record::KeyAction;
use crate::service::state::agent::Plan;
use crate::service::state::certificates::{CertificateState, Certificates};
use crate::service::state::inbox::Item;
use crate::service::state::key_task::{KeyTask, task};

impl<C: Certificates> Step<'_, C> {
    pub(super) fn key_planned(&mut self, planned: &PlannedKeyId) {
        self.row.plan = Some(Plan { planned: Some(planned.clone()), ..Plan::default() });
    }

    pub(super) fn key_bound(&mut self, key: Option<&KeyRef>, key_id: IssuerId) {
        let plan = self.row.plan.get_or_insert_default();
        plan.key = key.cloned();
        plan.key_id = Some(key_id);
        // It follows in the append in which the token is redeemed.
        if let Some(redeemed) = &mut self.row.redeemed {
            redeemed.key_id.get_or_insert(key_id);
        }
    }

    pub(super) fn key_abandoned(&mut self, planned: &PlannedKeyId) -> Result<(), StoreError> {
        self.row.plan = None;
        let sweep = KeyTask::sweep(planned);
        self.changes.push(task(self.row.agent.id, self.index, self.record.serial, sweep)?);
        Ok(())
    }

    pub(super) fn key_delayed(&mut self) -> Result<(), StoreError> {
        self.changes.push(Item::about(self.record, self.index).key_delayed().change()?);
        Ok(())
    }

    pub(super) fn granted(&mut self, granted: bool) -> Result<(), StoreError> {
        match self.certificate(self.record.serial) {
            Some(state) => self.store(CertificateState { granted, ..state }),
            None => Ok(()),
        }
    }

    pub(super) fn grants_voided(&mut self, key: &KeyRef) -> Result<(), StoreError> {
        self.granted(false)?;
        let end = (key.clone(), KeyAction::Ungrant);
        self.changes.push(task(self.row.agent.id, self.index, self.record.serial, end)?);
        Ok(())
    }
}
