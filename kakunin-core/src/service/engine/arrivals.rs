//! Items on their way into the inbox of a tenant.

use std::sync::Arc;

use super::cas::Growth;
use crate::error::StoreError;
use crate::service::state::inbox::{Reached, number};
use crate::store::state::Change;

/// How far the inbox of a tenant has come, for whoever decides; and a bell for whoever waits for more.
#[derive(Debug)]
pub(crate) struct Arrivals {
    reached: Reached,
    growth: Arc<Growth>,
}

impl Arrivals {
    pub(super) fn ringing(growth: Arc<Growth>) -> Self {
        Self { reached: Reached::default(), growth }
    }

    /// Numbers the items among these changes.
    pub(super) fn number(&self, changes: &mut [Change]) -> Result<Reached, StoreError> {
        number(changes, self.reached)
    }

    /// They are durable.
    pub(super) fn take(&mut self, reached: Reached) {
        self.reached = reached;
        self.growth.raise(reached.end);
    }
}
