//! Several stores over one database: which append wins, what others hear, and who is on duty.

use std::sync::mpsc::channel;
use std::time::Duration;

use kakunin_core::conformance::{at_once, audit_sink};
use kakunin_core::error::StoreError;
use kakunin_core::log::entry::LogId;
use kakunin_core::store::audit::AuditSink;
use kakunin_core::store::duty::Duties;
use kakunin_core::store::postgres::PostgresStore;
use kakunin_core::store::state::{Change, Kind, StateStore};
use kakunin_core::time::{Clock, SystemClock};
use pollster::block_on;

use crate::cluster::{APPLICATION, database, until};
use crate::logs::{checked_size, grow, tenant};

#[test]
fn of_two_stores_that_append_to_one_head_exactly_one_wins() {
    let database = database();
    let (stores, log) = ([database.open(), database.open()], tenant(1));
    for round in 0..100_u64 {
        let head = block_on(stores[0].head(&log)).unwrap().0;
        let results = at_once(2, |i| {
            let leaf = format!("{round}/{i}");
            let append = audit_sink::append(log.clone(), &head, &[leaf.as_bytes()]);
            stores[i].append(vec![append])
        });
        let won = results.iter().filter(|result| result.is_ok()).count();
        let lost = results.iter().filter(|result| matches!(result, Err(StoreError::Conflict))).count();
        assert_eq!((won, lost), (1, 1), "{results:?}");
    }
    assert_eq!(checked_size(&stores[1], &log), 100);
}

#[test]
fn two_that_name_the_same_logs_in_another_order_do_not_wait_for_each_other() {
    let database = database();
    let (stores, logs) = ([database.open(), database.open()], [tenant(1), tenant(2)]);
    for _ in 0..30 {
        let heads = logs.clone().map(|log| block_on(stores[0].head(&log)).unwrap().0);
        let results = at_once(2, |i| {
            let mut appends: Vec<_> = logs
                .iter()
                .zip(&heads)
                .map(|(log, head)| audit_sink::append(log.clone(), head, &[b"x"]))
                .collect();
            if i == 1 {
                appends.reverse();
            }
            stores[i].append(appends)
        });
        assert_eq!(results.iter().filter(|result| result.is_ok()).count(), 1, "{results:?}");
    }
    for log in &logs {
        assert_eq!(checked_size(&stores[0], log), 30);
    }
}

#[test]
fn appends_that_are_under_way_stand_on_each_other() {
    let database = database();
    let (store, log) = (database.open(), tenant(1));
    let mut head = block_on(store.head(&log)).unwrap().0;
    let mut appends = Vec::new();
    for n in 0..50_u8 {
        let append = audit_sink::append(log.clone(), &head, &[&[n]]);
        head = append.next.clone();
        appends.push(append);
    }
    let all = appends.into_iter().map(|append| store.append(vec![append]));
    for done in block_on(futures_util::future::join_all(all)) {
        done.unwrap();
    }
    assert_eq!(checked_size(&store, &log), 50);
}

#[test]
fn an_append_that_brings_its_changes_costs_no_more_to_apply() {
    let database = database();
    let (store, log) = (database.open(), tenant(1));
    let change = Change { kind: Kind::Agent, key: b"k".to_vec(), value: Some(b"1".to_vec()) };
    let mut append = audit_sink::append(log.clone(), &Default::default(), &[b"x"]);
    append.changes = vec![change.clone()].into();
    block_on(store.append(vec![append])).unwrap();
    // Without any database.
    let close = format!("ALTER DATABASE {} WITH ALLOW_CONNECTIONS false", database.name);
    database.cluster.sql("postgres", "postgres", &close).unwrap();
    let end =
        format!("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '{}'", database.name);
    database.cluster.sql("postgres", "postgres", &end).unwrap();
    block_on(StateStore::apply(&store, &log, 1, &[change])).unwrap();
    assert!(block_on(store.head(&log)).is_err());
}

/// What the store hears next; that the database was heard, and nothing grew, is not told.
fn heard(store: &PostgresStore, within: Duration) -> Option<Vec<(LogId, u64)>> {
    let (told, tells) = channel();
    std::thread::scope(|scope| {
        let (stop, stopped) = futures_channel::oneshot::channel::<()>();
        scope.spawn(move || {
            let grown = Box::pin(async {
                loop {
                    let grown = store.grown().await;
                    if !grown.is_empty() {
                        return grown;
                    }
                }
            });
            if let futures_util::future::Either::Left((grown, _)) =
                block_on(futures_util::future::select(grown, stopped))
            {
                told.send(grown).unwrap();
            }
        });
        let heard = tells.recv_timeout(within).ok();
        drop(stop);
        heard
    })
}

#[test]
fn what_one_appends_the_other_hears_and_no_one_hears_itself() {
    let database = database();
    let (one, other, log) = (database.open(), database.open(), tenant(1));
    for size in 1..=5 {
        grow(&one, &log, 1).unwrap();
        let told = heard(&other, Duration::from_secs(5)).unwrap();
        assert_eq!(told, [(log.clone(), size)]);
    }
    assert_eq!(heard(&one, Duration::from_millis(1_500)), None);
    grow(&other, &log, 1).unwrap();
    assert_eq!(heard(&one, Duration::from_secs(5)).unwrap(), [(log.clone(), 6)]);
    assert_eq!(heard(&other, Duration::from_millis(1_500)), None);
}

#[test]
fn notices_come_at_once() {
    let database = database();
    let (one, other, log) = (database.open(), database.open(), tenant(1));
    grow(&one, &log, 1).unwrap();
    heard(&other, Duration::from_secs(5)).unwrap();
    let mut quickest = Duration::MAX;
    for _ in 0..10 {
        grow(&one, &log, 1).unwrap();
        let began = std::time::Instant::now();
        heard(&other, Duration::from_secs(5)).unwrap();
        quickest = quickest.min(began.elapsed());
    }
    assert!(quickest < Duration::from_millis(100), "{quickest:?}");
}

#[test]
fn what_is_appended_while_nobody_listens_is_heard_later() {
    let database = database();
    let (one, other, log) = (database.open(), database.open(), tenant(1));
    grow(&one, &log, 1).unwrap();
    heard(&other, Duration::from_secs(5)).unwrap();
    until("both listen", || {
        database.admin("SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND application_name = 'kakunin listener'") == "2"
    });
    assert_eq!(database.end_sessions("kakunin listener"), 2);
    grow(&one, &log, 1).unwrap();
    assert_eq!(heard(&other, Duration::from_secs(5)).unwrap(), [(log.clone(), 2)]);
    database.end_sessions("kakunin notices");
    grow(&one, &log, 1).unwrap();
    assert_eq!(heard(&other, Duration::from_secs(5)).unwrap(), [(log.clone(), 3)]);
}

#[test]
fn who_does_not_wait_any_more_takes_nothing_along() {
    let database = database();
    let (one, other, log) = (database.open(), database.open(), tenant(1));
    for _ in 0..10 {
        assert_eq!(heard(&other, Duration::from_millis(1)), None);
    }
    grow(&one, &log, 2).unwrap();
    assert_eq!(heard(&other, Duration::from_secs(5)).unwrap(), [(log, 2)]);
}

#[test]
fn duty_moves_when_the_session_of_who_has_it_ends() {
    let database = database();
    let (one, other) = (database.open(), database.open());
    assert!(block_on(one.on_duty()));
    for _ in 0..3 {
        assert!(block_on(one.on_duty()) && !block_on(other.on_duty()));
        std::thread::sleep(Duration::from_millis(500));
    }
    assert_eq!(database.end_sessions("kakunin duty"), 2);
    until("who lost it says so", || !block_on(one.on_duty()) || block_on(other.on_duty()));
    std::thread::sleep(Duration::from_secs(1));
    let on_duty = [&other, &one].map(|store| block_on(store.on_duty()));
    assert_eq!(on_duty.iter().filter(|on_duty| **on_duty).count(), 1, "{on_duty:?}");
    let (one, other) = if on_duty[0] { (other, one) } else { (one, other) };
    drop(one);
    until("the other takes it over", || block_on(other.on_duty()));
}

#[test]
fn the_clock_is_the_databases() {
    let database = database();
    let clock = database.open().clock();
    let (here, there) = (SystemClock.now(), clock.now());
    assert!(here.since(there).max(there.since(here)) < 1_000, "{here} {there}");
    std::thread::sleep(Duration::from_millis(50));
    let later = clock.now();
    assert!((45..1_000).contains(&later.since(there)), "{there} {later}");
}

#[test]
fn a_store_is_opened_within_a_runtime_as_well() {
    let database = database();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let store = PostgresStore::open(&database.options(crate::cluster::APPLICATION)).await.unwrap();
        audit_sink::what_is_read_is_what_was_appended(&store).await;
        drop(store.turn(&tenant(1)).await.unwrap());
    });
}

#[test]
fn of_two_that_make_a_month_at_once_the_later_finds_it() {
    let database = database();
    let make = "SELECT audit.make_month((now() + interval '2 months')::date)";
    let slow = format!("BEGIN; {make}; SELECT pg_sleep(1); COMMIT");
    std::thread::scope(|scope| {
        let first = scope.spawn(|| database.sql(APPLICATION, &slow));
        std::thread::sleep(Duration::from_millis(400));
        assert_eq!(database.sql(APPLICATION, make).as_deref(), Ok("t"));
        assert!(first.join().unwrap().is_ok());
    });
}
