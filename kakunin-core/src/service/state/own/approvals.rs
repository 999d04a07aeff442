//! What was ordered and waits for a second person.

use std::collections::BTreeMap;

use crate::error::StoreError;
use crate::event::ShortName;
use crate::id::ApprovalId;
use crate::log::record::{Record, Request};
use crate::service::state::rows::set;
use crate::store::state::{Change, Kind};
use crate::time::UnixTime;

/// An order that waits for a second person.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Waiting {
    /// What is asked for.
    pub request: Request,
    /// Who asked.
    pub by: ShortName,
    /// When.
    pub at: UnixTime,
}

/// The orders of a tenant that wait, oldest first.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Approvals(BTreeMap<ApprovalId, Waiting>);

impl Approvals {
    pub(crate) fn get(&self, id: &ApprovalId) -> Option<&Waiting> {
        self.0.get(id)
    }

    pub(crate) fn all(&self) -> impl Iterator<Item = &Waiting> {
        self.0.values()
    }

    pub(crate) fn len(&self) -> usize {
        self.0.len()
    }

    pub(super) fn requested(&mut self, record: &Record, request: &Request) -> Result<Change, StoreError> {
        let nobody = || StoreError::Corrupt("an order that waits for approval says not who gave it".into());
        let by = record.by.clone().ok_or_else(nobody)?;
        let waiting = Waiting { request: request.clone(), by, at: record.time };
        let change = row_of(&waiting)?;
        self.0.insert(request.id, waiting);
        Ok(change)
    }

    pub(super) fn decided(&mut self, id: &ApprovalId) -> Change {
        self.0.remove(id);
        Change { kind: Kind::Approval, key: id.as_bytes().to_vec(), value: None }
    }

    pub(super) fn load(&mut self, value: &[u8]) -> Option<()> {
        let waiting: Waiting = serde_json::from_slice(value).ok()?;
        self.0.insert(waiting.request.id, waiting);
        Some(())
    }

    pub(super) fn row(&self, key: &[u8]) -> Result<Option<Change>, StoreError> {
        let id = <[u8; 16]>::try_from(key).ok().map(ApprovalId::from_bytes);
        id.and_then(|id| self.0.get(&id)).map(row_of).transpose()
    }
}

fn row_of(waiting: &Waiting) -> Result<Change, StoreError> {
    set(Kind::Approval, waiting.request.id.as_bytes().to_vec(), waiting)
}
