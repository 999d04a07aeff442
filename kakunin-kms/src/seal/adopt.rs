//! From a folder into a vault.

use kakunin_core::key::{KeyAlgorithm, KeyRef, SignError};

use super::keys::{SealedKeys, unread};
use super::rows::{self, Names};
use crate::local::LocalKeys;
use crate::local::keys::Private;

impl SealedKeys {
    /// Keeps an Ed25519 key of a folder, sealed: the same key, which opens under the name that it has there. The folder keeps
    /// it, too. A key that is kept already stays, if it is this one.
    ///
    /// # Errors
    /// [`SignError::Locked`] if another key is kept under this name, or the seal does not open it; and what folder, vault and
    /// seal say.
    pub async fn adopt(&self, folder: &LocalKeys, key: &KeyRef) -> Result<(), SignError> {
        let (planned, pkcs8) = folder.private_key(key)?;
        let stored = |e| unread("adopt", key, e);
        let ours = Private::from_pkcs8(KeyAlgorithm::Ed25519, &pkcs8)?.spki()?;
        let sealed = rows::sealed(&*self.seal, &planned, &pkcs8).await.map_err(|e| e.of_key("adopt", key))?;
        self.vault.put_new(&Names::of(&planned).key, &sealed).await.map_err(stored)?;
        // Also what was just written: it is believed once it was read back and opened.
        let there = self.vault.get(&Names::of(&planned).key).await.map_err(stored)?;
        let row = there.ok_or_else(|| SignError::NotFound(key.clone()))?;
        let opened = rows::opened(&*self.seal, &planned, &row).await;
        let (private, _) = opened.map_err(|e| e.of_key("adopt", key))?;
        if private.spki()? == ours {
            return Ok(());
        }
        Err(SignError::Locked(format!("the vault keeps another key as {key}; take an empty database")))
    }
}
