//! Receipts of stops: signed once, by the CA, kept with the stop, and never in its way.

use async_trait::async_trait;
use base64ct::{Base64, Encoding};

use super::follower::Follower;
use super::unit::{Pace, Turn};
use crate::id::AgentId;
use crate::issue::IssueError;
use crate::log::entry::LogId;
use crate::log::record::KeyAction;
use crate::revoke::{Halt, Receipt};
use crate::service::command::halt::KeepReceipt;
use crate::service::effects::running::Running;
use crate::service::effects::tenant::Tenant;
use crate::service::engine::backoff::MAX_WAIT;
use crate::service::engine::cas::ended;
use crate::service::engine::tenant::TenantLog;
use crate::service::error::Error;
use crate::service::state::certificates::Certificates;
use crate::service::state::key_task::{KeyTask, receipt_key};
use crate::store::state::Kind;
use crate::time::SECOND;
use crate::x509::ca::AssembleError;

/// Has the receipts signed that nobody has asked for yet.
pub(super) struct Receipts;

/// Its name.
pub(super) const RECEIPTS: &str = "receipts";

/// Whoever stopped the agent asks for it, as a rule.
const PACE: Pace = Pace { rest: SECOND, again: 10 * SECOND, longest: MAX_WAIT };

#[async_trait]
impl Follower for Receipts {
    fn name(&self) -> &'static str {
        RECEIPTS
    }

    fn logs(&self, running: &Running) -> Option<Vec<LogId>> {
        running.tenant_logs()
    }

    fn pace(&self) -> Pace {
        PACE
    }

    async fn step(&self, running: &Running, log: &LogId, turn: &mut Turn<'_>) -> Result<(), Error> {
        let Some(tenant) = running.loaded(log).await else { return Ok(()) };
        running.work_off(&tenant, turn, usize::MAX, is_receipt).await
    }
}

fn is_receipt(task: KeyAction) -> bool {
    task == KeyAction::Receipt
}

impl Tenant {
    /// The receipt of a stop: see [`Halt::receipt_text`]. The CA signs when it is first asked for, and not again. If it
    /// cannot, the follower `receipts` goes on trying ([`Kakunin::run`](crate::service::Kakunin::run)); the agent is stopped all the same.
    ///
    /// # Errors
    /// [`Error::NotFound`]; what the key provider says.
    pub async fn halt_receipt(&self, agent: &AgentId, halt: &Halt) -> Result<Receipt, Error> {
        let tenant = self.inner.tenant(&self.id).await?;
        self.inner.receipt(&tenant, agent, halt).await
    }
}

impl Running {
    /// Signs at once what is owed, unless somebody is at it: perhaps whoever asks.
    pub(super) async fn sign_receipts(&self, tenant: &TenantLog, most: usize) {
        let unit = self.units.of(RECEIPTS, &LogId::Tenant(tenant.id.clone()), &self.commits);
        let Some(mut memory) = unit.turn.try_lock() else { return };
        if tenant.receipts.try_lock().is_none() {
            return;
        }
        self.freshen(&mut memory);
        let mut turn = unit.begin(&mut memory, PACE, self.now());
        let done = self.work_off(tenant, &mut turn, most, is_receipt).await;
        // What fails stays in the store, and shows in the follower's status.
        let _ = turn.end(done, self.now(), &*self.parts.entropy);
    }

    /// The receipt that is kept, or a new one.
    pub(crate) async fn receipt(
        &self,
        tenant: &TenantLog,
        agent: &AgentId,
        halt: &Halt,
    ) -> Result<Receipt, Error> {
        // Whoever asks meanwhile waits for the one signature.
        let _signing = tenant.receipts.lock().await;
        if let Some(kept) = self.kept_receipt(tenant, agent, halt).await? {
            return Ok(kept);
        }
        // The tenant's own, whose relying parties know it; one that has ended signs nothing any more.
        let own = self.cas.own(&tenant.id).filter(|own| !ended(&own.issuer, self.now()));
        let ca = own.unwrap_or_else(|| self.cas.current());
        let text = halt.receipt_text(agent);
        let signature = ca.signer.sign(text.as_bytes()).await?;
        let checked = ca.issuer.key().verify(text.as_bytes(), signature.as_bytes());
        checked.map_err(|_| IssueError::from(AssembleError))?;
        let receipt = Receipt {
            issuer: ca.issuer.id(),
            algorithm: ca.issuer.algorithm(),
            signature: Base64::encode_string(signature.as_bytes()),
        };
        let keep = KeepReceipt { agent: *agent, halt: *halt, receipt: receipt.clone() };
        self.decide(tenant, None, keep).await?;
        Ok(receipt)
    }

    async fn kept_receipt(
        &self,
        tenant: &TenantLog,
        agent: &AgentId,
        halt: &Halt,
    ) -> Result<Option<Receipt>, Error> {
        let known = {
            let committed = self.committed(tenant).await?;
            let row = &committed.agents.get(agent).ok_or(Error::NotFound("agent"))?.row;
            let of_agent = row.halt.filter(|first| first == halt).map(|_| row.receipt.clone());
            let certificate = halt.serial.and_then(|serial| committed.certificates.get(&serial));
            let of_certificate = certificate.filter(|c| c.halt.as_ref() == Some(halt));
            of_agent.or(of_certificate.map(|c| c.receipt.clone()))
        };
        match known {
            Some(kept) => Ok(kept),
            None if self.owes_receipt(tenant, agent, halt).await? => Ok(None),
            // Nothing is signed of a stop that is not on record.
            None => Err(Error::NotFound("halt")),
        }
    }

    /// Whether it is still to be signed: of a stop that took no certificate away the task is all that is left once the
    /// agent is reinstated.
    async fn owes_receipt(&self, tenant: &TenantLog, agent: &AgentId, halt: &Halt) -> Result<bool, Error> {
        let (log, key) = (LogId::Tenant(tenant.id.clone()), receipt_key(&halt.id));
        let Some(row) = self.parts.state.get(&log, Kind::Plan, &key).await? else { return Ok(false) };
        let task = self.opened_one(&log, Kind::Plan, &key, &row);
        let task = task.and_then(|task| serde_json::from_slice::<KeyTask>(&task).ok());
        Ok(task.is_some_and(|task| task.agent == *agent && task.halt == Some(*halt)))
    }
}
