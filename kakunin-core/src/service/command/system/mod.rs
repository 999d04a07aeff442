//! Orders that the system log decides: each a value, and its decision on what is on record.

pub(crate) mod api_keys;
pub(crate) mod authorities;
pub(crate) mod order;
pub(crate) mod sealing;
pub(crate) mod tenants;
