//! Keys of agents and months: 32 random octets each, in the vault before the first append that uses them.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use futures_util::{StreamExt, TryStreamExt, stream};
use zeroize::Zeroizing;

use super::aead::Cipher;
use super::cache::{Cache, DataKey};
use super::form::KeyId;
use super::name::{Slot, is_destroyed, of_agent};
use crate::error::StoreError;
use crate::id::{AgentId, Entropy, TenantId};
use crate::service::engine::seal::SealKey;
use crate::service::error::Error;
use crate::service::state::erasures::Erasures;
use crate::store::vault::{Kept, Vault};

/// Keys of one agent, month and erasure that are looked at: more than one are there only if processes made them at once.
const AT_ONCE_MADE: usize = 8;
/// Look-ups in the vault at once: it may be far.
const LOOK_UPS: usize = 16;
/// Keys of one agent that are destroyed in one step.
const STEP: usize = 1_024;

/// A row by which it is seen that there is room in the vault again.
const ROOM: &[u8] = b"room";

/// A tenant as keys know it: by name in the vault, by number in memory.
pub(super) type Of<'t> = (&'t TenantId, u32);

/// Where keys of payloads come from.
#[derive(Debug)]
pub(super) struct DataKeys {
    seal_key: SealKey,
    vault: Arc<dyn Vault>,
    entropy: Arc<dyn Entropy>,
    cache: Cache,
    /// Whether the vault had no room for the last key that was to be made.
    full: AtomicBool,
}

impl DataKeys {
    pub(super) fn new(seal_key: SealKey, vault: Arc<dyn Vault>, entropy: Arc<dyn Entropy>) -> Self {
        Self { seal_key, vault, entropy, cache: Cache::default(), full: AtomicBool::new(false) }
    }

    /// The key in memory that new payloads are encrypted with.
    pub(super) fn current(&self, log: u32, slot: Slot) -> Option<Arc<DataKey>> {
        self.cache.current(log, slot)
    }

    /// The key in memory of this name.
    pub(super) fn get(&self, log: u32, slot: Slot, id: &KeyId) -> Option<Arc<DataKey>> {
        self.cache.get(log, slot, id)
    }

    /// Has keys in memory for all of these: those of the vault, and new ones where it has none, which are there for good
    /// when this returns.
    pub(super) async fn make(
        &self,
        (tenant, log): Of<'_>,
        slots: &[Slot],
    ) -> Result<Vec<(Slot, Arc<DataKey>)>, StoreError> {
        let found = stream::iter(slots.iter().copied()).map(|slot| async move {
            let kept = self.vault.list(&slot.prefix(tenant), AT_ONCE_MADE).await?;
            Ok::<_, StoreError>((slot, kept.iter().find_map(|(name, kept)| self.unwrap(name, kept))))
        });
        let found: Vec<_> = found.buffered(LOOK_UPS).try_collect().await.map_err(unanswered)?;
        let (mut rows, mut made) = (Vec::new(), Vec::new());
        for (slot, known) in found {
            let key = if let Some(known) = known {
                known
            } else {
                let (row, key) = self.new_key(tenant, slot)?;
                rows.push(row);
                key
            };
            made.push((slot, Arc::new(key)));
        }
        if !rows.is_empty() {
            let kept = self.vault.put_all(&rows).await;
            self.full.store(matches!(kept, Err(StoreError::Full)), Ordering::Relaxed);
            kept.map_err(unanswered)?;
        }
        made.iter().for_each(|(slot, key)| self.cache.add(log, *slot, key.clone()));
        Ok(made)
    }

    /// Forgets the keys of an agent in memory.
    pub(super) fn forget(&self, log: u32, agent: &AgentId) {
        self.cache.forget(log, agent);
    }

    /// Whether the vault has no room for another key, as far as that is known; looks again while it has none.
    pub(super) async fn is_full(&self) -> bool {
        if self.full.load(Ordering::Relaxed) && self.vault.put(ROOM, b"").await.is_ok() {
            self.full.store(false, Ordering::Relaxed);
        }
        self.full.load(Ordering::Relaxed)
    }

    fn new_key(&self, tenant: &TenantId, slot: Slot) -> Result<(Kept, DataKey), StoreError> {
        let (mut key, mut id) = (Zeroizing::new([0; 32]), KeyId::default());
        let none = |error: Error| StoreError::unavailable(error.to_string());
        self.entropy.fill(&mut *key).and_then(|()| self.entropy.fill(&mut id)).map_err(|e| none(e.into()))?;
        let name = slot.name(tenant, &id);
        let kept = self.seal_key.wrap(&name, &*key, &*self.entropy).map_err(none)?;
        Ok(((name, kept), DataKey { id, cipher: Cipher::new(&key)? }))
    }

    /// Those of these keys that the vault has.
    pub(super) async fn fetch(
        &self,
        (tenant, log): Of<'_>,
        wanted: &[(Slot, KeyId)],
    ) -> Result<HashMap<(Slot, KeyId), Arc<DataKey>>, StoreError> {
        let names: Vec<_> = wanted.iter().map(|(slot, id)| slot.name(tenant, id)).collect();
        let kept = self.vault.get_all(&names).await.map_err(unanswered)?;
        let mut found = HashMap::new();
        for ((at, name), kept) in wanted.iter().zip(&names).zip(kept) {
            if let Some(key) = kept.and_then(|kept| self.unwrap(name, &kept)).map(Arc::new) {
                self.cache.add(log, at.0, key.clone());
                found.insert(*at, key);
            }
        }
        Ok(found)
    }

    fn unwrap(&self, name: &[u8], kept: &[u8]) -> Option<DataKey> {
        let secret = self.seal_key.unwrap(name, kept)?;
        let id = core::str::from_utf8(name).ok()?.rsplit('/').next()?;
        let mut octets = KeyId::default();
        base16ct::lower::decode(id, &mut octets).ok()?;
        let cipher = Cipher::new(secret.as_slice().try_into().ok()?).ok()?;
        Some(DataKey { id: octets, cipher })
    }

    /// Removes the keys that are destroyed by what is on record, from the vault and from memory; says how many.
    pub(super) async fn destroy(
        &self,
        (tenant, log): Of<'_>,
        agent: &AgentId,
        erased: &Erasures,
    ) -> Result<usize, StoreError> {
        self.cache.forget(log, agent);
        let kept = self.vault.list(&of_agent(tenant, agent), usize::MAX).await.map_err(unanswered)?;
        let names = kept.into_iter().map(|(name, _)| name);
        let gone: Vec<_> = names.filter(|name| is_destroyed(name, erased)).collect();
        for some in gone.chunks(STEP) {
            self.vault.remove(some).await.map_err(unanswered)?;
        }
        if gone.is_empty() {
            // Whoever removed them may have been cut off before nothing of them was left.
            self.vault.remove(&[]).await.map_err(unanswered)?;
        }
        Ok(gone.len())
    }
}

/// Why there is no key, in words that say where to look.
fn unanswered(error: StoreError) -> StoreError {
    match error {
        StoreError::Full | StoreError::Vault(_) => error,
        StoreError::Unavailable(why) => StoreError::Vault(why),
        other => StoreError::Vault(Arc::new(other)),
    }
}
