//! What the guard was given last.

use std::collections::HashMap;

use crate::log::entry::LogId;
use crate::service::engine::guard::Kept;

/// What was read of each log, and whether it was written.
#[derive(Debug, Default)]
pub(crate) struct Guarding {
    pub(super) sizes: HashMap<LogId, u64>,
    pub(super) kept: Kept,
    pub(super) written: bool,
}
