//! One record and what it changes.

use crate::error::StoreError;
use crate::id::Serial;
use crate::log::record::Record;
use crate::service::state::agent::AgentRow;
use crate::service::state::certificates::{CertificateState, Certificates};
use crate::store::state::Change;

/// A record of an agent's, on its way into state.
pub(super) struct Step<'a, C> {
    pub(super) row: &'a mut AgentRow,
    pub(super) certificates: &'a mut C,
    pub(super) index: u64,
    pub(super) record: &'a Record,
    pub(super) changes: &'a mut Vec<Change>,
}

impl<C: Certificates> Step<'_, C> {
    /// A certificate as it stands, to be changed.
    pub(super) fn certificate(&self, serial: Option<Serial>) -> Option<CertificateState> {
        self.certificates.get(&serial?).cloned()
    }

    pub(super) fn store(&mut self, state: CertificateState) -> Result<(), StoreError> {
        self.changes.push(state.change()?);
        self.certificates.put(state);
        Ok(())
    }
}
