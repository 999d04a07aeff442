//! From one seal to another.

use kakunin_core::key::SignError;

use super::contract::{Seal, SealError};
use super::keys::{SealedKeys, reference, unread};
use super::rows::{self, Names, opened, sealed};

impl SealedKeys {
    /// Seals every key that `old` opens under the seal of this value, and says how many there were. The keys stay
    /// what they are. What ends it in between loses none: each key is under one seal or the other, and the next
    /// call goes on. Servers that run meanwhile go on signing; one that starts needs the seal that its keys are
    /// under, so that none should until it is done.
    ///
    /// # Errors
    /// [`SignError::Locked`] if neither seal opens a key, or one may not be used.
    pub async fn rewrap(&self, old: &dyn Seal) -> Result<usize, SignError> {
        let all = rows::standing(&*self.vault).await;
        let mut moved = 0;
        for planned in all.map_err(|e| unread("list", &kakunin_core::key::KeyRef::new(""), e))? {
            let (key, names) = (reference(&planned), Names::of(&planned));
            let stored = |e| unread("rewrap", &key, e);
            let Some(row) = self.vault.get(&names.key).await.map_err(stored)? else { continue };
            let fault = |e: SealError| e.of_key("rewrap", &key);
            match opened(&*self.seal, &planned, &row).await {
                Ok(_) => continue,
                Err(SealError::Wrong) => {}
                // One that does not answer says nothing about whose the row is.
                Err(error) => return Err(fault(error)),
            }
            let (_, pkcs8) = opened(old, &planned, &row).await.map_err(fault)?;
            let new = sealed(&*self.seal, &planned, &pkcs8).await.map_err(fault)?;
            // The only copy goes with the next line: what replaces it opens.
            opened(&*self.seal, &planned, &new).await.map_err(fault)?;
            self.vault.put(&names.key, &new).await.map_err(stored)?;
            moved += 1;
            // One that was retired meanwhile is not put back.
            if names.read(&*self.vault).await.map_err(stored)?.retired {
                self.vault.remove(std::slice::from_ref(&names.key)).await.map_err(stored)?;
            }
        }
        Ok(moved)
    }
}
