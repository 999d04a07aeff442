//! Distinguished names (RFC 5280, 4.1.2.4), as issuers and subjects of this profile have them.

use crate::x509::der::{DerError, Reader, Writer};
use crate::x509::oid;

/// The attributes of a name, each a set of its own, from the most general to the most specific.
#[derive(Clone, Debug, Default)]
pub struct NameParts<'a> {
    /// Organization.
    pub organization: Option<&'a str>,
    /// Organizational unit.
    pub unit: Option<&'a str>,
    /// Common name.
    pub common_name: Option<&'a str>,
    /// Serial number of the subject, printable characters only.
    pub serial_number: Option<&'a str>,
}

impl<'a> NameParts<'a> {
    /// Reads a name of this profile; attributes that it does not have are passed over.
    ///
    /// # Errors
    /// If it is not an RDNSequence, or an attribute's value is not text.
    pub fn read(der: &'a [u8]) -> Result<Self, DerError> {
        let mut outer = Reader::new(der);
        let mut sets = outer.sequence()?;
        outer.finish()?;
        let mut parts = Self::default();
        while !sets.is_empty() {
            let mut attribute = Reader::new(sets.read(0x31)?).sequence()?;
            let oid = attribute.read(0x06)?;
            let (_, value, _) = attribute.any()?;
            let text = Some(core::str::from_utf8(value).map_err(|_| DerError)?);
            match oid {
                oid::ORGANIZATION => parts.organization = text,
                oid::ORGANIZATIONAL_UNIT => parts.unit = text,
                oid::COMMON_NAME => parts.common_name = text,
                oid::SERIAL_NUMBER => parts.serial_number = text,
                _ => {}
            }
        }
        Ok(parts)
    }
}

impl NameParts<'_> {
    /// DER of the RDNSequence.
    #[must_use]
    pub fn to_der(&self) -> Vec<u8> {
        let mut out = Writer::new();
        out.sequence(|w| {
            put(w, oid::ORGANIZATION, 0x0c, self.organization);
            put(w, oid::ORGANIZATIONAL_UNIT, 0x0c, self.unit);
            put(w, oid::COMMON_NAME, 0x0c, self.common_name);
            // X520SerialNumber is a PrintableString (appendix A.1).
            put(w, oid::SERIAL_NUMBER, 0x13, self.serial_number);
        });
        out.into_bytes()
    }
}

fn put(w: &mut Writer, oid: &[u8], tag: u8, value: Option<&str>) {
    if let Some(text) = value {
        w.nested(0x31, |set| {
            set.sequence(|attribute| {
                attribute.oid(oid).element(tag, text.as_bytes());
            });
        });
    }
}
