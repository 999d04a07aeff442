//! PEM in a header field, percent-encoded (RFC 3986, 2.1).

use kakunin_core::x509::pem;

use crate::denied::{Code, Denied};

pub(super) fn malformed() -> Denied {
    Denied::new(Code::CertificateMalformed)
}

/// PEM without anything around or between its blocks, lines as every tool writes them, percent-encoded.
pub(super) fn url_pem(text: &str) -> Result<Vec<Vec<u8>>, Denied> {
    let text = percent_decode(text).ok_or_else(malformed)?;
    let chain = pem::decode(pem::CERTIFICATE, &text).map_err(|_| malformed())?;
    let same = pem_of(&chain).trim_end() == text.trim_end_matches('\n');
    if same { Ok(chain) } else { Err(malformed()) }
}

pub(super) fn pem_of<C: AsRef<[u8]>>(chain: &[C]) -> String {
    chain.iter().map(|der| pem::encode(pem::CERTIFICATE, der.as_ref())).collect()
}

const fn unreserved(octet: u8) -> bool {
    octet.is_ascii_alphanumeric() || matches!(octet, b'-' | b'.' | b'_' | b'~')
}

pub(super) fn percent_encode(text: &str) -> String {
    let mut out = String::with_capacity(text.len() * 5 / 4);
    for octet in text.bytes() {
        if unreserved(octet) {
            out.push(char::from(octet));
        } else {
            out.push_str(&format!("%{octet:02X}"));
        }
    }
    out
}

// RFC 3986, 2.1. Everything reserved has to be encoded: a bare `+` is a space to some.
fn percent_decode(text: &str) -> Option<String> {
    let mut out = String::with_capacity(text.len());
    let mut rest = text.bytes();
    while let Some(octet) = rest.next() {
        let octet = match octet {
            b'%' => digit(rest.next()?)? << 4 | digit(rest.next()?)?,
            plain if unreserved(plain) => plain,
            _ => return None,
        };
        // PEM is ASCII.
        out.push(octet.is_ascii().then(|| char::from(octet))?);
    }
    Some(out)
}

fn digit(octet: u8) -> Option<u8> {
    u8::try_from(char::from(octet).to_digit(16)?).ok()
}
