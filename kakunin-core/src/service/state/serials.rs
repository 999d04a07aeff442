//! To which tenant each serial number belongs.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, PoisonError, RwLock};

use crate::id::{Serial, TenantId};

/// To which tenant each serial number belongs.
#[derive(Debug, Default)]
pub(crate) struct Serials(RwLock<HashMap<Serial, Arc<TenantId>>>);

impl Serials {
    pub(crate) fn remember(&self, serial: Serial, tenant: &TenantId) {
        self.remember_all(tenant, [serial]);
    }

    pub(crate) fn remember_all(&self, tenant: &TenantId, serials: impl IntoIterator<Item = Serial>) {
        let tenant = Arc::new(tenant.clone());
        let mut all = self.0.write().unwrap_or_else(PoisonError::into_inner);
        all.extend(serials.into_iter().map(|serial| (serial, tenant.clone())));
    }

    /// They are in the log alone from now on.
    pub(crate) fn forget(&self, left: &HashSet<Serial>) {
        if !left.is_empty() {
            let mut all = self.0.write().unwrap_or_else(PoisonError::into_inner);
            left.iter().for_each(|serial| _ = all.remove(serial));
        }
    }

    pub(crate) fn tenant(&self, serial: &Serial) -> Option<Arc<TenantId>> {
        self.0.read().unwrap_or_else(PoisonError::into_inner).get(serial).cloned()
    }
}
