#![doc = include_str!("../README.md")]

pub mod ca;
pub mod demo;
pub mod http;
pub mod replay;
pub mod serve;
