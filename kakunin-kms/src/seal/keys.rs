//! Keys in a vault, sealed.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use async_lock::Mutex;
use kakunin_core::error::StoreError;
use kakunin_core::key::{KeyRef, PlannedKeyId, SignError};
use kakunin_core::store::vault::Vault;

use super::contract::Seal;
use super::rows::{self, MARK, Names};
use crate::local::held::Held;
use crate::local::state::State;

const SCHEME: &str = "sealed:";

/// Ed25519 keys that lie sealed in a vault. Any number of servers share one vault and one seal; each unseals a key
/// once, and signs in its process from then on, whatever becomes of the seal.
///
/// A key that one server disables or retires is refused by it at once, and by the others from their next
/// [`open`](kakunin_core::key::KeyProvider::open) on: what they have open goes on signing until they end.
pub struct SealedKeys {
    pub(super) vault: Arc<dyn Vault>,
    pub(super) seal: Arc<dyn Seal>,
    /// What this process has open. Locked while a key is unsealed or changed, so that one follows the other.
    pub(super) held: Mutex<BTreeMap<PlannedKeyId, Arc<Held>>>,
}

impl SealedKeys {
    /// Keys of this vault, under this seal. Nothing is asked of either yet.
    #[must_use]
    pub fn new(vault: Arc<dyn Vault>, seal: Arc<dyn Seal>) -> Self {
        Self { vault, seal, held: Mutex::default() }
    }

    /// Unseals a key, unless this process has it open.
    pub(super) async fn unseal(&self, planned: &PlannedKeyId) -> Result<Arc<Held>, SignError> {
        let key = reference(planned);
        let mut all = self.held.lock().await;
        let row = Names::of(planned).read(&*self.vault).await.map_err(|e| unread("open", &key, e))?;
        let known = all.get(planned).cloned();
        if row.retired {
            if let Some(held) = known {
                held.bring(State::Retired);
            }
            return Err(SignError::Refused { key, why: "it is retired" });
        }
        let sealed = row.key.ok_or_else(|| SignError::NotFound(key.clone()))?;
        let state = if row.disabled { State::Disabled } else { State::Enabled };
        if let Some(held) = known {
            if held.state() == State::Retired {
                return Err(held.refused("it is retired"));
            }
            held.bring(state);
            return Ok(held);
        }
        let opened = rows::opened(&*self.seal, planned, &sealed).await;
        let (private, _) = opened.map_err(|e| e.of_key("open", &key))?;
        let held = Arc::new(Held::new(key, private.spki()?, state, Some(private)));
        all.insert(planned.clone(), held.clone());
        Ok(held)
    }

    /// Brings a key to a state, in the vault and then here.
    pub(super) async fn change(
        &self,
        operation: &'static str,
        key: &KeyRef,
        to: State,
    ) -> Result<(), SignError> {
        let planned = planned(key)?;
        let names = Names::of(&planned);
        let all = self.held.lock().await;
        let failed = |e| unread(operation, key, e);
        let row = names.read(&*self.vault).await.map_err(failed)?;
        match (row.retired, to) {
            (true, State::Enabled | State::Disabled) => {
                return Err(SignError::Refused { key: key.clone(), why: "it is retired" });
            }
            (false, _) if row.key.is_none() => return Err(SignError::NotFound(key.clone())),
            _ => {}
        }
        match to {
            State::Enabled => self.vault.remove(&[names.disabled]).await.map_err(failed)?,
            State::Disabled => self.vault.put(&names.disabled, MARK).await.map_err(failed)?,
            State::Retired => {
                // Marked before it is gone, so that nothing is made in its place.
                self.vault.put(&names.retired, MARK).await.map_err(failed)?;
                self.vault.remove(&[names.key, names.disabled]).await.map_err(failed)?;
            }
        }
        if let Some(held) = all.get(&planned) {
            held.bring(to);
        }
        drop(all);
        Ok(())
    }
}

pub(super) fn reference(planned: &PlannedKeyId) -> KeyRef {
    KeyRef::new(format!("{SCHEME}{planned}"))
}

pub(super) fn planned(key: &KeyRef) -> Result<PlannedKeyId, SignError> {
    let name = key.as_str();
    // A log goes on naming its keys as it did when they lay in a folder.
    let bare = name.strip_prefix(SCHEME).or_else(|| name.strip_prefix(crate::local::SCHEME));
    let planned = bare.and_then(PlannedKeyId::parse);
    planned.ok_or_else(|| SignError::NotFound(key.clone()))
}

/// What a failure of the vault means for a key.
pub(super) fn unread(operation: &'static str, key: &KeyRef, error: StoreError) -> SignError {
    match error {
        StoreError::Corrupt(_) | StoreError::Foreign(_) => SignError::Locked(error.to_string()),
        other => SignError::unavailable(operation, key, other),
    }
}

impl fmt::Debug for SealedKeys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SealedKeys({:?})", self.seal)
    }
}
