#![doc = include_str!("../README.md")]

pub mod bounds;
pub mod ca;
pub mod client;
pub mod crl_sync;
pub mod demo;
pub mod http;
pub mod inbox;
pub mod logging;
pub mod monitor;
mod pem_file;
pub mod policy;
pub mod process;
mod replace;
pub mod replay;
pub mod serve;
