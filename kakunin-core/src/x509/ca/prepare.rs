//! CA certificates as they are prepared: what each says, and for how long, before it is signed.

use super::error::CaError;
use super::issuer::Issuer;
use crate::crypto::PublicKey;
use crate::id::{Serial, TenantId};
use crate::key::{KeyAlgorithm, Signature, Spki};
use crate::time::{DAY, MINUTE, UnixTime};
use crate::x509::der::Writer;
use crate::x509::extensions::TENANT;
use crate::x509::lint;
use crate::x509::name::NameParts;
use crate::x509::oid::{self, Arc};
use crate::x509::published::Published;
use crate::x509::tbs::{
    TbsCertificate, Unsigned, write_authority_key_id, write_ca_issuers, write_crl_point, write_extension,
};

/// How long before now what is signed begins, certificates and CRLs, for relying parties whose clock is behind.
pub const BACKDATE: u64 = 5 * MINUTE;
/// Validity of a root: 15 years.
pub const ROOT_VALIDITY: u64 = 15 * 365 * DAY;
/// Validity of an issuing CA: 3 years.
pub const ISSUING_VALIDITY: u64 = 3 * 365 * DAY;

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

/// The tenant that an issuing CA issues for alone, and the arc of the extension that says so. It stands in the CA's
/// certificate, so that nobody who holds this CA's key makes agents of another tenant.
pub type Binding<'a> = Option<(&'a TenantId, &'a Arc)>;

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
        return Err(CaError::RootNotValid(root.not_before(), root.not_after()));
    }
    let not_before = now.minus(BACKDATE).max(root.not_before()).whole_secs();
    let not_after = now.whole_secs().plus(ISSUING_VALIDITY).min(root.not_after());
    let (role, subject) = (Role::Issuing(binding), name.to_der());
    let (signed_by, validity) = ((root.name(), root.key().spki()), (not_before, not_after));
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
