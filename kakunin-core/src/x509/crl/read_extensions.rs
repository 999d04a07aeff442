//! Extensions of CRLs and of their entries (RFC 5280, 5.2 and 5.3): what is understood, and what makes a CRL
//! of another kind.

use crate::revoke::Reason;
use crate::x509::certificate::{generalized_time, is_oid};
use crate::x509::der::{DerError, Reader};
use crate::x509::oid;

/// The most on one list, or on one entry.
const MAX_EXTENSIONS: usize = 16;

/// What is read of crlExtensions.
#[derive(Default)]
pub(super) struct ListExtensions<'a> {
    pub(super) authority_key_id: Option<&'a [u8]>,
    pub(super) number: Option<u64>,
    /// An issuing distribution point is there.
    pub(super) partial: bool,
}

impl<'a> ListExtensions<'a> {
    pub(super) fn parse(list: Reader<'a>) -> Result<Self, DerError> {
        let mut out = Self::default();
        each(list, |oid, critical, mut value| {
            match oid {
                // "MUST" be non-critical (5.2.1, 5.2.3).
                oid::AUTHORITY_KEY_ID | oid::CRL_NUMBER if critical => return Err(DerError),
                oid::AUTHORITY_KEY_ID => {
                    let mut body = value.sequence()?;
                    out.authority_key_id = Some(body.read(0x80)?);
                    body.finish()?;
                }
                oid::CRL_NUMBER => out.number = Some(number(value.positive_integer()?)?),
                // Whoever passed over it would take a part for the whole.
                oid::ISSUING_DISTRIBUTION_POINT if critical => {
                    distribution_point(value.sequence()?)?;
                    out.partial = true;
                }
                oid::ISSUING_DISTRIBUTION_POINT | oid::DELTA_CRL_INDICATOR => return Err(DerError),
                _ if critical => return Err(DerError),
                _ => return Ok(()),
            }
            value.finish()
        })?;
        Ok(out)
    }
}

/// The reason in the extensions of an entry.
pub(super) fn reason(extensions: Reader<'_>) -> Result<Reason, DerError> {
    let mut reason = Reason::Unspecified;
    each(extensions, |oid, critical, mut value| {
        match oid {
            oid::REASON_CODE => {
                let &[code] = value.read(0x0a)? else { return Err(DerError) };
                reason = Reason::from_code(code).ok_or(DerError)?;
            }
            // When the key was lost, which does not make the certificate good before.
            oid::INVALIDITY_DATE => _ = generalized_time(&mut value)?,
            // An indirect CRL, which is about other issuers' certificates, whether it says so or not.
            oid::CERTIFICATE_ISSUER => return Err(DerError),
            _ if critical => return Err(DerError),
            _ => return Ok(()),
        }
        value.finish()
    })?;
    Ok(reason)
}

/// Hands over object identifier, criticality and value of each extension, none twice.
fn each<'a>(
    mut list: Reader<'a>,
    mut take: impl FnMut(&'a [u8], bool, Reader<'a>) -> Result<(), DerError>,
) -> Result<(), DerError> {
    let mut seen: [&[u8]; MAX_EXTENSIONS] = [&[]; MAX_EXTENSIONS];
    let mut count = 0;
    while !list.is_empty() {
        let mut extension = list.sequence()?;
        let oid = extension.read(0x06)?;
        let critical = extension.default_false()?;
        let value = extension.read(0x04)?;
        extension.finish()?;
        if !is_oid(oid) || seen.iter().take(count).any(|other| *other == oid) {
            return Err(DerError);
        }
        *seen.get_mut(count).ok_or(DerError)? = oid;
        count += 1;
        take(oid, critical, Reader::new(value))?;
    }
    Ok(())
}

fn number(octets: &[u8]) -> Result<u64, DerError> {
    if octets.len() > 8 {
        return Err(DerError);
    }
    Ok(octets.iter().fold(0, |n, octet| n << 8 | u64::from(*octet)))
}

/// A full name of URIs, and perhaps that the CRL is about agents or about authorities only. Nothing else that
/// RFC 5280, 5.2.5, allows for: some reasons, other issuers, attribute certificates.
fn distribution_point(mut body: Reader<'_>) -> Result<(), DerError> {
    let mut point = Reader::new(body.read(0xa0)?);
    let mut names = Reader::new(point.read(0xa0)?);
    point.finish()?;
    if names.is_empty() {
        return Err(DerError);
    }
    while !names.is_empty() {
        if !names.read(0x86)?.is_ascii() {
            return Err(DerError);
        }
    }
    if let Some(0x81 | 0x82) = body.peek()
        && body.any()?.1 != [0xff]
    {
        return Err(DerError);
    }
    body.finish()
}
