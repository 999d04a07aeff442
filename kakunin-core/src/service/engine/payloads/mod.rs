//! Payloads as they lie in the store: encrypted, each event under a key of its agent and month, every other record under a
//! key of its log (ADR 29).
//!
//! | file | has |
//! |---|---|
//! | `sink.rs` | the sink that the engine sees, which encrypts what it appends and decrypts what it reads |
//! | `of_log.rs` | what is known of one log: its own key, and what is on record as erased |
//! | `form.rs`, `aead.rs` | how a payload is stored; the cipher |
//! | `read.rs` | the same for who reads beside a server |
//! | `keys.rs`, `name.rs`, `cache.rs` | keys of agents and months: in the vault, by which name, and in memory |

mod aead;
mod cache;
mod form;
mod keys;
mod name;
mod of_log;
mod read;
mod sink;

pub use read::decrypted;
pub(crate) use sink::SealedSink;
