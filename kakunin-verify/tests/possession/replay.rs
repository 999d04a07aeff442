//! Once, and in its minute.

use kakunin_core::time::{MINUTE, SECOND, UnixTime};
use kakunin_verify::Denied;
use kakunin_verify::possession::{MAX_AGE, MAX_AHEAD, SignedRequest, prove};

use crate::agents::{agent_of, code};
use crate::common::request::*;
use crate::common::*;

#[test]
fn a_signature_with_an_end_of_its_own_ends_there_and_is_forgotten_then() {
    let (world, key) = ed25519();
    let (agent, nonces) = (agent_of(&world), fresh());
    let mut draft = Draft::good();
    draft.set("expires", (NOW.secs() + 5).to_string());
    let fields = draft.sign(&key);
    let at = |seconds: u64| code(prove_post(&fields, &agent, &nonces, NOW.plus(seconds * SECOND)));
    assert_eq!((at(0), at(5), at(6)), ("proved", "possession_replayed", "possession_stale"));
    draft.set("nonce", "\"another-nonce-of-this\"");
    draft.set("created", (NOW.secs() + 6).to_string());
    draft.drop("expires");
    assert_eq!(code(prove_post(&draft.sign(&key), &agent, &nonces, NOW.plus(6 * SECOND))), "proved");
    assert_eq!((nonces.figures().held, at(4)), (1, "possession_stale"));
}

#[test]
fn what_is_refused_uses_nothing_up() {
    let (world, key) = ed25519();
    let (agent, nonces) = (agent_of(&world), fresh());
    let (input, signature) = Draft::good().sign(&key);
    let request = SignedRequest::new("POST", TARGET, &input, &signature);
    for _ in 0..3 {
        let proof = prove(&request, &agent, &us(), NOW).unwrap();
        assert!(proof.content(b"somebody else's").is_err() && proof.unused(&nonces, NOW).is_ok());
    }
    assert_eq!(nonces.figures().held, 0);
    assert_eq!(code(once(&request, &agent, &nonces, NOW)), "proved");
    assert_eq!(
        code(prove(&request, &agent, &us(), NOW).unwrap().unused(&nonces, NOW)),
        "possession_replayed"
    );
}

#[test]
fn what_was_signed_before_this_process_began_is_refused() {
    let (world, key) = ed25519();
    let agent = agent_of(&world);
    let began = |millis: u64| kakunin_verify::possession::Nonces::new(100, NOW.minus(1_000).plus(millis));
    let fields = Draft::good().sign(&key);
    for (millis, expected) in
        [(0, "proved"), (1_000, "proved"), (1_001, "possession_stale"), (9_000, "possession_stale")]
    {
        let now = NOW.plus(9_000);
        assert_eq!(code(prove_post(&fields, &agent, &began(millis), now)), expected, "{millis}");
    }
}

#[test]
fn a_signature_is_of_this_minute() {
    let (world, key) = ed25519();
    let (agent, fields) = (agent_of(&world), Draft::good().sign(&key));
    let at = |now: UnixTime| code(prove_post(&fields, &agent, &fresh(), now));
    assert_eq!(at(NOW.plus(MAX_AGE)), "proved");
    assert_eq!(at(NOW.plus(MAX_AGE + 1)), "possession_stale");
    assert_eq!(at(NOW.minus(MAX_AHEAD)), "proved");
    assert_eq!(at(NOW.minus(MAX_AHEAD + 1)), "possession_stale");
    assert_eq!(at(UnixTime::default()), "possession_stale");
    assert_eq!((MAX_AGE, MAX_AHEAD), (MINUTE, 10 * SECOND));
}

#[test]
fn a_replay_is_refused_for_as_long_as_it_would_be_young_enough() {
    let (world, key) = ed25519();
    let (agent, nonces) = (agent_of(&world), fresh());
    let mut draft = Draft::good();
    draft.set("created", NOW.plus(MAX_AHEAD).secs().to_string());
    let fields = draft.sign(&key);
    assert_eq!(code(prove_post(&fields, &agent, &nonces, NOW)), "proved");
    let end = NOW.plus(MAX_AHEAD + MAX_AGE);
    for now in [NOW, NOW.plus(MAX_AGE), end] {
        assert_eq!(code(prove_post(&fields, &agent, &nonces, now)), "possession_replayed");
    }
    assert_eq!(code(prove_post(&fields, &agent, &nonces, end.plus(1))), "possession_stale");
    // The next signature makes room of what is too old; a clock that is set back does not revive that.
    draft.set("nonce", "\"a-nonce-of-a-minute-later\"");
    draft.set("created", end.secs().to_string());
    assert_eq!(code(prove_post(&draft.sign(&key), &agent, &nonces, end.plus(1))), "proved");
    assert_eq!(code(prove_post(&fields, &agent, &nonces, end)), "possession_stale");
}

#[test]
fn of_many_uses_at_once_one_wins() {
    let world = World::p256();
    let agent = agent_of(&world);
    for n in 0..20 {
        let fields = signed(&world.leaf_key, "POST", TARGET, &format!("{NONCE}{n}"), NOW);
        let (nonces, start) = (fresh(), std::sync::Barrier::new(8));
        let codes: Vec<_> = std::thread::scope(|scope| {
            let use_it = || {
                start.wait();
                code(prove_post(&fields, &agent, &nonces, NOW))
            };
            let uses: Vec<_> = (0..8).map(|_| scope.spawn(use_it)).collect();
            uses.into_iter().map(|used| used.join().unwrap()).collect()
        });
        assert_eq!(codes.iter().filter(|c| **c == "proved").count(), 1, "{codes:?}");
        assert_eq!(codes.iter().filter(|c| **c == "possession_replayed").count(), 7, "{codes:?}");
    }
}

#[test]
fn a_full_memory_refuses_and_forgets_nothing() {
    let world = World::p256();
    let (agent, nonces) = (agent_of(&world), room(2));
    let with = |nonce: &str, at: UnixTime| {
        let fields = signed(&world.leaf_key, "POST", TARGET, &format!("{NONCE}{nonce}"), at);
        let result = prove_post(&fields, &agent, &nonces, at);
        (result.as_ref().err().map_or(200, Denied::http_status), code(result))
    };
    assert_eq!((with("a", NOW).1, with("b", NOW).1), ("proved", "proved"));
    assert_eq!(with("c", NOW), (429, "possession_unavailable"));
    assert_eq!((with("a", NOW).1, with("b", NOW).1), ("possession_replayed", "possession_replayed"));
    assert_eq!(with("c", NOW.plus(MAX_AGE)).1, "possession_unavailable");
    let later = NOW.plus(MAX_AGE + SECOND);
    assert_eq!((with("c", later).1, with("d", later).1), ("proved", "proved"));
    assert_eq!(with("e", later).1, "possession_unavailable");
    let none = room(0);
    let fields = signed(&world.leaf_key, "POST", TARGET, NONCE, NOW);
    assert_eq!(code(prove_post(&fields, &agent, &none, NOW)), "possession_unavailable");
}

#[test]
fn only_a_signature_that_verifies_uses_its_nonce_up() {
    let (world, key) = ed25519();
    let (agent, nonces) = (agent_of(&world), room(1));
    let good = Draft::good().sign(&key);
    let forged = (good.0.clone(), format!("sig=:{}:", base64(&[0; 64])));
    for _ in 0..3 {
        assert_eq!(code(prove_post(&forged, &agent, &nonces, NOW)), "possession_invalid");
    }
    assert_eq!(code(prove_post(&good, &agent, &nonces, NOW)), "proved");
}
