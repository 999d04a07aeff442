//! What is there after a crash, and what is said about what nobody knows.

use std::sync::Mutex;
use std::time::Duration;

use kakunin_core::error::StoreError;
use kakunin_core::store::audit::AuditSink;
use pollster::block_on;

use crate::cluster::{Cluster, until};
use crate::logs::{checked_size, grow, tenant};

#[test]
fn everything_acknowledged_is_there_after_a_crash() {
    let cluster = Cluster::start();
    let database = cluster.database();
    let mut acknowledged = [0; 4];
    for round in 0..4_u64 {
        let store = database.open();
        let acks = Mutex::new(acknowledged);
        std::thread::scope(|scope| {
            for log in 0..4 {
                let (store, acks) = (&store, &acks);
                scope.spawn(move || {
                    for step in (1..).map(|n| 1 + n * 37 % 200) {
                        match grow(store, &tenant(log), step) {
                            Ok(size) => acks.lock().unwrap()[log] = size,
                            Err(StoreError::Unavailable(_) | StoreError::NotWritten(_)) => break,
                            Err(other) => panic!("{other:?}"),
                        }
                    }
                });
            }
            std::thread::sleep(Duration::from_millis(150 + round * 77 % 200));
            cluster.crash();
        });
        drop(store);
        cluster.resume();
        let store = database.open();
        acknowledged = acks.into_inner().unwrap();
        for (log, size) in acknowledged.iter_mut().enumerate() {
            let there = checked_size(&store, &tenant(log));
            assert!(there >= *size, "round {round}, log {log}: {size} acknowledged, {there} there");
            *size = there;
        }
    }
    assert!(acknowledged.iter().all(|size| *size > 0));
}

#[test]
fn a_store_goes_on_after_its_server_was_started_again() {
    let cluster = Cluster::start();
    let database = cluster.database();
    let (store, log) = (database.open(), tenant(1));
    grow(&store, &log, 2).unwrap();
    cluster.crash();
    for _ in 0..3 {
        let append = kakunin_core::conformance::audit_sink::append(log.clone(), &Default::default(), &[b"x"]);
        let refused = block_on(store.append(vec![append]));
        assert!(matches!(refused, Err(StoreError::NotWritten(_))), "it is certain: {refused:?}");
    }
    assert!(block_on(store.turn(&log)).is_err() && block_on(store.head(&log)).is_err());
    cluster.resume();
    until("it reads again", || block_on(store.head(&log)).is_ok());
    grow(&store, &log, 1).unwrap();
    assert_eq!(checked_size(&store, &log), 3);
}

#[test]
fn of_a_commit_that_was_cut_off_nobody_says_what_became_of_it() {
    let cluster = Cluster::start();
    let database = cluster.database();
    let (store, log) = (database.open(), tenant(1));
    grow(&store, &log, 1).unwrap();
    // A commit waits for a standby that is not there: it is written, and not acknowledged.
    database.admin("ALTER SYSTEM SET synchronous_standby_names = 'nobody'");
    database.admin("SELECT pg_reload_conf()");
    let (size, outcome) = std::thread::scope(|scope| {
        // The server takes its settings in when it comes to it.
        let appends = scope.spawn(|| {
            let mut size = 1;
            loop {
                match grow(&store, &log, 1) {
                    Ok(grown) => size = grown,
                    refused => return (size, refused),
                }
            }
        });
        let waits = "SELECT count(*) FROM pg_stat_activity WHERE wait_event = 'SyncRep' AND application_name = 'kakunin writer'";
        let waits = format!("SET synchronous_commit = local; {waits}");
        until("the commit waits", || database.admin(&waits) == "1");
        database.end_sessions("kakunin writer");
        appends.join().unwrap()
    });
    assert!(matches!(outcome, Err(StoreError::Unavailable(_))), "{outcome:?}");
    database.admin("ALTER SYSTEM RESET synchronous_standby_names");
    database.admin("SELECT pg_reload_conf()");
    until("what was cut off is seen", || {
        block_on(store.head(&log)).is_ok_and(|(head, _)| head.frontier.size() == size + 1)
    });
    assert_eq!(checked_size(&store, &log), size + 1);
}

#[test]
fn a_statement_that_was_cut_off_before_the_commit_wrote_nothing() {
    let cluster = Cluster::start();
    let database = cluster.database();
    let (store, log) = (database.open(), tenant(1));
    grow(&store, &log, 1).unwrap();
    let outcome = std::thread::scope(|scope| {
        let locks = "BEGIN; SELECT 1 FROM state.head WHERE log = 't1' FOR UPDATE; SELECT pg_sleep(1.5)";
        scope.spawn(|| database.admin(locks));
        std::thread::sleep(Duration::from_millis(400));
        let appends = scope.spawn(|| grow(&store, &log, 1));
        let waits = "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND application_name = 'kakunin writer'";
        until("the append waits", || database.admin(waits) == "1");
        assert_eq!(database.end_sessions("kakunin writer"), 1);
        appends.join().unwrap()
    });
    assert!(matches!(outcome, Err(StoreError::NotWritten(_))), "{outcome:?}");
    assert_eq!(checked_size(&store, &log), 1);
}
