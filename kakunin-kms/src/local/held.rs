//! One key of this process, and its signer.

use std::fmt;
use std::sync::atomic::{AtomicU8, Ordering};
use std::sync::{Arc, PoisonError, RwLock};

use async_trait::async_trait;
use kakunin_core::key::{KeyAlgorithm, KeyRef, SignError, Signature, Signer, Spki};

use super::keys::Private;
use super::state::State;

/// One key. Every signer that was opened for it shares this value, so disabling reaches all of them.
pub(crate) struct Held {
    key: KeyRef,
    spki: Spki,
    state: AtomicU8,
    /// Parsed when first used; taken away when the key is retired.
    private: RwLock<Option<Arc<Private>>>,
}

impl Held {
    pub(crate) fn new(key: KeyRef, spki: Spki, state: State, private: Option<Private>) -> Self {
        let (state, private) = (AtomicU8::new(state.code()), RwLock::new(private.map(Arc::new)));
        Self { key, spki, state, private }
    }

    pub(crate) fn state(&self) -> State {
        State::of(self.state.load(Ordering::Acquire)).unwrap_or(State::Retired)
    }

    /// Brings it to a state. The private half of a retired key is wiped once nobody signs with it any more.
    pub(crate) fn bring(&self, to: State) {
        self.state.store(to.code(), Ordering::Release);
        if to == State::Retired {
            *self.private.write().unwrap_or_else(PoisonError::into_inner) = None;
        }
    }

    pub(super) fn is_read(&self) -> bool {
        self.private().is_some()
    }

    pub(super) fn read(&self, private: Private) {
        *self.private.write().unwrap_or_else(PoisonError::into_inner) = Some(Arc::new(private));
    }

    pub(crate) fn refused(&self, why: &'static str) -> SignError {
        SignError::Refused { key: self.key.clone(), why }
    }

    fn usable(&self) -> Result<Arc<Private>, SignError> {
        match (self.state(), self.private()) {
            (State::Enabled, Some(private)) => Ok(private),
            (State::Disabled, _) => Err(self.refused("it is disabled")),
            _ => Err(self.refused("it is retired")),
        }
    }

    fn private(&self) -> Option<Arc<Private>> {
        self.private.read().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

#[async_trait]
impl Signer for Held {
    fn is_in_process(&self) -> bool {
        true
    }

    fn algorithm(&self) -> KeyAlgorithm {
        self.spki.algorithm()
    }

    fn public_key(&self) -> &Spki {
        &self.spki
    }

    async fn sign(&self, message: &[u8]) -> Result<Signature, SignError> {
        self.usable()?.sign(message)
    }

    async fn sign_pss(&self, message: &[u8]) -> Result<Signature, SignError> {
        self.usable()?.sign_pss(message)
    }
}

impl fmt::Debug for Held {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {:?} {:?}", self.key, self.spki, self.state())
    }
}
