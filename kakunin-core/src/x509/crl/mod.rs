//! Certificate revocation lists (RFC 5280, 5): our own DER, because the authority key identifier
//! must be the issuer's own key identifier, and entries are encoded once and kept.

mod read;
mod read_extensions;

pub(crate) use read::this_update;
pub use read::{CrlRefused, CrlView};

use crate::id::Serial;
use crate::key::{SignError, Signature, Signer};
use crate::revoke::{Reason, Revocation};
use crate::time::{HOUR, UnixTime};
use crate::x509::ca::Issuer;
use crate::x509::der::Writer;
use crate::x509::lint::{self, LintError};
use crate::x509::oid;
use crate::x509::tbs::{
    AssembleError, Unsigned, write_authority_key_id, write_extension, write_point_name, write_time,
};

/// How long a CRL of an issuing CA is valid.
pub const CRL_VALIDITY: u64 = HOUR;
pub use crate::x509::ca::BACKDATE;

/// What a CRL covers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Coverage<'a> {
    /// Every certificate of the issuer; no issuing distribution point is written.
    Full,
    /// One shard: the URI that its certificates name, octet for octet.
    Shard(&'a str),
}

/// One entry, encoded.
#[must_use]
pub fn entry(revocation: &Revocation) -> Vec<u8> {
    encode_entry(&revocation.serial, revocation.at, revocation.cause.reason())
}

fn encode_entry(serial: &Serial, at: UnixTime, reason: Reason) -> Vec<u8> {
    let mut out = Writer::new();
    out.sequence(|w| {
        w.unsigned(serial.as_bytes());
        write_time(w, at);
        // "the reason code CRL entry extension SHOULD be absent instead of using unspecified (0)" (5.3.1)
        if reason != Reason::Unspecified {
            w.sequence(|extensions| {
                write_extension(extensions, oid::REASON_CODE, false, |v| {
                    _ = v.element(0x0a, &[reason.code()])
                });
            });
        }
    });
    out.into_bytes()
}

/// A CRL that waits for its issuer's signature.
#[derive(Debug)]
pub struct PreparedCrl {
    unsigned: Unsigned,
}

impl PreparedCrl {
    /// The bytes to sign.
    #[must_use]
    pub fn to_be_signed(&self) -> &[u8] {
        self.unsigned.to_be_signed()
    }

    /// Joins the signature; DER comes out.
    ///
    /// # Errors
    /// [`CrlError::Assemble`] if it is not the issuer's over these bytes.
    pub fn assemble(self, issuer: &Issuer, signature: &Signature) -> Result<Vec<u8>, CrlError> {
        Ok(self.unsigned.assemble(signature, issuer.key())?)
    }
}

/// Why a CRL is not made.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum CrlError {
    /// Our own lint found a fault; nothing was signed.
    #[error(transparent)]
    Lint(#[from] LintError),
    /// The signature is not the issuer's.
    #[error(transparent)]
    Assemble(#[from] AssembleError),
}

/// Prepares a CRL with these entries, encoded one after the other, with this thisUpdate and nextUpdate.
///
/// # Errors
/// [`CrlError::Lint`].
pub fn prepare(
    issuer: &Issuer,
    coverage: Coverage<'_>,
    number: u64,
    entries: &[u8],
    (this_update, next_update): (UnixTime, UnixTime),
) -> Result<PreparedCrl, CrlError> {
    let algorithm = issuer.algorithm();
    let mut out = Writer::new();
    out.sequence(|w| {
        w.unsigned(&[1]).raw(algorithm.signature_algorithm()).raw(issuer.name());
        write_time(w, this_update);
        write_time(w, next_update);
        // "When there are no revoked certificates, the revoked certificates list MUST be absent" (5.1.2.6)
        if !entries.is_empty() {
            w.element(0x30, entries);
        }
        w.nested(0xa0, |x| {
            x.sequence(|extensions| write_extensions(extensions, issuer, coverage, number));
        });
    });
    let unsigned = Unsigned::new(out.into_bytes(), algorithm);
    lint::crl(&unsigned.under_dummy_signature())?;
    Ok(PreparedCrl { unsigned })
}

/// Makes a CRL, DER, with this thisUpdate and nextUpdate.
///
/// # Errors
/// [`SignCrlError`].
pub async fn sign(
    issuer: &Issuer,
    key: &dyn Signer,
    coverage: Coverage<'_>,
    number: u64,
    entries: &[u8],
    window: (UnixTime, UnixTime),
) -> Result<Vec<u8>, SignCrlError> {
    let prepared = prepare(issuer, coverage, number, entries, window)?;
    let signature = key.sign(prepared.to_be_signed()).await?;
    Ok(prepared.assemble(issuer, &signature)?)
}

/// Why a CRL could not be made.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SignCrlError {
    /// Not by these rules.
    #[error(transparent)]
    Crl(#[from] CrlError),
    /// The key did not sign.
    #[error(transparent)]
    Sign(#[from] SignError),
}

fn write_extensions(out: &mut Writer, issuer: &Issuer, coverage: Coverage<'_>, number: u64) {
    write_authority_key_id(out, &issuer.id());
    write_extension(out, oid::CRL_NUMBER, false, |w| _ = w.unsigned(&number.to_be_bytes()));
    if let Coverage::Shard(uri) = coverage {
        write_extension(out, oid::ISSUING_DISTRIBUTION_POINT, true, |w| {
            w.sequence(|idp| {
                write_point_name(idp, uri);
                // onlyContainsUserCerts
                idp.element(0x81, &[0xff]);
            });
        });
    }
}
