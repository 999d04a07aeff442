//! Receipts of stops: signed once, by the CA, kept with the stop, and never in its way.

use base64ct::{Base64, Encoding};

use super::error::Error;
use super::tenant::Tenant;
use super::{Inner, Kakunin};
use crate::id::{AgentId, TenantId};
use crate::log::record::Control;
use crate::revoke::{Halt, Receipt};

impl Kakunin {
    /// The receipt of a stop: see [`Halt::receipt_text`]. The CA signs when it is first asked for, and not again. If it
    /// cannot, [`Kakunin::tend`] goes on trying; the agent is stopped all the same.
    ///
    /// # Errors
    /// [`Error::NotFound`]; what the key provider says.
    pub async fn halt_receipt(
        &self,
        tenant: &TenantId,
        agent: &AgentId,
        halt: &Halt,
    ) -> Result<Receipt, Error> {
        let tenant = self.inner.tenant(tenant).await?;
        self.inner.receipt(&tenant, agent, halt).await
    }
}

impl Inner {
    /// The receipt that is kept, or a new one.
    pub(super) async fn receipt(
        &self,
        tenant: &Tenant,
        agent: &AgentId,
        halt: &Halt,
    ) -> Result<Receipt, Error> {
        // Whoever asks meanwhile waits for the one signature.
        let _signing = tenant.receipts.lock().await;
        if let Some(kept) = self.kept_receipt(tenant, agent, halt).await? {
            return Ok(kept);
        }
        let ca = self.cas.current();
        let signature = ca.signer.sign(halt.receipt_text(agent).as_bytes()).await?;
        let receipt = Receipt {
            issuer: ca.issuer.id(),
            algorithm: ca.issuer.algorithm(),
            signature: Base64::encode_string(signature.as_bytes()),
        };
        let (agent, halt, signed) = (*agent, *halt, receipt.clone());
        self.decide_reserved(tenant, None, move |draft| {
            let record = Control::HaltReceipt { halt: halt.id, receipt: signed };
            Ok(draft.push(agent, halt.serial, record)?)
        })
        .await?;
        Ok(receipt)
    }

    async fn kept_receipt(
        &self,
        tenant: &Tenant,
        agent: &AgentId,
        halt: &Halt,
    ) -> Result<Option<Receipt>, Error> {
        use super::certificates::Certificates;
        let sequencer = self.settled(tenant).await?;
        let projection = &sequencer.projection;
        let row = &projection.agents.get(agent).ok_or(Error::NotFound("agent"))?.row;
        let of_agent = row.halt.filter(|first| first == halt).map(|_| row.receipt.clone());
        let certificate = halt.serial.and_then(|serial| projection.certificates.get(&serial));
        let of_certificate = certificate.filter(|c| c.halt.as_ref() == Some(halt)).map(|c| c.receipt.clone());
        // Nothing is signed of a stop that is not on record.
        of_agent.or(of_certificate).ok_or(Error::NotFound("halt"))
    }
}
