//! What issuers are validated against.

use std::collections::HashMap;

use kakunin_core::crypto::Backend;
use kakunin_core::id::{IssuerId, TenantId};
use kakunin_core::x509::oid;

use crate::anchor::TrustAnchor;

/// What issuers are validated against.
#[derive(Clone, Debug)]
pub(crate) struct Trust {
    pub(crate) anchors: Vec<TrustAnchor>,
    /// Issuing CAs that certify agents of one tenant alone, beside those whose certificates say so.
    pub(crate) bindings: HashMap<IssuerId, TenantId>,
    pub(crate) arc: oid::Arc,
    pub(crate) backend: Backend,
}
