//! Keys of the API are made, and taken away.

use super::order::{SystemOrder, known_tenant};
use crate::access::{ApiKeyFacts, ApiKeyId};
use crate::log::record::Control;
use crate::service::error::Error;
use crate::service::state::system::fold::SystemState;
use crate::service::state::system::known::Closed;

/// The most there can be.
pub(crate) const MAX_KEYS: usize = 100_000;

/// Puts a key on record.
#[derive(Debug)]
pub(crate) struct CreateApiKey(pub(crate) ApiKeyFacts);

impl SystemOrder for CreateApiKey {
    fn decide(&self, state: &SystemState) -> Result<Vec<Control>, Error> {
        known_tenant(state, &self.0.tenant)?;
        if state.keys.count() >= MAX_KEYS {
            return Err(Error::Exists("there are 100,000 keys; revoke some first"));
        }
        Ok(vec![Control::ApiKeyCreated(self.0.clone())])
    }

    fn closes(&self) -> Option<Closed> {
        None
    }
}

/// Puts the first admin key on record, unless there ever was one: of several processes that begin at once, one does.
#[derive(Debug)]
pub(crate) struct CreateFirstAdminKey(pub(crate) ApiKeyFacts);

impl SystemOrder for CreateFirstAdminKey {
    fn decide(&self, state: &SystemState) -> Result<Vec<Control>, Error> {
        if state.keys.had_admin_key() {
            return Err(Error::Exists(FIRST));
        }
        CreateApiKey(self.0.clone()).decide(state)
    }

    fn closes(&self) -> Option<Closed> {
        None
    }
}

/// What there is already, in place of a first key.
pub(crate) const FIRST: &str = "there was an admin key before";

/// Takes a key away.
#[derive(Debug)]
pub(crate) struct RevokeApiKey(pub(crate) ApiKeyId);

impl SystemOrder for RevokeApiKey {
    /// What is on record counts, and not what is accepted: the key may be refused already, and its record have failed.
    fn decide(&self, state: &SystemState) -> Result<Vec<Control>, Error> {
        state.keys.get(&self.0).ok_or(Error::NotFound("API key"))?;
        Ok(vec![Control::ApiKeyRevoked { id: self.0 }])
    }

    fn closes(&self) -> Option<Closed> {
        Some(Closed::Key(self.0))
    }
}
