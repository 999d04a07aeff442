//! Every projection made anew from the logs: equal to what is stored, or named and written; and nothing follows from it.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use kakunin_core::key::{SignError, Signer};
use kakunin_core::log::entry::LogId;
use kakunin_core::log::record::Record;
use kakunin_core::service::{Damage, Kakunin, Parts, Rebuild, Rebuilt, RecordListener, rebuild};
use kakunin_core::store::state::{Change, Kind};
use kakunin_kms::local::LocalKeys;
use pollster::block_on;

use crate::common::{Hand, Keys, assert_folded};
use crate::world::{acme, config, live, look, parts};

fn made(parts: &Parts, what: Rebuild) -> Rebuilt {
    block_on(rebuild(config(), parts.clone(), what, None)).unwrap()
}

fn differing(rebuilt: &Rebuilt) -> Vec<(String, &'static str)> {
    rebuilt.tables.iter().filter(|t| t.differs).map(|t| (t.log.to_string(), t.table)).collect()
}

fn of_acme() -> LogId {
    LogId::Tenant(acme())
}

fn all_rows(parts: &Parts, kinds: &[Kind]) -> Vec<(LogId, Kind, Vec<u8>, Vec<u8>)> {
    let mut all = Vec::new();
    for log in [LogId::System, of_acme()] {
        for kind in kinds {
            let rows = block_on(parts.state.scan(&log, *kind, None, 100_000)).unwrap();
            all.extend(rows.into_iter().map(|(key, value)| (log.clone(), *kind, key, value)));
        }
    }
    all
}

/// Counts what is made, signed, or told.
#[derive(Debug, Default)]
struct Counts {
    made: AtomicUsize,
    signed: AtomicUsize,
    told: AtomicUsize,
}

impl Hand for Counts {
    fn generate(&self) {
        self.made.fetch_add(1, Ordering::SeqCst);
    }

    fn sign<'m>(&self, _: &dyn Signer, message: &'m [u8]) -> Result<&'m [u8], SignError> {
        // What the key of seals follows from is no signature that anybody sees.
        if !message.starts_with(b"kakunin: the key of seals") {
            self.signed.fetch_add(1, Ordering::SeqCst);
        }
        Ok(message)
    }
}

#[derive(Debug)]
struct Listener(Arc<Counts>);

impl RecordListener for Listener {
    fn recorded(&self, _: &LogId, _: u64, _: &Record) {
        self.0.told.fetch_add(1, Ordering::SeqCst);
    }
}

impl Counts {
    fn all(&self) -> [usize; 3] {
        [&self.made, &self.signed, &self.told].map(|count| count.load(Ordering::SeqCst))
    }
}

#[test]
fn a_life_is_what_its_logs_say_and_nothing_follows_from_asking() {
    let counts = Arc::new(Counts::default());
    let (mut parts, clock) = crate::common::parts(Keys(LocalKeys::ephemeral(), counts.clone()));
    parts.listener = Arc::new(Listener(counts.clone()));
    let kakunin = block_on(Kakunin::open(config(), parts.clone())).unwrap();
    let agents = live(&kakunin, &clock);
    // Not all is done that is to be done.
    let looked = look(&kakunin, &agents);
    drop(kakunin);
    let (before, rows) = (counts.all(), all_rows(&parts, &Kind::ALL));
    assert!(before.iter().all(|count| *count > 0), "{before:?}");
    let heads = || {
        block_on(parts.sink.logs()).unwrap().into_iter().map(|log| block_on(parts.sink.head(&log)).unwrap())
    };
    let size: Vec<_> = heads().collect();
    for what in [Rebuild::Compare, Rebuild::Write] {
        let rebuilt = made(&parts, what);
        assert_eq!((differing(&rebuilt), rebuilt.is_equal()), (Vec::new(), true));
        assert_eq!(rebuilt.damage, Damage::default());
        assert!(rebuilt.tables.len() > 15 && rebuilt.tables.iter().all(|t| t.before == Some(t.after)));
    }
    assert_eq!(counts.all(), before, "made, signed, told");
    assert_eq!((all_rows(&parts, &Kind::ALL), heads().collect::<Vec<_>>()), (rows, size));
    let again = block_on(Kakunin::open(config(), parts.clone())).unwrap();
    assert_eq!(look(&again, &agents), looked);
}

/// Each table, in each way in which a row is not what the log says.
#[test]
fn rows_that_are_not_what_the_logs_say_are_named_and_written() {
    let (parts, clock) = parts();
    let kakunin = block_on(Kakunin::open(config(), parts.clone())).unwrap();
    let agents = live(&kakunin, &clock);
    block_on(kakunin.tend()).unwrap();
    block_on(kakunin.snapshot()).unwrap();
    let looked = look(&kakunin, &agents);
    drop(kakunin);
    let rows = all_rows(&parts, &Kind::ALL);
    let tables = [
        (of_acme(), Kind::Agent, "agent"),
        (of_acme(), Kind::Certificate, "certificate"),
        (of_acme(), Kind::Standing, "standing"),
        (of_acme(), Kind::Dedup, "dedup"),
        (of_acme(), Kind::Inbox, "inbox"),
        (of_acme(), Kind::Risk, "histories"),
        (LogId::System, Kind::Authority, "authority"),
        (LogId::System, Kind::Tenant, "tenant"),
        (LogId::System, Kind::Deployment, "deployment"),
    ];
    for (log, kind, table) in &tables {
        let (key, value) = block_on(parts.state.scan(log, *kind, None, 2)).unwrap().pop().unwrap();
        let mut other = value.clone();
        other[0] ^= 1;
        let mut added = key.clone();
        *added.last_mut().unwrap() ^= 1;
        for (key, value) in [(&key, None), (&key, Some(other)), (&added, Some(value))] {
            block_on(parts.state.put(log, &[Change { kind: *kind, key: key.clone(), value }])).unwrap();
            let found = made(&parts, Rebuild::Compare);
            assert_eq!(differing(&found), [(log.to_string(), *table)], "{table}");
            assert!(!found.is_equal() && !found.written);
            let written = made(&parts, Rebuild::Write);
            assert_eq!((differing(&written), written.written), (differing(&found), true));
            assert!(made(&parts, Rebuild::Compare).is_equal(), "{table}");
        }
    }
    // A seal that somebody broke; and what is lost altogether.
    let seal = Change { kind: Kind::Seal, key: b"rows".to_vec(), value: Some(vec![0; 40]) };
    block_on(parts.state.put(&of_acme(), &[seal])).unwrap();
    let found = made(&parts, Rebuild::Write);
    assert_eq!((differing(&found), found.unsealed), (Vec::new(), vec![of_acme()]));
    let derived: Vec<_> =
        tables.iter().map(|(_, kind, _)| *kind).chain([Kind::Seal, Kind::CrlMark]).collect();
    for (log, kind, key, _) in all_rows(&parts, &derived) {
        block_on(parts.state.put(&log, &[Change { kind, key, value: None }])).unwrap();
    }
    let issuer = {
        let found = made(&parts, Rebuild::Write);
        // Histories of which nothing is stored are folded by any start.
        assert_eq!(differing(&found).len(), tables.len() - 1, "{:?}", differing(&found));
        let kakunin = block_on(Kakunin::open(config(), parts.clone())).unwrap();
        block_on(kakunin.load()).unwrap();
        assert_eq!((kakunin.damage(), look(&kakunin, &agents)), (Damage::default(), looked));
        kakunin.issuer().id()
    };
    // Vault, cursors, deliveries, read marks and what is yet to be told are as they were.
    let stay =
        [Kind::Vault, Kind::Cursor, Kind::Delivery, Kind::ReadMark, Kind::Plan, Kind::Crl, Kind::Layout];
    let of_before: Vec<_> = rows.into_iter().filter(|row| stay.contains(&row.1)).collect();
    assert_eq!(all_rows(&parts, &stay).len(), of_before.len());
    assert!(of_before.iter().all(|row| all_rows(&parts, &[row.1]).contains(row)));
    // Revocations.
    let applied = block_on(parts.revocations.applied(&issuer)).unwrap();
    let mut standing = block_on(parts.revocations.after(&issuer, 0, 100)).unwrap();
    assert!(standing.len() > 1);
    standing.pop();
    block_on(parts.revocations.replace(&issuer, applied, &standing)).unwrap();
    let found = made(&parts, Rebuild::Write);
    assert_eq!(differing(&found), [(format!("_revocations-{issuer}"), "revocation")]);
    assert_folded(&config(), &parts);
}

#[test]
fn a_start_of_which_nothing_comes_is_rebuilt_all_the_same() {
    let (parts, clock) = parts();
    let kakunin = block_on(Kakunin::open(config(), parts.clone())).unwrap();
    live(&kakunin, &clock);
    drop(kakunin);
    // Under its MAC, and of no form that is known.
    let row = block_on(parts.state.scan(&of_acme(), Kind::Dedup, None, 1)).unwrap().remove(0);
    let short = Change { kind: Kind::Dedup, key: vec![1; 20], value: Some(row.1) };
    block_on(parts.state.put(&of_acme(), &[short])).unwrap();
    assert_eq!(differing(&made(&parts, Rebuild::Write)), [("acme".to_owned(), "dedup")]);
    // Rows of a later program are not touched.
    let layout = Change { kind: Kind::Layout, key: vec![1], value: Some(vec![0, 2]) };
    block_on(parts.state.put(&LogId::System, &[layout])).unwrap();
    let refused = block_on(rebuild(config(), parts.clone(), Rebuild::Write, None)).unwrap_err();
    assert_eq!(refused.code(), "storage_foreign", "{refused}");
}

#[test]
fn who_watches_is_told_how_far_it_is() {
    let (parts, clock) = parts();
    let kakunin = block_on(Kakunin::open(config(), parts.clone())).unwrap();
    live(&kakunin, &clock);
    drop(kakunin);
    let told = Arc::new(std::sync::Mutex::new(Vec::new()));
    let (tell, of) = (told.clone(), of_acme());
    let progress = move |log: &LogId, done, all| {
        if *log == of {
            tell.lock().unwrap().push((done, all));
        }
    };
    block_on(rebuild(config(), parts.clone(), Rebuild::Compare, Some(Arc::new(progress)))).unwrap();
    let told = told.lock().unwrap();
    let size = block_on(parts.sink.head(&of_acme())).unwrap().0.frontier.size();
    assert!(told.is_sorted() && told.last() == Some(&(2 * size, 2 * size)), "{told:?}");
}
