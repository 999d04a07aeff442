//! Orders: what callers ask a deployment to do.

pub(crate) mod authority;
pub(crate) mod certify;
pub(crate) mod enrol;
pub(crate) mod erasing;
mod first_answer;
pub(crate) mod granting;
pub(crate) mod keys;
pub(crate) mod lifecycle;
pub(crate) mod observe;
mod ordering;
pub(crate) mod policy;
pub(crate) mod register;
pub(crate) mod renewal;
pub(crate) mod repeat;
pub(crate) mod revoking;
pub(crate) mod signing;
pub(crate) mod tenants;
pub(crate) mod visibility;
pub(crate) mod webhooks;
