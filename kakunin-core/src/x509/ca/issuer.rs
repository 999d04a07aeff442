//! What an issuer needs to issue: its certificate, and its parsed key.

use super::error::CaError;
use crate::crypto::PublicKey;
use crate::id::{IssuerId, Serial, SerialNumber, TenantId};
use crate::key::{KeyAlgorithm, Spki};
use crate::time::UnixTime;
use crate::x509::certificate::CertificateView;
use crate::x509::lint;
use crate::x509::oid::Arc;

/// keyUsage bit 6 (RFC 5280, 4.2.1.3).
const CRL_SIGN: u8 = 0x02;
/// A Name without any attribute, DER.
const EMPTY_NAME: &[u8] = &[0x30, 0];

/// How many CRL shards an issuing CA has. A certificate's shard is fixed at issuance.
pub const SHARDS: u16 = 512;

/// A certificate authority that issues: its certificate, and its parsed key.
#[derive(Debug)]
pub struct Issuer {
    der: Vec<u8>,
    name: Vec<u8>,
    key: PublicKey,
    not_before: UnixTime,
    not_after: UnixTime,
    serial_number: Option<SerialNumber>,
    issued_by: Option<IssuerId>,
    subject_key_id: Vec<u8>,
    signs_crls: bool,
}

impl Issuer {
    /// Takes a CA certificate: one of this deployment, or of an authority above it.
    ///
    /// # Errors
    /// [`CaError::NoName`]; [`CaError::NotACa`] if it is none, its key is not of the algorithms known here, or a critical extension is
    /// not understood.
    pub fn from_der(der: Vec<u8>) -> Result<Self, CaError> {
        let view = CertificateView::parse(&der, &Arc::default()).map_err(|_| CaError::NotACa)?;
        let spki = Spki::from_der(view.spki).map_err(|_| CaError::NotACa)?;
        let x = &view.extensions;
        if !matches!(x.basic_constraints, Some((true, _))) || x.unknown_critical {
            return Err(CaError::NotACa);
        }
        // RFC 5280, 4.1.2.6.
        if view.subject == EMPTY_NAME {
            return Err(CaError::NoName);
        }
        let signs_crls = x.key_usage.is_none_or(|(_, bits)| bits & CRL_SIGN != 0);
        let subject_key_id = x.subject_key_id.unwrap_or(spki.key_id().as_bytes()).to_vec();
        let key = PublicKey::parse(&spki).map_err(|_| CaError::NotACa)?;
        let (name, not_before, not_after) = (view.subject.to_vec(), view.not_before, view.not_after);
        let (serial_number, issued_by) = (view.serial_number(), view.issuer_id());
        Ok(Self {
            name,
            key,
            not_before,
            not_after,
            serial_number,
            issued_by,
            subject_key_id,
            signs_crls,
            der,
        })
    }

    /// The serial number of its certificate, if it is one that RFC 5280 knows.
    #[must_use]
    pub const fn serial_number(&self) -> Option<SerialNumber> {
        self.serial_number
    }

    /// Whose signature is on its certificate; `None` if it names nobody, as a root.
    #[must_use]
    pub(crate) const fn issued_by(&self) -> Option<IssuerId> {
        self.issued_by
    }

    /// Checks that this is an issuing CA that `root` signed, or with itself that it is a root, by the
    /// rules that those made here follow.
    ///
    /// # Errors
    /// [`CaError::NotACa`] or [`CaError::Lint`].
    pub(crate) fn check_issued_by(&self, root: &Self) -> Result<(), CaError> {
        lint::certificate(&self.der, lint::Kind::Ca)?;
        let view = CertificateView::parse(&self.der, &Arc::default()).map_err(|_| CaError::NotACa)?;
        let path_len = if self.id() == root.id() { 1 } else { 0 };
        let fits = view.issuer == root.name
            && self.subject_key_id == self.id().as_bytes()
            && view.extensions.basic_constraints == Some((true, Some(path_len)))
            && self.issued_by.is_none_or(|id| id == root.id());
        if !fits || root.key.verify(view.tbs, view.signature).is_err() {
            return Err(CaError::NotACa);
        }
        if self.not_after > root.not_after {
            return Err(CaError::OutlivesIssuer);
        }
        Ok(())
    }

    /// Its certificate.
    #[must_use]
    pub fn as_der(&self) -> &[u8] {
        &self.der
    }

    /// Its name, DER.
    #[must_use]
    pub fn name(&self) -> &[u8] {
        &self.name
    }

    /// Its key.
    #[must_use]
    pub const fn key(&self) -> &PublicKey {
        &self.key
    }

    /// Its identifier.
    #[must_use]
    pub const fn id(&self) -> IssuerId {
        self.key.spki().key_id()
    }

    /// The identifier that its CRLs name it by: the one in its certificate, which may be another than
    /// [`Issuer::id`] where somebody else made it.
    pub(crate) fn subject_key_id(&self) -> &[u8] {
        &self.subject_key_id
    }

    /// The one tenant that it issues for, if its certificate says so by the extension under `arc`.
    ///
    /// # Errors
    /// [`CaError::NotACa`] if what stands there is no tenant.
    pub fn tenant(&self, arc: &Arc) -> Result<Option<TenantId>, CaError> {
        let view = CertificateView::parse(&self.der, arc).map_err(|_| CaError::NotACa)?;
        view.extensions.agent.tenant().map(str::parse).transpose().map_err(|_| CaError::NotACa)
    }

    /// Whether it may sign CRLs: "If a key usage extension is present in the CRL issuer's certificate, verify that
    /// the cRLSign bit is set" (RFC 5280, 6.3.3 (f)).
    #[must_use]
    pub(crate) const fn signs_crls(&self) -> bool {
        self.signs_crls
    }

    /// The algorithm it signs with.
    #[must_use]
    pub const fn algorithm(&self) -> KeyAlgorithm {
        self.key.spki().algorithm()
    }

    /// First moment of its validity.
    #[must_use]
    pub const fn not_before(&self) -> UnixTime {
        self.not_before
    }

    /// Last moment of its validity.
    #[must_use]
    pub const fn not_after(&self) -> UnixTime {
        self.not_after
    }

    /// Whether this is within its validity, both ends included.
    #[must_use]
    pub fn valid_at(&self, now: UnixTime) -> bool {
        self.not_before <= now && now.whole_secs() <= self.not_after
    }

    /// The CRL shard that certificates with this serial number stand on.
    #[must_use]
    pub fn shard_of(&self, serial: &Serial) -> u16 {
        let [.., a, b] = serial.as_bytes();
        u16::from_be_bytes([*a, *b]) % SHARDS
    }
}
