//! Certificate authorities: the root, the issuing CA, and what an issuer needs to issue.

use crate::brand::PRODUCT;
use crate::crypto::PublicKey;
use crate::id::{IssuerId, Serial};
use crate::key::{KeyAlgorithm, SignError, Signature, Signer, Spki};
use crate::time::{DAY, UnixTime};
use crate::x509::certificate::CertificateView;
use crate::x509::der::Writer;
use crate::x509::lint::{self, LintError};
use crate::x509::name::NameParts;
use crate::x509::oid::{self, Arc};
use crate::x509::published::Published;
use crate::x509::tbs::{
    TbsCertificate, Unsigned, write_authority_key_id, write_ca_issuers, write_crl_point, write_extension,
};

pub use crate::x509::tbs::AssembleError;

/// How many CRL shards an issuing CA has. A certificate's shard is fixed at issuance.
pub const SHARDS: u16 = 512;

/// Validity of a root: 15 years.
pub const ROOT_VALIDITY: u64 = 15 * 365 * DAY;
/// Validity of an issuing CA: 3 years.
pub const ISSUING_VALIDITY: u64 = 3 * 365 * DAY;

/// A certificate authority that issues: its certificate, and its parsed key.
#[derive(Debug)]
pub struct Issuer {
    der: Vec<u8>,
    name: Vec<u8>,
    key: PublicKey,
    not_before: UnixTime,
    not_after: UnixTime,
    issued_by: Option<IssuerId>,
}

impl Issuer {
    /// Takes a CA certificate of this deployment.
    ///
    /// # Errors
    /// [`CaError`] if it is not a CA certificate that this profile makes.
    pub fn from_der(der: Vec<u8>) -> Result<Self, CaError> {
        let view = CertificateView::parse(&der, &Arc::default()).map_err(|_| CaError::NotACa)?;
        let spki = Spki::from_der(view.spki).map_err(|_| CaError::NotACa)?;
        let is_ca = matches!(view.extensions.basic_constraints, Some((true, _)))
            && view.extensions.subject_key_id == Some(spki.key_id().as_bytes().as_slice());
        if !is_ca {
            return Err(CaError::NotACa);
        }
        let key = PublicKey::parse(&spki).map_err(|_| CaError::NotACa)?;
        let (name, not_before, not_after) = (view.subject.to_vec(), view.not_before, view.not_after);
        let issued_by = view.issuer_id();
        Ok(Self { name, key, not_before, not_after, issued_by, der })
    }

    /// Whose signature is on its certificate; `None` if it names nobody, as a root.
    #[must_use]
    pub const fn issued_by(&self) -> Option<IssuerId> {
        self.issued_by
    }

    /// Checks that this is an issuing CA that `root` signed, or with itself that it is a root, by the
    /// rules that those made here follow.
    ///
    /// # Errors
    /// [`CaError::NotACa`] or [`CaError::Lint`].
    pub fn check_issued_by(&self, root: &Self) -> Result<(), CaError> {
        lint::certificate(&self.der, lint::Kind::Ca)?;
        let view = CertificateView::parse(&self.der, &Arc::default()).map_err(|_| CaError::NotACa)?;
        let path_len = if self.id() == root.id() { 1 } else { 0 };
        let fits = view.issuer == root.name
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

    /// The CRL shard that certificates with this serial number stand on.
    #[must_use]
    pub fn shard_of(&self, serial: &Serial) -> u16 {
        let [.., a, b] = serial.as_bytes();
        u16::from_be_bytes([*a, *b]) % SHARDS
    }
}

/// What cannot be a certificate authority here.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CaError {
    /// Ed25519 keys do not sign certificates here: too many relying parties refuse them.
    #[error("a certificate authority needs an RSA or P-256 key")]
    Algorithm,
    /// Not a CA certificate of this profile.
    #[error("this is not a certificate of a certificate authority of this deployment")]
    NotACa,
    /// It was signed for another key.
    #[error("the certificate is not for the key that was requested; sign the newest request")]
    OtherKey,
    /// Its time has not come, or is over.
    #[error("the certificate is not valid now; check the clocks of both machines")]
    NotValid,
    /// It would outlive its own issuer.
    #[error("the certificate would outlive its issuer; renew the issuer first")]
    OutlivesIssuer,
    /// Our own lint found a fault; nothing was signed.
    #[error(transparent)]
    Lint(#[from] LintError),
    /// The signature is not the issuer's.
    #[error(transparent)]
    Assemble(#[from] AssembleError),
}

/// A CA certificate that waits for its issuer's signature.
#[derive(Debug)]
pub struct PreparedCa {
    unsigned: Unsigned,
    signer: PublicKey,
}

impl PreparedCa {
    /// The bytes to sign.
    #[must_use]
    pub fn to_be_signed(&self) -> &[u8] {
        self.unsigned.to_be_signed()
    }

    /// Joins the signature.
    ///
    /// # Errors
    /// [`CaError::Assemble`] if it is not the issuer's over these bytes.
    pub fn assemble(self, signature: &Signature) -> Result<Issuer, CaError> {
        Issuer::from_der(self.unsigned.assemble(signature, &self.signer)?)
    }
}

/// Makes a self-signed root, named after its key. What checks the CRL of every CA of a chain looks for its own too,
/// where `published` says.
///
/// # Errors
/// [`SignCaError`].
pub async fn sign_root(
    key: &dyn Signer,
    serial: &Serial,
    published: Option<&Published>,
    now: UnixTime,
) -> Result<Issuer, SignCaError> {
    let common_name = format!("kakunin root CA {}", mark(key.public_key()));
    let prepared = prepare_root(&named(&common_name), key.public_key(), serial, published, now)?;
    let signature = key.sign(prepared.to_be_signed()).await?;
    Ok(prepared.assemble(&signature)?)
}

/// Makes an issuing CA below `root`, named after its key: a name has one key (RFC 5280, 4.1.2.4). It names the
/// root's CRL and certificate where `published` says.
///
/// # Errors
/// [`SignCaError`].
pub async fn sign_issuing(
    root: &Issuer,
    root_key: &dyn Signer,
    spki: &Spki,
    serial: &Serial,
    published: Option<&Published>,
    now: UnixTime,
) -> Result<Issuer, SignCaError> {
    let common_name = format!("kakunin issuing CA {}", mark(spki));
    let prepared = prepare_issuing(root, &named(&common_name), spki, serial, published, now)?;
    let signature = root_key.sign(prepared.to_be_signed()).await?;
    Ok(prepared.assemble(&signature)?)
}

/// Why a certificate authority could not be made.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SignCaError {
    /// Not by these rules.
    #[error(transparent)]
    Ca(#[from] CaError),
    /// The key did not sign.
    #[error(transparent)]
    Sign(#[from] SignError),
}

fn named(common_name: &str) -> NameParts<'_> {
    NameParts { organization: Some(PRODUCT), common_name: Some(common_name), ..NameParts::default() }
}

/// The first eight digits of a key's identifier.
fn mark(spki: &Spki) -> String {
    spki.key_id().to_string().chars().take(8).collect()
}

/// Prepares a self-signed root that may have issuing CAs below it, and nothing further.
///
/// # Errors
/// [`CaError`].
pub fn prepare_root(
    name: &NameParts<'_>,
    spki: &Spki,
    serial: &Serial,
    published: Option<&Published>,
    now: UnixTime,
) -> Result<PreparedCa, CaError> {
    let subject = name.to_der();
    let not_before = now.whole_secs();
    let validity = (not_before, not_before.plus(ROOT_VALIDITY));
    prepare((&subject, spki), (&subject, spki), serial, validity, 1, published)
}

/// Prepares an issuing CA below `root`, which issues to agents only (pathLenConstraint 0).
///
/// # Errors
/// [`CaError`].
pub fn prepare_issuing(
    root: &Issuer,
    name: &NameParts<'_>,
    spki: &Spki,
    serial: &Serial,
    published: Option<&Published>,
    now: UnixTime,
) -> Result<PreparedCa, CaError> {
    let not_before = now.whole_secs();
    let not_after = not_before.plus(ISSUING_VALIDITY);
    if not_after > root.not_after {
        return Err(CaError::OutlivesIssuer);
    }
    let validity = (not_before, not_after);
    prepare((&root.name, root.key.spki()), (&name.to_der(), spki), serial, validity, 0, published)
}

fn prepare(
    (issuer, signed_by): (&[u8], &Spki),
    (subject, spki): (&[u8], &Spki),
    serial: &Serial,
    (not_before, not_after): (UnixTime, UnixTime),
    path_len: u8,
    published: Option<&Published>,
) -> Result<PreparedCa, CaError> {
    if [signed_by, spki].iter().any(|k| k.algorithm() == KeyAlgorithm::Ed25519) {
        return Err(CaError::Algorithm);
    }
    let mut extensions = Writer::new();
    write_extension(&mut extensions, oid::BASIC_CONSTRAINTS, true, |w| {
        w.sequence(|s| {
            s.element(0x01, &[0xff]).unsigned(&[path_len]);
        });
    });
    // keyCertSign and cRLSign
    write_extension(&mut extensions, oid::KEY_USAGE, true, |w| _ = w.element(0x03, &[1, 0x06]));
    write_extension(&mut extensions, oid::SUBJECT_KEY_ID, false, |w| {
        _ = w.element(0x04, spki.key_id().as_bytes())
    });
    if spki != signed_by {
        write_authority_key_id(&mut extensions, &signed_by.key_id());
    }
    if let Some(published) = published {
        write_crl_point(&mut extensions, &published.full_crl(&signed_by.key_id()));
        // A root needs no issuer to be looked for.
        if spki != signed_by {
            write_ca_issuers(&mut extensions, &published.certificate(&signed_by.key_id()));
        }
    }
    let tbs = TbsCertificate {
        serial,
        signed_by: signed_by.algorithm(),
        issuer,
        not_before,
        not_after,
        subject,
        spki,
        extensions: &extensions.into_bytes(),
    };
    let unsigned = Unsigned::new(tbs.to_der(), signed_by.algorithm());
    lint::certificate(&unsigned.under_dummy_signature(), lint::Kind::Ca)?;
    let signer = PublicKey::parse(signed_by).map_err(|_| CaError::NotACa)?;
    Ok(PreparedCa { unsigned, signer })
}
