//! Trust anchors: root certificates, each bound to one trust domain.
//!
//! The binding stands in for a URI name constraint, under which webpki refuses every SPIFFE ID.

use kakunin_core::id::{IssuerId, TrustDomain};
use kakunin_core::key::Spki;
use kakunin_core::time::UnixTime;
use kakunin_core::x509::certificate::CertificateView;
use kakunin_core::x509::oid::Arc;
use rustls_pki_types::CertificateDer;

use crate::ca_rules::check_authority;
use crate::denied::{Code, Denied};

/// A root certificate whose agents belong to one trust domain.
#[derive(Clone, Debug)]
pub struct TrustAnchor {
    domain: TrustDomain,
    /// Of its key, whatever its certificate says.
    id: IssuerId,
    anchor: rustls_pki_types::TrustAnchor<'static>,
    not_before: UnixTime,
    not_after: UnixTime,
}

/// Why a verifier cannot be set up.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SetupError {
    /// The root certificate is not that of a certificate authority we can use.
    #[error("the anchor of `{0}` is not acceptable: {1}")]
    Anchor(TrustDomain, Denied),
    /// One root for two trust domains would let either speak for the other.
    #[error("the anchor of `{0}` is given for another trust domain too: use one root per trust domain")]
    AnchorTwice(TrustDomain),
    /// An issuing certificate authority is not valid, or not under an anchor.
    #[error("issuing authority number {0} is not acceptable, leave it out or replace it: {1}")]
    Issuer(usize, Denied),
    /// Without an anchor nothing could ever be accepted.
    #[error("no anchor is given: add the root certificate of a trust domain")]
    NoAnchor,
}

impl SetupError {
    /// Stable code of this error.
    #[must_use]
    pub const fn code(&self) -> &'static str {
        match self {
            Self::Anchor(..) => "anchor_invalid",
            Self::AnchorTwice(_) => "anchor_twice",
            Self::Issuer(..) => "issuer_invalid",
            Self::NoAnchor => "anchor_missing",
        }
    }
}

impl TrustAnchor {
    /// Trusts the root certificate `der` for agents of `domain`.
    ///
    /// # Errors
    /// [`SetupError::Anchor`] if it is not the certificate of a certificate authority.
    pub fn new(der: &[u8], domain: TrustDomain) -> Result<Self, SetupError> {
        let checked = CertificateView::parse(der, &Arc::default())
            .map_err(|_| Denied::new(Code::CertificateMalformed))
            .and_then(|view| check_authority(&view).map(|()| view));
        let view = checked.map_err(|denied| SetupError::Anchor(domain.clone(), denied))?;
        let spki = Spki::from_der(view.spki)
            .map_err(|e| SetupError::Anchor(domain.clone(), Denied::about(Code::KeyNotAllowed, e.code())))?;
        let anchor = webpki::anchor_from_trusted_cert(&CertificateDer::from(der))
            .map_err(|_| SetupError::Anchor(domain.clone(), Denied::new(Code::CertificateMalformed)))?
            .to_owned();
        Ok(Self { domain, id: spki.key_id(), anchor, not_before: view.not_before, not_after: view.not_after })
    }

    /// The trust domain.
    #[must_use]
    pub const fn domain(&self) -> &TrustDomain {
        &self.domain
    }

    pub(crate) const fn id(&self) -> IssuerId {
        self.id
    }

    pub(crate) const fn webpki(&self) -> &rustls_pki_types::TrustAnchor<'static> {
        &self.anchor
    }

    pub(crate) const fn validity(&self) -> (UnixTime, UnixTime) {
        (self.not_before, self.not_after)
    }

    pub(crate) fn is(&self, other: &Self) -> bool {
        self.same_key(other) && self.domain == other.domain && self.validity() == other.validity()
    }

    pub(crate) fn same_key(&self, other: &Self) -> bool {
        self.anchor.subject_public_key_info == other.anchor.subject_public_key_info
    }
}
