//! A disk without room.

use std::path::Path;
use std::process::Command;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use kakunin_core::agent::NewAgent;
use kakunin_core::issue::Profile;
use kakunin_core::key::KeyAlgorithm;
use kakunin_core::revoke::Cause;
use kakunin_core::service::{InboxFilter, KeySource};
use pollster::block_on;

use crate::deployment::{MODEL, certified, checked_size, event, open};

#[test]
fn a_full_disk_is_one_clear_error_and_loses_nothing_acknowledged() {
    let (dir, keys) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let mounted =
        Command::new("mount").args(["-t", "tmpfs", "-o", "size=3m", "tmpfs"]).arg(dir.path()).status();
    assert!(mounted.is_ok_and(|s| s.success()), "this test mounts a small tmpfs: run it as root");
    let _unmount = Unmount(dir.path());
    let ballast = dir.path().join("ballast");
    std::fs::write(&ballast, vec![0; 1_000_000]).unwrap();
    let (kakunin, acme) = open(dir.path(), keys.path());
    let serial = certified(&kakunin, &acme);
    assert!(block_on(kakunin.suspect_impersonation(&serial)).unwrap());
    let mut acknowledged = Vec::new();
    let error = loop {
        match block_on(kakunin.tenant(&acme).observe(event(serial))) {
            Ok(seen) => acknowledged.push(seen.index.unwrap()),
            Err(error) => break error,
        }
    };
    assert_eq!(error.code(), "storage_full", "{error}");
    assert!(error.to_string().contains("free space") && acknowledged.len() > 50, "{error}");
    let size = checked_size(&kakunin, &acme);
    assert!(acknowledged.iter().all(|index| *index < size));
    assert_eq!(block_on(kakunin.tenant(&acme).observe(event(serial))).unwrap_err().code(), "storage_full");
    // The inbox is read all the same, and shows as unread what could not be marked.
    let inbox = || block_on(kakunin.tenant(&acme).inbox(&InboxFilter::default(), None, 9)).unwrap();
    let refused = block_on(kakunin.tenant(&acme).mark_read_up_to(u64::MAX)).unwrap_err();
    assert_eq!((refused.code(), inbox().unread, inbox().items.len()), ("storage_full", 1, 1));
    let item = inbox().items[0].index;
    assert_eq!(block_on(kakunin.tenant(&acme).mark_read(item)).unwrap_err().code(), "storage_full");
    std::fs::remove_file(&ballast).unwrap();
    acknowledged.push(block_on(kakunin.tenant(&acme).observe(event(serial))).unwrap().index.unwrap());
    assert_eq!(block_on(kakunin.tenant(&acme).mark_read(item)).unwrap(), 0);
    drop(kakunin);
    let (kakunin, acme) = open(dir.path(), keys.path());
    let size = checked_size(&kakunin, &acme);
    assert!(acknowledged.windows(2).all(|w| w[0] < w[1]) && acknowledged.iter().all(|index| *index < size));
}

#[test]
fn while_a_flood_fills_the_disk_every_halt_goes_through() {
    let (dir, keys) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let mounted =
        Command::new("mount").args(["-t", "tmpfs", "-o", "size=12m", "tmpfs"]).arg(dir.path()).status();
    assert!(mounted.is_ok_and(|s| s.success()), "this test mounts a small tmpfs: run it as root");
    let _unmount = Unmount(dir.path());
    let (kakunin, acme) = open(dir.path(), keys.path());
    let agent = |n: usize| {
        let new = NewAgent::new(&format!("a{n}"), MODEL, ["read:a"]).unwrap();
        let id = block_on(kakunin.tenant(&acme).register(new)).unwrap().id;
        let source = KeySource::Provider(KeyAlgorithm::P256);
        (id, block_on(kakunin.tenant(&acme).certify(&id, Profile::Standard, source)).unwrap().facts.serial)
    };
    let agents: Vec<_> = (0..31).map(agent).collect();
    let flooding = agents[0].1;
    let (recorded, refused, over) = (AtomicU64::new(0), AtomicU64::new(0), AtomicBool::new(false));
    let set_aside = block_on(kakunin.room()).reserve;
    assert!(set_aside >= 1 << 20);
    std::thread::scope(|scope| {
        for _ in 0..3 {
            scope.spawn(|| {
                while !over.load(Ordering::Relaxed) {
                    match block_on(kakunin.tenant(&acme).observe_all(vec![event(flooding); 50])) {
                        Ok(each) => each.iter().for_each(|one| match one {
                            Ok(_) => _ = recorded.fetch_add(1, Ordering::Relaxed),
                            Err(error) => {
                                assert_eq!(error.code(), "storage_full");
                                refused.fetch_add(1, Ordering::Relaxed);
                            }
                        }),
                        Err(error) => assert_eq!(error.code(), "storage_full"),
                    }
                }
            });
        }
        for (n, (id, _)) in agents[1..].iter().enumerate() {
            // Some before there is no room, most after.
            while n == 5 && refused.load(Ordering::Relaxed) == 0 {
                std::thread::sleep(Duration::from_millis(5));
            }
            block_on(kakunin.tenant(&acme).halt(id, Cause::OperatorInitiated, None)).unwrap();
        }
        over.store(true, Ordering::Relaxed);
    });
    let room = block_on(kakunin.room());
    assert!(room.full && room.reserve > 0 && recorded.load(Ordering::Relaxed) > 100, "{room:?}");
    let size = checked_size(&kakunin, &acme);
    drop(kakunin);
    let (kakunin, acme) = open(dir.path(), keys.path());
    assert_eq!(checked_size(&kakunin, &acme), size);
    for (_, serial) in &agents[1..] {
        assert!(kakunin.revocations().reason(&kakunin.issuer().id(), serial).unwrap().is_some());
    }
}

struct Unmount<'a>(&'a Path);

impl Drop for Unmount<'_> {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("-l").arg(self.0).status();
    }
}
