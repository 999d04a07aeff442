//! Tenants are made, and say who reads what their own CAs revoked.

use super::order::{SystemOrder, known_tenant};
use crate::feed::Visibility;
use crate::id::TenantId;
use crate::log::record::Control;
use crate::risk::ModelId;
use crate::service::error::Error;
use crate::service::state::system::fold::SystemState;
use crate::service::state::system::known::Closed;

/// Makes a tenant, if it is not there yet.
#[derive(Debug)]
pub(crate) struct CreateTenant {
    pub(crate) tenant: TenantId,
    /// Judges in it, until its policy names another.
    pub(crate) model: ModelId,
}

impl SystemOrder for CreateTenant {
    fn decide(&self, state: &SystemState) -> Result<Vec<Control>, Error> {
        let Self { tenant, model } = self;
        if state.tenants.has(tenant) {
            return Ok(Vec::new());
        }
        Ok(vec![Control::TenantCreated { tenant: tenant.clone(), model: Some(model.clone()) }])
    }

    fn closes(&self) -> Option<Closed> {
        None
    }
}

/// Says who may read what a tenant's own issuing CAs revoked.
#[derive(Debug)]
pub(crate) struct SetVisibility {
    pub(crate) tenant: TenantId,
    pub(crate) visibility: Visibility,
}

impl SystemOrder for SetVisibility {
    fn decide(&self, state: &SystemState) -> Result<Vec<Control>, Error> {
        let Self { tenant, visibility } = self;
        known_tenant(state, tenant)?;
        if state.tenants.visibility(tenant) == *visibility {
            return Ok(Vec::new());
        }
        if *visibility == Visibility::Private && state.authorities.current(Some(tenant)).is_none() {
            return Err(Error::SharedIssuer);
        }
        let (tenant, visibility) = (tenant.clone(), *visibility);
        Ok(vec![Control::VisibilityChanged { tenant, visibility }])
    }

    /// Also before they are opened: until that is on record.
    fn closes(&self) -> Option<Closed> {
        Some(Closed::Revocations(self.tenant.clone()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::service::error::Error;

    #[test]
    fn decisions_need_the_state_alone() {
        let acme: TenantId = "acme".parse().unwrap();
        let (mut state, made) =
            (SystemState::default(), CreateTenant { tenant: acme.clone(), model: ModelId("own/1".into()) });
        let set = |visibility| SetVisibility { tenant: acme.clone(), visibility };
        assert!(matches!(set(Visibility::Private).decide(&state), Err(Error::NotFound("tenant"))));
        let decided = made.decide(&state).unwrap();
        assert_eq!(
            decided,
            [Control::TenantCreated { tenant: acme.clone(), model: Some(made.model.clone()) }]
        );
        let record = |control| crate::log::record::Record::control(Default::default(), None, None, control);
        let first = record(decided.into_iter().next().unwrap());
        state.apply(0, &first).unwrap();
        assert!(made.decide(&state).unwrap().is_empty(), "it is there");
        assert_eq!(state.tenants.model(&acme), Some(&made.model));
        assert_eq!(state.apply(0, &first).unwrap_err().code(), "storage_corrupt", "no record counts twice");
        assert!(set(Visibility::Public).decide(&state).unwrap().is_empty(), "it is so");
        assert!(matches!(set(Visibility::Private).decide(&state), Err(Error::SharedIssuer)));
    }
}
