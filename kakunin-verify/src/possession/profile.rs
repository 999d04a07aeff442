//! The profile of the signatures.

use kakunin_core::key::KeyAlgorithm;
use kakunin_core::time::SECOND;

use crate::denied::{Code, Denied};

/// The `tag` parameter of every such signature, so that one made for another purpose proves nothing.
pub const TAG: &str = "kakunin-request";
/// How old a signature may be, in milliseconds.
pub const MAX_AGE: u64 = 60 * SECOND;
/// How far ahead of our clock a signature may be, in milliseconds.
pub const MAX_AHEAD: u64 = 10 * SECOND;

pub(super) fn invalid(what: &'static str) -> Denied {
    Denied::about(Code::PossessionInvalid, what)
}

/// The name in the registry of RFC 9421, 6.2.2.
pub(super) const fn algorithm_name(algorithm: KeyAlgorithm) -> &'static str {
    match algorithm {
        KeyAlgorithm::P256 => "ecdsa-p256-sha256",
        KeyAlgorithm::Ed25519 => "ed25519",
        _ => "rsa-v1_5-sha256",
    }
}
