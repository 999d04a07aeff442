//! What an order to the deployment is.

use crate::id::TenantId;
use crate::log::record::Control;
use crate::service::error::Error;
use crate::service::state::system::fold::SystemState;
use crate::service::state::system::known::Closed;

/// An order to the deployment: a value.
pub(crate) trait SystemOrder {
    /// The records that it comes to, by what is on record alone, to be appended in one piece; none if all is so
    /// already. It may be asked again, where somebody else was quicker.
    fn decide(&self, state: &SystemState) -> Result<Vec<Control>, Error>;

    /// What is refused before it is on record, so that a call that is cut off errs on that side.
    fn closes(&self) -> Option<Closed>;
}

/// Refuses an order for a tenant that there is not.
pub(super) fn known_tenant(state: &SystemState, tenant: &TenantId) -> Result<(), Error> {
    if state.tenants.has(tenant) { Ok(()) } else { Err(Error::NotFound("tenant")) }
}
