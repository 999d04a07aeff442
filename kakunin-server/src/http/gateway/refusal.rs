//! Refusals of the check.

use kakunin_verify::Denied;
use kakunin_verify::denied::Code;

use crate::http::error::ApiError;

/// A refusal by the codes that gateways of this kind know.
pub(super) fn refusal(denied: &Denied) -> ApiError {
    let code = match denied.kind() {
        Code::CertificateMissing => "missing_cert_serial",
        _ => denied.code(),
    };
    let error = ApiError::gateway(denied.http_status(), code, denied.to_string());
    // A second makes room, if the one who asks too much does not.
    if denied.kind() == Code::PossessionUnavailable { error.retry_after(1) } else { error }
}
