//! What a tenant's log amounts to as far as it is committed: read without waiting for whoever decides, let alone for a disk.

use std::sync::{PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use crate::service::state::projection::Projection;

/// A projection that one writes, after each append, and many read. Nobody holds it while anything is waited for.
#[derive(Debug, Default)]
pub(crate) struct Committed(RwLock<Projection>);

impl Committed {
    pub(crate) fn read(&self) -> RwLockReadGuard<'_, Projection> {
        self.0.read().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn write(&self) -> RwLockWriteGuard<'_, Projection> {
        self.0.write().unwrap_or_else(PoisonError::into_inner)
    }
}
