//! Parts that end their process before or after the n-th call that writes or has an effect.

use std::future::Future;
use std::path::PathBuf;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use async_trait::async_trait;
use kakunin_core::error::StoreError;
use kakunin_core::id::{IssuerId, Serial};
use kakunin_core::key::{
    HeldKey, KeyAlgorithm, KeyProvider, KeyRef, PlannedKeyId, SignError, Signature, Signer, Spki,
};
use kakunin_core::log::entry::{Entry, LogId};
use kakunin_core::revoke::{Revocation, RevocationChange};
use kakunin_core::service::Parts;
use kakunin_core::store::audit::{Append, AuditSink, Head, Room};
use kakunin_core::store::revocations::RevocationStore;
use kakunin_core::store::state::{Change, Kind, StateStore, StateView, Touched};

/// Burns down by one at every point, once it is lit.
#[derive(Debug)]
pub(crate) struct Fuse {
    lit: AtomicBool,
    left: AtomicU64,
    last_words: PathBuf,
    keys_are_near: bool,
}

impl Fuse {
    /// Ends the process at the `at`-th point, and says in `last_words` which that was.
    pub(crate) fn new(at: u64, last_words: PathBuf, keys_are_near: bool) -> Arc<Self> {
        let (lit, left) = (AtomicBool::new(false), AtomicU64::new(at));
        Arc::new(Self { lit, left, last_words, keys_are_near })
    }

    pub(crate) fn light(&self) {
        self.lit.store(true, Ordering::SeqCst);
    }

    /// The same parts, with points before and after each of their calls that matters.
    pub(crate) fn along(self: &Arc<Self>, parts: Parts) -> Parts {
        Parts {
            sink: Arc::new(Fused(parts.sink, self.clone())),
            state: Arc::new(Fused(parts.state, self.clone())),
            revocations: Arc::new(Fused(parts.revocations, self.clone())),
            keys: Arc::new(Fused(parts.keys, self.clone())),
            log_keys: Arc::new(Fused(parts.log_keys, self.clone())),
            ..parts
        }
    }

    async fn around<T>(&self, call: &str, done: impl Future<Output = T> + Send) -> T {
        self.point("before", call);
        let result = done.await;
        self.point("after", call);
        result
    }

    fn point(&self, side: &str, call: &str) {
        if !self.lit.load(Ordering::SeqCst) || self.left.fetch_sub(1, Ordering::SeqCst) != 1 {
            return;
        }
        std::fs::write(&self.last_words, format!("{side} {call}")).unwrap();
        // The shell's parent is this process. SIGKILL: nothing of it is flushed, dropped or unlocked.
        let _ = Command::new("sh").args(["-c", "kill -9 $PPID"]).status();
        loop {
            std::thread::park();
        }
    }
}

#[derive(Debug)]
struct Fused<T: ?Sized>(Arc<T>, Arc<Fuse>);

#[async_trait]
impl AuditSink for Fused<dyn AuditSink> {
    async fn room(&self) -> Room {
        self.0.room().await
    }
    async fn append(&self, appends: Vec<Append>) -> Result<(), StoreError> {
        self.1.around("append", self.0.append(appends)).await
    }
    async fn head(&self, log: &LogId) -> Result<(Head, Option<String>), StoreError> {
        self.0.head(log).await
    }
    async fn read(&self, log: &LogId, from: u64, limit: usize) -> Result<Vec<Entry>, StoreError> {
        self.0.read(log, from, limit).await
    }
    async fn logs(&self) -> Result<Vec<LogId>, StoreError> {
        self.0.logs().await
    }
}

#[async_trait]
impl StateStore for Fused<dyn StateStore> {
    async fn apply(&self, log: &LogId, index: u64, changes: &[Change]) -> Result<(), StoreError> {
        self.1.around("state", self.0.apply(log, index, changes)).await
    }
    async fn applied(&self, log: &LogId) -> Result<u64, StoreError> {
        self.0.applied(log).await
    }
    async fn swap(&self, log: &LogId, expected: Option<&[u8]>, change: &Change) -> Result<bool, StoreError> {
        self.1.around("swap", self.0.swap(log, expected, change)).await
    }
    async fn put(&self, log: &LogId, changes: &[Change]) -> Result<(), StoreError> {
        self.1.around("put", self.0.put(log, changes)).await
    }
    async fn get(&self, log: &LogId, kind: Kind, key: &[u8]) -> Result<Option<Vec<u8>>, StoreError> {
        self.0.get(log, kind, key).await
    }
    async fn scan(
        &self,
        log: &LogId,
        kind: Kind,
        after: Option<&[u8]>,
        limit: usize,
    ) -> Result<Vec<(Vec<u8>, Vec<u8>)>, StoreError> {
        self.0.scan(log, kind, after, limit).await
    }
    async fn view(&self, log: &LogId) -> Result<Box<dyn StateView>, StoreError> {
        self.0.view(log).await
    }
    async fn touched(&self) -> Result<Touched, StoreError> {
        self.0.touched().await
    }
}

#[async_trait]
impl RevocationStore for Fused<dyn RevocationStore> {
    async fn apply(&self, issuer: &IssuerId, changes: &[(u64, RevocationChange)]) -> Result<(), StoreError> {
        self.1.around("revocations", self.0.apply(issuer, changes)).await
    }
    async fn applied(&self, issuer: &IssuerId) -> Result<u64, StoreError> {
        self.0.applied(issuer).await
    }
    async fn find(&self, issuer: &IssuerId, serial: &Serial) -> Result<Option<Revocation>, StoreError> {
        self.0.find(issuer, serial).await
    }
    async fn after(
        &self,
        issuer: &IssuerId,
        cursor: u64,
        limit: usize,
    ) -> Result<Vec<(u64, Revocation)>, StoreError> {
        self.0.after(issuer, cursor, limit).await
    }
    async fn replace(
        &self,
        issuer: &IssuerId,
        applied: u64,
        standing: &[(u64, Revocation)],
    ) -> Result<(), StoreError> {
        self.0.replace(issuer, applied, standing).await
    }
}

#[async_trait]
impl KeyProvider for Fused<dyn KeyProvider> {
    async fn generate(&self, planned: &PlannedKeyId, algorithm: KeyAlgorithm) -> Result<KeyRef, SignError> {
        self.1.around("generate", self.0.generate(planned, algorithm)).await
    }
    async fn open(&self, key: &KeyRef) -> Result<Arc<dyn Signer>, SignError> {
        Ok(Arc::new(Fused(self.0.open(key).await?, self.1.clone())))
    }
    fn is_near(&self) -> bool {
        self.1.keys_are_near
    }
    async fn disable(&self, key: &KeyRef) -> Result<(), SignError> {
        self.1.around("disable", self.0.disable(key)).await
    }
    async fn enable(&self, key: &KeyRef) -> Result<(), SignError> {
        self.1.around("enable", self.0.enable(key)).await
    }
    async fn retire(&self, key: &KeyRef) -> Result<(), SignError> {
        self.1.around("retire", self.0.retire(key)).await
    }
    async fn list(&self) -> Result<Vec<HeldKey>, SignError> {
        self.0.list().await
    }
}

#[async_trait]
impl Signer for Fused<dyn Signer> {
    fn algorithm(&self) -> KeyAlgorithm {
        self.0.algorithm()
    }
    fn public_key(&self) -> &Spki {
        self.0.public_key()
    }
    fn is_in_process(&self) -> bool {
        self.1.keys_are_near && self.0.is_in_process()
    }
    async fn sign(&self, message: &[u8]) -> Result<Signature, SignError> {
        self.1.around("sign", self.0.sign(message)).await
    }
}
