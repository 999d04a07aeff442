//! Distinguished names (RFC 5280, 4.1.2.4), as issuers and subjects of this profile have them.

use crate::x509::der::Writer;
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
