//! What is between keeps connections whose other end is gone, and takes whatever is sent over them.

use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use kakunin_core::conformance::{at_once, audit_sink};
use kakunin_core::id::IssuerId;
use kakunin_core::store::audit::{AuditSink, Head};
use kakunin_core::store::duty::Duties;
use kakunin_core::store::postgres::{PostgresOptions, PostgresStore};
use kakunin_core::store::revocations::RevocationStore;
use kakunin_core::store::state::{Change, Kind, StateStore};
use pollster::block_on;

use crate::cluster::{APPLICATION, database, until};
use crate::logs::{checked_size, grow, tenant};

/// Within that whoever waits is told.
const TOLD: Duration = Duration::from_secs(25);

/// Asks the store for something, and says whether it was refused.
type Ask<'a> = dyn Fn() -> BoxFuture<'a, bool> + Sync + 'a;

/// A way to a database that can fall silent: everything is taken, nothing comes back, and nobody is told.
struct Way {
    port: u16,
    silent: Arc<AtomicBool>,
}

impl Way {
    fn to(database: u16) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let (port, silent) = (listener.local_addr().unwrap().port(), Arc::new(AtomicBool::new(false)));
        let shared = silent.clone();
        std::thread::spawn(move || {
            for from in listener.incoming().flatten() {
                // Of those that were open when it fell silent nobody hears anything more.
                let stuck = Arc::new(AtomicBool::new(false));
                let to = TcpStream::connect(("127.0.0.1", database)).unwrap();
                for (mut one, mut other) in [(from.try_clone().unwrap(), to.try_clone().unwrap()), (to, from)]
                {
                    let (silent, stuck) = (shared.clone(), stuck.clone());
                    std::thread::spawn(move || {
                        let mut octets = [0; 16_384];
                        while let Ok(count @ 1..) = one.read(&mut octets) {
                            stuck.fetch_or(silent.load(Ordering::SeqCst), Ordering::SeqCst);
                            if !stuck.load(Ordering::SeqCst) && other.write_all(&octets[..count]).is_err() {
                                break;
                            }
                        }
                        _ = other.shutdown(Shutdown::Both);
                    });
                }
            }
        });
        Self { port, silent }
    }
}

#[test]
fn nobody_waits_for_ever_for_a_database_that_says_nothing() {
    let database = database();
    let url = database.url(APPLICATION);
    let address = url.rsplit('@').next().unwrap().split('/').next().unwrap();
    let port = address.rsplit(':').next().unwrap().parse().unwrap();
    let way = Way::to(port);
    let through = url.replace(&format!(":{port}/"), &format!(":{}/", way.port));
    let store = block_on(PostgresStore::open(&PostgresOptions::parse(&through).unwrap())).unwrap();
    let (log, issuer) = (tenant(1), IssuerId::from_bytes([7; 20]));
    let change = || Change { kind: Kind::Agent, key: b"k".to_vec(), value: Some(b"1".to_vec()) };
    grow(&store, &log, 2).unwrap();
    drop(block_on(store.turn(&log)).unwrap());
    let append = || vec![audit_sink::append(tenant(2), &Head::default(), &[b"x"])];
    let waited: [(&str, &Ask<'_>); 11] = [
        ("append", &|| async { store.append(append()).await.is_err() }.boxed()),
        ("turn", &|| async { store.turn(&log).await.is_err() }.boxed()),
        ("head", &|| async { store.head(&log).await.is_err() }.boxed()),
        ("read", &|| async { store.read(&log, 0, 10).await.is_err() }.boxed()),
        ("put", &|| async { store.put(&log, &[change()]).await.is_err() }.boxed()),
        ("swap", &|| async { store.swap(&log, None, &change()).await.is_err() }.boxed()),
        ("get", &|| async { store.get(&log, Kind::Agent, b"k").await.is_err() }.boxed()),
        ("view", &|| async { store.view(&log).await.is_err() }.boxed()),
        ("replace", &|| async { store.replace(&issuer, 1, &[]).await.is_err() }.boxed()),
        ("check", &|| async { store.check_again().await.is_err() }.boxed()),
        ("duty", &|| async { !store.on_duty().await }.boxed()),
    ];
    // Each has a connection that is good so far.
    let before = waited.map(|(what, ask)| (what, block_on(ask())));
    assert!(before.iter().all(|(_, refused)| !refused), "{before:?}");
    way.silent.store(true, Ordering::SeqCst);
    std::thread::sleep(Duration::from_secs(1));
    let told = at_once(waited.len(), |number| async move {
        let (what, ask) = waited[number];
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        (what, runtime.block_on(async { tokio::time::timeout(TOLD, ask()).await }))
    });
    assert!(told.iter().all(|(_, refused)| *refused == Ok(true)), "{told:?}");
    way.silent.store(false, Ordering::SeqCst);
    until("it goes on over other connections", || grow(&store, &log, 1).is_ok());
    assert_eq!(checked_size(&store, &log), 3);
}
