//! PEM (RFC 7468): one encoder, one strict decoder.

use base64ct::{Base64, Encoding};

/// The text is not PEM with the expected label.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not PEM: expected `-----BEGIN {0}-----`, base64, and the END line")]
pub struct PemError(&'static str);

/// Label of certificates.
pub const CERTIFICATE: &str = "CERTIFICATE";
/// Label of certificate revocation lists.
pub const CRL: &str = "X509 CRL";
/// Label of PKCS#10 requests.
pub const CERTIFICATE_REQUEST: &str = "CERTIFICATE REQUEST";

/// Encodes `der` under `label`, lines of 64 characters.
#[must_use]
pub fn encode(label: &str, der: &[u8]) -> String {
    let body = Base64::encode_string(der);
    let mut out = format!("-----BEGIN {label}-----\n");
    let mut rest = body.as_str();
    while !rest.is_empty() {
        let (line, after) = rest.split_at(rest.len().min(64));
        out.push_str(line);
        out.push('\n');
        rest = after;
    }
    out.push_str(&format!("-----END {label}-----\n"));
    out
}

/// Decodes every block labelled `label`, in order; other text between blocks is passed over.
///
/// # Errors
/// If there is no such block, or one is not base64.
pub fn decode(label: &'static str, text: &str) -> Result<Vec<Vec<u8>>, PemError> {
    let (begin, end) = (format!("-----BEGIN {label}-----"), format!("-----END {label}-----"));
    let mut blocks = Vec::new();
    let mut rest = text;
    while let Some((_, after)) = rest.split_once(begin.as_str()) {
        let (body, after) = after.split_once(end.as_str()).ok_or(PemError(label))?;
        let body: String = body.chars().filter(|c| !c.is_ascii_whitespace()).collect();
        blocks.push(Base64::decode_vec(&body).map_err(|_| PemError(label))?);
        rest = after;
    }
    if blocks.is_empty() { Err(PemError(label)) } else { Ok(blocks) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn round_trips_and_refuses() {
        let der: Vec<u8> = (0..=255).collect();
        let text = encode(CERTIFICATE, &der) + "noise\n" + &encode(CERTIFICATE, &der[..3]);
        assert_eq!(decode(CERTIFICATE, &text), Ok(vec![der, vec![0, 1, 2]]));
        assert!(text.lines().all(|l| l.len() <= 64));
        assert!(
            decode(CRL, &text).is_err() && decode(CERTIFICATE, "-----BEGIN CERTIFICATE-----\n!").is_err()
        );
    }
}
