//! What cannot be a certificate authority here, or could not be made one.

use crate::id::TenantId;
use crate::key::SignError;
use crate::time::UnixTime;
use crate::x509::lint::LintError;
use crate::x509::tbs::AssembleError;

/// What cannot be a certificate authority here.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CaError {
    /// Ed25519 keys do not sign certificates here: too many relying parties refuse them.
    #[error("a certificate authority needs an RSA or P-256 key")]
    Algorithm,
    /// Not a CA certificate of this profile.
    #[error("this is not a certificate of a certificate authority of this deployment")]
    NotACa,
    /// Nobody could name it as an issuer: the request has no subject, so whoever signs it gives one.
    #[error(
        "the certificate of the certificate authority has an empty subject, which RFC 5280 forbids; give it a name where \
         it is signed, such as `-subj '/CN=Example Issuing CA'`"
    )]
    NoName,
    /// Its certificate binds it to another tenant.
    #[error("the certificate binds this authority to the tenant {0}; install it for that one")]
    OtherTenant(TenantId),
    /// It was signed for another key.
    #[error("the certificate is not for the key that was requested; sign the newest request")]
    OtherKey,
    /// Its time has not come, or is over.
    #[error("the certificate is not valid now; check the clocks of both machines")]
    NotValid,
    /// The root above it has ended, or has not begun.
    #[error(
        "the root is valid from {0} to {1}, which is not now; set the clock, or make another root, elsewhere"
    )]
    RootNotValid(UnixTime, UnixTime),
    /// It would outlive its own issuer.
    #[error("the certificate would outlive its issuer; renew the issuer first")]
    OutlivesIssuer,
    /// Our own lint found a fault; nothing was signed.
    #[error(transparent)]
    Lint(#[from] LintError),
    /// The signature is not the issuer's.
    #[error(transparent)]
    Assemble(#[from] AssembleError),
}

/// Why a certificate authority could not be made.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SignCaError {
    /// Not by these rules.
    #[error(transparent)]
    Ca(#[from] CaError),
    /// The key did not sign.
    #[error(transparent)]
    Sign(#[from] SignError),
}
