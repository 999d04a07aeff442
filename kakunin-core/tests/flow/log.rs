//! The log: every event once, in order, under its checkpoint.

use kakunin_core::event::{Outcome, StreamSeq};
use kakunin_core::log::checkpoint::Checkpoint;
use kakunin_core::log::merkle::Frontier;
use kakunin_core::log::note::VerifierKey;
use kakunin_core::log::record::Body;
use kakunin_core::service::EventStatus;
use pollster::block_on;

use crate::world::{NOW, world};

#[test]
fn the_checkpoint_is_over_exactly_what_is_read() {
    let w = world();
    let (_, serial) = w.agent("one");
    for _ in 0..10 {
        block_on(w.kakunin.tenant(&w.acme).observe(w.event(serial, "read:accounts", Outcome::Ok))).unwrap();
    }
    let mut frontier = Frontier::default();
    for entry in block_on(w.kakunin.tenant(&w.acme).entries(0, 10_000)).unwrap() {
        frontier.push(kakunin_core::log::merkle::leaf_hash(&entry.leaf));
    }
    let key = VerifierKey::parse(&block_on(w.kakunin.tenant(&w.acme).log_verifier()).unwrap()).unwrap();
    assert_eq!(key.name(), "agents.example/acme/1");
    let note = block_on(w.kakunin.tenant(&w.acme).checkpoint()).unwrap().unwrap();
    let checkpoint = Checkpoint::open(&note, &key).unwrap();
    assert_eq!((checkpoint.size, checkpoint.root), (frontier.size(), frontier.root()));
    use signed_note::{Note, StandardVerifier, Verifier, VerifierList};
    let verifiers: Vec<Box<dyn Verifier>> = vec![Box::new(StandardVerifier::new(&key.to_string()).unwrap())];
    assert_eq!(
        Note::from_bytes(note.as_bytes()).unwrap().verify(&VerifierList::new(verifiers)).unwrap().0.len(),
        1
    );
}

#[test]
fn an_event_is_recorded_once() {
    let w = world();
    let (_, serial) = w.agent("one");
    let numbered = |seq| {
        let mut event = w.event(serial, "read:accounts", Outcome::Ok);
        event.stream = Some(StreamSeq { stream: 7, seq });
        block_on(w.kakunin.tenant(&w.acme).observe(event)).unwrap().status
    };
    let named = |id: &str| {
        let mut event = w.event(serial, "read:accounts", Outcome::Ok);
        event.client_id = Some(id.parse().unwrap());
        block_on(w.kakunin.tenant(&w.acme).observe(event)).unwrap().status
    };
    use EventStatus::{Duplicate, Scored};
    assert_eq!(
        [0, 2, 1, 1, 0, 2, 3].map(numbered),
        [Scored, Scored, Scored, Duplicate, Duplicate, Duplicate, Scored]
    );
    assert_eq!(["a", "b", "a"].map(named), [Scored, Scored, Duplicate]);
    w.clock.set(NOW.plus(25 * 3_600_000));
    assert_eq!(["b", "c", "b"].map(named), [Scored, Scored, Duplicate], "remembered for a day");
    let events = w.records().iter().filter(|r| matches!(r.body, Body::Event(..))).count();
    assert_eq!(events, 8);
}

#[test]
fn many_callers_at_once_are_sequenced_and_each_is_answered() {
    let w = world();
    let (_, serial) = w.agent("one");
    let indices: Vec<Vec<u64>> = std::thread::scope(|scope| {
        let workers: Vec<_> = (0..16)
            .map(|_| {
                scope.spawn(|| {
                    let acme = w.kakunin.tenant(&w.acme);
                    let one = || acme.observe(w.event(serial, "read:accounts", Outcome::Ok));
                    (0..50).map(|_| block_on(one()).unwrap().index.unwrap()).collect()
                })
            })
            .collect();
        workers.into_iter().map(|worker| worker.join().unwrap()).collect()
    });
    assert!(indices.iter().all(|mine| mine.windows(2).all(|w| w[0] < w[1])), "a caller's order is kept");
    let mut all = indices.concat();
    all.sort_unstable();
    all.dedup();
    assert_eq!(all.len(), 800);
}
