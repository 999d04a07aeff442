//! The guard: when it is written, what it lets through, and what it refuses.

use std::fs;

use kakunin_core::service::Kakunin;
use pollster::block_on;

use crate::world::{Running, World};

fn kept(world: &World) -> serde_json::Value {
    serde_json::from_slice(&fs::read(world.path("guard")).unwrap()).unwrap()
}

fn size_of(world: &World, log: &str) -> u64 {
    let kept = kept(world);
    let note = kept["checkpoints"][log].as_str().unwrap();
    note.lines().nth(1).unwrap().parse().unwrap()
}

#[test]
fn it_lags_and_is_never_ahead() {
    let world = World::new(true);
    let running = world.open();
    let serial = running.certified("one");
    let before = size_of(&world, "_system");
    assert!(
        kept(&world)["checkpoints"]["acme"].is_null(),
        "written when it was opened, before there was a tenant"
    );
    running.observe(serial, 3);
    block_on(running.kakunin.tend()).unwrap();
    assert_eq!(size_of(&world, "acme"), running.checkpoint().size, "the follower's turn");
    assert!(size_of(&world, "_system") > before);
    let modified = fs::metadata(world.path("guard")).unwrap().modified().unwrap();
    block_on(running.kakunin.keep_guard()).unwrap();
    assert_eq!(fs::metadata(world.path("guard")).unwrap().modified().unwrap(), modified, "nothing grew");
    // Behind by some records, as after a crash.
    let behind = fs::read(world.path("guard")).unwrap();
    running.observe(serial, 5);
    block_on(running.kakunin.keep_guard()).unwrap();
    drop(running);
    fs::write(world.path("guard"), behind).unwrap();
    let running = world.open();
    assert_eq!(size_of(&world, "acme"), running.checkpoint().size, "level again");
}

#[test]
fn a_deployment_without_one_is_given_one_and_misses_it_from_then_on() {
    let mut world = World::new(false);
    drop(world.open());
    world.guarded = true;
    drop(world.open());
    assert!(world.path("guard").exists(), "an upgrade in place makes it");
    fs::remove_file(world.path("guard")).unwrap();
    assert_eq!(world.refused(), "guard_missing");
    let renewed = block_on(Kakunin::renew_guard(World::config(), world.parts().unwrap())).unwrap();
    drop(renewed);
    drop(world.open());
    // Whoever stops using it may.
    world.guarded = false;
    drop(world.open());
}

#[test]
fn what_is_no_guard_of_this_deployment_is_refused_and_said_to_be() {
    let world = World::new(true);
    let running = world.open();
    running.certified("one");
    block_on(running.kakunin.keep_guard()).unwrap();
    drop(running);
    let good = fs::read_to_string(world.path("guard")).unwrap();
    let other = World::new(true);
    drop(other.open());
    let theirs = fs::read_to_string(other.path("guard")).unwrap();
    let cut = good[..good.len() / 2].to_owned();
    let forged = good.replace("\\n7\\n", "\\n1\\n");
    for text in [String::new(), "{}".to_owned(), cut, good.replace("\"format\": 1", "\"format\": 2"), theirs]
    {
        fs::write(world.path("guard"), &text).unwrap();
        assert_eq!(world.refused(), "guard_foreign", "{text}");
    }
    if forged != good {
        fs::write(world.path("guard"), &forged).unwrap();
        assert_eq!(world.refused(), "guard_foreign", "a size that nobody signed");
    }
    fs::write(world.path("guard"), good).unwrap();
    drop(world.open());
}

#[test]
fn a_guard_without_its_database_begins_no_new_deployment() {
    let world = World::new(true);
    drop(world.open());
    for file in ["k.db", "k.db-wal", "k.db-shm"] {
        let _ = fs::remove_file(world.path(file));
    }
    assert_eq!(world.refused(), "database_gone");
}

#[test]
fn a_guard_that_cannot_be_written_stops_nothing_and_shows() {
    let world = World::new(true);
    let running = world.open();
    let serial = running.certified("one");
    fs::create_dir(world.path("guard.new")).unwrap();
    running.observe(serial, 2);
    let _ = block_on(running.kakunin.tend());
    let followers = running.kakunin.followers();
    let guard = followers.iter().find(|follower| follower.name == "guard").unwrap();
    assert!(guard.error.is_some(), "{guard:?}");
    running.observe(serial, 2);
    fs::remove_dir(world.path("guard.new")).unwrap();
    block_on(running.kakunin.keep_guard()).unwrap();
    assert_eq!(size_of(&world, "acme"), running.checkpoint().size);
}

#[test]
fn what_it_kept_is_held_against_a_log_that_grew_by_single_records() {
    let world = World::new(true);
    let running = world.open();
    let serial = running.certified("one");
    block_on(running.kakunin.keep_guard()).unwrap();
    let early = fs::read(world.path("guard")).unwrap();
    running.observe(serial, 40);
    drop(running);
    fs::write(world.path("guard"), &early).unwrap();
    drop(world.open());
    // The row of that head is gone: what it was follows from the leaves.
    fs::write(world.path("guard"), early).unwrap();
    let size = size_of(&world, "acme");
    world.force(&format!(
        "DELETE FROM batch WHERE new_size = {size} AND log_id = (SELECT id FROM log WHERE name = 'acme')"
    ));
    let running =
        Running::over(block_on(Kakunin::open(World::config(), world.parts().unwrap())).unwrap()).unwrap();
    assert_eq!(running.verify(&running.checkpoint()), Ok(()));
}
