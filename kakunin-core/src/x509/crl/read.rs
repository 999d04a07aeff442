//! CRLs as they are read back: a zero-copy walk, and what a reader holds against the issuer before it
//! believes a word.

use crate::id::Serial;
use crate::revoke::Reason;
use crate::time::UnixTime;
use crate::x509::ca::Issuer;
use crate::x509::certificate::time;
use crate::x509::der::{DerError, Reader};
use crate::x509::oid;

use super::BACKDATE;

/// A CRL of the kind that is made here: version 2, with nextUpdate, number and authority key identifier.
#[derive(Clone, Debug)]
pub struct CrlView<'a> {
    tbs: &'a [u8],
    signature_algorithm: &'a [u8],
    signature: &'a [u8],
    authority_key_id: &'a [u8],
    entries: Reader<'a>,
    /// Name of the issuer, DER.
    pub issuer: &'a [u8],
    /// From when on it is valid.
    pub this_update: UnixTime,
    /// When the next one is there at the latest.
    pub next_update: UnixTime,
    /// cRLNumber.
    pub number: u64,
    /// Whether it covers a part of what its issuer issued: an issuing distribution point is there.
    pub partial: bool,
}

/// Why a CRL is not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum CrlRefused {
    /// Not a CRL, or one of another kind.
    #[error("it is no CRL of the kind that is made here")]
    Malformed(#[from] DerError),
    /// Somebody else's.
    #[error("it is not by this issuer")]
    Issuer,
    /// The signature does not verify.
    #[error("its signature is not the issuer's")]
    Signature,
    /// nextUpdate is over, or thisUpdate has not come.
    #[error("it is not valid now; check the clocks of both machines")]
    NotValid,
}

impl<'a> CrlView<'a> {
    /// Walks a CRL.
    ///
    /// # Errors
    /// If it is not DER, not of this kind, or has a critical extension that is not understood here.
    pub fn parse(der: &'a [u8]) -> Result<Self, DerError> {
        let mut outer = Reader::new(der);
        let mut list = outer.sequence()?;
        outer.finish()?;
        let tbs = list.raw(0x30)?;
        let signature_algorithm = list.raw(0x30)?;
        let signature = list.bit_string()?;
        list.finish()?;
        let mut r = Reader::new(tbs).sequence()?;
        if r.read(0x02)? != [1] || r.raw(0x30)? != signature_algorithm {
            return Err(DerError);
        }
        let issuer = r.raw(0x30)?;
        let (this_update, next_update) = (time(&mut r)?, time(&mut r)?);
        let entries = Reader::new(r.optional(0x30)?.unwrap_or_default());
        let mut wrapped = Reader::new(r.read(0xa0)?);
        r.finish()?;
        let extensions = Extensions::parse(wrapped.sequence()?)?;
        wrapped.finish()?;
        let mut rest = entries;
        while !rest.is_empty() {
            entry(&mut rest)?;
        }
        Ok(Self {
            tbs,
            signature_algorithm,
            signature,
            authority_key_id: extensions.authority_key_id.ok_or(DerError)?,
            entries,
            issuer,
            this_update,
            next_update,
            number: extensions.number.ok_or(DerError)?,
            partial: extensions.partial,
        })
    }

    /// Checks that `issuer` signed it, and that it is valid at `now`.
    ///
    /// # Errors
    /// [`CrlRefused`].
    pub fn check(&self, issuer: &Issuer, now: UnixTime) -> Result<(), CrlRefused> {
        if self.issuer != issuer.name() || self.authority_key_id != issuer.id().as_bytes() {
            return Err(CrlRefused::Issuer);
        }
        let algorithm = self.signature_algorithm == issuer.algorithm().signature_algorithm();
        if !algorithm || issuer.key().verify(self.tbs, self.signature).is_err() {
            return Err(CrlRefused::Signature);
        }
        if self.next_update < now || self.this_update > now.plus(BACKDATE) {
            return Err(CrlRefused::NotValid);
        }
        Ok(())
    }

    /// The serial numbers on it that this profile issues, in their order.
    pub fn serials(&self) -> impl Iterator<Item = Serial> {
        self.revoked().map(|(serial, _)| serial)
    }

    /// The same with the reason of each.
    pub fn revoked(&self) -> impl Iterator<Item = (Serial, Reason)> {
        let mut rest = self.entries;
        core::iter::from_fn(move || entry(&mut rest).ok())
            .filter_map(|(serial, reason)| Some((Serial::from_der_integer(serial)?, reason)))
    }
}

/// What is read of crlExtensions.
#[derive(Default)]
struct Extensions<'a> {
    authority_key_id: Option<&'a [u8]>,
    number: Option<u64>,
    partial: bool,
}

impl<'a> Extensions<'a> {
    fn parse(mut list: Reader<'a>) -> Result<Self, DerError> {
        let mut out = Self::default();
        while !list.is_empty() {
            let mut extension = list.sequence()?;
            let oid = extension.read(0x06)?;
            let critical = extension.default_false()?;
            let value = extension.read(0x04)?;
            extension.finish()?;
            let mut r = Reader::new(value);
            match oid {
                oid::AUTHORITY_KEY_ID if out.authority_key_id.is_none() => {
                    let mut body = r.sequence()?;
                    out.authority_key_id = Some(body.read(0x80)?);
                    body.finish().and(r.finish())?;
                }
                oid::CRL_NUMBER if out.number.is_none() => {
                    out.number = Some(number(r.positive_integer()?)?);
                    r.finish()?;
                }
                oid::ISSUING_DISTRIBUTION_POINT if !out.partial => out.partial = true,
                // Twice, or one that is not understood here, as that of a delta CRL.
                oid::AUTHORITY_KEY_ID | oid::CRL_NUMBER | oid::ISSUING_DISTRIBUTION_POINT => {
                    return Err(DerError);
                }
                _ if critical => return Err(DerError),
                _ => {}
            }
        }
        Ok(out)
    }
}

fn number(octets: &[u8]) -> Result<u64, DerError> {
    if octets.len() > 8 {
        return Err(DerError);
    }
    Ok(octets.iter().fold(0, |n, octet| n << 8 | u64::from(*octet)))
}

/// Serial number and reason of the next entry.
fn entry<'a>(rest: &mut Reader<'a>) -> Result<(&'a [u8], Reason), DerError> {
    let mut body = rest.sequence()?;
    let serial = body.positive_integer()?;
    time(&mut body)?;
    let mut extensions = Reader::new(body.optional(0x30)?.unwrap_or_default());
    body.finish()?;
    let mut reason = Reason::Unspecified;
    while !extensions.is_empty() {
        let mut extension = extensions.sequence()?;
        let oid = extension.read(0x06)?;
        let critical = extension.default_false()?;
        let mut value = Reader::new(extension.read(0x04)?);
        extension.finish()?;
        match oid {
            oid::REASON_CODE => {
                let &[code] = value.read(0x0a)? else { return Err(DerError) };
                value.finish()?;
                reason = Reason::from_code(code).ok_or(DerError)?;
            }
            // As that of an indirect CRL, which is about other issuers' certificates.
            _ if critical => return Err(DerError),
            _ => {}
        }
    }
    Ok((serial, reason))
}
