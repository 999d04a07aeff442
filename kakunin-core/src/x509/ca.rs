//! Certificate authorities: the root, the issuing CA, and what an issuer needs to issue.

use crate::brand::PRODUCT;
use crate::crypto::PublicKey;
use crate::id::{IssuerId, Serial, SerialNumber, TenantId};
use crate::key::{KeyAlgorithm, SignError, Signature, Signer, Spki};
use crate::time::{DAY, MINUTE, UnixTime};
use crate::x509::certificate::CertificateView;
use crate::x509::der::Writer;
use crate::x509::extensions::TENANT;
use crate::x509::lint::{self, LintError};
use crate::x509::name::NameParts;
use crate::x509::oid::{self, Arc};
use crate::x509::published::Published;
use crate::x509::tbs::{
    TbsCertificate, Unsigned, write_authority_key_id, write_ca_issuers, write_crl_point, write_extension,
};

pub use crate::x509::tbs::AssembleError;

/// keyUsage bit 6 (RFC 5280, 4.2.1.3).
const CRL_SIGN: u8 = 0x02;
/// A Name without any attribute, DER.
const EMPTY_NAME: &[u8] = &[0x30, 0];

/// How many CRL shards an issuing CA has. A certificate's shard is fixed at issuance.
pub const SHARDS: u16 = 512;

/// How long before now what is signed begins, certificates and CRLs, for relying parties whose clock is behind.
pub const BACKDATE: u64 = 5 * MINUTE;
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
    pub const fn signs_crls(&self) -> bool {
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
    /// Nobody could name it as an issuer: the request has no subject, so whoever signs it gives one.
    #[error(
        "the certificate of the certificate authority has an empty subject, which RFC 5280 forbids; give it a name where \
         it is signed, such as `-subj '/CN=Example Issuing CA'`"
    )]
    NoName,
    /// Its certificate binds it to another tenant.
    #[error("the certificate binds this authority to the tenant {0}; install it for that one")]
    OtherTenant(TenantId),
    /// It was signed for another key.
    #[error("the certificate is not for the key that was requested; sign the newest request")]
    OtherKey,
    /// Its time has not come, or is over.
    #[error("the certificate is not valid now; check the clocks of both machines")]
    NotValid,
    /// The root above it has ended, or has not begun.
    #[error(
        "the root is valid from {0} to {1}, which is not now; set the clock, or make another root (`kakunin ca init` \
         in another folder)"
    )]
    RootNotValid(UnixTime, UnixTime),
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

/// Makes a self-signed root, named after its key. It begins [`BACKDATE`] before now, as all that is signed here. What
/// checks the CRL of every CA of a chain looks for its own too, where `published` says.
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

/// The tenant that an issuing CA issues for alone, and the arc of the extension that says so. It stands in the CA's
/// certificate, so that nobody who holds this CA's key makes agents of another tenant.
pub type Binding<'a> = Option<(&'a TenantId, &'a Arc)>;

/// Makes an issuing CA below `root`, named after its key: a name has one key (RFC 5280, 4.1.2.4). It begins
/// [`BACKDATE`] before now and lives [`ISSUING_VALIDITY`], or as long as the root if that is shorter. It names the
/// root's CRL and certificate where `published` says.
///
/// # Errors
/// [`SignCaError`].
pub async fn sign_issuing(
    root: &Issuer,
    root_key: &dyn Signer,
    spki: &Spki,
    serial: &Serial,
    binding: Binding<'_>,
    published: Option<&Published>,
    now: UnixTime,
) -> Result<Issuer, SignCaError> {
    let common_name = format!("kakunin issuing CA {}", mark(spki));
    let prepared = prepare_issuing(root, &named(&common_name), spki, serial, binding, published, now)?;
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
    let validity = (now.minus(BACKDATE).whole_secs(), now.whole_secs().plus(ROOT_VALIDITY));
    prepare((&subject, spki), (&subject, spki), serial, validity, Role::Root, published)
}

/// Prepares an issuing CA below `root`, which issues to agents only (pathLenConstraint 0).
///
/// # Errors
/// [`CaError`]; [`CaError::RootNotValid`] if the root has ended.
pub fn prepare_issuing(
    root: &Issuer,
    name: &NameParts<'_>,
    spki: &Spki,
    serial: &Serial,
    binding: Binding<'_>,
    published: Option<&Published>,
    now: UnixTime,
) -> Result<PreparedCa, CaError> {
    if !root.valid_at(now) {
        return Err(CaError::RootNotValid(root.not_before, root.not_after));
    }
    let not_before = now.minus(BACKDATE).max(root.not_before).whole_secs();
    let not_after = now.whole_secs().plus(ISSUING_VALIDITY).min(root.not_after);
    let (role, subject) = (Role::Issuing(binding), name.to_der());
    let (signed_by, validity) = ((&*root.name, root.key.spki()), (not_before, not_after));
    prepare(signed_by, (&subject, spki), serial, validity, role, published)
}

/// What a CA is for.
#[derive(Clone, Copy)]
enum Role<'a> {
    Root,
    Issuing(Binding<'a>),
}

fn prepare(
    (issuer, signed_by): (&[u8], &Spki),
    (subject, spki): (&[u8], &Spki),
    serial: &Serial,
    (not_before, not_after): (UnixTime, UnixTime),
    role: Role<'_>,
    published: Option<&Published>,
) -> Result<PreparedCa, CaError> {
    if [signed_by, spki].iter().any(|k| k.algorithm() == KeyAlgorithm::Ed25519) {
        return Err(CaError::Algorithm);
    }
    let mut extensions = Writer::new();
    write_extension(&mut extensions, oid::BASIC_CONSTRAINTS, true, |w| {
        w.sequence(|s| {
            s.element(0x01, &[0xff]).unsigned(&[u8::from(matches!(role, Role::Root))]);
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
    if let Role::Issuing(Some((tenant, arc))) = role {
        write_extension(&mut extensions, &arc.extension(TENANT), false, |w| _ = w.utf8(tenant.as_str()));
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
