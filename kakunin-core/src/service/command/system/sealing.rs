//! Stored state is believed only under a seal.

use super::order::SystemOrder;
use crate::access::{ApiKeyId, KeyCommitment};
use crate::log::record::Control;
use crate::service::error::Error;
use crate::service::state::system::fold::SystemState;
use crate::service::state::system::known::Closed;

/// Puts on record that stored state is believed only under a seal, and before it what was not committed to yet.
#[derive(Debug)]
pub(crate) struct BeginSeals {
    /// What commits to the vault's secret.
    pub(crate) secret: String,
    /// What commits to the hashes of keys.
    pub(crate) keys: Vec<(ApiKeyId, KeyCommitment)>,
}

impl SystemOrder for BeginSeals {
    fn decide(&self, state: &SystemState) -> Result<Vec<Control>, Error> {
        if state.sealed.is_some() {
            return Ok(Vec::new());
        }
        let bare = |id: &ApiKeyId| state.keys.get(id).is_some() && state.keys.commitment(id).is_none();
        let keys = self.keys.iter().filter(|(id, _)| bare(id));
        let keys = keys.map(|(id, commitment)| Control::ApiKeyCommitted { id: *id, commitment: *commitment });
        let sealed = Control::DeploymentSealed { secret: self.secret.clone() };
        Ok(keys.chain([sealed]).collect())
    }

    fn closes(&self) -> Option<Closed> {
        None
    }
}
