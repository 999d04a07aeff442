#![doc = include_str!("../README.md")]

#[cfg(feature = "local")]
pub mod local;

pub use kakunin_core;
