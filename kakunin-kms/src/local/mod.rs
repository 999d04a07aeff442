//! Software keys, for development and embedding: in memory, or encrypted in a folder.
//!
//! Making an RSA key takes 50 to 200 ms of CPU, on the calling thread: this crate has no runtime.

pub(crate) mod held;
pub(crate) mod keys;
mod keystore;
pub(crate) mod secret;
pub(crate) mod state;

use std::collections::BTreeMap;
use std::fmt;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;
use kakunin_core::key::{HeldKey, KeyAlgorithm, KeyProvider, KeyRef, PlannedKeyId, SignError, Signer};

use held::Held;
use keys::Private;
pub use keystore::KdfCost;
use keystore::{Keystore, Sealed};
pub use secret::{Secret, SecretError};
use state::State;

pub(crate) const SCHEME: &str = "local:";

/// Keys of this process, or of a folder.
pub struct LocalKeys {
    held: Mutex<BTreeMap<PlannedKeyId, Arc<Held>>>,
    store: Option<Keystore>,
}

impl LocalKeys {
    /// Keys that live as long as this value.
    #[must_use]
    pub fn ephemeral() -> Self {
        Self { held: Mutex::default(), store: None }
    }

    /// Keys in the folder `dir`, which is made if it is not there.
    ///
    /// # Errors
    /// [`SignError::Locked`] says what to do: a wrong secret, a damaged or foreign file, wrong rights, or
    /// another process that uses the folder.
    pub fn open(dir: impl AsRef<Path>, secret: &Secret) -> Result<Self, SignError> {
        Self::open_with_cost(dir, secret, KdfCost::default())
    }

    /// As [`LocalKeys::open`], with another cost for a folder that is made now. A lower one than the
    /// default makes guessing the passphrase cheaper: for tests.
    ///
    /// # Errors
    /// As [`LocalKeys::open`].
    pub fn open_with_cost(dir: impl AsRef<Path>, secret: &Secret, cost: KdfCost) -> Result<Self, SignError> {
        Self::of(Keystore::open(dir.as_ref(), secret, cost)?)
    }

    fn of(store: Keystore) -> Result<Self, SignError> {
        let mut held = BTreeMap::new();
        for sealed in store.load()? {
            let key = Held::new(reference(&sealed.planned), sealed.spki, sealed.state, None);
            held.insert(sealed.planned, Arc::new(key));
        }
        Ok(Self { held: Mutex::new(held), store: Some(store) })
    }

    /// The keys of a folder that is there, beside a process that uses it: they sign, and none is made or changed. Keys that are
    /// made or retired meanwhile are as they were.
    ///
    /// # Errors
    /// As [`LocalKeys::open`].
    pub fn open_to_read(dir: impl AsRef<Path>, secret: &Secret) -> Result<Self, SignError> {
        Self::of(Keystore::open_to_read(dir.as_ref(), secret)?)
    }

    /// Keys in a folder that several processes use at once, each in this way: of two that make one key, both use the one that
    /// was there first. What one disables or retires, the others refuse when they open it next.
    ///
    /// # Errors
    /// As [`LocalKeys::open`].
    pub fn open_shared(dir: impl AsRef<Path>, secret: &Secret) -> Result<Self, SignError> {
        Self::of(Keystore::open_shared(dir.as_ref(), secret, KdfCost::default())?)
    }

    /// What another process over the same folder did to a key, or made.
    fn learn(&self, planned: &PlannedKeyId) -> Result<(), SignError> {
        let Some(store) = self.store.as_ref().filter(|store| store.is_shared()) else { return Ok(()) };
        let Some(Sealed { spki, state, .. }) = store.sealed(planned)? else { return Ok(()) };
        let mut all = self.held();
        let new = || Arc::new(Held::new(reference(planned), spki, state, None));
        all.entry(planned.clone()).or_insert_with(new).bring(state);
        Ok(())
    }

    /// The private key of a folder's key, to be kept elsewhere.
    #[cfg(feature = "seal")]
    pub(crate) fn private_key(&self, key: &KeyRef) -> Result<(PlannedKeyId, keys::Pkcs8), SignError> {
        let (planned, held) = self.find(key)?;
        match (&self.store, held.state()) {
            (Some(store), State::Enabled) => Ok((planned.clone(), store.private_key(&planned)?)),
            (None, _) => Err(held.refused("it is in no folder")),
            _ => Err(held.refused("it is not enabled")),
        }
    }

    fn held(&self) -> MutexGuard<'_, BTreeMap<PlannedKeyId, Arc<Held>>> {
        // Changes of the map are single insertions: a panic elsewhere leaves it whole.
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn find(&self, key: &KeyRef) -> Result<(PlannedKeyId, Arc<Held>), SignError> {
        let planned = key.as_str().strip_prefix(SCHEME).and_then(PlannedKeyId::parse);
        if let Some(planned) = &planned {
            self.learn(planned)?;
        }
        let found = planned.and_then(|p| self.held().get(&p).cloned().map(|held| (p, held)));
        found.ok_or_else(|| SignError::NotFound(key.clone()))
    }

    fn change(&self, key: &KeyRef, to: State) -> Result<(), SignError> {
        let (planned, held) = self.find(key)?;
        // Under the lock, so that two changes of one key come one after the other on disk too.
        let guard = self.held();
        match (held.state(), to) {
            (State::Retired, State::Retired) => return Ok(()),
            (State::Retired, _) => return Err(held.refused("it is retired")),
            _ => {}
        }
        if let Some(store) = &self.store {
            store.set_state(&planned, to)?;
        }
        held.bring(to);
        drop(guard);
        Ok(())
    }
}

#[async_trait]
impl KeyProvider for LocalKeys {
    fn is_near(&self) -> bool {
        true
    }

    async fn generate(&self, planned: &PlannedKeyId, algorithm: KeyAlgorithm) -> Result<KeyRef, SignError> {
        let reference = reference(planned);
        self.learn(planned)?;
        if self.held().contains_key(planned) {
            return Ok(reference);
        }
        // Made without the lock: two calls for one id both make a key, and the first to come back stays.
        let (private, pkcs8) = Private::generate(algorithm)?;
        let spki = private.spki()?;
        let mut all = self.held();
        if all.contains_key(planned) {
            return Ok(reference);
        }
        if let Some(store) = &self.store {
            let sealed = Sealed { planned: planned.clone(), spki: spki.clone(), state: State::Enabled };
            if !store.save_new(&sealed, &pkcs8)? {
                drop(all);
                self.learn(planned)?;
                return Ok(reference);
            }
        }
        let key = Held::new(reference.clone(), spki, State::Enabled, Some(private));
        all.insert(planned.clone(), Arc::new(key));
        Ok(reference)
    }

    async fn open(&self, key: &KeyRef) -> Result<Arc<dyn Signer>, SignError> {
        let (planned, held) = self.find(key)?;
        // Under the lock, so that a retirement meanwhile does not find its private half put back.
        let guard = self.held();
        if held.state() == State::Retired {
            return Err(held.refused("it is retired"));
        }
        if let (false, Some(store)) = (held.is_read(), &self.store) {
            let pkcs8 = store.private_key(&planned)?;
            held.read(Private::from_pkcs8(held.algorithm(), &pkcs8)?);
        }
        drop(guard);
        Ok(held)
    }

    async fn disable(&self, key: &KeyRef) -> Result<(), SignError> {
        self.change(key, State::Disabled)
    }

    async fn enable(&self, key: &KeyRef) -> Result<(), SignError> {
        self.change(key, State::Enabled)
    }

    async fn retire(&self, key: &KeyRef) -> Result<(), SignError> {
        self.change(key, State::Retired)
    }

    async fn list(&self) -> Result<Vec<HeldKey>, SignError> {
        let held = self.held();
        let standing = held.iter().filter(|(_, key)| key.state() != State::Retired);
        Ok(standing.map(|(id, _)| HeldKey { planned: id.clone(), key: reference(id) }).collect())
    }
}

fn reference(planned: &PlannedKeyId) -> KeyRef {
    KeyRef::new(format!("{SCHEME}{}", planned.as_str()))
}

impl fmt::Debug for LocalKeys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "LocalKeys({} keys)", self.held().len())
    }
}
