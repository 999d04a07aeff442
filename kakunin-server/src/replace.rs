//! Files that are replaced at once or not at all.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::Path;

/// Readers see the old content or the new one, also after the power failed.
pub(crate) fn file(path: &Path, content: &[u8]) -> io::Result<()> {
    let folder = path.parent().filter(|path| !path.as_os_str().is_empty());
    let folder = folder.unwrap_or(Path::new("."));
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(".new");
    let beside = folder.join(name);
    let mut file = File::create(&beside)?;
    file.write_all(content)?;
    file.sync_all()?;
    fs::rename(&beside, path)?;
    File::open(folder)?.sync_all()
}
