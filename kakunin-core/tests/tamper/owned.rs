//! What the owner of the file can do to it, past every trigger: edit, cut off, put back, write anew.

use std::fs;

use kakunin_core::log::checkpoint::Checkpoint;
use pollster::block_on;

use crate::world::{Running, World};

const ACME: &str = "(SELECT id FROM log WHERE name = 'acme')";

/// One that was closed, with some history; and what somebody kept of its log.
fn closed(guarded: bool) -> (World, Checkpoint) {
    let world = World::new(guarded);
    let running = world.open();
    let serial = running.certified("one");
    running.observe(serial, 2);
    // A start reads no further back than what was stored then; what came later it reads, and it is cut off.
    block_on(running.kakunin.snapshot()).unwrap();
    running.observe(serial, 4);
    block_on(running.kakunin.keep_guard()).unwrap();
    let kept = running.checkpoint();
    (world, kept)
}

/// What a start says, what is found while it runs, and what somebody finds who verifies.
fn seen(world: &World, kept: &Checkpoint) -> (Option<&'static str>, Vec<String>, Option<String>) {
    match world.try_open() {
        Err(error) => (Some(error.code()), Vec::new(), None),
        Ok(running) => (None, running.finds(), running.verify(kept).err()),
    }
}

fn says(found: &[String], what: &str) -> bool {
    found.iter().any(|found| found.contains(what))
}

#[test]
fn a_leaf_that_was_edited_leads_to_another_root() {
    let (world, kept) = closed(true);
    world.force(&format!(
        "UPDATE leaf SET leaf = (SELECT leaf FROM leaf WHERE log_id = {ACME} AND idx = 1) WHERE log_id = {ACME} AND idx = 0"
    ));
    let (start, found, verified) = seen(&world, &kept);
    // A start reads what its seal does not cover; an older record is found by who reads them all.
    if start.is_none() {
        assert!(says(&found, "acme"), "{found:?}");
        assert!(verified.is_some());
    } else {
        assert!(matches!(start, Some("storage_corrupt" | "log_forked")), "{start:?}");
    }
}

#[test]
fn a_payload_that_was_edited_is_not_what_its_leaf_commits_to() {
    let (world, kept) = closed(true);
    world.force(&format!(
        "UPDATE payload SET octets = CAST(octets || ' ' AS BLOB) WHERE log_id = {ACME} AND idx = 1"
    ));
    let (start, found, verified) = seen(&world, &kept);
    assert_eq!(start, None, "the tree stands");
    assert!(says(&found, "record 1 of log acme: its payload is not what its leaf commits to"), "{found:?}");
    assert_eq!(verified.as_deref(), Some("payload 1 is another"));
}

#[test]
fn octets_that_were_edited_in_the_file_are_found() {
    let (world, kept) = closed(true);
    let sql = format!("SELECT octets FROM payload WHERE log_id = {ACME} AND idx = 1");
    let octets: Vec<u8> = world.sql().query_row(&sql, [], |row| row.get(0)).unwrap();
    let mut file = fs::read(world.path("k.db")).unwrap();
    let all = file.windows(octets.len()).enumerate().filter(|(_, window)| *window == octets);
    let all: Vec<_> = all.map(|(at, _)| at + octets.len() / 2).collect();
    assert!(!all.is_empty(), "it lies in one piece");
    all.into_iter().for_each(|at| file[at] ^= 1);
    fs::write(world.path("k.db"), file).unwrap();
    let (start, found, verified) = seen(&world, &kept);
    assert_eq!(start, None);
    assert!(says(&found, "is not what its leaf commits to"), "{found:?}");
    assert!(verified.is_some());
}

#[test]
fn records_that_are_missing_in_the_middle_or_stand_in_another_order_are_found() {
    let swap = format!(
        "CREATE TEMP TABLE two AS SELECT idx, leaf FROM leaf WHERE log_id = {ACME} AND idx IN (0, 1);
         UPDATE leaf SET leaf = (SELECT leaf FROM two WHERE two.idx = 1 - leaf.idx) WHERE log_id = {ACME} AND idx IN (0, 1)"
    );
    let insert = format!(
        "UPDATE leaf SET idx = -1 - idx WHERE log_id = {ACME};
         UPDATE leaf SET idx = -idx WHERE log_id = {ACME};
         INSERT INTO leaf SELECT log_id, 0, leaf FROM leaf WHERE log_id = {ACME} AND idx = 1"
    );
    for attack in [format!("DELETE FROM leaf WHERE log_id = {ACME} AND idx = 1"), swap, insert] {
        let (world, kept) = closed(true);
        world.force(&attack);
        let (start, found, verified) = seen(&world, &kept);
        assert!(
            start.is_some() || says(&found, "acme") && verified.is_some(),
            "{attack}: {start:?} {found:?}"
        );
    }
}

/// Leaves, payloads, heads and what follows from them, as if the last append had never been.
fn cut_off(world: &World, size: u64) {
    world.force(&format!(
        "DELETE FROM leaf WHERE log_id = {ACME} AND idx >= {size};
         DELETE FROM payload WHERE log_id = {ACME} AND idx >= {size};
         DELETE FROM batch WHERE log_id = {ACME} AND new_size > {size};
         UPDATE state_applied SET size = {size} WHERE log_id = {ACME}"
    ));
}

#[test]
fn a_tail_that_was_cut_off_with_its_checkpoints_is_missed_by_the_guard_alone() {
    for guarded in [false, true] {
        let (world, kept) = closed(guarded);
        cut_off(&world, kept.size - 2);
        let (start, found, verified) = seen(&world, &kept);
        if guarded {
            assert_eq!(start, Some("rolled_back"));
        } else {
            assert_eq!(
                (start, found),
                (None, Vec::new()),
                "not detected without a checkpoint kept elsewhere"
            );
            assert_eq!(verified.unwrap(), format!("it ends at {}", kept.size - 2), "and detected with one");
        }
    }
}

#[test]
fn an_older_copy_is_refused_by_the_guard_alone() {
    for guarded in [false, true] {
        let (world, _) = closed(guarded);
        world.keep("older");
        let running = world.open();
        let serial = running.certified("two");
        running.observe(serial, 1);
        block_on(running.kakunin.keep_guard()).unwrap();
        let kept = running.checkpoint();
        drop(running);
        world.put_back("older");
        let (start, found, verified) = seen(&world, &kept);
        if guarded {
            assert_eq!(start, Some("rolled_back"));
        } else {
            assert_eq!(
                (start, found),
                (None, Vec::new()),
                "not detected without a checkpoint kept elsewhere"
            );
            assert!(verified.is_some(), "and detected with one");
        }
    }
}

#[test]
fn a_wal_that_was_deleted_takes_acknowledged_records_with_it() {
    for guarded in [false, true] {
        let (world, _) = closed(guarded);
        let running = world.open();
        let serial = running.certified("two");
        running.observe(serial, 3);
        block_on(running.kakunin.keep_guard()).unwrap();
        let kept = running.checkpoint();
        // As a crash leaves the files; then the WAL is gone.
        world.keep("crashed");
        drop(running);
        fs::remove_file(world.path("crashed").join("k.db-wal")).unwrap();
        world.put_back("crashed");
        let (start, _, verified) = seen(&world, &kept);
        if guarded {
            assert_eq!(start, Some("rolled_back"));
        } else {
            assert_eq!(start, None, "not detected without a checkpoint kept elsewhere");
            assert!(verified.is_some(), "and detected with one");
        }
    }
}

/// Whoever has the log key as well goes on from an older copy until it is longer, and signs that.
#[test]
fn what_was_written_anew_and_signed_is_found_against_what_others_kept() {
    let (world, _) = closed(true);
    world.keep("older");
    let running = world.open();
    running.certified("true");
    block_on(running.kakunin.keep_guard()).unwrap();
    let kept = running.checkpoint();
    drop(running);
    let guard = fs::read(world.path("guard")).unwrap();
    world.put_back("older");
    // With no guard in the way, as on a machine of theirs.
    let theirs = World { guarded: false, ..world };
    let running = theirs.open();
    let serial = running.certified("forged");
    running.observe(serial, 6);
    assert!(running.checkpoint().size > kept.size);
    drop(running);
    let world = World { guarded: true, ..theirs };
    fs::write(world.path("guard"), &guard).unwrap();
    assert_eq!(world.refused(), "log_forked", "the guard kept a root that this log does not lead to");
    // Whoever owns the guard, too, makes it anew.
    let running = Running::over(
        block_on(kakunin_core::service::Kakunin::renew_guard(World::config(), world.parts().unwrap()))
            .unwrap(),
    )
    .unwrap();
    assert_eq!(running.finds(), Vec::<String>::new(), "not detected by anything that lies here");
    assert_eq!(running.verify(&running.checkpoint()), Ok(()));
    assert_eq!(running.verify(&kept), Err("another root".to_owned()), "detected by who kept a checkpoint");
}

#[test]
fn two_copies_that_are_shown_to_two_people_are_told_apart_by_their_checkpoints() {
    let (world, _) = closed(false);
    world.keep("fork");
    let running = world.open();
    running.certified("for one");
    let one = running.checkpoint();
    drop(running);
    world.put_back("fork");
    let running = world.open();
    running.certified("for the other");
    let other = running.checkpoint();
    assert_eq!(running.finds(), Vec::<String>::new(), "each looks whole by itself");
    assert_eq!((one.size, one.origin), (other.size, other.origin), "the same size of the same log");
    assert_ne!(one.root, other.root, "and two roots, both signed");
}

#[test]
fn a_payload_that_was_taken_away_is_missed() {
    let (world, kept) = closed(true);
    world.force(&format!("DELETE FROM payload WHERE log_id = {ACME} AND idx = 1"));
    let (start, found, verified) = seen(&world, &kept);
    assert_eq!(start, None);
    assert!(says(&found, "record 1 of log acme: its payload is gone"), "{found:?}");
    assert_eq!(verified.as_deref(), Some("payload 1 is another"));
}
