//! A vendor's module, loaded and initialized once in this process (PKCS #11, 5.4).

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, OnceLock, PoisonError, RwLock, RwLockReadGuard};
use std::time::{Duration, Instant};

use cryptoki::context::{CInitializeArgs, CInitializeFlags, Pkcs11};
use cryptoki::error::{Error as TokenError, RvError};
use kakunin_core::key::SignError;

/// How often a module may be initialized anew.
const PAUSE: Duration = Duration::from_secs(1);

/// A module that every token of it shares.
pub(super) struct Module {
    calls: Pkcs11,
    life: RwLock<Life>,
}

/// From one initialization to the next. Sessions belong to one life: the handles of the next begin anew.
pub(super) struct Life {
    pub(super) number: u64,
    since: Instant,
}

impl Module {
    /// Loads and initializes it, or finds it loaded.
    pub(super) fn load(path: &Path) -> Result<Arc<Self>, SignError> {
        static LOADED: OnceLock<Mutex<HashMap<PathBuf, Arc<Module>>>> = OnceLock::new();
        let mut all = LOADED.get_or_init(Mutex::default).lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(module) = all.get(path) {
            return Ok(module.clone());
        }
        let unusable = |error: TokenError| {
            SignError::Locked(format!("the PKCS#11 module {} cannot be used: {error}", path.display()))
        };
        let calls = Pkcs11::new(path).map_err(unusable)?;
        initialize(&calls).map_err(unusable)?;
        let life = RwLock::new(Life { number: 0, since: Instant::now() });
        let module = Arc::new(Self { calls, life });
        all.insert(path.to_owned(), module.clone());
        Ok(module)
    }

    /// The module's calls. Its life does not end while the guard is held.
    pub(super) fn calls(&self) -> (&Pkcs11, RwLockReadGuard<'_, Life>) {
        (&self.calls, self.life.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Ends the life that a token was lost in, and begins another: many modules look for tokens only then.
    /// Waits for calls in progress, because none may go on meanwhile. Says whether it was done.
    pub(super) fn revive(&self, lost_in: u64) -> bool {
        let mut life = self.life.write().unwrap_or_else(PoisonError::into_inner);
        if life.number != lost_in {
            return true;
        }
        if life.since.elapsed() < PAUSE {
            return false;
        }
        // One that cannot be ended was not initialized; the next line tells.
        let _ = self.calls.clone().finalize();
        let revived = initialize(&self.calls).is_ok();
        *life = Life { number: life.number.wrapping_add(1), since: Instant::now() };
        revived
    }
}

fn initialize(calls: &Pkcs11) -> Result<(), TokenError> {
    match calls.initialize(CInitializeArgs::new(CInitializeFlags::OS_LOCKING_OK)) {
        Err(TokenError::Pkcs11(RvError::CryptokiAlreadyInitialized, _)) => Ok(()),
        result => result,
    }
}
