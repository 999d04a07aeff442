//! The default dependency tree stays light.
#![allow(clippy::expect_used, clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]

use std::collections::BTreeSet;
use std::process::Command;

const MAX_CRATES: usize = 60;
const BANNED: &[&str] = &["tokio", "mio", "ring", "aws-lc", "openssl", "reqwest", "hyper"];

#[test]
fn default_tree_is_small_and_without_runtimes() {
    let output = Command::new(env!("CARGO"))
        .args(["tree", "--offline", "-p", "kakunin-verify", "-e", "normal", "--prefix", "none"])
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let text = String::from_utf8(output.stdout).unwrap();
    let crates: BTreeSet<&str> =
        text.lines().map(|l| l.trim_end_matches(" (*)")).filter(|l| !l.starts_with("kakunin-")).collect();
    println!("{} third-party crates", crates.len());
    assert!(crates.len() <= MAX_CRATES, "{crates:#?}");
    for name in &crates {
        assert!(!BANNED.iter().any(|banned| name.starts_with(banned)), "{name}");
    }
}
