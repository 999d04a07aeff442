//! The secret of the vault, and what is derived from it.

use crate::event::TokenKey;
use crate::id::{TenantId, hex_encode};

/// What the token keys of tenants are derived from.
pub(crate) struct TokenSecret(pub(crate) [u8; 32]);

impl core::fmt::Debug for TokenSecret {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str("TokenSecret(..)")
    }
}

pub(crate) fn tokens_of(secret: &TokenSecret, tenant: &TenantId) -> TokenKey {
    TokenKey::new(crate::log::leaf::commitment(&secret.0, tenant.as_str().as_bytes()))
}

/// What the log says of the secret, so that another one in its place is noticed.
pub(crate) fn commitment_of(secret: &TokenSecret) -> String {
    hex_encode(&crate::log::leaf::commitment(&secret.0, b"kakunin: the secret of the vault"))
}
