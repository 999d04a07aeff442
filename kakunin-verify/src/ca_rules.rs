//! What RFC 5280 asks of a certificate authority, and its own profile.

use kakunin_core::x509::certificate::CertificateView;

use crate::context::Context;
use crate::denied::{Code, Denied};

/// What RFC 5280 asks of a certificate authority and webpki leaves out, and what the short path relies
/// on: without name constraints nothing in a leaf depends on more than its issuer.
pub(crate) fn check_authority(view: &CertificateView<'_>) -> Result<(), Denied> {
    let x = &view.extensions;
    if !x.basic_constraints.is_some_and(|(ca, _)| ca) {
        return Err(invalid("basic constraints: not a certificate authority"));
    }
    if x.key_usage.is_none_or(|(_, bits)| bits & KEY_CERT_SIGN == 0) {
        return Err(invalid("key usage: keyCertSign is missing"));
    }
    if x.name_constraints {
        return Err(invalid("name constraints: bind the anchor to its trust domain instead"));
    }
    Ok(())
}

/// keyUsage bit 5 (RFC 5280, 4.2.1.3).
pub(crate) const KEY_CERT_SIGN: u8 = 0x04;

pub(crate) fn invalid(detail: impl Into<Context>) -> Denied {
    Denied::about(Code::IssuerInvalid, detail)
}
