//! Folders and files that hold keys or decide who is believed: nobody else may write there.

use std::collections::VecDeque;
use std::ffi::OsString;
use std::fs::{self, File, Metadata};
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Component, Path, PathBuf};

/// Write for group and others.
const WRITABLE: u32 = 0o022;
const OTHERS_WRITE: u32 = 0o002;
const GROUP_WRITE: u32 = 0o020;
const OTHERS: u32 = 0o007;
const GROUP: u32 = 0o070;
/// In such a folder only its owner renames a file.
const STICKY: u32 = 0o1000;
/// Links followed on one path.
const MAX_LINKS: usize = 40;

/// Somebody else can write where only we may.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum NotPrivate {
    /// By its mode.
    #[error("others can write to {}: run `chmod {} {}`", path.display(), mode, path.display())]
    Mode {
        /// What.
        path: PathBuf,
        /// The mode to give it.
        mode: &'static str,
    },
    /// Somebody else can read it.
    #[error("others can read {}: run `chmod 600 {}`", .0.display(), .0.display())]
    Readable(PathBuf),
    /// By its owner.
    #[error(
        "{} belongs to user {owner}, who can change it: run `chown {us} {}`, or run as that user",
        path.display(), path.display()
    )]
    Owner {
        /// What.
        path: PathBuf,
        /// Whose it is.
        owner: u32,
        /// Who we are.
        us: u32,
    },
    /// It is a link, a pipe, or the like, or has a second name elsewhere.
    #[error("{} must be a file of its own, neither a link nor linked from elsewhere: put a copy there", .0.display())]
    Kind(PathBuf),
    /// It cannot be looked at.
    #[error("cannot read {}: {source}", path.display())]
    Io {
        /// What.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
}

/// Checks that a folder, which may be reached through links, belongs to us or to root and nobody else can write
/// to it, nor exchange it by renaming a folder or link on the way to it.
///
/// # Errors
/// [`NotPrivate`] says what to run.
pub fn folder(path: &Path) -> Result<(), NotPrivate> {
    let (at, about) = reach(path)?;
    owned(&at, &about)?;
    refuse(&at, &about, WRITABLE, "700")
}

/// Opens a file with a secret, which may be reached through links as [`folder()`] is: ours or root's, and nobody
/// else can write to it or read it. The group may read it if it is root's, or the one that this process runs as:
/// that is how Kubernetes and systemd hand out secrets.
///
/// # Errors
/// [`NotPrivate`] says what to run.
pub fn secret(path: &Path) -> Result<File, NotPrivate> {
    let (at, about) = reach(path)?;
    // Asked first, because opening a pipe that nobody writes to does not return.
    secret_to_us(&at, &about)?;
    let file = File::open(&at).map_err(|source| io_error(&at, source))?;
    let opened = file.metadata().map_err(|source| io_error(&at, source))?;
    secret_to_us(&at, &opened)?;
    Ok(file)
}

fn secret_to_us(path: &Path, about: &Metadata) -> Result<(), NotPrivate> {
    if !about.is_file() {
        return Err(NotPrivate::Kind(path.to_owned()));
    }
    owned(path, about)?;
    refuse(path, about, WRITABLE, "600")?;
    let others = if own_group(about) { OTHERS } else { OTHERS | GROUP };
    if about.mode() & others == 0 { Ok(()) } else { Err(NotPrivate::Readable(path.to_owned())) }
}

/// What a path leads to, if nobody else can rename a folder or link on the way.
fn reach(path: &Path) -> Result<(PathBuf, Metadata), NotPrivate> {
    let absolute = std::path::absolute(path).map_err(|source| io_error(path, source))?;
    let mut ahead: VecDeque<OsString> = names(&absolute);
    let (mut at, mut links) = (PathBuf::from("/"), 0);
    passable(&at)?;
    while let Some(name) = ahead.pop_front() {
        if name == ".." {
            at.pop();
            continue;
        }
        let next = at.join(name);
        let about = fs::symlink_metadata(&next).map_err(|source| io_error(&next, source))?;
        if about.is_symlink() {
            owned(&next, &about)?;
            links += 1;
            if links > MAX_LINKS {
                return Err(io_error(path, io::Error::other("too many links")));
            }
            let target = fs::read_link(&next).map_err(|source| io_error(&next, source))?;
            if target.is_absolute() {
                at = PathBuf::from("/");
            }
            for name in names(&target).into_iter().rev() {
                ahead.push_front(name);
            }
        } else {
            at = next;
            if !ahead.is_empty() {
                passable(&at)?;
            }
        }
    }
    let about = fs::metadata(&at).map_err(|source| io_error(&at, source))?;
    Ok((at, about))
}

/// Checks that a file, if it is there, is ours or root's, and nobody else can write to it.
///
/// # Errors
/// [`NotPrivate`] says what to run.
pub fn file(path: &Path) -> Result<(), NotPrivate> {
    let about = match fs::symlink_metadata(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        about => about.map_err(|source| io_error(path, source))?,
    };
    // Through a second name it is written to from elsewhere.
    if !about.is_file() || about.nlink() > 1 {
        return Err(NotPrivate::Kind(path.to_owned()));
    }
    owned(path, &about)?;
    refuse(path, &about, WRITABLE, "600")
}

/// As [`file()`], of one that somebody else may have put there, also by a link.
///
/// # Errors
/// [`NotPrivate`] says what to run.
pub fn given(path: &Path) -> Result<(), NotPrivate> {
    let about = match fs::metadata(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        about => about.map_err(|source| io_error(path, source))?,
    };
    owned(path, &about)?;
    refuse(path, &about, WRITABLE, "600")
}

/// A folder on the way: nobody else may rename what lies in it.
fn passable(path: &Path) -> Result<(), NotPrivate> {
    let about = fs::metadata(path).map_err(|source| io_error(path, source))?;
    owned(path, &about)?;
    if about.mode() & STICKY != 0 {
        return Ok(());
    }
    refuse(path, &about, OTHERS_WRITE, "o-w")?;
    if own_group(&about) { Ok(()) } else { refuse(path, &about, GROUP_WRITE, "g-w") }
}

/// The group of a user alone is that user; root's is root.
fn own_group(about: &Metadata) -> bool {
    about.gid() == 0 || about.gid() == rustix::process::getegid().as_raw()
}

fn owned(path: &Path, about: &Metadata) -> Result<(), NotPrivate> {
    let (owner, us) = (about.uid(), rustix::process::geteuid().as_raw());
    if owner == us || owner == 0 {
        Ok(())
    } else {
        Err(NotPrivate::Owner { path: path.to_owned(), owner, us })
    }
}

fn refuse(path: &Path, about: &Metadata, bits: u32, mode: &'static str) -> Result<(), NotPrivate> {
    if about.mode() & bits == 0 { Ok(()) } else { Err(NotPrivate::Mode { path: path.to_owned(), mode }) }
}

fn names(path: &Path) -> VecDeque<OsString> {
    let name = |part: Component<'_>| match part {
        Component::Normal(name) => Some(name.to_owned()),
        Component::ParentDir => Some("..".into()),
        _ => None,
    };
    path.components().filter_map(name).collect()
}

fn io_error(path: &Path, source: io::Error) -> NotPrivate {
    NotPrivate::Io { path: path.to_owned(), source }
}
