//! The fold of the system log: the only way in which what it amounts to changes, live and when it is read back.

use super::api_keys::Keys;
use super::authorities::Authorities;
use super::tenants::Tenants;
use crate::error::StoreError;
use crate::log::record::{Body, Control, Record};

/// What the system log amounts to. A value: whoever folds the same records has the same.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct SystemState {
    /// Index of the record that comes next.
    pub(super) next: u64,
    pub(crate) tenants: Tenants,
    pub(crate) authorities: Authorities,
    pub(crate) keys: Keys,
    /// What commits to the vault's secret, once it is on record that stored state is believed only under a seal.
    pub(crate) sealed: Option<String>,
}

impl SystemState {
    /// Takes in the record at `index`, which is the next.
    pub(crate) fn apply(&mut self, index: u64, record: &Record) -> Result<(), StoreError> {
        if index != self.next {
            let why = format!("record {index} of the system log came when {} was the next", self.next);
            return Err(StoreError::Corrupt(why));
        }
        self.next += 1;
        let Body::Control(control) = &record.body else {
            return Ok(());
        };
        match &**control {
            Control::CaCreated { .. } => self.authorities.created(control)?,
            Control::TenantCreated { tenant, model } => {
                self.tenants.created(tenant.clone());
                if let Some(model) = model {
                    self.tenants.made_with(tenant.clone(), model.clone());
                }
            }
            Control::VisibilityChanged { tenant, visibility } => self.tenants.changed(tenant, *visibility),
            Control::DeploymentSealed { secret } => self.sealed = Some(secret.clone()),
            Control::ApiKeyCreated(facts) => self.keys.created(facts.clone()),
            Control::ApiKeyCommitted { id, commitment } => self.keys.committed(*id, *commitment),
            Control::ApiKeyRevoked { id } => self.keys.revoked(id),
            // How a deployment was made is read before the rest; the marks of CRLs are rows, and nowhere else.
            _ => {}
        }
        Ok(())
    }
}
