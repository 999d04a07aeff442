//! What gets signed: certificates before their signature, and how the signature joins them.

use crate::crypto::PublicKey;
use crate::id::{IssuerId, Serial};
use crate::key::{KeyAlgorithm, Signature, Spki};
use crate::time::UnixTime;
use crate::x509::der::Writer;
use crate::x509::oid;

/// The fields of a `TBSCertificate` (RFC 5280, 4.1.2), version 3.
#[derive(Debug)]
pub(crate) struct TbsCertificate<'a> {
    pub(crate) serial: &'a Serial,
    pub(crate) signed_by: KeyAlgorithm,
    pub(crate) issuer: &'a [u8],
    pub(crate) not_before: UnixTime,
    pub(crate) not_after: UnixTime,
    pub(crate) subject: &'a [u8],
    pub(crate) spki: &'a Spki,
    /// Content of the extensions' SEQUENCE.
    pub(crate) extensions: &'a [u8],
}

impl TbsCertificate<'_> {
    pub(crate) fn to_der(&self) -> Vec<u8> {
        let mut out = Writer::new();
        out.sequence(|w| {
            w.element(0xa0, &[0x02, 1, 2]);
            w.unsigned(self.serial.as_bytes());
            w.raw(self.signed_by.signature_algorithm()).raw(self.issuer);
            w.sequence(|v| {
                write_time(v, self.not_before);
                write_time(v, self.not_after);
            });
            w.raw(self.subject).raw(self.spki.as_der());
            w.nested(0xa3, |x| {
                x.element(0x30, self.extensions);
            });
        });
        out.into_bytes()
    }
}

/// Bytes that wait for a signature by one key. Consumed when it comes: a value is signed once.
#[derive(Debug)]
pub(crate) struct Unsigned {
    tbs: Vec<u8>,
    algorithm: KeyAlgorithm,
}

impl Unsigned {
    pub(crate) const fn new(tbs: Vec<u8>, algorithm: KeyAlgorithm) -> Self {
        Self { tbs, algorithm }
    }

    /// The bytes to sign.
    pub(crate) fn to_be_signed(&self) -> &[u8] {
        &self.tbs
    }

    /// Joins the signature to what was signed, if it is `key`'s signature over it.
    ///
    /// # Errors
    /// [`AssembleError`] if it is not: a wrong key, or a backend that signs something else.
    pub(crate) fn assemble(self, signature: &Signature, key: &PublicKey) -> Result<Vec<u8>, AssembleError> {
        key.verify(&self.tbs, signature.as_bytes()).map_err(|_| AssembleError)?;
        Ok(self.join(signature.as_bytes()))
    }

    /// Joins the signature that a key in this process just made.
    pub(crate) fn assemble_unchecked(self, signature: &Signature) -> Vec<u8> {
        self.join(signature.as_bytes())
    }

    /// The value under a signature of zeros, for linting before anything is signed.
    pub(crate) fn under_dummy_signature(&self) -> Vec<u8> {
        self.join(&vec![0; self.algorithm.signature_len()])
    }

    fn join(&self, signature: &[u8]) -> Vec<u8> {
        let mut out = Writer::new();
        out.sequence(|w| {
            w.raw(&self.tbs).raw(self.algorithm.signature_algorithm()).bit_string(signature);
        });
        out.into_bytes()
    }
}

/// The signature that came back does not belong to the issuer's key and these bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "the signature that came back is not the issuer's over these bytes; check which key the provider used"
)]
pub struct AssembleError;

/// UTCTime through 2049, GeneralizedTime from 2050 (RFC 5280, 4.1.2.5).
pub(crate) fn write_time(w: &mut Writer, time: UnixTime) {
    let c = time.civil();
    let rest = format!("{:02}{:02}{:02}{:02}{:02}Z", c.month, c.day, c.hour, c.minute, c.second);
    if c.year < 2050 {
        w.element(0x17, format!("{:02}{rest}", c.year % 100).as_bytes());
    } else {
        w.element(0x18, format!("{:04}{rest}", c.year).as_bytes());
    }
}

/// Appends one extension; the criticality is left out when FALSE, as DER wants it.
pub(crate) fn write_extension(out: &mut Writer, oid: &[u8], critical: bool, value: impl FnOnce(&mut Writer)) {
    let mut inner = Writer::new();
    value(&mut inner);
    let inner = inner.into_bytes();
    out.sequence(|e| {
        e.oid(oid);
        if critical {
            e.element(0x01, &[0xff]);
        }
        e.element(0x04, &inner);
    });
}

/// AuthorityKeyIdentifier with the key identifier alone (4.2.1.1).
pub(crate) fn write_authority_key_id(out: &mut Writer, issuer: &IssuerId) {
    write_extension(out, oid::AUTHORITY_KEY_ID, false, |w| {
        w.sequence(|s| {
            s.element(0x80, issuer.as_bytes());
        });
    });
}

/// DistributionPointName with one URI (4.2.1.13), for CDP and IDP alike: both must be the same.
pub(crate) fn write_point_name(out: &mut Writer, uri: &str) {
    out.nested(0xa0, |point| {
        point.nested(0xa0, |full| {
            full.element(0x86, uri.as_bytes());
        });
    });
}

/// CRLDistributionPoints with one point (4.2.1.13).
pub(crate) fn write_crl_point(out: &mut Writer, uri: &str) {
    write_extension(out, oid::CRL_DISTRIBUTION_POINTS, false, |w| {
        w.sequence(|points| {
            points.sequence(|point| write_point_name(point, uri));
        });
    });
}

/// AuthorityInfoAccess with where the issuer's certificate is (4.2.2.1).
pub(crate) fn write_ca_issuers(out: &mut Writer, uri: &str) {
    write_extension(out, oid::AUTHORITY_INFO_ACCESS, false, |w| {
        w.sequence(|list| {
            list.sequence(|access| {
                access.oid(oid::CA_ISSUERS).element(0x86, uri.as_bytes());
            });
        });
    });
}
