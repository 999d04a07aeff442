//! What a deployment is made as, made from nothing, read back, and made anew aside.

pub(crate) mod aside;
pub(crate) mod config;
pub(crate) mod genesis;
pub(crate) mod load;
pub(crate) mod offline;
pub(crate) mod proven;
pub(crate) mod rebuild;
pub(crate) mod rescored;
pub(crate) mod simulated;
