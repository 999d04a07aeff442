//! CRLs as they are read back: a zero-copy walk, and what a reader holds against the issuer before it
//! believes a word. Nothing is taken that rustls-webpki refuses; what cannot be represented is refused whole.

use crate::id::SerialNumber;
use crate::revoke::Reason;
use crate::time::UnixTime;
use crate::x509::ca::Issuer;
use crate::x509::certificate::time;
use crate::x509::der::{DerError, Reader};

use super::BACKDATE;
use super::read_extensions::{ListExtensions, reason};

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
    /// Its issuer may not sign CRLs (RFC 5280, 6.3.3 (f)).
    #[error("its issuer's certificate does not allow it to sign CRLs; have one issued with cRLSign")]
    Usage,
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
    /// If it is not DER, not of this kind (delta CRLs and indirect ones are not), has a critical extension that
    /// is not understood here, an extension twice, or a serial number that [`SerialNumber`] does not hold.
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
        let entries = r.optional(0x30)?;
        // "When there are no revoked certificates, the revoked certificates list MUST be absent" (5.1.2.6)
        if next_update <= this_update || entries.is_some_and(<[u8]>::is_empty) {
            return Err(DerError);
        }
        let entries = Reader::new(entries.unwrap_or_default());
        let mut wrapped = Reader::new(r.read(0xa0)?);
        r.finish()?;
        let extensions = ListExtensions::parse(wrapped.sequence()?)?;
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

    /// Whether it names `issuer` as its own: by name, and by the key identifier in its certificate.
    #[must_use]
    pub fn names(&self, issuer: &Issuer) -> bool {
        self.issuer == issuer.name() && self.authority_key_id == issuer.subject_key_id()
    }

    /// Identifier of the key that it says it is signed with.
    pub(crate) const fn authority_key_id(&self) -> &[u8] {
        self.authority_key_id
    }

    /// Checks that `issuer` signed it and may, that it is valid at `now`, and names no certificate twice.
    ///
    /// # Errors
    /// [`CrlRefused`].
    pub fn check(&self, issuer: &Issuer, now: UnixTime) -> Result<(), CrlRefused> {
        if !self.names(issuer) {
            return Err(CrlRefused::Issuer);
        }
        if !issuer.signs_crls() {
            return Err(CrlRefused::Usage);
        }
        let algorithm = self.signature_algorithm == issuer.algorithm().signature_algorithm();
        if !algorithm || issuer.key().verify(self.tbs, self.signature).is_err() {
            return Err(CrlRefused::Signature);
        }
        if self.next_update <= now || self.this_update > now.plus(BACKDATE) {
            return Err(CrlRefused::NotValid);
        }
        // Nobody can say which of two entries counts, and a later one may be a release that came late.
        let mut serials: Vec<_> = self.serials().collect();
        serials.sort_unstable();
        if serials.windows(2).any(|pair| matches!(pair, [a, b] if a == b)) {
            return Err(CrlRefused::Malformed(DerError));
        }
        Ok(())
    }

    /// The serial numbers on it, in their order.
    pub fn serials(&self) -> impl Iterator<Item = SerialNumber> {
        self.revoked().map(|(serial, _)| serial)
    }

    /// The same with the reason of each.
    pub fn revoked(&self) -> impl Iterator<Item = (SerialNumber, Reason)> {
        let mut rest = self.entries;
        // Each was read before.
        core::iter::from_fn(move || entry(&mut rest).ok())
    }
}

/// thisUpdate alone, of a CRL however long.
pub(crate) fn this_update(der: &[u8]) -> Result<UnixTime, DerError> {
    let mut tbs = Reader::new(der).sequence()?.sequence()?;
    tbs.read(0x02)?;
    tbs.raw(0x30).and(tbs.raw(0x30))?;
    time(&mut tbs)
}

/// Serial number and reason of the next entry.
fn entry(rest: &mut Reader<'_>) -> Result<(SerialNumber, Reason), DerError> {
    let mut body = rest.sequence()?;
    let serial = SerialNumber::from_der_integer(body.positive_integer()?).ok_or(DerError)?;
    time(&mut body)?;
    let extensions = Reader::new(body.optional(0x30)?.unwrap_or_default());
    body.finish()?;
    Ok((serial, reason(extensions)?))
}
