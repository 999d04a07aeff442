//! What the layer tells: each decision, and never so that a request waits.
#![cfg(feature = "tower")]
#![allow(clippy::expect_used, clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]

mod common;

use std::time::Duration;

use common::request::*;
use common::site::*;
use common::*;
use kakunin_core::event::{Attribution, Outcome};
use kakunin_verify::Code;
use kakunin_verify::possession::SERIAL_HEADER;
use kakunin_verify::report::{Decision, queue};

#[test]
fn each_decision_is_reported() {
    let site = Site::new();
    let (reporter, decisions) = queue(16);
    let layer = site.layer().report_to(reporter.clone());
    let requests = [
        site.by_tls(),
        site.signed("a"),
        site.signed("a"),
        site.by_tls().uri("/accounts"),
        site.by_tls().method("GET"),
        post().header(SERIAL_HEADER, leaf_serial().to_string()),
    ];
    for request in requests {
        site.ask(&layer, request);
    }
    let batch = decisions.next_batch(16, Duration::ZERO).unwrap();
    let agent = Some(claims().agent);
    let shown = Attribution::Possession;
    let expected = [
        (agent, Some("write:payments"), None, shown),
        (agent, Some("write:payments"), None, shown),
        // Whoever replays need not be the agent, so this must not count against it.
        (agent, Some("write:payments"), Some(Code::PossessionReplayed), Attribution::Asserted),
        (agent, Some("write:accounts"), Some(Code::ScopeViolation), shown),
        (agent, None, Some(Code::ActionMalformed), shown),
        (None, Some("write:payments"), Some(Code::PossessionMissing), Attribution::Asserted),
    ];
    let summary = |d: &Decision| {
        assert_eq!(d.at, NOW);
        (d.who.as_ref().map(|who| who.agent), d.action.clone(), d.refusal, d.attribution)
    };
    assert_eq!(
        batch.iter().map(summary).collect::<Vec<_>>(),
        expected.map(|(agent, action, refusal, how)| (agent, action.map(str::to_owned), refusal, how))
    );
    let who = batch[0].who.as_ref().unwrap();
    assert_eq!((&who.tenant, who.serial), (&claims().tenant, leaf_serial()));

    let events: Vec<_> = batch.iter().map(Decision::event).collect();
    let outcome = |n: usize| {
        let event = events[n].as_ref().unwrap();
        assert_eq!((event.serial, event.occurred_at), (leaf_serial(), Some(NOW)));
        (event.outcome, event.out_of_scope, event.attribution)
    };
    assert_eq!((outcome(0), outcome(1)), ((Outcome::Ok, false, shown), (Outcome::Ok, false, shown)));
    assert_eq!(outcome(2), (Outcome::Denied, false, Attribution::Asserted));
    assert_eq!(outcome(3), (Outcome::Denied, true, shown));
    assert_eq!((&events[4], &events[5]), (&None, &None), "no action, or nobody");
    assert_eq!(reporter.dropped(), 0);
}

#[test]
fn a_full_queue_drops_counts_and_never_waits() {
    let site = Site::new();
    let (reporter, decisions) = queue(2);
    let layer = site.layer().report_to(reporter.clone());
    for _ in 0..5 {
        assert_eq!(site.code(&layer, site.by_tls()), "allowed");
    }
    assert_eq!(reporter.dropped(), 3);
    assert_eq!(decisions.next_batch(1, Duration::ZERO).unwrap().len(), 1);
    assert_eq!(decisions.next_batch(9, Duration::ZERO).unwrap().len(), 1);
    assert_eq!(decisions.next_batch(9, Duration::ZERO).unwrap().len(), 0, "nothing yet");
    drop(decisions);
    assert_eq!(site.code(&layer, site.by_tls()), "allowed");
    assert_eq!(reporter.dropped(), 4, "nobody listens any more");
    let (reporter, decisions) = queue(1);
    drop(reporter);
    assert_eq!(decisions.next_batch(9, Duration::from_secs(9)), None, "nobody reports any more");
}
