//! Files that are replaced at once or not at all.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::path::Path;

/// Readers see the old content or the new one, also after the power failed. What stands under `path`, or beside
/// it as `<path>.new`, is replaced and not followed: a link there is somebody's who would have another file
/// written.
pub(crate) fn file(path: &Path, content: &[u8]) -> io::Result<()> {
    let folder = path.parent().filter(|path| !path.as_os_str().is_empty());
    let folder = folder.unwrap_or(Path::new("."));
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(".new");
    let beside = folder.join(name);
    // Left by a process that died, or put there by somebody. Who puts one there again in between keeps the file
    // from being written, and gets nothing written elsewhere: a new one follows no link.
    match fs::remove_file(&beside) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let mut file = OpenOptions::new().write(true).create_new(true).open(&beside)?;
    let written = file.write_all(content).and_then(|()| file.sync_all());
    if let Err(error) = written.and_then(|()| fs::rename(&beside, path)) {
        // Half a file would only be in the way.
        let _ = fs::remove_file(&beside);
        return Err(error);
    }
    File::open(folder)?.sync_all()
}

/// What a file holds; nothing if there is none, or something that is not a file of its own: a pipe would keep its
/// reader waiting, and what a link leads to is not what is replaced.
pub(crate) fn current(path: &Path) -> io::Result<String> {
    match fs::symlink_metadata(path) {
        Ok(about) if !about.is_file() => Ok(String::new()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(String::new()),
        Ok(_) => fs::read_to_string(path),
        Err(error) => Err(error),
    }
}
