//! Rows of state that hold names, as they lie in the store: encrypted under a key of their log that follows from the log key,
//! so that who copies the database reads none. They are made anew from the log, so nothing of them is ever erased apart.
//!
//! A row is `01 || nonce (24) || ciphertext || tag (16)`, XChaCha20-Poly1305. The nonce is an HMAC over what is encrypted and
//! where it lies, so that the same row is the same octets. Rows of before are read as they are, and so is whatever somebody
//! else wrote, which then fails under its MAC.

use std::sync::Arc;

use async_trait::async_trait;
use chacha20poly1305::aead::{Aead, Payload};
use chacha20poly1305::{KeyInit, XChaCha20Poly1305, XNonce};
use zeroize::Zeroizing;

use super::parts::Parts;
use super::seal::SealKey;
use crate::error::StoreError;
use crate::log::entry::LogId;
use crate::store::state::{Change, Kind, StateStore, StateView, Touched};

/// The first octet of a row that is encrypted.
const FORM: u8 = 1;
const NONCE: usize = 24;

/// A state store of which the one beneath sees no name.
#[derive(Debug)]
pub(crate) struct SealedState {
    store: Arc<dyn StateStore>,
    seal_key: SealKey,
}

/// Whether rows of this table hold names, what people wrote, or fingerprints of events by which their contents could be
/// guessed.
const fn has_names(kind: Kind) -> bool {
    matches!(
        kind,
        Kind::Agent
            | Kind::Certificate
            | Kind::Dedup
            | Kind::Standing
            | Kind::Plan
            | Kind::Inbox
            | Kind::ApiKey
            | Kind::Policy
            | Kind::Breaker
            | Kind::Approval
            | Kind::Webhook
            | Kind::Delivery
    )
}

impl SealKey {
    fn row_cipher(&self, log: &LogId) -> XChaCha20Poly1305 {
        let key = Zeroizing::new(self.of_rows(log));
        XChaCha20Poly1305::new(&(*key).into())
    }

    /// The changes as they are stored, where that is not as they are.
    pub(in crate::service::engine) fn hidden(
        &self,
        log: &LogId,
        changes: &[Change],
    ) -> Result<Option<Vec<Change>>, StoreError> {
        if changes.iter().all(|change| !has_names(change.kind)) {
            return Ok(None);
        }
        let (cipher, mut hidden) = (self.row_cipher(log), changes.to_vec());
        for Change { kind, key, value } in hidden.iter_mut().filter(|change| has_names(change.kind)) {
            let Some(plain) = value.as_ref() else { continue };
            let aad = place(*kind, key);
            let nonce = self.row_nonce(log, &aad, plain);
            let sealed = cipher.encrypt(&XNonce::from(nonce), Payload { msg: plain, aad: &aad });
            let sealed = sealed.map_err(|_| StoreError::unavailable("a row cannot be encrypted"))?;
            *value = Some([&[FORM][..], &nonce, &sealed].concat());
        }
        Ok(Some(hidden))
    }

    /// Rows as they were before they were stored.
    fn show_all(&self, log: &LogId, kind: Kind, rows: &mut [(Vec<u8>, Vec<u8>)]) {
        if has_names(kind) && !rows.is_empty() {
            let cipher = self.row_cipher(log);
            for (key, value) in rows {
                *value = self.show(&cipher, (kind, key), core::mem::take(value));
            }
        }
    }

    /// A value as it was before it was stored; what is not encrypted, or not by this key for this place, is as it is.
    fn show(&self, cipher: &XChaCha20Poly1305, (kind, key): (Kind, &[u8]), stored: Vec<u8>) -> Vec<u8> {
        let open = || {
            let (nonce, sealed) = stored.strip_prefix(&[FORM])?.split_first_chunk::<NONCE>()?;
            let sealed = Payload { msg: sealed, aad: &place(kind, key) };
            cipher.decrypt(&XNonce::from(*nonce), sealed).ok()
        };
        open().unwrap_or(stored)
    }
}

fn place(kind: Kind, key: &[u8]) -> Vec<u8> {
    [&[kind.code()], key].concat()
}

impl SealedState {
    /// Over the store of these parts, which is theirs from here on.
    pub(crate) fn between(parts: &mut Parts, seal_key: &SealKey) {
        let (store, seal_key) = (parts.state.clone(), seal_key.clone());
        parts.state = Arc::new(Self { store, seal_key });
    }
}

#[async_trait]
impl StateStore for SealedState {
    async fn apply(&self, log: &LogId, index: u64, changes: &[Change]) -> Result<(), StoreError> {
        let hidden = self.seal_key.hidden(log, changes)?;
        self.store.apply(log, index, hidden.as_deref().unwrap_or(changes)).await
    }

    async fn applied(&self, log: &LogId) -> Result<u64, StoreError> {
        self.store.applied(log).await
    }

    async fn put(&self, log: &LogId, changes: &[Change]) -> Result<(), StoreError> {
        let hidden = self.seal_key.hidden(log, changes)?;
        self.store.put(log, hidden.as_deref().unwrap_or(changes)).await
    }

    async fn swap(&self, log: &LogId, expected: Option<&[u8]>, change: &Change) -> Result<bool, StoreError> {
        let hidden = |value: Option<&[u8]>| {
            let change = Change { value: value.map(<[u8]>::to_vec), ..change.clone() };
            Ok::<_, StoreError>(
                self.seal_key
                    .hidden(log, core::slice::from_ref(&change))?
                    .and_then(|mut all| all.pop())
                    .unwrap_or(change),
            )
        };
        // The same row is the same octets.
        let (expected, change) = (hidden(expected)?, hidden(change.value.as_deref())?);
        self.store.swap(log, expected.value.as_deref(), &change).await
    }

    async fn get(&self, log: &LogId, kind: Kind, key: &[u8]) -> Result<Option<Vec<u8>>, StoreError> {
        let found = self.store.get(log, kind, key).await?;
        Ok(match found {
            Some(stored) if has_names(kind) => {
                Some(self.seal_key.show(&self.seal_key.row_cipher(log), (kind, key), stored))
            }
            found => found,
        })
    }

    async fn scan(
        &self,
        log: &LogId,
        kind: Kind,
        after: Option<&[u8]>,
        limit: usize,
    ) -> Result<Vec<(Vec<u8>, Vec<u8>)>, StoreError> {
        let mut rows = self.store.scan(log, kind, after, limit).await?;
        self.seal_key.show_all(log, kind, &mut rows);
        Ok(rows)
    }

    async fn view(&self, log: &LogId) -> Result<Box<dyn StateView>, StoreError> {
        let (view, seal_key) = (self.store.view(log).await?, self.seal_key.clone());
        Ok(Box::new(SealedView { view, seal_key, log: log.clone() }))
    }

    async fn touched(&self) -> Result<Touched, StoreError> {
        self.store.touched().await
    }
}

/// A view of which the one beneath sees no name.
#[derive(Debug)]
struct SealedView {
    view: Box<dyn StateView>,
    seal_key: SealKey,
    log: LogId,
}

#[async_trait]
impl StateView for SealedView {
    fn applied(&self) -> u64 {
        self.view.applied()
    }

    async fn scan(
        &mut self,
        kind: Kind,
        after: Option<&[u8]>,
        limit: usize,
    ) -> Result<Vec<(Vec<u8>, Vec<u8>)>, StoreError> {
        let mut rows = self.view.scan(kind, after, limit).await?;
        self.seal_key.show_all(&self.log, kind, &mut rows);
        Ok(rows)
    }
}
