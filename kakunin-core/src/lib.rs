#![doc = include_str!("../README.md")]

pub mod agent;
pub mod brand;
pub mod crypto;
pub mod error;
pub mod event;
#[cfg(feature = "feed")]
pub mod feed;
pub mod grant;
pub mod id;
pub mod ijson;
pub mod key;
#[cfg(not(target_family = "wasm"))]
pub mod lock;
pub mod log;
pub mod reason;
pub mod revoke;
pub mod risk;
pub mod scope;
pub mod text;
pub mod time;
pub mod x509;

#[cfg(feature = "service")]
pub mod access;
#[cfg(feature = "service")]
pub mod issue;
#[cfg(feature = "service")]
pub mod service;
#[cfg(feature = "service")]
pub mod shape;
#[cfg(feature = "service")]
pub mod store;

#[cfg(feature = "conformance")]
pub mod conformance;
