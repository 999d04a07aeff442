//! Keys at rest: one encrypted file a key, and a header that knows the right secret from a wrong one.
//!
//! ```text
//! keystore.json   version, store id, PBKDF2 salt and iterations, verifier
//! lock            held while a process uses the folder
//! <id>.key        "KKL1" | state | SPKI length (u16) | SPKI | nonce (12) | AES-256-GCM(PKCS#8)
//! ```
//!
//! What stands before the nonce is authenticated together with store id and file name: a file that was
//! renamed, taken from another store, or given another state does not open. Nor does a key file that
//! others can reach, or a folder in which they can write.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Read, Write};
use std::num::NonZeroU32;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use aws_lc_rs::aead::{AES_256_GCM, Aad, NONCE_LEN, Nonce, RandomizedNonceKey};
use aws_lc_rs::pbkdf2;
use aws_lc_rs::rand::{SecureRandom, SystemRandom};
use kakunin_core::id::{hex_decode, hex_encode};
use kakunin_core::key::{PlannedKeyId, SignError, Spki};
use kakunin_core::lock;
use zeroize::Zeroizing;

use super::keys::Pkcs8;
use super::secret::Secret;
use super::state::State;
use crate::private;

const MAGIC: &[u8] = b"KKL1";
const HEADER: &str = "keystore.json";
const VERIFIER: &[u8] = b"kakunin key folder";
/// Most octets of a key file: an RSA-4096 key has 2,400.
const MAX_FILE: u64 = 16 * 1024;

/// How many rounds of PBKDF2-HMAC-SHA-256 stretch a passphrase. Used when a folder is made, and kept in
/// its header. The default follows OWASP's recommendation of 600,000.
#[derive(Clone, Copy, Debug)]
pub struct KdfCost(pub NonZeroU32);

impl Default for KdfCost {
    fn default() -> Self {
        Self(NonZeroU32::new(600_000).unwrap_or(NonZeroU32::MAX))
    }
}

/// A folder of keys that is open.
pub(super) struct Keystore {
    dir: PathBuf,
    id: [u8; 16],
    key: RandomizedNonceKey,
    /// Held until this value is dropped; none where it only reads.
    lock: Option<File>,
    /// Whether other processes use the folder at once.
    shared: bool,
}

/// What a key file says without its private key.
pub(super) struct Sealed {
    pub(super) planned: PlannedKeyId,
    pub(super) spki: Spki,
    pub(super) state: State,
}

#[derive(serde::Serialize, serde::Deserialize)]
#[serde(deny_unknown_fields)]
struct Header {
    version: u8,
    store: String,
    salt: String,
    iterations: NonZeroU32,
    verifier: String,
}

impl Keystore {
    pub(super) fn open(dir: &Path, secret: &Secret, cost: KdfCost) -> Result<Self, SignError> {
        DirBuilder::new().recursive(true).mode(0o700).create(dir).map_err(|e| io_error("make", dir, e))?;
        check_folder(dir)?;
        let lock = lock(dir)?;
        let path = dir.join(HEADER);
        private::file(&path).map_err(|e| locked(e.to_string()))?;
        match read(&path) {
            Ok(octets) => Self::existing(dir, secret, &octets, Some(lock)),
            Err(e) if e.kind() == io::ErrorKind::NotFound => Self::create(dir, secret, cost, lock),
            Err(e) => Err(io_error("read", &path, e)),
        }
    }

    /// Opens a folder that several processes use at once, each in this way.
    pub(super) fn open_shared(dir: &Path, secret: &Secret, cost: KdfCost) -> Result<Self, SignError> {
        let path = dir.join(HEADER);
        if !path.exists() {
            // Nobody else has the folder while its header is made; of several at once one makes it.
            match Self::open(dir, secret, cost) {
                Err(error) if !path.exists() => return Err(error),
                _ => {}
            }
        }
        check_folder(dir)?;
        let lock = lock::shared(&dir.join("lock"));
        let lock = lock.map_err(|e| locked(format!("the key folder {}: {e}", dir.display())))?;
        private::file(&path).map_err(|e| locked(e.to_string()))?;
        let octets = read(&path).map_err(|e| io_error("read", &path, e))?;
        Ok(Self { shared: true, ..Self::existing(dir, secret, &octets, Some(lock))? })
    }

    /// Opens a folder that is there, beside a process that uses it: nothing is written.
    pub(super) fn open_to_read(dir: &Path, secret: &Secret) -> Result<Self, SignError> {
        check_folder(dir)?;
        let path = dir.join(HEADER);
        private::file(&path).map_err(|e| locked(e.to_string()))?;
        let octets = read(&path).map_err(|e| io_error("read", &path, e))?;
        Self::existing(dir, secret, &octets, None)
    }

    fn existing(dir: &Path, secret: &Secret, header: &[u8], lock: Option<File>) -> Result<Self, SignError> {
        let damaged = || locked(format!("{HEADER} in {} is damaged; restore it", dir.display()));
        let header: Header = serde_json::from_slice(header).map_err(|_| damaged())?;
        if header.version != 1 {
            return Err(locked(format!("the key folder {} is of a later version", dir.display())));
        }
        let id = hex_decode(&header.store).ok_or_else(damaged)?;
        let salt: [u8; 32] = hex_decode(&header.salt).ok_or_else(damaged)?;
        let key = derive(secret, &salt, header.iterations)?;
        let verifier: [u8; NONCE_LEN + VERIFIER.len() + 16] =
            hex_decode(&header.verifier).ok_or_else(damaged)?;
        let store = Self { dir: dir.to_owned(), id, key, lock, shared: false };
        match store.unseal(&id, &verifier) {
            Some(plain) if plain.as_slice() == VERIFIER => Ok(store),
            _ => Err(locked(format!("wrong passphrase or key for the key folder {}", dir.display()))),
        }
    }

    fn create(dir: &Path, secret: &Secret, cost: KdfCost, lock: File) -> Result<Self, SignError> {
        let key_files = fs::read_dir(dir).map_err(|e| io_error("read", dir, e))?;
        if key_files.flatten().any(|f| f.path().extension().is_some_and(|e| e == "key")) {
            return Err(locked(format!("{} has keys but no {HEADER}; restore it", dir.display())));
        }
        let (mut id, mut salt) = ([0; 16], [0; 32]);
        let random = SystemRandom::new();
        random
            .fill(&mut id)
            .and_then(|()| random.fill(&mut salt))
            .map_err(|e| SignError::unavailable("store", "a local key", e))?;
        // A key of full entropy gains nothing from stretching.
        let iterations = if secret.is_key() { NonZeroU32::MIN } else { cost.0 };
        let key = derive(secret, &salt, iterations)?;
        let store = Self { dir: dir.to_owned(), id, key, lock: Some(lock), shared: false };
        let header = Header {
            version: 1,
            store: hex_encode(&id),
            salt: hex_encode(&salt),
            iterations,
            verifier: hex_encode(&store.seal(&id, VERIFIER)?),
        };
        let octets = serde_json::to_vec_pretty(&header)
            .map_err(|e| SignError::unavailable("store", "a local key", e))?;
        store.write(HEADER, &octets, false)?;
        Ok(store)
    }

    /// Every key of the folder; each file is opened once, so that a damaged one is said at the start.
    pub(super) fn load(&self) -> Result<Vec<Sealed>, SignError> {
        let mut all = Vec::new();
        for file in fs::read_dir(&self.dir).map_err(|e| io_error("read", &self.dir, e))? {
            let path = file.map_err(|e| io_error("read", &self.dir, e))?.path();
            if path.extension().is_some_and(|e| e == "key") {
                all.push(self.read_key(&path)?.0);
            } else if is_leftover(&path) && self.lock.is_some() && !self.shared {
                fs::remove_file(&path).map_err(|e| io_error("remove", &path, e))?;
            }
        }
        Ok(all)
    }

    pub(super) fn private_key(&self, planned: &PlannedKeyId) -> Result<Pkcs8, SignError> {
        Ok(self.read_key(&self.path_of(planned))?.1)
    }

    pub(super) const fn is_shared(&self) -> bool {
        self.shared
    }

    /// What is there of a key, if it is there.
    pub(super) fn sealed(&self, planned: &PlannedKeyId) -> Result<Option<Sealed>, SignError> {
        let path = self.path_of(planned);
        if path.exists() { self.read_key(&path).map(|(sealed, _)| Some(sealed)) } else { Ok(None) }
    }

    /// Keeps a new key, and says whether it did: another process that shares the folder may have been quicker.
    pub(super) fn save_new(&self, sealed: &Sealed, pkcs8: &[u8]) -> Result<bool, SignError> {
        self.write(&file_name(&sealed.planned), &self.octets_of(sealed, pkcs8)?, self.shared)
    }

    pub(super) fn save(&self, sealed: &Sealed, pkcs8: &[u8]) -> Result<(), SignError> {
        self.write(&file_name(&sealed.planned), &self.octets_of(sealed, pkcs8)?, false).map(drop)
    }

    fn octets_of(&self, sealed: &Sealed, pkcs8: &[u8]) -> Result<Vec<u8>, SignError> {
        let head = head(sealed)?;
        let body = self.seal(&self.aad(&head, &sealed.planned), pkcs8)?;
        Ok([head, body].concat())
    }

    /// Writes the file anew under another state; a retired key's private half is not in it any more.
    pub(super) fn set_state(&self, planned: &PlannedKeyId, state: State) -> Result<(), SignError> {
        let (sealed, pkcs8) = self.read_key(&self.path_of(planned))?;
        let kept: &[u8] = if state == State::Retired { &[] } else { &pkcs8 };
        self.save(&Sealed { state, ..sealed }, kept)
    }

    fn read_key(&self, path: &Path) -> Result<(Sealed, Pkcs8), SignError> {
        check_key_file(path)?;
        let octets = read(path).map_err(|e| io_error("read", path, e))?;
        self.parse(path, &octets).ok_or_else(|| {
            locked(format!("key file {} is damaged or not of this folder; restore it", path.display()))
        })
    }

    fn parse(&self, path: &Path, octets: &[u8]) -> Option<(Sealed, Pkcs8)> {
        let planned = PlannedKeyId::parse(path.file_stem()?.to_str()?)?;
        let rest = octets.strip_prefix(MAGIC)?;
        let (state, rest) = rest.split_first()?;
        let (len, rest) = rest.split_first_chunk::<2>()?;
        let (spki, body) = rest.split_at_checked(usize::from(u16::from_be_bytes(*len)))?;
        let sealed = Sealed { planned, spki: Spki::from_der(spki).ok()?, state: State::of(*state)? };
        let head = octets.get(..octets.len() - body.len())?;
        let pkcs8 = self.unseal(&self.aad(head, &sealed.planned), body)?;
        Some((sealed, pkcs8))
    }

    fn aad(&self, head: &[u8], planned: &PlannedKeyId) -> Vec<u8> {
        [head, &self.id, planned.as_str().as_bytes()].concat()
    }

    fn seal(&self, aad: &[u8], plain: &[u8]) -> Result<Vec<u8>, SignError> {
        let mut sealed = Zeroizing::new(plain.to_vec());
        // Room for the tag, so that growing does not leave a copy of the key behind.
        sealed.reserve_exact(16);
        let nonce = self.key.seal_in_place_append_tag(Aad::from(aad), &mut *sealed);
        let nonce = nonce.map_err(|e| SignError::unavailable("store", "a local key", e))?;
        Ok([nonce.as_ref().as_slice(), &sealed].concat())
    }

    fn unseal(&self, aad: &[u8], sealed: &[u8]) -> Option<Pkcs8> {
        let (nonce, body) = sealed.split_first_chunk::<NONCE_LEN>()?;
        let mut plain = Zeroizing::new(body.to_vec());
        let len = self.key.open_in_place(Nonce::from(nonce), Aad::from(aad), &mut plain).ok()?.len();
        plain.truncate(len);
        Some(plain)
    }

    fn path_of(&self, planned: &PlannedKeyId) -> PathBuf {
        self.dir.join(file_name(planned))
    }

    /// Replaces a file in one step: written beside it, synced, renamed, and the folder synced. A new one replaces none; says
    /// whether it is there.
    fn write(&self, name: &str, octets: &[u8], new: bool) -> Result<bool, SignError> {
        let (path, beside) = (self.dir.join(name), self.dir.join(self.name_beside(name)?));
        if self.lock.is_none() {
            return Err(locked(format!("the key folder {} is open for reading alone", self.dir.display())));
        }
        let replace = || {
            // Made anew, so that nothing left under this name lends the file its mode.
            remove(&beside)?;
            let mut options = OpenOptions::new();
            let mut file = options.write(true).create_new(true).mode(0o600).open(&beside)?;
            file.write_all(octets)?;
            file.sync_all()?;
            let is_ours =
                if new { link(&beside, &path)? } else { fs::rename(&beside, &path).map(|()| true)? };
            File::open(&self.dir)?.sync_all()?;
            Ok(is_ours)
        };
        replace().map_err(|e| {
            // What was there before is untouched; the half-written file would only be in the way.
            let _ = fs::remove_file(&beside);
            io_error("write", &path, e)
        })
    }

    /// Two processes that share a folder write nothing under one name.
    fn name_beside(&self, name: &str) -> Result<String, SignError> {
        if !self.shared {
            return Ok(format!("{name}.new"));
        }
        let mut random = [0; 8];
        let filled = SystemRandom::new().fill(&mut random);
        filled.map_err(|e| SignError::unavailable("store", "a local key", e))?;
        Ok(format!("{name}.{}.new", hex_encode(&random)))
    }
}

fn remove(path: &Path) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(e) if e.kind() != io::ErrorKind::NotFound => Err(e),
        _ => Ok(()),
    }
}

/// Gives a file its name, unless there is one of that name.
fn link(from: &Path, to: &Path) -> io::Result<bool> {
    let linked = match fs::hard_link(from, to) {
        Err(e) if e.kind() == io::ErrorKind::AlreadyExists => false,
        linked => linked.map(|()| true)?,
    };
    fs::remove_file(from)?;
    Ok(linked)
}

fn lock(dir: &Path) -> Result<File, SignError> {
    let path = dir.join("lock");
    lock::exclusive(&path).map_err(|e| locked(format!("the key folder {}: {e}", dir.display())))
}

fn derive(secret: &Secret, salt: &[u8; 32], iterations: NonZeroU32) -> Result<RandomizedNonceKey, SignError> {
    let mut key = Zeroizing::new([0; 32]);
    pbkdf2::derive(pbkdf2::PBKDF2_HMAC_SHA256, iterations, salt, secret.octets(), &mut *key);
    RandomizedNonceKey::new(&AES_256_GCM, &*key)
        .map_err(|e| SignError::unavailable("store", "a local key", e))
}

fn head(sealed: &Sealed) -> Result<Vec<u8>, SignError> {
    let spki = sealed.spki.as_der();
    let len = u16::try_from(spki.len()).map_err(|e| SignError::unavailable("store", "a local key", e))?;
    Ok([MAGIC, &[sealed.state.code()], &len.to_be_bytes(), spki].concat())
}

fn file_name(planned: &PlannedKeyId) -> String {
    format!("{}.key", planned.as_str())
}

/// Whether a process that died while it wrote left this: the file beside it is whole, or never was.
fn is_leftover(path: &Path) -> bool {
    let name = path.file_name().and_then(|n| n.to_str()).and_then(|n| n.strip_suffix("new"));
    name.and_then(|n| n.split_once(".key.")).and_then(|(id, _)| PlannedKeyId::parse(id)).is_some()
}

/// Refuses a folder in which others can exchange a file for an older one.
fn check_folder(dir: &Path) -> Result<(), SignError> {
    private::folder(dir).map_err(|e| locked(format!("the key folder {}: {e}", dir.display())))
}

/// Refuses a key file that others can reach: encryption is not its only fence.
fn check_key_file(path: &Path) -> Result<(), SignError> {
    private::file(path).map_err(|e| locked(e.to_string()))?;
    let about = fs::symlink_metadata(path).map_err(|e| io_error("read", path, e))?;
    match about.mode() & 0o077 {
        0 => Ok(()),
        _ => Err(locked(format!("others can reach the key file {}: chmod 600 it", path.display()))),
    }
}

fn read(path: &Path) -> io::Result<Vec<u8>> {
    let mut octets = Vec::new();
    File::open(path)?.take(MAX_FILE).read_to_end(&mut octets)?;
    Ok(octets)
}

fn io_error(step: &str, path: &Path, error: io::Error) -> SignError {
    locked(format!("cannot {step} {}: {error}", path.display()))
}

const fn locked(why: String) -> SignError {
    SignError::Locked(why)
}
