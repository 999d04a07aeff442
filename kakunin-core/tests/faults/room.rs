//! A file system that becomes full, under load.

use std::path::Path;
use std::process::Command;

use kakunin_core::revoke::Cause;
use pollster::block_on;

use crate::check::Witness;
use crate::killed::start;
use crate::work::ONE_BY_ONE;
use crate::world::{World, event};

/// A small file system in memory.
struct Disk(tempfile::TempDir);

impl Disk {
    fn mount(size: &str) -> Self {
        let disk = Self(tempfile::tempdir().unwrap());
        disk.with(&["-t", "tmpfs", "-o", &format!("size={size}"), "tmpfs"]);
        disk
    }

    fn with(&self, options: &[&str]) {
        let done = Command::new("mount").args(options).arg(self.path()).status();
        assert!(done.is_ok_and(|s| s.success()), "this test mounts a small tmpfs: run it as root");
    }

    fn path(&self) -> &Path {
        self.0.path()
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("-l").arg(self.path()).status();
    }
}

#[test]
fn what_was_acknowledged_until_the_disk_was_full_is_there_and_all_goes_on_once_there_is_room() {
    let disk = Disk::mount("14m");
    let w = World::open(disk.path());
    let serials = [w.populate(), w.agent("two").unwrap(), w.agent("three").unwrap()];
    drop(w);
    let (mut child, lines) = start(disk.path(), &serials[..2], [0, 0], 0);
    let mut witness = Witness::default();
    lines.iter().for_each(|line| witness.hears(&line));
    assert!(child.wait().unwrap().success());
    assert!(witness.heard().0 > 100, "{:?}", witness.heard());
    let w = World::open(disk.path());
    witness.check(&w);
    let tenant = w.kakunin.tenant(&w.acme);
    // What takes trust away goes on record, and nothing else.
    block_on(tenant.revoke(&serials[2], Cause::KeyCompromise)).unwrap();
    witness.hears(&format!("revoked {}", serials[2]));
    let seq = witness.next(ONE_BY_ONE);
    let refused = (seq..seq + 3_000).find_map(|seq| {
        let seen = block_on(tenant.observe(event(serials[0], ONE_BY_ONE, seq)));
        seen.map(|seen| witness.hears(&format!("event {ONE_BY_ONE} {seq} {}", seen.index.unwrap()))).err()
    });
    assert_eq!(refused.map(|error| error.code()), Some("storage_full"));
    witness.check(&w);
    disk.with(&["-o", "remount,size=48m"]);
    for _ in 0..100 {
        let seq = witness.next(ONE_BY_ONE);
        let seen = block_on(tenant.observe(event(serials[0], ONE_BY_ONE, seq))).unwrap();
        witness.hears(&format!("event {ONE_BY_ONE} {seq} {}", seen.index.unwrap()));
    }
    witness.check(&w);
    drop((tenant, w));
    witness.check(&World::open(disk.path()));
}
