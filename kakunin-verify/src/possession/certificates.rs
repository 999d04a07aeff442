//! Certificates in header fields: byte sequences (RFC 8941, 3.3.5), as in `Client-Cert` (RFC 9440).

use base64ct::{Base64, Encoding};
use kakunin_core::x509::certificate::MAX_CERTIFICATE_LEN;

use super::fields::octets;
use crate::denied::{Code, Denied};

/// In which an agent presents its chain, leaf first.
pub const CERTIFICATE_HEADER: &str = "x-kakunin-certificate";
/// In which a serial number is named, which proves nothing.
pub const SERIAL_HEADER: &str = "x-kakunin-cert-serial";
/// In which a gateway is told whose request it passes on.
pub const SPIFFE_ID_HEADER: &str = "x-kakunin-spiffe-id";
/// In which a gateway says what an agent wants to do, `verb:resource`.
pub const ACTION_HEADER: &str = "x-kakunin-action";
/// Most certificates in one field.
pub(super) const MAX_CERTIFICATES: usize = 4;

/// Parses `:base64:`, or a list of them: the DER of each, leaf first.
///
/// # Errors
/// [`Denied`] with `certificate_malformed`.
pub fn parse_certificates(text: &str) -> Result<Vec<Vec<u8>>, Denied> {
    let malformed = || Denied::new(Code::CertificateMalformed);
    if text.len() > MAX_CERTIFICATES * (MAX_CERTIFICATE_LEN * 4 / 3 + 8) {
        return Err(malformed());
    }
    let items: Vec<_> = text.split(',').collect();
    if items.len() > MAX_CERTIFICATES {
        return Err(malformed());
    }
    let one =
        |item: &&str| octets(item.trim_matches([' ', '\t'])).filter(|der| der.len() <= MAX_CERTIFICATE_LEN);
    items.iter().map(|item| one(item).ok_or_else(malformed)).collect()
}

/// Writes certificates as [`parse_certificates`] reads them.
#[must_use]
pub fn write_certificates<C: AsRef<[u8]>>(chain: &[C]) -> String {
    let items: Vec<_> =
        chain.iter().map(|der| format!(":{}:", Base64::encode_string(der.as_ref()))).collect();
    items.join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read() {
        let chain = vec![vec![1, 2, 3], vec![], vec![4; 999]];
        assert_eq!(parse_certificates(&write_certificates(&chain)).unwrap(), chain);
        let long = write_certificates(&[vec![0; MAX_CERTIFICATE_LEN + 1]]);
        for bad in ["", "AQID", ":AQID", ":AQ:,", ":A\u{e9}:", ":AQ==:,:AQ==:,:AQ==:,:AQ==:,:AQ==:", &long] {
            assert_eq!(parse_certificates(bad).unwrap_err().code(), "certificate_malformed", "{bad}");
        }
    }
}
