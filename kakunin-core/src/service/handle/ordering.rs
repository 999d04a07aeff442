//! A command in the name of whoever holds the handle.

use crate::service::command::decide::Command;
use crate::service::effects::tenant::Tenant;
use crate::service::error::Error;

impl Tenant {
    /// Has it decided and made durable.
    pub(super) async fn order<C: Command>(&self, command: C) -> Result<C::Answer, Error> {
        let tenant = self.inner.tenant(&self.id).await?;
        self.inner.decide(&tenant, self.by.clone(), command).await
    }
}
