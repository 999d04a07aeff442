#![doc = include_str!("../README.md")]

#[cfg(feature = "aws")]
pub mod aws;
#[cfg(feature = "local")]
pub mod local;
#[cfg(feature = "pkcs11")]
pub mod pkcs11;
#[cfg(feature = "local")]
pub mod private;
#[cfg(feature = "seal")]
pub mod seal;
pub mod url;

pub use kakunin_core;
