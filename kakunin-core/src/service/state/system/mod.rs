//! What the system log amounts to: a file for each projection, its rows, and the fold that changes it.

pub(crate) mod api_keys;
pub(crate) mod authorities;
pub(crate) mod fold;
pub(crate) mod known;
pub(crate) mod rows;
pub(crate) mod tenants;
