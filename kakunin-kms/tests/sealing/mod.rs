//! What every seal must do, and vaults to try it with.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test that cannot go on has failed"
)]
#![allow(dead_code, reason = "each test uses a part")]

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use async_trait::async_trait;
use kakunin_core::conformance::at_once;
use kakunin_core::conformance::key_provider::{Abilities, all, survives_reopening};
use kakunin_core::error::StoreError;
use kakunin_core::key::{KeyAlgorithm, KeyProvider, PlannedKeyId, SignError};
use kakunin_core::store::memory::MemoryStore;
use kakunin_core::store::vault::{Kept, StateVault, Vault};
use kakunin_kms::seal::{LIMIT, Seal, SealError, SealedKeys};
use pollster::block_on;

pub(crate) fn memory() -> Arc<dyn Vault> {
    Arc::new(StateVault(Arc::new(MemoryStore::new())))
}

pub(crate) fn planned(n: u8) -> PlannedKeyId {
    PlannedKeyId::new([n; 16])
}

pub(crate) fn row(n: u8) -> Vec<u8> {
    format!("seal/{}", planned(n)).into_bytes()
}

/// The contract of [`Seal`]. A stand-in of AWS KMS encrypts without authenticating.
pub(crate) fn seal_suite(seal: &dyn Seal, authentic: bool) {
    let (context, other): (&[u8], &[u8]) = (b"a context \xff", b"another");
    for len in [1, 32, 83, LIMIT] {
        let secret = vec![0x5a; len];
        let sealed = block_on(seal.seal(context, &secret)).unwrap();
        assert_eq!(*block_on(seal.open(context, &sealed)).unwrap(), secret, "{len}");
        assert!(sealed.windows(len).all(|w| w != secret) || len == 1);
        let again = block_on(seal.seal(context, &secret)).unwrap();
        assert_ne!(sealed, again);
        wrong(block_on(seal.open(other, &sealed)), "another context");
    }
    for len in [0, LIMIT + 1] {
        let refused = block_on(seal.seal(context, &vec![0; len])).unwrap_err();
        assert!(
            matches!(refused, SealError::Length) && refused.code() == "seal_length",
            "{len}: {refused:?}"
        );
    }
    wrong(block_on(seal.open(context, &vec![0; 10_000])), "too long");
    let sealed = block_on(seal.seal(context, b"a key of thirty-two octets, ....")).unwrap();
    if authentic {
        for len in 0..sealed.len() {
            wrong(block_on(seal.open(context, &sealed[..len])), "cut");
        }
        for i in 0..sealed.len() {
            let mut bad = sealed.clone();
            bad[i] ^= 1 << (i % 8);
            wrong(block_on(seal.open(context, &bad)), "flipped");
        }
        wrong(block_on(seal.open(context, &[&sealed[..], &[0]].concat())), "longer");
    }
    at_once(16, |i| async move {
        let secret = [u8::try_from(i).unwrap(); 40];
        let sealed = seal.seal(&secret, &secret).await.unwrap();
        assert_eq!(*seal.open(&secret, &sealed).await.unwrap(), secret);
    });
}

fn wrong<T: std::fmt::Debug>(opened: Result<T, SealError>, what: &str) {
    let error = opened.unwrap_err();
    assert!(matches!(error, SealError::Wrong) && error.code() == "seal_wrong", "{what}: {error:?}");
}

/// The contract of key providers, over this seal.
pub(crate) fn key_suites(seal: &Arc<dyn Seal>) {
    let abilities = Abilities { algorithms: vec![KeyAlgorithm::Ed25519], longest_whole: None };
    block_on(all(&SealedKeys::new(memory(), seal.clone()), &abilities));
    let vault = memory();
    let open = || -> Arc<dyn KeyProvider> { Arc::new(SealedKeys::new(vault.clone(), seal.clone())) };
    block_on(survives_reopening(open, KeyAlgorithm::Ed25519));
    let other = block_on(open().generate(&planned(1), KeyAlgorithm::P256));
    assert!(matches!(other, Err(SignError::Unsupported(KeyAlgorithm::P256))));
}

/// Rows of one deployment in each other's place, and under another seal.
pub(crate) fn rows_are_bound_to_their_place_and_seal(seal: &Arc<dyn Seal>, another: &Arc<dyn Seal>) {
    let vault = memory();
    let keys = SealedKeys::new(vault.clone(), seal.clone());
    let made = [1, 2].map(|n| block_on(keys.generate(&planned(n), KeyAlgorithm::Ed25519)).unwrap());
    let rows = [1, 2].map(|n| block_on(vault.get(&row(n))).unwrap().unwrap());
    let stranger = SealedKeys::new(vault.clone(), another.clone());
    locked(block_on(stranger.open(&made[0])), "the seal does not open the keys of this deployment");
    block_on(vault.put_all(&[(row(1), rows[1].clone()), (row(2), rows[0].clone())])).unwrap();
    let fresh = SealedKeys::new(vault.clone(), seal.clone());
    for key in &made {
        locked(block_on(fresh.open(key)), "the seal does not open the keys of this deployment");
    }
    block_on(vault.put_all(&[(row(1), rows[0].clone()), (row(2), rows[1].clone())])).unwrap();
    block_on(block_on(fresh.open(&made[0])).unwrap().sign(b"m")).unwrap();
}

/// Keys move to another seal, stay what they are, and moving them again does nothing.
pub(crate) fn keys_move(from: &Arc<dyn Seal>, to: &Arc<dyn Seal>) {
    let vault = memory();
    let before = SealedKeys::new(vault.clone(), from.clone());
    let made = [1, 2, 3].map(|n| block_on(before.generate(&planned(n), KeyAlgorithm::Ed25519)).unwrap());
    block_on(before.disable(&made[1])).unwrap();
    block_on(before.retire(&made[2])).unwrap();
    let signer = block_on(before.open(&made[0])).unwrap();
    let after = SealedKeys::new(vault.clone(), to.clone());
    assert_eq!(block_on(after.rewrap(&**from)).unwrap(), 2);
    assert_eq!(block_on(after.rewrap(&**from)).unwrap(), 0);
    assert_eq!(block_on(after.open(&made[0])).unwrap().public_key(), signer.public_key());
    assert!(matches!(
        block_on(block_on(after.open(&made[1])).unwrap().sign(b"m")),
        Err(SignError::Refused { .. })
    ));
    assert_eq!(block_on(vault.get(&row(3))).unwrap(), None);
    // Who has it open goes on; who starts needs the new one.
    block_on(signer.sign(b"m")).unwrap();
    let old = SealedKeys::new(vault, from.clone());
    locked(block_on(old.open(&made[0])), "the seal does not open");
}

pub(crate) fn locked<T: std::fmt::Debug>(result: Result<T, SignError>, said: &str) {
    let error = result.unwrap_err();
    let text = error.to_string();
    assert!(matches!(error, SignError::Locked(_)) && error.code() == "key_store_locked", "{text}");
    assert!(text.contains(said), "{text}");
}

/// A vault that several processes share: a file a row, whose name is that of the row in hex.
#[derive(Debug)]
pub(crate) struct FolderVault(pub(crate) PathBuf);

impl FolderVault {
    fn path(&self, name: &[u8]) -> PathBuf {
        self.0.join(kakunin_core::id::hex_encode(name))
    }

    fn beside(&self, name: &[u8], secret: &[u8]) -> PathBuf {
        let unique = format!("{}-{:?}.new", std::process::id(), std::thread::current().id());
        let path = self.path(name).with_extension(unique);
        fs::write(&path, secret).unwrap();
        path
    }
}

fn read(path: &Path) -> Option<Vec<u8>> {
    fs::read(path).ok()
}

#[async_trait]
impl Vault for FolderVault {
    async fn put(&self, name: &[u8], secret: &[u8]) -> Result<(), StoreError> {
        fs::rename(self.beside(name, secret), self.path(name)).map_err(StoreError::unavailable)
    }

    async fn put_all(&self, secrets: &[Kept]) -> Result<(), StoreError> {
        for (name, secret) in secrets {
            self.put(name, secret).await?;
        }
        Ok(())
    }

    async fn put_new(&self, name: &[u8], secret: &[u8]) -> Result<bool, StoreError> {
        let beside = self.beside(name, secret);
        let done = fs::hard_link(&beside, self.path(name)).is_ok();
        fs::remove_file(beside).unwrap();
        Ok(done)
    }

    async fn get(&self, name: &[u8]) -> Result<Option<Vec<u8>>, StoreError> {
        Ok(read(&self.path(name)))
    }

    async fn get_all(&self, names: &[Vec<u8>]) -> Result<Vec<Option<Vec<u8>>>, StoreError> {
        Ok(names.iter().map(|name| read(&self.path(name))).collect())
    }

    async fn remove(&self, names: &[Vec<u8>]) -> Result<(), StoreError> {
        names.iter().for_each(|name| drop(fs::remove_file(self.path(name))));
        Ok(())
    }

    async fn list(&self, _: &[u8], _: usize) -> Result<Vec<Kept>, StoreError> {
        Err(StoreError::NotFound("a list"))
    }
}

/// A vault that does so many writes, and then none.
#[derive(Debug)]
pub(crate) struct Failing(pub(crate) Arc<dyn Vault>, pub(crate) AtomicUsize);

impl Failing {
    fn write(&self) -> Result<(), StoreError> {
        let left = self.1.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |n| n.checked_sub(1));
        left.map(drop).map_err(|_| StoreError::unavailable("cut off"))
    }
}

#[async_trait]
impl Vault for Failing {
    async fn put(&self, name: &[u8], secret: &[u8]) -> Result<(), StoreError> {
        self.write()?;
        self.0.put(name, secret).await
    }

    async fn put_all(&self, secrets: &[Kept]) -> Result<(), StoreError> {
        self.write()?;
        self.0.put_all(secrets).await
    }

    async fn put_new(&self, name: &[u8], secret: &[u8]) -> Result<bool, StoreError> {
        self.write()?;
        self.0.put_new(name, secret).await
    }

    async fn get(&self, name: &[u8]) -> Result<Option<Vec<u8>>, StoreError> {
        self.0.get(name).await
    }

    async fn get_all(&self, names: &[Vec<u8>]) -> Result<Vec<Option<Vec<u8>>>, StoreError> {
        self.0.get_all(names).await
    }

    async fn remove(&self, names: &[Vec<u8>]) -> Result<(), StoreError> {
        self.write()?;
        self.0.remove(names).await
    }

    async fn list(&self, prefix: &[u8], limit: usize) -> Result<Vec<Kept>, StoreError> {
        self.0.list(prefix, limit).await
    }
}
