//! What lies beside the files of each part, and says that they are whole. It is written last.

use std::collections::BTreeMap;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use kakunin_core::id::hex_encode;
use sha2::{Digest, Sha256};

use super::BackupError;

pub(super) const FILE: &str = "manifest.json";
const FORMAT: u32 = 1;
/// The most that is read of a manifest.
const MAX_LEN: u64 = 256 << 20;

/// JSON.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Manifest {
    pub(super) format: u32,
    /// The same in all parts of one backup.
    pub(super) backup: String,
    pub(super) part: String,
    /// All parts of it, this one among them.
    pub(super) parts: Vec<String>,
    pub(super) made_at: String,
    pub(super) by: String,
    pub(super) files: BTreeMap<String, Described>,
    /// With the database: the signed checkpoint of each log.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub(super) checkpoints: BTreeMap<String, String>,
}

/// What a file was when it was backed up.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Described {
    pub(super) octets: u64,
    pub(super) sha256: String,
}

impl Manifest {
    pub(super) fn new(backup: &str, part: &str, parts: &[&str], made_at: String) -> Self {
        Self {
            format: FORMAT,
            backup: backup.to_owned(),
            part: part.to_owned(),
            parts: parts.iter().map(|part| (*part).to_owned()).collect(),
            made_at,
            by: concat!("kakunin ", env!("CARGO_PKG_VERSION")).to_owned(),
            files: BTreeMap::new(),
            checkpoints: BTreeMap::new(),
        }
    }

    /// Writes it into its part, whole or not at all.
    pub(super) fn write(&self, folder: &Path) -> Result<(), BackupError> {
        let (path, beside) = (folder.join(FILE), folder.join("manifest.new"));
        let text = serde_json::to_vec_pretty(self).map_err(io::Error::other)?;
        let write = || {
            let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&beside)?;
            file.write_all(&text)?;
            file.sync_all()?;
            // What it tells of is on disk before it is.
            File::open(folder)?.sync_all()?;
            if path.try_exists()? {
                return Err(io::ErrorKind::AlreadyExists.into());
            }
            fs::rename(&beside, &path)?;
            File::open(folder)?.sync_all()
        };
        write().map_err(BackupError::file(&path))
    }

    /// Reads it, and looks at each file that it tells of. Told how many octets were read.
    pub(super) fn read(
        part: &'static str,
        folder: &Path,
        mut progress: impl FnMut(u64),
    ) -> Result<Self, BackupError> {
        let path = folder.join(FILE);
        let mut text = Vec::new();
        match File::open(&path).and_then(|file| file.take(MAX_LEN).read_to_end(&mut text)) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                return Err(BackupError::NotWhole { part, path: folder.to_owned() });
            }
            read => _ = read.map_err(BackupError::file(&path))?,
        }
        let wrong = |why: String| BackupError::Manifest { path: path.clone(), why };
        let manifest: Self = serde_json::from_slice(&text).map_err(|error| wrong(error.to_string()))?;
        if manifest.format != FORMAT || manifest.part != part {
            return Err(wrong(format!("it is of part `{}`, format {}", manifest.part, manifest.format)));
        }
        for (name, described) in &manifest.files {
            let path = folder.join(inside(name).ok_or_else(|| wrong(format!("it names `{name}`")))?);
            if describe(&path, &mut progress)? != *described {
                return Err(BackupError::Changed(path));
            }
        }
        Ok(manifest)
    }
}

/// A path that stays in its folder.
fn inside(name: &str) -> Option<PathBuf> {
    let path = PathBuf::from(name);
    let plain = path.components().all(|part| matches!(part, std::path::Component::Normal(_)));
    (plain && path.components().next().is_some()).then_some(path)
}

/// What a file is.
pub(super) fn describe(path: &Path, mut progress: impl FnMut(u64)) -> Result<Described, BackupError> {
    let mut read = || {
        let (mut file, mut hash, mut octets) = (File::open(path)?, Sha256::new(), 0);
        let mut chunk = vec![0; 1 << 20];
        loop {
            let read = file.read(&mut chunk)?;
            let Some(some) = chunk.get(..read).filter(|some| !some.is_empty()) else { break };
            hash.update(some);
            octets += u64::try_from(read).unwrap_or_default();
            progress(octets);
        }
        Ok(Described { octets, sha256: hex_encode(&hash.finalize()) })
    };
    read().map_err(BackupError::file(path))
}

/// Copies a file to where none is, for its owner alone, onto disk.
pub(super) fn copy(from: &Path, to: &Path) -> Result<(), BackupError> {
    let mut source = File::open(from).map_err(BackupError::file(from))?;
    let mut write = || {
        let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(to)?;
        io::copy(&mut source, &mut file)?;
        file.sync_all()
    };
    write().map_err(BackupError::file(to))
}
