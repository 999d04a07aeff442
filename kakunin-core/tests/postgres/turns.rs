//! Turns: one at a time, whatever becomes of who has it.

use std::future::Future;
use std::pin::pin;
use std::sync::mpsc::channel;
use std::task::{Context, Waker};
use std::time::{Duration, Instant};

use kakunin_core::error::StoreError;
use kakunin_core::id::IssuerId;
use kakunin_core::log::entry::LogId;
use kakunin_core::store::audit::AuditSink;
use kakunin_core::store::postgres::PostgresStore;
use pollster::block_on;

use crate::cluster::{Database, database, until};
use crate::logs::{checked_size, grow, tenant};

const LOCKS: &str = "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND database = (SELECT oid FROM pg_database WHERE datname = current_database())";

fn no_locks(database: &Database<'_>) {
    until("no lock is held or waited for", || database.admin(LOCKS) == "0");
}

/// How long the other waits for a turn while somebody does something to who has it.
fn waits(other: &PostgresStore, log: &LogId, meanwhile: impl FnOnce()) -> Duration {
    std::thread::scope(|scope| {
        let (came, comes) = channel();
        scope.spawn(move || {
            let began = Instant::now();
            let turn = block_on(other.turn(log));
            came.send(began.elapsed()).unwrap();
            turn.unwrap();
        });
        assert!(comes.recv_timeout(Duration::from_millis(200)).is_err(), "two have the turn");
        meanwhile();
        comes.recv_timeout(Duration::from_secs(5)).unwrap()
    })
}

#[test]
fn of_two_stores_one_has_the_turn_and_the_other_sees_what_it_appended() {
    let database = database();
    let (one, other, log) = (database.open(), database.open(), tenant(1));
    let turn = block_on(one.turn(&log)).unwrap();
    assert_eq!(turn.size(), Some(0));
    assert_eq!(block_on(other.turn(&tenant(2))).unwrap().size(), Some(0), "another log's turn is another's");
    waits(&other, &log, || {
        grow(&one, &log, 3).unwrap();
        drop(turn);
    });
    assert_eq!(block_on(other.turn(&log)).unwrap().size(), Some(3));
    no_locks(&database);
}

#[test]
fn a_turn_goes_on_over_several_appends() {
    let database = database();
    let (one, log) = (database.open(), tenant(1));
    let turn = block_on(one.turn(&log)).unwrap();
    (0..5).for_each(|_| _ = grow(&one, &log, 2).unwrap());
    drop(turn);
    assert_eq!(checked_size(&one, &log), 10);
}

#[test]
fn two_of_one_process_queue() {
    let database = database();
    let (store, log) = (database.open(), tenant(1));
    let turn = block_on(store.turn(&log)).unwrap();
    waits(&store, &log, || drop(turn));
    std::thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| {
                for _ in 0..10 {
                    let turn = block_on(store.turn(&log)).unwrap();
                    let size = grow(&store, &log, 1).unwrap();
                    assert_eq!(turn.size().map(|before| before + 1), Some(size));
                }
            });
        }
    });
    assert_eq!(checked_size(&store, &log), 80);
    no_locks(&database);
}

#[test]
fn a_session_that_is_killed_loses_its_turn_and_writes_nothing_more() {
    let database = database();
    let (one, other, log) = (database.open(), database.open(), tenant(1));
    no_locks(&database);
    let turn = block_on(one.turn(&log)).unwrap();
    let waited = waits(&other, &log, || {
        let end = "SELECT count(pg_terminate_backend(pid)) FROM pg_locks WHERE locktype = 'advisory' AND granted AND database = (SELECT oid FROM pg_database WHERE datname = current_database())";
        assert_eq!(database.admin(end), "1");
    });
    assert!(waited < Duration::from_secs(3), "{waited:?}");
    let refused = grow(&one, &log, 1);
    assert!(matches!(refused, Err(StoreError::NotWritten(_) | StoreError::Unavailable(_))), "{refused:?}");
    drop(turn);
    assert_eq!(block_on(one.turn(&log)).unwrap().size(), Some(0));
    grow(&one, &log, 1).unwrap();
}

#[test]
fn a_process_that_stalls_loses_its_turn_within_three_seconds() {
    let database = database();
    let (one, other, log) = (database.open(), database.open(), tenant(1));
    // Nothing more is heard of it, as of a process that was stopped.
    let turn = block_on(one.turn(&log)).unwrap();
    let waited = waits(&other, &log, || {});
    assert!(waited < Duration::from_secs(3), "{waited:?}");
    drop(turn);
    grow(&one, &log, 1).unwrap();
    no_locks(&database);
}

#[test]
fn a_turn_that_nobody_waits_for_any_more_is_given_back() {
    let database = database();
    let (one, other, log) = (database.open(), database.open(), tenant(1));
    for round in 0..20 {
        let turn = block_on(one.turn(&log)).unwrap();
        let begun = pin!(other.turn(&log)).as_mut().poll(&mut Context::from_waker(Waker::noop())).is_ready();
        assert!(!begun);
        std::thread::sleep(Duration::from_millis(round * 3 % 40));
        drop(turn);
    }
    no_locks(&database);
    assert_eq!(block_on(other.turn(&log)).unwrap().size(), Some(0));
}

#[test]
fn who_waits_too_long_is_told_that_nothing_was_written() {
    let database = database();
    let (store, log) = (database.open(), tenant(1));
    until("partitions are made", || {
        database.admin("SELECT count(*) FROM pg_inherits WHERE inhparent = 'audit.entry'::regclass") == "3"
    });
    no_locks(&database);
    let turn = block_on(store.turn(&log)).unwrap();
    let key = "SELECT (classid::bigint << 32) | objid::bigint FROM pg_locks WHERE locktype = 'advisory' AND granted AND database = (SELECT oid FROM pg_database WHERE datname = current_database())";
    let key = database.admin(key);
    drop(turn);
    no_locks(&database);
    std::thread::scope(|scope| {
        scope.spawn(|| database.admin(&format!("SELECT pg_advisory_lock({key}); SELECT pg_sleep(4)")));
        until("somebody else has it", || {
            database.admin(&format!("{LOCKS} AND ((classid::bigint << 32) | objid::bigint) = {key}")) == "1"
        });
        let refused = block_on(store.turn(&log));
        assert!(matches!(refused, Err(StoreError::NotWritten(_))), "{refused:?}");
    });
    assert_eq!(block_on(store.turn(&log)).unwrap().size(), Some(0));
}

#[test]
fn who_has_tenants_turns_gets_that_of_a_list() {
    let database = database();
    let store = database.open();
    let _turns: Vec<_> = (0..16).map(|n| block_on(store.turn(&tenant(n))).unwrap()).collect();
    for log in [LogId::System, LogId::Revocations(IssuerId::from_bytes([3; 20]))] {
        let began = Instant::now();
        block_on(store.turn(&log)).unwrap();
        assert!(began.elapsed() < Duration::from_secs(1));
    }
}
