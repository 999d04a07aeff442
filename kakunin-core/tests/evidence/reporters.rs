//! Who reports: late, in bulk, one beside the other.

use kakunin_core::agent::AgentState;
use kakunin_core::event::{Event, StreamSeq};
use kakunin_core::id::Serial;
use kakunin_core::service::{Error, EventStatus, Kakunin, MAX_LATENESS};
use kakunin_core::time::{DAY, HOUR, UnixTime};
use pollster::block_on;

use crate::common::NOW;
use crate::world::{World, act, code, refusal, world};

#[test]
fn lateness_is_bounded_and_the_reporters_clock_decides_nothing() {
    use EventStatus::{NotAccepted, Scored};
    let w = world();
    let (agent, first) = w.agent();
    w.at(HOUR);
    let second = w.renew(&agent);
    let said = |at: UnixTime, serial| Event { occurred_at: Some(at), ..refusal(serial, 1) };
    // Whatever it says of the time: not to hide, and not to frame.
    for at in [UnixTime::default(), NOW.plus(1), NOW.plus(HOUR), NOW.plus(99 * DAY), UnixTime::MAX_X509] {
        assert_eq!((w.status(said(at, &first)), w.status(said(at, &second))), (Scored, Scored));
    }
    w.at(HOUR + MAX_LATENESS);
    assert_eq!(w.status(act(&first)), Scored);
    w.at(HOUR + MAX_LATENESS + 1);
    for at in [NOW.plus(1), NOW.plus(HOUR + MAX_LATENESS)] {
        assert_eq!(w.status(said(at, &first)), NotAccepted);
    }
    assert_eq!((w.status(act(&first)), w.status(act(&second))), (NotAccepted, Scored));
}

#[test]
fn reporters_do_not_silence_each_other() {
    use EventStatus::{Duplicate, Scored};
    let w = world();
    let (_, serial) = w.agent();
    let (one, two) =
        (w.kakunin.acting_as("key:1".parse().unwrap()), w.kakunin.acting_as("key:2".parse().unwrap()));
    let send =
        |by: &Kakunin, event: Event| block_on(by.tenant(&w.acme).observe(event)).map(|seen| seen.status);
    let numbered = |stream, seq| Event { stream: Some(StreamSeq { stream, seq }), ..act(&serial) };
    let named = |id: &str| Event { client_id: Some(id.parse().unwrap()), ..act(&serial) };
    // One takes the highest number, every identifier, and all the room.
    assert_eq!(send(&one, numbered(1, 0)).unwrap(), Scored);
    assert_eq!(code(send(&one, numbered(1, (1 << 53) - 1))), "stream_jump");
    assert_eq!(send(&one, numbered(1, 1)).unwrap(), Scored, "and the window did not move");
    assert_eq!(send(&one, numbered(2, (1 << 53) - 1)).unwrap(), Scored);
    assert_eq!(send(&one, named("a")).unwrap(), Scored);
    (3..257).for_each(|stream| _ = send(&one, numbered(stream, 0)).unwrap());
    assert_eq!(code(send(&one, numbered(900, 0))), "too_many_streams");
    for other in [&two, &w.kakunin] {
        for (stream, seq) in [(1, 0), (1, 1), (2, 0), (2, 1), (900, 0)] {
            assert_eq!(send(other, numbered(stream, seq)).unwrap(), Scored, "{stream} {seq}");
            assert_eq!(send(other, numbered(stream, seq)).unwrap(), Duplicate, "{stream} {seq}");
        }
        assert_eq!(send(other, named("a")).unwrap(), Scored);
        assert_eq!(send(other, named("a")).unwrap(), Duplicate);
    }
    // After a restart, and read back from the log, each is who it was.
    let tell = |w: &World| {
        for by in ["key:1", "key:2"].map(|by| w.kakunin.acting_as(by.parse().unwrap())) {
            for event in [numbered(1, 1), named("a")] {
                assert_eq!(block_on(by.tenant(&w.acme).observe(event)).unwrap().status, Duplicate);
            }
            assert_eq!(code(block_on(by.tenant(&w.acme).observe(numbered(1, 1 << 60)))), "stream_jump");
        }
        let three = w.kakunin.acting_as("key:3".parse().unwrap());
        block_on(three.tenant(&w.acme).observe(named("a"))).unwrap().status
    };
    let acme = w.acme.clone();
    let w = w.restarted();
    assert_eq!(tell(&w), Scored);
    let w = w.rebuilt();
    assert_eq!(tell(&w), Duplicate);
    // A day later the streams are forgotten: one that counts from 0 again is heard.
    w.at(DAY + 1);
    let one = w.kakunin.acting_as("key:1".parse().unwrap());
    assert_eq!(block_on(one.tenant(&acme).observe(numbered(1, 0))).unwrap().status, Scored);
    assert_eq!(block_on(one.tenant(&acme).observe(numbered(900, 0))).unwrap().status, Scored);
}

#[test]
fn one_bad_event_costs_itself_unless_all_or_none_is_asked_for() {
    let w = world();
    let (agent, serial) = w.agent();
    let foreign = Serial::from_bytes([0x41; 16]).unwrap();
    let stream = |seq| Event { stream: Some(StreamSeq { stream: 1, seq }), ..act(&serial) };
    let events = || vec![stream(0), act(&foreign), stream(1), stream(u64::MAX), stream(1), stream(2)];
    let size = w.records().len();
    let refused = block_on(w.kakunin.tenant(&w.acme).observe_all_or_none(events())).unwrap_err();
    assert_eq!(refused.code(), "not_found");
    assert!(matches!(refused, Error::OneOfMany { index: 1, .. }), "{refused}");
    let jump = vec![stream(0), stream(1), stream(u64::MAX)];
    assert_eq!(code(block_on(w.kakunin.tenant(&w.acme).observe_all_or_none(jump))), "stream_jump");
    assert_eq!(w.records().len(), size, "nothing was recorded");
    let seen = block_on(w.kakunin.tenant(&w.acme).observe_all(events())).unwrap();
    let said: Vec<_> = seen.iter().map(|s| s.as_ref().map(|s| s.status).map_err(Error::code)).collect();
    use EventStatus::{Duplicate, Scored};
    let (unknown, far) = (Err("not_found"), Err("stream_jump"));
    assert_eq!(said, [Ok(Scored), unknown, Ok(Scored), far, Ok(Duplicate), Ok(Scored)]);
    assert_eq!(w.records().len(), size + 3);
    let whole = block_on(w.kakunin.tenant(&w.acme).observe_all_or_none(vec![stream(3), stream(3)])).unwrap();
    assert_eq!(whole.iter().map(|s| s.status).collect::<Vec<_>>(), [Scored, Duplicate]);
    // More streams at once than there is room for.
    let many = (100..400).map(|stream| Event { stream: Some(StreamSeq { stream, seq: 0 }), ..act(&serial) });
    let seen = block_on(w.kakunin.tenant(&w.acme).observe_all(many.collect())).unwrap();
    assert_eq!(seen.iter().filter(|s| s.is_ok()).count(), 255);
    let twice = vec![act(&serial); 1_001];
    assert_eq!(code(block_on(w.kakunin.tenant(&w.acme).observe_all(twice))), "too_many_events");
    // A batch that was given up half-way took no identity.
    let crossing = (0..100).map(|n| refusal(&serial, n)).chain([act(&foreign)]).collect();
    assert_eq!(code(block_on(w.kakunin.tenant(&w.acme).observe_all_or_none(crossing))), "not_found");
    assert_eq!((w.state(&agent), w.reason(&serial)), (AgentState::Active, None));
    let stands =
        |w: &World| block_on(w.kakunin.tenant(&w.acme).certificates(&agent)).unwrap()[0].revocation.is_none();
    assert!(stands(&w));
    let again = vec![stream(4), refusal(&serial, 1)];
    assert_eq!(block_on(w.kakunin.tenant(&w.acme).observe_all_or_none(again)).unwrap().len(), 2);
}
