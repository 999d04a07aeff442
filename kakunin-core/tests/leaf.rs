//! Leaves against the vectors in `docs/AUDIT-LOG.md`, and against everything that is nearly a leaf.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test that cannot go on has failed"
)]

use kakunin_core::event::{Attribution, Effect, EventKind, Facts, Outcome, action_token};
use kakunin_core::id::{AgentId, Serial, hex_encode};
use kakunin_core::log::leaf::{Act, Leaf, LeafError, MAX_LEAF_LEN, commitment};
use kakunin_core::risk::Score;
use kakunin_core::scope::Action;
use kakunin_core::time::UnixTime;

fn control() -> Leaf {
    Leaf {
        kind: 16,
        time: UnixTime::from_millis(1_795_420_800_007),
        agent: Some(AgentId::from_bytes([0x11; 16])),
        serial: None,
        act: None,
        commitment: Some(commitment(&[0x22; 32], b"payload")),
    }
}

fn event() -> Leaf {
    let action: Action = "write:payments".parse().unwrap();
    Leaf {
        kind: 32,
        serial: Serial::from_bytes([0x4a; 16]),
        act: Some(Act {
            subject: Some("user-7".into()),
            tool: Some("send_money".into()),
            correlation: Some("trace-1".into()),
            attribution: Attribution::Possession,
            score: Some(Score::from_millionths(412_345)),
            facts: Facts {
                kind: EventKind::Transaction,
                effect: Effect::of(&action),
                outcome: Outcome::Ok,
                out_of_scope: false,
                auth_failure: false,
                amount: Some(11),
                action: action_token(&action),
                target: None,
                counterparty: Some(0x0102_0304_0506_0708),
                session: Some(7),
            },
            action,
            stream: Some((1, 41)),
            client_id: None,
            reporter: None,
            once: false,
        }),
        ..control()
    }
}

/// The same, by a reporter that is known by name.
fn reported() -> Leaf {
    let leaf = event();
    let act = leaf.act.map(|act| Act { reporter: Some(0x1122_3344_5566_7788), ..act });
    Leaf { act, ..leaf }
}

/// The same, shown by a signature whose nonce is its identifier.
fn shown() -> Leaf {
    let leaf = reported();
    let act = leaf.act.map(|act| Act { client_id: Some(0x0807_0605_0403_0201), once: true, ..act });
    Leaf { act, ..leaf }
}

fn smallest() -> Leaf {
    Leaf { kind: 3, time: UnixTime::default(), agent: None, serial: None, act: None, commitment: None }
}

#[test]
fn vectors_of_the_document_are_what_is_written() {
    let document = include_str!("../../docs/AUDIT-LOG.md");
    for (name, leaf) in [
        ("smallest", smallest()),
        ("control", control()),
        ("event", event()),
        ("reported", reported()),
        ("shown", shown()),
    ] {
        let hex = hex_encode(&leaf.encode().unwrap());
        assert!(document.contains(&hex), "{name} is not in the document: {hex}");
    }
}

#[test]
fn leaves_round_trip() {
    for leaf in [smallest(), control(), event(), reported(), shown()] {
        assert_eq!(Leaf::decode(&leaf.encode().unwrap()), Ok(leaf));
    }
}

#[test]
fn there_is_one_spelling_of_each_leaf() {
    for leaf in [smallest(), control(), event(), reported(), shown()] {
        let good = leaf.encode().unwrap();
        for cut in 0..good.len() {
            assert!(Leaf::decode(&good[..cut]).is_err(), "cut at {cut}");
        }
        assert!(Leaf::decode(&[&good[..], &[0]].concat()).is_err(), "trailing octet");
        for i in 0..good.len() {
            for bit in 0..8 {
                let mut octets = good.clone();
                octets[i] ^= 1 << bit;
                if let Ok(other) = Leaf::decode(&octets) {
                    assert!(other != leaf && other.encode().unwrap() == octets, "byte {i} bit {bit}");
                }
            }
        }
    }
    // The kind 3 in two octets, an indefinite map, and the version after the kind.
    for spelling in ["a300010118030200", "bf000101030200ff", "a301030001 0200"] {
        let octets: Vec<u8> = spelling
            .replace(' ', "")
            .as_bytes()
            .chunks(2)
            .map(|pair| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap())
            .collect();
        assert!(Leaf::decode(&octets).is_err(), "{spelling}");
    }
}

#[test]
fn a_later_version_and_an_unknown_critical_kind_stop_a_reader() {
    assert_eq!(Leaf::decode(&[0xa3, 0, 2, 1, 3, 2, 0]), Err(LeafError::Version));
    let unknown = Leaf { kind: 77, ..smallest() };
    assert!(unknown.is_critical() && !Leaf { kind: 0x8001, ..smallest() }.is_critical());
    let entry = kakunin_core::log::entry::Entry { leaf: unknown.encode().unwrap(), payload: None };
    assert!(kakunin_core::log::record::Record::open(&entry).is_err());
}

#[test]
fn the_largest_event_fits() {
    let mut leaf = event();
    let act = leaf.act.as_mut().unwrap();
    let name = Some("n".repeat(64));
    (act.subject, act.tool, act.correlation) = (name.clone(), name.clone(), name);
    act.action = format!("write:{}/{}", "a".repeat(64), "b".repeat(57)).parse().unwrap();
    (act.stream, act.client_id, act.reporter) = (Some((u64::MAX, u64::MAX)), Some(u64::MAX), Some(u64::MAX));
    let facts = &mut act.facts;
    (facts.target, facts.session, facts.amount) = (Some(u64::MAX), Some(u64::MAX), Some(64));
    facts.action = action_token(&act.action);
    facts.effect = Effect::of(&act.action);
    leaf.time = UnixTime::from_millis(u64::MAX);
    let octets = leaf.encode().unwrap();
    assert!(octets.len() <= MAX_LEAF_LEN, "{}", octets.len());
    assert_eq!(Leaf::decode(&octets), Ok(leaf));
}
