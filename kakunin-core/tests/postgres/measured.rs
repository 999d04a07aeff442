//! What an append costs beside a bare insert of the same rows. Figures, and no test of anything: run it by its name.

use std::time::{Duration, Instant};

use kakunin_core::conformance::audit_sink;
use kakunin_core::log::entry::{Entry, Payload};
use kakunin_core::log::merkle::leaf_hash;
use kakunin_core::store::audit::{Append, AuditSink, Head};
use pollster::block_on;

use crate::cluster::{APPLICATION, database};
use crate::logs::tenant;

/// Entries of an append, and appends.
const ENTRIES: usize = 1_000;
const ROUNDS: usize = 60;
/// As the store's own statement, without what it does beside the rows.
const BARE: &str = "INSERT INTO audit.entry(log, month, idx, leaf, salt, payload) \
    SELECT $1, date_trunc('month', now() AT TIME ZONE 'UTC')::date, $2 + e.n - 1, e.leaf, e.salt, e.payload \
    FROM unnest($3::bytea[], $4::bytea[], $5::bytea[]) WITH ORDINALITY AS e(leaf, salt, payload, n)";

fn append(head: &Head, first: usize) -> Append {
    let mut append = audit_sink::append(tenant(1), head, &[b"x"]);
    append.next = head.clone();
    append.entries = (first..first + ENTRIES)
        .map(|n| {
            let mut leaf = n.to_be_bytes().repeat(32);
            leaf.truncate(200);
            append.next.frontier.push(leaf_hash(&leaf));
            let octets: Vec<u8> =
                (0..300).map(|at| u8::try_from((n * 31 + at * 17) % 251).unwrap()).collect();
            Entry { leaf, payload: Some(Payload { salt: [7; 32], octets }) }
        })
        .collect();
    append.next.time = kakunin_core::time::UnixTime::from_millis(
        u64::try_from(
            std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_millis(),
        )
        .unwrap(),
    );
    append
}

fn middle(mut times: Vec<Duration>) -> Duration {
    times.sort();
    times[times.len() / 2]
}

#[test]
#[ignore = "a measurement: run it with --release"]
fn an_append_of_a_thousand_entries_beside_a_bare_insert() {
    let database = database();
    let store = database.open();
    let mut head = Head::default();
    let mut appends = Vec::new();
    for round in 0..ROUNDS {
        let append = append(&head, round * ENTRIES);
        head = append.next.clone();
        appends.push(append);
    }
    let entries: Vec<Vec<Entry>> = appends.iter().map(|append| append.entries.clone()).collect();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let (mut bare, mut whole) = (Vec::new(), Vec::new());
    runtime.block_on(async {
        let url = database.url(APPLICATION);
        let (client, connection) = tokio_postgres::connect(&url, tokio_postgres::NoTls).await.unwrap();
        tokio::spawn(connection);
        let statement = client.prepare(BARE).await.unwrap();
        for (round, entries) in entries.iter().enumerate() {
            let leaves: Vec<&[u8]> = entries.iter().map(|entry| entry.leaf.as_slice()).collect();
            let payload = |entry: &Entry| entry.payload.clone().unwrap();
            let salts: Vec<Vec<u8>> = entries.iter().map(|entry| payload(entry).salt.to_vec()).collect();
            let octets: Vec<Vec<u8>> = entries.iter().map(|entry| payload(entry).octets).collect();
            let first = i64::try_from(round * ENTRIES).unwrap();
            let began = Instant::now();
            let values: [&(dyn tokio_postgres::types::ToSql + Sync); 5] =
                [&"bare", &first, &leaves, &salts, &octets];
            let (begun, inserted, committed) = futures_util::future::join3(
                client.batch_execute("BEGIN"),
                client.execute(&statement, &values),
                client.batch_execute("COMMIT"),
            )
            .await;
            begun.unwrap();
            inserted.unwrap();
            committed.unwrap();
            bare.push(began.elapsed());
        }
    });
    for append in appends {
        let began = Instant::now();
        block_on(store.append(vec![append])).unwrap();
        whole.push(began.elapsed());
    }
    let one: Vec<_> = (0..300)
        .map(|_| {
            let mut append = append(&head, 0);
            append.entries.truncate(1);
            append.next = head.clone();
            append.next.frontier.push(leaf_hash(&append.entries[0].leaf));
            head = append.next.clone();
            let began = Instant::now();
            block_on(store.append(vec![append])).unwrap();
            began.elapsed()
        })
        .collect();
    let (bare, whole) = (middle(bare), middle(whole));
    println!(
        "{ENTRIES} entries: bare insert {bare:?}, append {whole:?}, {:.2} times as long; one entry: {:?}",
        whole.as_secs_f64() / bare.as_secs_f64(),
        middle(one)
    );
}
