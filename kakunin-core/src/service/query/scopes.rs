//! Whether what agents did was within their certificates: what the certificate says decides, and no report.

use std::sync::Arc;

use crate::event::Event;
use crate::id::Serial;
use crate::scope::ScopeSet;
use crate::service::effects::running::Running;
use crate::service::engine::tenant::TenantLog;
use crate::service::error::Error;
use crate::x509::certificate::CertificateView;

impl Running {
    /// Says of each event whether it was outside of its certificate's scope. Of one whose certificate is not there
    /// nothing is believed; those whose reporter named no action keep what is said of them.
    pub(crate) async fn judge(&self, tenant: &TenantLog, events: &mut [Event]) -> Result<(), Error> {
        for event in events.iter_mut().filter(|event| !event.unspecified) {
            let scope = self.scope_of(tenant, &event.serial).await?;
            event.out_of_scope = scope.is_some_and(|scope| !scope.permits(&event.action));
        }
        Ok(())
    }

    async fn scope_of(&self, tenant: &TenantLog, serial: &Serial) -> Result<Option<Arc<ScopeSet>>, Error> {
        if let Some(scope) = self.scopes.get(serial) {
            return Ok(Some(scope));
        }
        let der = match self.stored_certificate(tenant, serial).await {
            Err(Error::NotFound(_)) => return Ok(None),
            der => der?,
        };
        let view = CertificateView::parse(&der, &self.place.arc).ok();
        let claims = view.and_then(|view| view.extensions.agent.to_owned());
        Ok(claims.map(|claims| self.scopes.put(*serial, claims.scope)))
    }
}
