//! The tenants on record, and which of them keep to themselves what their own CAs revoked.

use std::collections::{BTreeMap, BTreeSet};

use crate::feed::Visibility;
use crate::id::TenantId;
use crate::risk::ModelId;

/// The tenants on record.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Tenants {
    all: BTreeSet<TenantId>,
    private: BTreeSet<TenantId>,
    models: BTreeMap<TenantId, ModelId>,
}

impl Tenants {
    pub(super) fn created(&mut self, tenant: TenantId) {
        self.all.insert(tenant);
    }

    pub(super) fn made_with(&mut self, tenant: TenantId, model: ModelId) {
        self.models.insert(tenant, model);
    }

    /// The model that a tenant was made with, if that is on record.
    pub(crate) fn model(&self, tenant: &TenantId) -> Option<&ModelId> {
        self.models.get(tenant)
    }

    pub(super) fn changed(&mut self, tenant: &TenantId, visibility: Visibility) {
        match visibility {
            Visibility::Private => _ = self.private.insert(tenant.clone()),
            Visibility::Public => _ = self.private.remove(tenant),
        }
    }

    pub(crate) fn has(&self, tenant: &TenantId) -> bool {
        self.all.contains(tenant)
    }

    /// In the order of their names.
    pub(crate) fn ids(&self) -> Vec<TenantId> {
        self.all.iter().cloned().collect()
    }

    /// Who may read what this tenant's own CAs revoked.
    pub(crate) fn visibility(&self, tenant: &TenantId) -> Visibility {
        if self.private.contains(tenant) { Visibility::Private } else { Visibility::Public }
    }
}
