//! A disk without room.

use std::path::Path;
use std::process::Command;

use kakunin_core::error::StoreError;
use kakunin_core::store::audit::AuditSink;
use pollster::block_on;

use crate::cluster::{database, give};
use crate::logs::{checked_size, grow, tenant};

struct Unmount<'a>(&'a Path);

impl Drop for Unmount<'_> {
    fn drop(&mut self) {
        _ = Command::new("umount").arg("-l").arg(self.0).status();
    }
}

#[test]
fn a_full_disk_is_one_clear_error_and_loses_nothing_acknowledged() {
    let dir = tempfile::Builder::new().prefix("kakunin-pg-").tempdir().unwrap();
    let mounted =
        Command::new("mount").args(["-t", "tmpfs", "-o", "size=24m", "tmpfs"]).arg(dir.path()).status();
    assert!(mounted.is_ok_and(|s| s.success()), "this test mounts a small tmpfs: run it as root");
    let _unmount = Unmount(dir.path());
    let space = dir.path().join("space");
    std::fs::create_dir(&space).unwrap();
    give(dir.path());
    give(&space);
    let ballast = dir.path().join("ballast");
    std::fs::write(&ballast, vec![0; 2_000_000]).unwrap();
    let database = database();
    let name = &database.name;
    let cluster = database.cluster;
    let make = format!("CREATE TABLESPACE s_{name} LOCATION '{}'", space.display());
    cluster.sql("postgres", "postgres", &make).unwrap();
    cluster.sql("postgres", "postgres", &format!("ALTER DATABASE {name} SET TABLESPACE s_{name}")).unwrap();
    let (store, log) = (database.open(), tenant(1));
    let mut acknowledged = 0;
    let error = loop {
        match grow(&store, &log, 200) {
            Ok(size) => acknowledged = size,
            Err(error) => break error,
        }
    };
    assert!(matches!(error, StoreError::Full), "{error:?}");
    assert!(acknowledged > 0 && block_on(store.room()).full);
    assert_eq!(checked_size(&store, &log), acknowledged);
    std::fs::remove_file(&ballast).unwrap();
    assert!(!block_on(store.room()).full);
    acknowledged = grow(&store, &log, 200).unwrap();
    assert_eq!(checked_size(&store, &log), acknowledged);
    drop(store);
    cluster.sql("postgres", "postgres", &format!("DROP DATABASE {name} WITH (FORCE)")).unwrap();
    cluster.sql("postgres", "postgres", &format!("DROP TABLESPACE s_{name}")).unwrap();
}
