//! Reading a certificate: one walk over its DER, nothing copied, nothing trusted.

use crate::id::{IssuerId, Serial, SerialNumber};
use crate::time::{Civil, UnixTime};
use crate::x509::der::{DerError, Reader};
use crate::x509::extensions::RawClaims;
use crate::x509::oid::{self, Arc};

/// Most octets of a certificate that is looked at.
pub const MAX_CERTIFICATE_LEN: usize = 16 * 1024;
const MAX_EXTENSIONS: usize = 32;

/// One certificate as it stands in its DER. Reading it proves nothing about its signature.
#[derive(Clone, Debug)]
pub struct CertificateView<'a> {
    /// The signed part, `TBSCertificate`, whole.
    pub tbs: &'a [u8],
    /// Content octets of the serial number.
    pub serial: &'a [u8],
    /// AlgorithmIdentifier of the signature, the same inside and outside.
    pub signature_algorithm: &'a [u8],
    /// The signature's octets.
    pub signature: &'a [u8],
    /// Name of the issuer, whole DER.
    pub issuer: &'a [u8],
    /// Name of the subject, whole DER.
    pub subject: &'a [u8],
    /// First moment of validity.
    pub not_before: UnixTime,
    /// Last moment of validity: valid up to the end of that second.
    pub not_after: UnixTime,
    /// SubjectPublicKeyInfo, whole DER.
    pub spki: &'a [u8],
    /// What the extensions say.
    pub extensions: Extensions<'a>,
}

/// The extensions this profile knows.
#[derive(Clone, Debug, Default)]
pub struct Extensions<'a> {
    /// keyUsage bits, most significant first (digitalSignature is 0x80), with its criticality.
    pub key_usage: Option<(bool, u8)>,
    /// extKeyUsage: whether clientAuth and serverAuth are in it.
    pub ext_key_usage: Option<ExtKeyUsage>,
    /// basicConstraints: `None` absent, else cA and pathLenConstraint.
    pub basic_constraints: Option<(bool, Option<u8>)>,
    /// Key identifier in the subject key identifier.
    pub subject_key_id: Option<&'a [u8]>,
    /// Key identifier in the authority key identifier, if that is all it holds.
    pub authority_key_id: Option<&'a [u8]>,
    /// The one URI in the subject alternative name.
    pub uri: Option<&'a str>,
    /// Whether the subject alternative name holds anything else, or more than one URI.
    pub other_names: bool,
    /// The first URI of the CRL distribution points, which must all be URIs.
    pub crl_uri: Option<&'a str>,
    /// The agent extensions.
    pub agent: RawClaims<'a>,
    /// Whether there are name constraints, which only authorities may have; they are not read further.
    pub name_constraints: bool,
    /// Whether a critical extension is there that nothing here understands, or one that must not be
    /// critical is.
    pub unknown_critical: bool,
}

/// What an extKeyUsage extension allows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ExtKeyUsage {
    /// TLS client authentication.
    pub client_auth: bool,
    /// TLS server authentication.
    pub server_auth: bool,
}

impl<'a> CertificateView<'a> {
    /// Walks a certificate whose agent extensions stand under `arc`.
    ///
    /// # Errors
    /// If it is not a DER v3 certificate, is longer than [`MAX_CERTIFICATE_LEN`], names two different
    /// signature algorithms, or has an extension twice.
    pub fn parse(der: &'a [u8], arc: &Arc) -> Result<Self, DerError> {
        if der.len() > MAX_CERTIFICATE_LEN {
            return Err(DerError);
        }
        let mut outer = Reader::new(der);
        let mut certificate = outer.sequence()?;
        outer.finish()?;
        let tbs = certificate.raw(0x30)?;
        let signature_algorithm = certificate.raw(0x30)?;
        let signature = certificate.bit_string()?;
        certificate.finish()?;

        let mut r = Reader::new(tbs).sequence()?;
        // Version 3, explicitly tagged (4.1.2.1); without extensions there is no agent.
        if r.read(0xa0)? != [0x02, 1, 2] {
            return Err(DerError);
        }
        let serial = r.positive_integer()?;
        if r.raw(0x30)? != signature_algorithm {
            return Err(DerError);
        }
        let issuer = r.raw(0x30)?;
        let mut validity = r.sequence()?;
        let (not_before, not_after) = (time(&mut validity)?, time(&mut validity)?);
        validity.finish()?;
        let subject = r.raw(0x30)?;
        let spki = r.raw(0x30)?;
        let extensions = Extensions::parse(r.read(0xa3)?, arc)?;
        r.finish()?;
        Ok(Self {
            tbs,
            serial,
            signature_algorithm,
            signature,
            issuer,
            subject,
            not_before,
            not_after,
            spki,
            extensions,
        })
    }

    /// The serial number, if it is one that this profile issues.
    #[must_use]
    pub fn serial(&self) -> Option<Serial> {
        Serial::from_der_integer(self.serial)
    }

    /// The serial number, if it is one that RFC 5280 knows: positive, at most 20 octets.
    #[must_use]
    pub fn serial_number(&self) -> Option<SerialNumber> {
        SerialNumber::from_der_integer(self.serial)
    }

    /// The issuer's key identifier, if it is one that this profile writes.
    #[must_use]
    pub fn issuer_id(&self) -> Option<IssuerId> {
        self.extensions.authority_key_id.and_then(|id| id.try_into().ok()).map(IssuerId::from_bytes)
    }
}

impl<'a> Extensions<'a> {
    fn parse(content: &'a [u8], arc: &Arc) -> Result<Self, DerError> {
        let mut r = Reader::new(content);
        let mut list = r.sequence()?;
        r.finish()?;
        let mut out = Self::default();
        let mut seen: [&[u8]; MAX_EXTENSIONS] = [&[]; MAX_EXTENSIONS];
        let mut slots = seen.iter_mut();
        let mut oids: usize = 0;
        while !list.is_empty() {
            let mut extension = list.sequence()?;
            let oid = extension.read(0x06)?;
            if !is_oid(oid) {
                return Err(DerError);
            }
            let critical = extension.default_false()?;
            let value = extension.read(0x04)?;
            extension.finish()?;
            *slots.next().ok_or(DerError)? = oid;
            oids += 1;
            out.take(oid, critical, value, arc)?;
        }
        let seen = seen.get(..oids).ok_or(DerError)?;
        // "A certificate MUST NOT include more than one instance of a particular extension" (4.2).
        let twice = seen.iter().enumerate().any(|(i, oid)| seen.iter().take(i).any(|other| other == oid));
        if twice || oids == 0 { Err(DerError) } else { Ok(out) }
    }

    fn take(&mut self, oid: &[u8], critical: bool, value: &'a [u8], arc: &Arc) -> Result<(), DerError> {
        if let Some(n) = arc.number_of(oid) {
            // A later profile may mark one of these critical; then it means something we must not ignore.
            self.unknown_critical |= critical;
            return self.agent.take(n, value);
        }
        let mut r = Reader::new(value);
        match oid {
            oid::KEY_USAGE => self.key_usage = Some((critical, key_usage(r.read(0x03)?)?)),
            oid::EXT_KEY_USAGE => self.ext_key_usage = Some(ext_key_usage(r.sequence()?)?),
            oid::BASIC_CONSTRAINTS => self.basic_constraints = Some(basic_constraints(r.sequence()?)?),
            oid::SUBJECT_KEY_ID => {
                // "MUST mark this extension as non-critical" (4.2.1.2), as below (4.2.1.1).
                self.unknown_critical |= critical;
                self.subject_key_id = Some(r.read(0x04)?);
            }
            oid::AUTHORITY_KEY_ID => {
                self.unknown_critical |= critical;
                self.authority_key_id = authority_key_id(r.sequence()?)?;
            }
            oid::SUBJECT_ALT_NAME => self.names(r.sequence()?)?,
            oid::CRL_DISTRIBUTION_POINTS => self.crl_uri = crl_uri(r.sequence()?)?,
            NAME_CONSTRAINTS => {
                self.name_constraints = true;
                r.sequence()?;
            }
            SCT_LIST => {
                self.unknown_critical |= critical;
                r.read(0x04)?;
            }
            _ => {
                self.unknown_critical |= critical;
                return Ok(());
            }
        }
        r.finish()
    }

    fn names(&mut self, mut names: Reader<'a>) -> Result<(), DerError> {
        while !names.is_empty() {
            match names.any()? {
                (0x86, uri, _) if self.uri.is_none() => {
                    self.uri = Some(core::str::from_utf8(uri).map_err(|_| DerError)?);
                }
                _ => self.other_names = true,
            }
        }
        Ok(())
    }
}

/// Whether these are content octets of an object identifier: arcs minimal and complete (X.690, 8.19).
#[must_use]
pub fn is_oid(content: &[u8]) -> bool {
    let mut begins = true;
    let minimal = content.iter().all(|&b| {
        let ok = !(begins && b == 0x80);
        begins = b < 0x80;
        ok
    });
    minimal && begins && !content.is_empty()
}

fn key_usage(content: &[u8]) -> Result<u8, DerError> {
    match *content {
        // Named bits: no trailing zero bits (X.690, 11.2.2); decipherOnly would be a second octet.
        [unused @ 0..=7, bits] if bits != 0 && bits.trailing_zeros() == u32::from(unused) => Ok(bits),
        _ => Err(DerError),
    }
}

fn ext_key_usage(mut list: Reader<'_>) -> Result<ExtKeyUsage, DerError> {
    let mut usage = ExtKeyUsage::default();
    if list.is_empty() {
        return Err(DerError);
    }
    while !list.is_empty() {
        match list.read(0x06)? {
            oid::CLIENT_AUTH => usage.client_auth = true,
            oid::SERVER_AUTH => usage.server_auth = true,
            other if is_oid(other) => {}
            _ => return Err(DerError),
        }
    }
    Ok(usage)
}

fn basic_constraints(mut body: Reader<'_>) -> Result<(bool, Option<u8>), DerError> {
    let ca = body.default_false()?;
    let path_len = if body.is_empty() {
        None
    } else {
        match *body.positive_integer()? {
            [n] if ca => Some(n),
            _ => return Err(DerError),
        }
    };
    body.finish()?;
    Ok((ca, path_len))
}

fn authority_key_id(mut body: Reader<'_>) -> Result<Option<&[u8]>, DerError> {
    let key_id = body.optional(0x80)?;
    Ok(key_id.filter(|_| body.is_empty()))
}

/// `id-ce-nameConstraints`, 2.5.29.30
const NAME_CONSTRAINTS: &[u8] = &[0x55, 0x1d, 30];
/// Signed certificate timestamps (RFC 6962, 3.3): of no use here, and not to be malformed either.
const SCT_LIST: &[u8] = &[0x2b, 6, 1, 4, 1, 0xd6, 0x79, 2, 4, 2];

// Points that are full names of URIs (4.2.1.13), which is all we ever write; the first URI is taken.
fn crl_uri(mut points: Reader<'_>) -> Result<Option<&str>, DerError> {
    let mut first = None;
    while !points.is_empty() {
        let mut point = points.sequence()?;
        let mut name = Reader::new(point.read(0xa0)?);
        let mut uris = Reader::new(name.read(0xa0)?);
        name.finish().and(point.finish())?;
        while !uris.is_empty() {
            let uri = core::str::from_utf8(uris.read(0x86)?).map_err(|_| DerError)?;
            first = first.or(Some(uri).filter(|uri| uri.is_ascii()));
        }
    }
    if first.is_none() { Err(DerError) } else { Ok(first) }
}

/// UTCTime through 2049, GeneralizedTime from 2050, both with seconds and `Z` (4.1.2.5).
pub(crate) fn time(r: &mut Reader<'_>) -> Result<UnixTime, DerError> {
    match civil(r)? {
        (0x18, civil) if civil.year < 2050 => Err(DerError),
        (_, civil) => civil.to_time().ok_or(DerError),
    }
}

/// GeneralizedTime of any year, with seconds and `Z`, and no fraction (5.3.2).
#[cfg(feature = "service")]
pub(crate) fn generalized_time(r: &mut Reader<'_>) -> Result<UnixTime, DerError> {
    match civil(r)? {
        (0x18, civil) => civil.to_time().ok_or(DerError),
        _ => Err(DerError),
    }
}

/// Tag and value of a time.
fn civil(r: &mut Reader<'_>) -> Result<(u8, Civil), DerError> {
    let (tag, content, _) = r.any()?;
    let digits = content.strip_suffix(b"Z").ok_or(DerError)?;
    let two = |at: usize| -> Result<u64, DerError> {
        match digits.get(at..at + 2) {
            Some(&[a @ b'0'..=b'9', b @ b'0'..=b'9']) => Ok(u64::from(a - b'0') * 10 + u64::from(b - b'0')),
            _ => Err(DerError),
        }
    };
    let (year, at) = match (tag, digits.len()) {
        (0x17, 12) => {
            let yy = two(0)?;
            (if yy < 50 { 2000 + yy } else { 1900 + yy }, 2)
        }
        (0x18, 14) => (two(0)? * 100 + two(2)?, 4),
        _ => return Err(DerError),
    };
    let civil = Civil {
        year,
        month: two(at)?,
        day: two(at + 2)?,
        hour: two(at + 4)?,
        minute: two(at + 6)?,
        second: two(at + 8)?,
    };
    Ok((tag, civil))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_times_as_rfc5280_writes_them() {
        let read = |tag: u8, text: &str| {
            let mut der = vec![tag, u8::try_from(text.len()).unwrap()];
            der.extend_from_slice(text.as_bytes());
            time(&mut Reader::new(&der)).map(|t| t.to_string())
        };
        assert_eq!(read(0x17, "261123080000Z").unwrap(), "2026-11-23T08:00:00.000Z");
        assert_eq!(read(0x17, "700101000000Z").unwrap(), "1970-01-01T00:00:00.000Z");
        assert_eq!(read(0x18, "20500101000000Z").unwrap(), "2050-01-01T00:00:00.000Z");
        for (tag, bad) in [
            (0x18, "20261123080000Z"),
            (0x17, "2611230800Z"),
            (0x17, "261123080000+0000"),
            (0x17, "261323080000Z"),
            (0x18, "20500101000000.5Z"),
            (0x17, "2611230800 0Z"),
            (0x17, "500101000000Z"),
        ] {
            assert!(read(tag, bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn key_usage_has_no_trailing_zero_bits() {
        assert_eq!(key_usage(&[7, 0x80]), Ok(0x80));
        assert_eq!(key_usage(&[1, 0x06]), Ok(0x06));
        for bad in [&[0, 0x80][..], &[7, 0], &[8, 0x80], &[7], &[], &[7, 0x80, 0x80]] {
            assert!(key_usage(bad).is_err(), "{bad:x?}");
        }
    }
}
