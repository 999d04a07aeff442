//! Refusals of the check.

use kakunin_verify::denied::Code;
use kakunin_verify::{Denied, VerifiedAgent};

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

/// A refusal, with what a dry run goes by.
pub(super) struct Refused {
    pub(super) error: Box<ApiError>,
    /// Whose request it is, if that was shown.
    pub(super) shown: Option<VerifiedAgent>,
    /// Index of the decision in the log, if it is one that stands there.
    pub(super) index: Option<u64>,
    /// Whether it stays one, in a dry run too: nobody could decide, or put on record what was decided.
    pub(super) stays: bool,
}

impl Refused {
    /// Of a request that was shown to be this agent's.
    pub(super) fn of(agent: &VerifiedAgent) -> impl Fn(ApiError) -> Self {
        |error| Self { shown: Some(agent.clone()), ..Self::from(error) }
    }
}

impl From<ApiError> for Refused {
    fn from(error: ApiError) -> Self {
        // Of these, the check's own answers are 503, and decided.
        let decided = [Code::VerifyUnavailable.as_str(), Code::RevocationUnknown.as_str()];
        let stays = error.is_ours() && !decided.contains(&error.code());
        Self { error: Box::new(error), shown: None, index: None, stays }
    }
}

impl From<Refused> for ApiError {
    fn from(refused: Refused) -> Self {
        *refused.error
    }
}
