//! The handle of one tenant.

use std::sync::Arc;

use super::running::{Kakunin, Running};
use crate::event::ShortName;
use crate::id::TenantId;
use crate::revoke::Said;

/// One tenant of a deployment: whatever concerns its agents, their certificates and its log goes through this.
///
/// Cheap to make and to clone; it may be kept. Whether there is such a tenant is found out by each call, which gives
/// [`Error::NotFound`](crate::service::Error::NotFound) if not.
#[derive(Clone, Debug)]
pub struct Tenant {
    pub(crate) inner: Arc<Running>,
    pub(crate) id: TenantId,
    pub(crate) by: Option<ShortName>,
    pub(crate) said: Said,
}

impl Kakunin {
    /// One tenant; its records say the same as those of this handle: see [`Kakunin::acting_as`] and [`Kakunin::saying`].
    #[must_use]
    pub fn tenant(&self, id: &TenantId) -> Tenant {
        let (by, said) = (self.by.clone(), self.said.clone());
        Tenant { inner: self.inner.clone(), id: id.clone(), by, said }
    }
}

impl Tenant {
    /// Which tenant it is.
    #[must_use]
    pub const fn id(&self) -> &TenantId {
        &self.id
    }
}
