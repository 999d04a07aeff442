//! A vault in a file of its own: what it promises, what is left of what was removed, and how secrets get there.

#![cfg(all(feature = "sqlite", feature = "conformance"))]
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test that cannot go on has failed")]

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use async_trait::async_trait;
use kakunin_core::conformance::vault;
use kakunin_core::error::StoreError;
use kakunin_core::store::MemoryStore;
use kakunin_core::store::sqlite::{SqliteStore, SqliteVault};
use kakunin_core::store::vault::{Kept, StateVault, Vault, move_all};
use pollster::block_on;

const SECRET: &[u8] = b"marguerite, and nothing else";

/// Files of this folder in which the secret is found.
fn finds(dir: &Path) -> Vec<String> {
    let files = std::fs::read_dir(dir).unwrap().map(|file| file.unwrap().path());
    let has = |path: &std::path::PathBuf| {
        std::fs::read(path).unwrap().windows(SECRET.len()).any(|window| window == SECRET)
    };
    files.filter(has).map(|path| path.file_name().unwrap().to_string_lossy().into_owned()).collect()
}

#[test]
fn it_is_a_vault() {
    let dir = tempfile::tempdir().unwrap();
    block_on(vault::all(&SqliteVault::open(dir.path().join("a.db")).unwrap()));
    block_on(vault::secrets_survive_reopening(|| -> Arc<dyn Vault> {
        Arc::new(SqliteVault::open(dir.path().join("b.db")).unwrap())
    }));
}

#[test]
fn what_is_removed_is_in_no_file_any_more() {
    let dir = tempfile::tempdir().unwrap();
    let vault = SqliteVault::open(dir.path().join("vault.db")).unwrap();
    let name = |n: usize| format!("key/{n:04}").into_bytes();
    for n in 0..500 {
        block_on(vault.put(&name(n), SECRET)).unwrap();
    }
    block_on(vault.put(b"other", b"stays")).unwrap();
    assert!(!finds(dir.path()).is_empty(), "so that the look is one");
    let names: Vec<_> = (0..500).map(name).collect();
    block_on(vault.remove(&names)).unwrap();
    assert_eq!(finds(dir.path()), Vec::<String>::new(), "while it is open");
    drop(vault);
    assert_eq!(finds(dir.path()), Vec::<String>::new());
    let vault = SqliteVault::open(dir.path().join("vault.db")).unwrap();
    assert_eq!(block_on(vault.get(b"other")).unwrap().unwrap(), b"stays");
}

/// Somebody reads beside it, so that the write-ahead log cannot be emptied with the removal.
#[test]
fn what_a_removal_left_behind_goes_with_the_next_call() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("vault.db");
    let vault = SqliteVault::open(&path).unwrap();
    block_on(vault.put(b"key", SECRET)).unwrap();
    let reader = rusqlite::Connection::open(&path).unwrap();
    reader.execute_batch("BEGIN; SELECT count(*) FROM secret").unwrap();
    assert!(block_on(vault.remove(&[b"key".to_vec()])).is_err(), "it is said that it is not done");
    assert_eq!(block_on(vault.get(b"key")).unwrap(), None);
    assert!(!finds(dir.path()).is_empty(), "so that there is something to do");
    reader.execute_batch("COMMIT").unwrap();
    block_on(vault.remove(&[])).unwrap();
    assert_eq!(finds(dir.path()), Vec::<String>::new());
}

#[cfg(unix)]
#[test]
fn the_file_is_its_owners_alone_and_one_process_has_it() {
    use std::os::unix::fs::PermissionsExt as _;
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("vault.db");
    let vault = SqliteVault::open(&path).unwrap();
    block_on(vault.put(b"a", SECRET)).unwrap();
    for file in std::fs::read_dir(dir.path()).unwrap() {
        let file = file.unwrap();
        assert_eq!(file.metadata().unwrap().permissions().mode() & 0o777, 0o600, "{:?}", file.path());
    }
    assert!(matches!(SqliteVault::open(&path), Err(StoreError::Foreign(why)) if why.contains("in use")));
    drop(vault);
    SqliteVault::open(&path).unwrap();
}

#[test]
fn a_file_of_somebody_else_is_refused_and_stays_what_it_is() {
    let dir = tempfile::tempdir().unwrap();
    let (logs, text) = (dir.path().join("k.db"), dir.path().join("notes.txt"));
    drop(SqliteStore::open(&logs).unwrap());
    std::fs::write(&text, "this is no database, and long enough to be seen as none: ".repeat(20)).unwrap();
    for path in [logs, text] {
        let before = std::fs::read(&path).unwrap();
        assert!(matches!(SqliteVault::open(&path), Err(StoreError::Foreign(_))), "{}", path.display());
        assert_eq!(std::fs::read(&path).unwrap(), before);
    }
}

/// Fails after so many calls that write.
#[derive(Debug)]
struct Ends(Arc<dyn Vault>, AtomicUsize);

impl Ends {
    async fn unless_over<T>(
        &self,
        call: impl Future<Output = Result<T, StoreError>> + Send,
    ) -> Result<T, StoreError> {
        match self.1.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| left.checked_sub(1)) {
            Ok(_) => call.await,
            Err(_) => Err(StoreError::unavailable("the process ended")),
        }
    }
}

#[async_trait]
impl Vault for Ends {
    async fn put(&self, name: &[u8], secret: &[u8]) -> Result<(), StoreError> {
        self.unless_over(self.0.put(name, secret)).await
    }
    async fn put_new(&self, name: &[u8], secret: &[u8]) -> Result<bool, StoreError> {
        self.unless_over(self.0.put_new(name, secret)).await
    }
    async fn put_all(&self, secrets: &[Kept]) -> Result<(), StoreError> {
        self.unless_over(self.0.put_all(secrets)).await
    }
    async fn get(&self, name: &[u8]) -> Result<Option<Vec<u8>>, StoreError> {
        self.0.get(name).await
    }
    async fn get_all(&self, names: &[Vec<u8>]) -> Result<Vec<Option<Vec<u8>>>, StoreError> {
        self.0.get_all(names).await
    }
    async fn remove(&self, names: &[Vec<u8>]) -> Result<(), StoreError> {
        self.unless_over(self.0.remove(names)).await
    }
    async fn list(&self, prefix: &[u8], limit: usize) -> Result<Vec<Kept>, StoreError> {
        self.0.list(prefix, limit).await
    }
}

#[test]
fn secrets_are_moved_whatever_ends_in_between() {
    let all: Vec<Kept> = (0..2_500)
        .map(|n| (format!("name/{n:05}").into_bytes(), vec![u8::try_from(n % 251).unwrap(); 3]))
        .collect();
    for calls in 0..5 {
        let dir = tempfile::tempdir().unwrap();
        let old: Arc<dyn Vault> = Arc::new(StateVault(Arc::new(MemoryStore::new())));
        let new: Arc<dyn Vault> = Arc::new(SqliteVault::open(dir.path().join("vault.db")).unwrap());
        block_on(old.put_all(&all)).unwrap();
        // The last that ends is either of the two.
        let ends = |vault: &Arc<dyn Vault>, calls| Ends(vault.clone(), AtomicUsize::new(calls));
        assert!(
            block_on(move_all(&ends(&old, calls / 2), &ends(&new, calls.div_ceil(2)))).is_err(),
            "{calls}"
        );
        for (name, secret) in &all {
            let found = [&old, &new].map(|vault| block_on(vault.get(name)).unwrap());
            assert!(found.iter().flatten().count() > 0 && found.iter().flatten().all(|one| one == secret));
        }
        block_on(move_all(&*old, &*new)).unwrap();
        assert!(block_on(old.list(b"", 10)).unwrap().is_empty());
        assert_eq!(block_on(new.list(b"", 10_000)).unwrap(), all);
        assert_eq!(block_on(move_all(&*old, &*new)).unwrap(), 0, "once");
    }
}

#[test]
fn another_secret_under_a_name_is_no_secret_to_overwrite() {
    let [old, new] = [(); 2].map(|()| StateVault(Arc::new(MemoryStore::new())));
    block_on(old.put(b"secret", b"one")).unwrap();
    block_on(new.put(b"secret", b"two")).unwrap();
    assert!(matches!(block_on(move_all(&old, &new)), Err(StoreError::Corrupt(_))));
    let kept = [&old, &new].map(|vault| block_on(vault.get(b"secret")).unwrap().unwrap());
    assert_eq!(kept, [b"one", b"two"]);
}
