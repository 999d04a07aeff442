//! The checks of a verifier: whose leaf it is, and whether it stands.

use std::sync::Arc;

#[cfg(feature = "possession")]
use kakunin_core::crypto::Backend;
use kakunin_core::id::IssuerId;
use kakunin_core::revoke::Reason;
use kakunin_core::time::UnixTime;
use kakunin_core::x509::certificate::CertificateView;

use crate::cache::Cache;
use crate::denied::{Code, Denied};
use crate::following::Following;
use crate::issuer::Issuer;
use crate::known::Known;
use crate::leaf::{Leaf, check_validity};
use crate::policy::Policy;
use crate::revocation::{RevocationView, Status};

/// What clones of a verifier, and the agents that it accepted, share.
pub(crate) struct Checker {
    pub(crate) known: Known,
    pub(crate) following: Option<Following>,
    pub(crate) revocations: Box<dyn RevocationView>,
    pub(crate) policy: Policy,
    pub(crate) cache: Cache,
}

// A chain longer than this is nobody's; the bound is on what a stranger can make us parse.
const MAX_CHAIN: usize = 8;

impl Checker {
    #[cfg(feature = "possession")]
    pub(crate) fn backend(&self) -> Backend {
        self.known.trust.load().backend
    }

    /// The leaf of a chain, checked now or remembered; its standing at `now` is left to the caller.
    pub(crate) fn leaf<C: AsRef<[u8]>>(&self, chain: &[C], now: UnixTime) -> Result<Arc<Leaf>, Denied> {
        let (leaf, others) = chain.split_first().ok_or(Denied::new(Code::CertificateMissing))?;
        let der = leaf.as_ref();
        // A remembered leaf whose issuer has expired may have a renewed issuer beside it.
        if let Some(leaf) = self.cache.get(der).filter(|leaf| leaf.issuer.valid_at(now)) {
            return Ok(leaf);
        }
        let trust = self.known.trust.load();
        let view = CertificateView::parse(der, &trust.arc);
        let view = view.map_err(|_| Denied::new(Code::CertificateMalformed))?;
        check_validity(view.not_before, view.not_after, now)?;
        let id = view.issuer_id().ok_or(Denied::about(Code::ExtensionMissing, "authority key identifier"))?;
        let known = self.known.issuer(&id);
        let issuer = match known {
            Some(issuer) if issuer.valid_at(now) => issuer,
            _ => match self.follow(&id, now) {
                Some(issuer) => issuer,
                None => {
                    let others: Vec<&[u8]> = others.iter().take(MAX_CHAIN).map(AsRef::as_ref).collect();
                    self.admit(&id, &view, &others, now)?.or(known).ok_or(Denied::new(Code::IssuerUnknown))?
                }
            },
        };
        let leaf = Arc::new(Leaf::check(der, &view, issuer, trust.backend)?);
        self.cache.accepted(&leaf);
        Ok(leaf)
    }

    /// The issuer with this identifier, if the deployment that is followed made it since.
    fn follow(&self, id: &IssuerId, now: UnixTime) -> Option<Arc<Issuer>> {
        self.following.as_ref()?.catch_up(&self.known, Some(id), now);
        self.known.valid_issuer(id, now)
    }

    /// Finds and validates the issuer of a leaf among the certificates presented with it. There may be
    /// several for one key, by different parents or of different age: the first good one is taken.
    fn admit(
        &self,
        id: &IssuerId,
        leaf: &CertificateView<'_>,
        others: &[&[u8]],
        now: UnixTime,
    ) -> Result<Option<Arc<Issuer>>, Denied> {
        let trust = self.known.trust.load();
        let is_issuer = |der: &&&[u8]| {
            CertificateView::parse(der, &trust.arc).is_ok_and(|ca| {
                ca.subject == leaf.issuer && ca.extensions.subject_key_id == Some(id.as_bytes().as_slice())
            })
        };
        let mut refusal = None;
        for candidate in others.iter().filter(is_issuer) {
            match Issuer::validate(&trust, candidate, others, now) {
                Ok(issuer) => return Ok(Some(self.known.remember(issuer))),
                Err(denied) => refusal = Some(denied),
            }
        }
        refusal.map_or(Ok(None), Err)
    }

    /// What may change while a certificate stays the same: time, and revocation of it and its issuers.
    pub(crate) fn check_standing(&self, leaf: &Leaf, now: UnixTime) -> Result<(), Denied> {
        leaf.check_time(now)?;
        let (status, as_of) = self.revocations.status(&leaf.issuer.id, &leaf.serial, now);
        match status {
            Status::Revoked(Reason::CertificateHold) => return Err(Denied::new(Code::AgentInactive)),
            Status::Revoked(_) => return Err(Denied::new(Code::AgentRevoked)),
            Status::Unknown if !self.policy.accepts_unknown() => {
                return Err(Denied::about(Code::RevocationUnknown, leaf.issuer.id));
            }
            Status::Unknown | Status::Good => {}
        }
        // Most views know nothing of authorities; what they do know counts.
        let revoked =
            |(issuer, serial)| matches!(self.revocations.status(issuer, serial, now).0, Status::Revoked(_));
        if leaf.issuer.path.iter().any(|(issuer, serial)| revoked((issuer, serial))) {
            return Err(Denied::new(Code::IssuerRevoked));
        }
        if status == Status::Good && !self.policy.accepts_age(as_of, now) {
            return Err(Denied::about(Code::VerifyUnavailable, as_of));
        }
        Ok(())
    }
}
