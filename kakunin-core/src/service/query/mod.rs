//! Reading what is committed.

pub(crate) mod agents;
pub(crate) mod authorities;
pub(crate) mod certificates;
pub(crate) mod inbox;
pub(crate) mod reading;
pub(crate) mod stored;
pub(crate) mod view;
