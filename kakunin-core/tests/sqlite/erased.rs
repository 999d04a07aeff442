//! What was erased on the record is no damage to who checks the logs.

use kakunin_core::id::{AgentId, TenantId};
use kakunin_core::log::entry::LogId;
use kakunin_core::month::Month;
use kakunin_core::service::{Kakunin, LogCheck, Progress};
use kakunin_core::time::{Clock, SystemClock};
use pollster::block_on;
use rusqlite::Connection;

use crate::deployment::{agent, checked_size, open};
use crate::verified::{act, checked, read};

fn erase(kakunin: &Kakunin, acme: &TenantId, agent: &AgentId) {
    let month = Month::of(SystemClock.now());
    let reason = "ticket 4711".to_owned().try_into().unwrap();
    assert!(block_on(kakunin.tenant(acme).erase(agent, month, month, reason)).unwrap().destroyed);
}

#[test]
fn what_was_erased_on_the_record_is_no_damage_wherever_it_is_begun() {
    let dir = tempfile::tempdir().unwrap();
    let (kakunin, acme) = open(dir.path(), &dir.path().join("keys"));
    let (one, serial) = agent(&kakunin, &acme, "one");
    act(&kakunin, &acme, serial, 5);
    erase(&kakunin, &acme, &one);
    let size = checked_size(&kakunin, &acme);
    act(&kakunin, &acme, serial, 5);
    act(&kakunin, &acme, serial, 5);
    let (file, keys, log) = (dir.path().join("k.db"), dir.path().join("keys"), LogId::Tenant(acme));
    let all = checked((&file, &keys), &log, 0, &[], None);
    assert_eq!((all.bad, all.erased), (None, 5));
    let after = checked((&file, &keys), &log, size + 5, &[], None);
    assert_eq!((after.from, after.bad, after.erased), (size + 5, None, 0));
    assert_eq!(after.payloads, 5, "their key has another name since");
}

#[test]
fn what_is_erased_while_it_runs_is_no_damage_and_what_no_record_erased_is() {
    let dir = tempfile::tempdir().unwrap();
    let (kakunin, acme) = open(dir.path(), &dir.path().join("keys"));
    let (_, busy) = agent(&kakunin, &acme, "busy");
    let (two, serial) = agent(&kakunin, &acme, "two");
    (0..11).for_each(|_| act(&kakunin, &acme, busy, 100));
    act(&kakunin, &acme, serial, 20);
    let (file, keys, log) = (dir.path().join("k.db"), dir.path().join("keys"), LogId::Tenant(acme.clone()));
    let size = checked_size(&kakunin, &acme);
    let run = |meanwhile: &mut (dyn FnMut() + Send)| {
        let (store, sink) = read(&file, &keys);
        let check = block_on(LogCheck::new(&*sink, &*store, None)).unwrap();
        let mut told = 0;
        let mut tell = |_: Progress<'_>| {
            told += 1;
            if told == 1 {
                meanwhile();
            }
        };
        block_on(check.log(&log, 0, &[], &mut tell)).unwrap()
    };
    let checked = run(&mut || {
        erase(&kakunin, &acme, &two);
        act(&kakunin, &acme, serial, 3);
    });
    assert_eq!((checked.bad, checked.erased), (None, 20));
    assert!(checked.size > size && checked.records == checked.size, "{checked:?}");
    drop(kakunin);
    // The keys alone.
    let checked = run(&mut || {
        let connection = Connection::open(&file).unwrap();
        let gone = connection.execute("DELETE FROM state WHERE CAST(key AS TEXT) LIKE 'payload-key/%'", []);
        assert!(gone.unwrap() > 0);
    });
    assert_eq!(checked.bad.map(|bad| bad.fault.code()), Some("payload_missing"));
}
