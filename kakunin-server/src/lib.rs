#![doc = include_str!("../README.md")]

pub mod backup;
pub mod bounds;
pub mod ca;
pub mod client;
pub mod crl_sync;
pub mod demo;
pub mod erase;
pub mod evaluate;
pub mod http;
pub mod inbox;
pub mod log_verify;
pub mod logging;
pub mod migrate;
pub mod models;
pub mod monitor;
mod pem_file;
pub mod policy;
pub mod process;
mod progress;
pub mod rebuild;
pub mod recover;
mod replace;
pub mod replay;
pub mod rescore;
pub mod serve;
pub mod simulate;
pub mod webhook;

/// What the page about webhooks shows in Rust.
#[cfg(doctest)]
#[doc = include_str!("../../docs/WEBHOOKS.md")]
struct Webhooks;
