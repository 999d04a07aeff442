//! Renewing a certificate: what has to be shown for it, what it may be, and what the record says of it.

use super::draft::Draft;
use crate::agent::Document;
use crate::crypto::PublicKey;
use crate::error::StoreError;
use crate::id::Serial;
use crate::key::Spki;
use crate::log::record::{KeyBinding, Renewal};
use crate::risk::{Band, Score};
use crate::scope::{Scope, ScopeSet};
use crate::service::error::Error;
use crate::service::limits::SELF_RENEWALS;
use crate::service::state::agent::AgentEntry;
use crate::time::HOUR;
use crate::x509::certificate::CertificateView;
use crate::x509::csr::{CsrError, Proven};
use crate::x509::extensions::{AgentClaims, ModelHash};
use crate::x509::oid;

/// Which part of a certificate's life has to be over before its agent renews it.
const SELF_RENEWAL_PART: u64 = 10;

/// The certificate that is replaced.
pub(crate) struct Replaced {
    pub(crate) serial: Serial,
    key: Spki,
    claims: AgentClaims,
    /// Whether whoever orders the renewal may approve the scope.
    pub(crate) approves: bool,
}

impl Replaced {
    /// What a certificate says that is or was replaced.
    pub(crate) fn read(serial: Serial, der: &[u8], arc: &oid::Arc, approves: bool) -> Result<Self, Error> {
        let corrupt = || StoreError::Corrupt("a stored certificate does not parse".into());
        let view = CertificateView::parse(der, arc).map_err(|_| corrupt())?;
        let key = Spki::from_der(view.spki).map_err(|_| corrupt())?;
        let claims = view.extensions.agent.to_owned().ok_or_else(corrupt)?;
        Ok(Self { serial, key, claims, approves })
    }

    /// That it is time for the agent to renew it, if that is who asks. By the clock, which is what the
    /// certificate's life goes by. What was done by a clock that was ahead does not count until then; an operator's
    /// renewal always ends the wait.
    pub(crate) fn is_due(&self, draft: &Draft<'_>, entry: &AgentEntry) -> Result<(), Error> {
        let Some(old) = draft.certificate(&self.serial).filter(|_| !self.approves) else { return Ok(()) };
        let from = old.issued_at.unwrap_or(old.facts.not_before);
        let begins = from.plus(old.facts.not_after.since(from) / SELF_RENEWAL_PART);
        let all = &entry.row.self_renewals;
        let made = all.iter().filter(|at| **at <= draft.now);
        let ends =
            made.clone().next().filter(|_| made.count() >= SELF_RENEWALS).map(|first| first.plus(HOUR));
        let due = ends.map_or(begins, |ends| ends.max(begins));
        let wait = due.since(draft.now);
        if wait > 0 { Err(Error::SelfRenewal { wait }) } else { Ok(()) }
    }

    /// That the holder of the current key wants the requested one to follow it.
    pub(crate) fn binding(&self, request: &Proven, signature: Option<&[u8]>) -> Result<KeyBinding, CsrError> {
        let signature = signature.ok_or(CsrError::NotBound)?;
        let text = request.binding_text(&self.serial);
        let key = PublicKey::parse(&self.key)?;
        key.verify(text.as_bytes(), signature).map_err(|_| CsrError::NotBound)?;
        Ok(KeyBinding::new(self.serial, request.sha256, signature))
    }

    /// What the record says of the renewal of this certificate.
    pub(crate) fn renewal(
        &self,
        entry: &AgentEntry,
        attested: &ModelHash,
        (score, band): (Score, Band),
    ) -> Renewal {
        let (old, new) = (&self.claims, &entry.row.agent.spec);
        let lacking = |of: &ScopeSet, here: &ScopeSet| -> Vec<Scope> {
            of.iter().filter(|scope| !here.as_slice().contains(scope)).cloned().collect()
        };
        let pinned = new.constraints.as_ref().map(Document::sha256);
        let changed = [
            ("model_hash", old.model_hash != new.model_hash),
            ("environment", old.environment != new.environment),
            ("constraints", old.constraints != pinned),
        ];
        Renewal {
            replaces: self.serial,
            attested: *attested,
            approved: self.approves.then(|| new.scope.clone()),
            added: lacking(&new.scope, &old.scope),
            removed: lacking(&old.scope, &new.scope),
            changed: changed
                .into_iter()
                .filter(|(_, differs)| *differs)
                .map(|(name, _)| name.to_owned())
                .collect(),
            score,
            band,
            unused: entry.usage.unused(&old.scope),
            refused: Vec::new(),
            refused_more: 0,
            until: None,
        }
    }
}
