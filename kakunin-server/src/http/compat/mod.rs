//! The dialect of the hosted vendor, whose clients this API serves: its names of members, its words, its shapes of
//! answers, beside ours. Translation only: what holds is decided by the core, and what HTTP wants, by the files above.

pub(super) mod agent;
pub(super) mod client;
pub(super) mod event;
pub(super) mod event_words;
pub(super) mod halt_receipt;
pub(super) mod reason;
pub(super) mod risk_summary;
