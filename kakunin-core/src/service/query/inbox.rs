//! The inbox of a tenant, newest first.

use crate::error::StoreError;
use crate::log::entry::LogId;
use crate::service::effects::tenant::Tenant;
use crate::service::error::Error;
use crate::service::state::inbox::{Notification, key};
use crate::store::state::Kind;

impl Tenant {
    /// The inbox of a tenant, newest first: up to `limit` items below index `before`.
    ///
    /// # Errors
    /// What the store says.
    pub async fn notifications(
        &self,
        before: Option<u64>,
        limit: usize,
    ) -> Result<Vec<(u64, Notification)>, Error> {
        let inner = &self.inner;
        let tenant = inner.tenant(&self.id).await?;
        let log = LogId::Tenant(tenant.id.clone());
        let after = before.map(key);
        let after = after.as_ref().map(<[u8; 8]>::as_slice);
        let rows = inner.parts.state.scan(&log, Kind::Inbox, after, limit).await?;
        let rows = inner.opened(&log, Kind::Inbox, rows).await?;
        let corrupt = || StoreError::Corrupt("an item of the inbox does not decode".into());
        let item = |(key, value): (Vec<u8>, Vec<u8>)| {
            let key = u64::from_be_bytes(key.as_slice().try_into().map_err(|_| corrupt())?);
            Ok((u64::MAX - key, serde_json::from_slice(&value).map_err(|_| corrupt())?))
        };
        rows.into_iter().map(item).collect()
    }
}
