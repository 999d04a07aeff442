//! Files with keys that others can read.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use super::options::ServeOptions;
use super::wire;

/// Read for the group and others.
const READABLE: u32 = 0o044;
/// The same for others alone: systems have a group for whoever may read TLS keys.
const OTHERS_READ: u32 = 0o004;

/// What nobody else should read, and by which bits of its mode somebody does.
pub(super) fn watched(options: &ServeOptions) -> Vec<(PathBuf, u32)> {
    let ours = wire::secrets(options).into_iter().chain(options.secrets.iter().cloned());
    let ours = ours.map(|path| (path, READABLE));
    ours.chain(options.tls.iter().map(|tls| (tls.key.clone(), OTHERS_READ))).collect()
}

/// Says of each file that others can read it, once, and again when it could not be read meanwhile. Gives how many there are.
pub(super) fn warn(watched: &[(PathBuf, u32)], told: &mut BTreeSet<PathBuf>) -> usize {
    let exposed: BTreeSet<PathBuf> =
        watched.iter().filter(|(path, bits)| is_exposed(path, *bits)).map(|(path, _)| path.clone()).collect();
    for path in exposed.difference(told) {
        let path = path.display();
        tracing::warn!(%path, "others can read this file, which holds a secret: run chmod 600 on it, and replace what it holds");
    }
    *told = exposed;
    told.len()
}

fn is_exposed(path: &Path, bits: u32) -> bool {
    // What is not there is said by whoever needs it.
    fs::metadata(path).is_ok_and(|about| about.mode() & bits != 0)
}
