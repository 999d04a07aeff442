//! A caller: a key of one tenant, with a role.

use std::sync::Arc;

use kakunin_core::access::{ApiKeyFacts, Role};
use kakunin_core::id::TenantId;
use kakunin_core::service::Kakunin;

/// A caller whose key was accepted.
#[derive(Clone, Debug)]
pub(crate) struct Caller {
    pub(super) facts: Arc<ApiKeyFacts>,
}

impl Caller {
    /// Whose key it is: all it reaches is this tenant's.
    pub(crate) fn tenant(&self) -> &TenantId {
        &self.facts.tenant
    }

    /// Whether it may report events.
    pub(crate) fn may_report(&self) -> bool {
        self.facts.role >= Role::Reporter
    }

    /// Whether it may make tenants, and say how those are.
    pub(crate) fn may_make_tenants(&self) -> bool {
        self.facts.role >= Role::Admin
    }

    /// Whether its key would be accepted now.
    pub(crate) fn stands(&self, kakunin: &Kakunin) -> bool {
        kakunin.api_key(&self.facts.id).is_some()
    }
}
