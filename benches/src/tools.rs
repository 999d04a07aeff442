//! Programs of others that figures are compared with.

use std::env;
use std::path::PathBuf;

/// Where this program is. Without it the bench ends with one line that says how to install it.
#[must_use]
pub fn need(name: &str) -> PathBuf {
    find(name, folders()).unwrap_or_else(|| {
        eprintln!("{}", missing(name));
        std::process::exit(1)
    })
}

/// What `make setup` made comes first, then what the system has.
fn folders() -> Vec<PathBuf> {
    let tools = env::var_os("KAKUNIN_TOOLS").map(PathBuf::from).or_else(|| {
        let cache = env::var_os("XDG_CACHE_HOME").map(PathBuf::from);
        let home = || env::var_os("HOME").map(|home| PathBuf::from(home).join(".cache"));
        cache.or_else(home).map(|cache| cache.join("kakunin/tools"))
    });
    let own = tools.into_iter().flat_map(|tools| [tools.join("venv/bin"), tools.join("bin")]);
    own.chain(env::split_paths(&env::var_os("PATH").unwrap_or_default())).collect()
}

fn find(name: &str, folders: Vec<PathBuf>) -> Option<PathBuf> {
    folders.into_iter().map(|folder| folder.join(name)).find(|path| path.is_file())
}

fn missing(name: &str) -> String {
    format!("{name} is missing; run: make setup-bench")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_program_is_found_or_its_absence_is_one_line() {
        assert!(find("sh", folders()).is_some_and(|path| path.is_absolute()));
        let folder = tempfile::tempdir().unwrap();
        // A folder of that name is no program.
        std::fs::create_dir(folder.path().join("sh")).unwrap();
        assert_eq!(find("sh", vec![folder.path().to_owned()]), None);
        assert_eq!((find("sh", Vec::new()), missing("sh").lines().count()), (None, 1));
    }
}
