//! The forms in which a request arrives: DER, PEM (RFC 7468), and base64 of the DER alone.

use base64ct::{Base64, Base64Unpadded, Encoding};

use super::CsrError;
use crate::x509::pem;

/// What older tools write for [`pem::CERTIFICATE_REQUEST`] (RFC 7468, 7).
const NEW_CERTIFICATE_REQUEST: &str = "NEW CERTIFICATE REQUEST";
const BEGIN: &str = "-----BEGIN ";
/// Most characters of a label that are repeated in a refusal.
const MAX_LABEL: usize = 40;

/// The DER of the one request that this is.
pub(super) fn open(request: &[u8]) -> Result<Vec<u8>, CsrError> {
    // DER begins with a SEQUENCE, `0`; its base64 with `M`.
    if request.first() == Some(&0x30) {
        return Ok(request.to_vec());
    }
    // What stands around a block is for people, in whatever encoding (RFC 7468, 2).
    let text = String::from_utf8_lossy(request);
    match text.matches(BEGIN).count() {
        0 => bare(&text),
        1 => block(&text),
        _ if labels(&text).any(|label| label.contains("PRIVATE KEY")) => Err(CsrError::PrivateKey),
        blocks => Err(CsrError::Several { blocks }),
    }
}

fn labels(text: &str) -> impl Iterator<Item = &str> {
    text.split(BEGIN).skip(1).map(|rest| rest.split("-----").next().unwrap_or_default())
}

fn block(text: &str) -> Result<Vec<u8>, CsrError> {
    let label = labels(text).next().unwrap_or_default();
    if label.contains("PRIVATE KEY") {
        return Err(CsrError::PrivateKey);
    }
    if ![pem::CERTIFICATE_REQUEST, NEW_CERTIFICATE_REQUEST].contains(&label) {
        let plain = |c: &char| c.is_ascii_graphic() || *c == ' ';
        return Err(CsrError::Label(label.chars().filter(plain).take(MAX_LABEL).collect()));
    }
    let body = text.split_once(&format!("{BEGIN}{label}-----")).map(|(_, after)| after);
    let body = body.and_then(|after| after.split_once(&format!("-----END {label}-----")));
    let (body, _) = body.ok_or(CsrError::Malformed)?;
    Base64::decode_vec(&dense(body)).map_err(|_| CsrError::Malformed)
}

/// Base64 or, as ACME sends it (RFC 8555, 7.4), base64url, with or without padding.
fn bare(text: &str) -> Result<Vec<u8>, CsrError> {
    let text = dense(text).replace('-', "+").replace('_', "/");
    Base64Unpadded::decode_vec(text.trim_end_matches('=')).map_err(|_| CsrError::Malformed)
}

fn dense(text: &str) -> String {
    text.chars().filter(|c| !c.is_ascii_whitespace()).collect()
}
