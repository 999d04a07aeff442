//! What a log amounts to, put on record.

use super::decide::{Command, Need};
use super::draft::Draft;
use super::system::order::SystemOrder;
use crate::log::record::{Control, StateSnapshot};
use crate::service::error::Error;
use crate::service::state::system::fold::SystemState;
use crate::service::state::system::known::Closed;

/// Puts on record what the records below an index amounted to: in a tenant's log, or the deployment's.
#[derive(Clone, Debug)]
pub(crate) struct RecordState(pub(crate) StateSnapshot);

impl Command for RecordState {
    const NEED: Need = Need::Ordinary;
    type Answer = ();

    fn records(&self) -> usize {
        1
    }

    fn decide(self, draft: &mut Draft<'_>) -> Result<(), Error> {
        Ok(draft.push_own(Control::StateSnapshot(self.0))?)
    }
}

impl SystemOrder for RecordState {
    fn decide(&self, _: &SystemState) -> Result<Vec<Control>, Error> {
        Ok(vec![Control::StateSnapshot(self.0.clone())])
    }

    fn closes(&self) -> Option<Closed> {
        None
    }
}
