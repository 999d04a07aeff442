//! Two processes over one folder: the second refuses, by whichever path it comes; and a lock whose holder was killed is none.

use std::os::unix::fs::symlink;
use std::path::Path;
use std::process::Command;

use kakunin_core::store::sqlite::SqliteStore;

use crate::check::Witness;
use crate::killed::{in_memory, start};
use crate::world::{World, copy};

fn refused(file: &Path) -> String {
    let error = SqliteStore::open(file).expect_err("somebody else has it open");
    assert_eq!(error.code(), "storage_foreign", "{error}");
    error.to_string()
}

#[test]
fn a_second_process_is_refused_by_whichever_path_it_comes() {
    let dir = in_memory();
    let w = World::open(dir.path());
    let serial = w.populate();
    drop(w);
    let beside = in_memory();
    let (linked, bound) = (beside.path().join("linked"), beside.path().join("bound"));
    symlink(dir.path(), &linked).unwrap();
    symlink(dir.path().join("k.db"), beside.path().join("other.db")).unwrap();
    std::fs::create_dir(&bound).unwrap();
    let mounted = Command::new("mount").arg("--bind").arg(dir.path()).arg(&bound).status();
    assert!(mounted.is_ok_and(|s| s.success()), "this test binds a folder to another path: run it as root");
    let (mut child, lines) = start(dir.path(), &[serial], [0, 0], 0);
    let mut witness = Witness::default();
    lines.iter().take_while(|line| line != "ready").for_each(drop);
    for file in
        [dir.path().join("k.db"), linked.join("k.db"), bound.join("k.db"), beside.path().join("other.db")]
    {
        let said = refused(&file);
        assert!(said.contains("in use by another process"), "{said}");
    }
    // Copied while it is in use it is another folder, and whoever has the original is not disturbed.
    copy(dir.path(), &beside.path().join("copied"));
    child.kill().unwrap();
    child.wait().unwrap();
    lines.iter().for_each(|line| witness.hears(&line));
    assert!(dir.path().join("k.db.lock").exists(), "it is left behind, and says nothing");
    witness.check(&World::open(&linked));
    witness.check(&World::open(&bound));
    let _ = Command::new("umount").arg("-l").arg(&bound).status();
    drop(SqliteStore::open(beside.path().join("other.db")).unwrap());
    witness.check(&World::open(dir.path()));
}
