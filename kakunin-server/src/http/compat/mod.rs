//! The dialect of the hosted vendor, whose clients this API serves: its names of members, its words, its shapes of
//! answers, beside ours. Translation only: what holds is decided by the core, and what HTTP wants, by the files above.
//!
//! | file | translates |
//! |---|---|
//! | `agent.rs`, `change.rs`, `certificate.rs`, `card.rs` | agents and certificates: registered, changed, listed, shown to anybody |
//! | `halt.rs`, `halt_receipt.rs`, `reason.rs` | stops and revocations: why, and the proof |
//! | `event.rs`, `event_words.rs`, `dollars.rs` | events as they are reported |
//! | `recorded.rs`, `risk.rs`, `risk_summary.rs`, `band.rs`, `notification.rs` | what became of them |
//! | `message.rs` | messages to be verified |
//! | `client.rs`, `not_offered.rs` | what one client cannot read; what all ask for and nobody here has |

pub(super) mod agent;
pub(super) mod band;
pub(super) mod card;
pub(super) mod certificate;
pub(super) mod change;
pub(super) mod client;
pub(super) mod dollars;
pub(super) mod event;
pub(super) mod event_words;
pub(super) mod halt;
pub(super) mod halt_receipt;
pub(super) mod message;
pub(super) mod not_offered;
pub(super) mod notification;
pub(super) mod reason;
pub(super) mod recorded;
pub(super) mod risk;
pub(super) mod risk_summary;
