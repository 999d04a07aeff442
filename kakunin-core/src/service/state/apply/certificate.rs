//! Certificates: planned, issued, held, released, revoked.

use super::step::Step;
use crate::agent::{AgentState, Document};
use crate::error::StoreError;
use crate::id::Serial;
use crate::issue::{Issued, Profile};
use crate::log::record::{Braked, Evidence, KeyAction, Renewal};
use crate::revoke::{Cause, Revocation, Said};
use crate::risk::Band;
use crate::service::limits::SELF_RENEWALS;
use crate::service::state::agent::{Former, Plan, itself};
use crate::service::state::certificates::{CertificateState, Certificates, Standing};
use crate::service::state::inbox::Item;
use crate::service::state::key_task::task;
use crate::store::state::{Change, Kind};
use crate::time::UnixTime;

impl<C: Certificates> Step<'_, C> {
    pub(super) fn planned(&mut self, facts: &Issued, profile: Profile) {
        let row = &mut *self.row;
        // Whether it is signed or not: its serial goes on CRLs either way.
        if self.record.by.is_some() && self.record.by == itself(&row.agent.id) {
            row.self_renewals.push(facts.issued_at(self.record.time));
            let surplus = row.self_renewals.len().saturating_sub(SELF_RENEWALS);
            row.self_renewals.drain(..surplus);
        }
        row.plan.get_or_insert_default().facts = Some((*facts, profile));
    }

    pub(super) fn issued(
        &mut self,
        facts: &Issued,
        certificate: &str,
        reinstates: bool,
        constraints: Option<&Document>,
        renewal: Option<&Renewal>,
    ) -> Result<(), StoreError> {
        let row = &mut *self.row;
        if reinstates {
            (row.band, row.halt, row.receipt) = (Band::Low, None, None);
            row.reinstated = self.index;
        }
        if renewal.is_some_and(Renewal::is_approved) {
            row.self_renewals.clear();
        }
        row.former = renewal.and_then(|r| r.until.map(|until| Former { serial: r.replaces, until }));
        let plan = row.plan.take().unwrap_or_default();
        row.agent.state = AgentState::Active;
        row.agent.certificate = Some(facts.serial);
        let state = CertificateState {
            profile: plan.facts.map_or_else(Profile::default, |(_, profile)| profile),
            key_id: plan.key_id,
            constraints: constraints.cloned(),
            issued_at: Some(facts.issued_at(self.record.time)),
            replaces: renewal.map(|renewal| renewal.replaces),
            ..self.made(*facts, plan)
        };
        self.changes.push(state.listed());
        self.store(state)?;
        let (key, value) = (facts.serial.as_bytes().to_vec(), Some(certificate.as_bytes().to_vec()));
        self.changes.push(Change { kind: Kind::Certificate, key, value });
        self.let_leave();
        Ok(())
    }

    /// Forgets what expired long ago, a little with each certificate that comes: the log has it.
    fn let_leave(&mut self) {
        for serial in self.certificates.over(&self.row.agent.id, self.record.time) {
            if let Some(certificate) =
                self.certificates.get(&serial).filter(|_| !self.row.two().contains(&Some(serial)))
            {
                self.changes.extend(certificate.gone());
                self.certificates.remove(&serial);
            }
        }
    }

    /// One that stands well, with the key of its plan.
    fn made(&self, facts: Issued, plan: Plan) -> CertificateState {
        CertificateState {
            facts,
            profile: Profile::default(),
            key: plan.key,
            key_id: None,
            constraints: None,
            standing: Standing::Good,
            said: Said::default(),
            index: self.index,
            issued_at: None,
            granted: false,
            expiring: false,
            replaces: None,
            halt: None,
            receipt: None,
        }
    }

    pub(super) fn revoked(
        &mut self,
        revocation: &Revocation,
        evidence: Option<&Evidence>,
        said: &Said,
    ) -> Result<(), StoreError> {
        let row = &mut *self.row;
        // What takes it away from beside the newest takes that too, and is told of once.
        let former = row.former.take_if(|former| former.serial == revocation.serial).is_some();
        if revocation.cause == Cause::Abandoned {
            self.abandoned(revocation);
        } else if row.agent.state != AgentState::Retired && row.agent.certificate == Some(revocation.serial) {
            // An older one, superseded by renewal, takes nothing away from its agent.
            row.agent.state = AgentState::Suspended;
        }
        if revocation.cause.takes_trust() && self.row.agent.certificate == Some(revocation.serial) {
            self.row.braked = None;
        }
        let standing = (Standing::Revoked(*revocation), said.clone(), KeyAction::Retire);
        self.stand(&revocation.serial, standing)?;
        let told = former || self.row.halt.is_some_and(|halt| halt.serial == Some(revocation.serial));
        if !told && revocation.cause.takes_trust() {
            let item = Item::about(self.record, self.index).revoked(revocation.cause, evidence.cloned());
            self.changes.push(item.change()?);
        }
        Ok(())
    }

    /// Planned, perhaps signed, never recorded as issued: known from now on, and refused for ever.
    fn abandoned(&mut self, revocation: &Revocation) {
        let facts = Issued {
            serial: revocation.serial,
            agent: revocation.agent,
            issuer: revocation.issuer,
            not_before: revocation.at,
            not_after: revocation.expires,
            shard: revocation.shard,
        };
        let plan = self.row.plan.take().unwrap_or_default();
        let state = self.made(facts, plan);
        self.changes.push(state.listed());
        self.certificates.put(state);
    }

    pub(super) fn held(
        &mut self,
        hold: &Revocation,
        said: &Said,
        braked: Option<&Braked>,
    ) -> Result<(), StoreError> {
        self.row.braked = braked.cloned();
        self.stand(&hold.serial, (Standing::Held(*hold), said.clone(), KeyAction::Disable))?;
        // An older certificate says nothing of the agent.
        if self.row.agent.certificate == Some(hold.serial) {
            self.row.agent.state = AgentState::Suspended;
            self.changes.push(Item::about(self.record, self.index).held().change()?);
        }
        Ok(())
    }

    pub(super) fn released(&mut self) -> Result<(), StoreError> {
        self.row.braked = None;
        if let Some(serial) = self.record.serial {
            self.stand(&serial, (Standing::Good, Said::default(), KeyAction::Enable))?;
        }
        if self.row.agent.certificate == self.record.serial {
            self.row.agent.state = AgentState::Active;
        }
        Ok(())
    }

    pub(super) fn expiring(&mut self, not_after: UnixTime) -> Result<(), StoreError> {
        if let Some(state) = self.certificate(self.record.serial) {
            self.store(CertificateState { expiring: true, ..state })?;
        }
        self.changes.push(Item::about(self.record, self.index).expiring(not_after).change()?);
        Ok(())
    }

    fn stand(
        &mut self,
        serial: &Serial,
        (standing, said, action): (Standing, Said, KeyAction),
    ) -> Result<(), StoreError> {
        // One that left is in the log alone: also where it was kept longer when this was recorded.
        let Some(mut state) = self.certificate(Some(*serial)) else { return Ok(()) };
        (state.standing, state.said) = (standing, said);
        if let Some(key) = state.key.clone() {
            self.changes.push(task(state.facts.agent, self.index, Some(*serial), (key, action))?);
        }
        self.store(state)
    }
}
