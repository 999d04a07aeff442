//! Certificates that are about to end.

use kakunin_core::issue::Profile;
use kakunin_core::revoke::Cause;
use kakunin_core::service::{NotificationKind, Severity};
use kakunin_core::time::{DAY, HOUR, MINUTE, SECOND};
use pollster::block_on;

use crate::world::{MODEL, NOW, P256, World, world};

const EXPIRING: NotificationKind = NotificationKind::CertificateExpiring;

fn tell(w: &World, at: u64) -> usize {
    w.clock.set(NOW.plus(at));
    block_on(w.kakunin.tell_of_expiry(&w.acme)).unwrap();
    w.kinds().iter().filter(|kind| **kind == EXPIRING).count()
}

#[test]
fn the_owner_is_told_once_a_week_or_the_last_tenth_before_the_end() {
    for (profile, whole, notice) in [
        (Profile::Standard, 365 * DAY, 7 * DAY),
        (Profile::Elevated, 30 * DAY, 3 * DAY),
        (Profile::HighRisk, DAY, DAY / 10),
        (Profile::Ephemeral, HOUR, 6 * MINUTE),
    ] {
        let w = world();
        let (agent, serial) = w.agent("one", profile);
        // A certificate begins a little before it is issued.
        let slack = kakunin_core::issue::BACKDATE / 10 + 2 * SECOND;
        assert_eq!(tell(&w, whole - notice - slack), 0, "{profile}");
        assert_eq!(tell(&w, whole - notice + SECOND), 1, "{profile}");
        assert_eq!(tell(&w, whole - notice + 2 * SECOND), 1, "once: {profile}");
        let (_, item) = block_on(w.tenant().notifications(None, 1)).unwrap().remove(0);
        assert_eq!((item.agent, item.serial, item.severity()), (agent, Some(serial), Severity::Warning));
        assert_eq!(item.not_after.unwrap().since(NOW), whole, "{profile}");
        let w = w.restarted();
        assert_eq!(tell(&w, whole - notice + 3 * SECOND), 1, "nor after a restart");
        let w = w.rebuilt();
        assert_eq!(tell(&w, whole - notice + 4 * SECOND), 1, "nor when it is made anew from the log");
        // The next certificate is another.
        block_on(w.tenant().renew(&agent, &MODEL.parse().unwrap(), profile, P256)).unwrap();
        assert_eq!(tell(&w, whole - notice + 5 * SECOND), 1, "{profile}");
        assert_eq!(tell(&w, 2 * whole - notice - MINUTE), 2, "{profile}");
    }
}

#[test]
fn what_was_renewed_taken_away_or_has_ended_is_not_told_of() {
    let w = world();
    let [renewed, revoked, retired, held, ends] = ["renewed", "revoked", "retired", "held", "ends"]
        .map(|name| w.agent(name, if name == "ends" { Profile::Ephemeral } else { Profile::Elevated }));
    w.clock.set(NOW.plus(20 * DAY));
    block_on(w.tenant().renew(&renewed.0, &MODEL.parse().unwrap(), Profile::Elevated, P256)).unwrap();
    block_on(w.tenant().revoke(&revoked.1, Cause::OperatorInitiated)).unwrap();
    block_on(w.tenant().retire(&retired.0)).unwrap();
    block_on(w.tenant().hold(&held.1)).unwrap();
    assert_eq!(tell(&w, 29 * DAY), 1);
    let told = |w: &World| block_on(w.tenant().notifications(None, 1)).unwrap()[0].1.agent;
    assert_eq!(told(&w), held.0, "a hold may be released");
    let w = w.restarted();
    assert_eq!(tell(&w, 29 * DAY + HOUR), 1, "{:?} ended while nobody looked", ends.0);
}

#[test]
fn many_that_end_at_one_moment_are_all_told_of() {
    let w = world();
    for n in 0..300 {
        w.agent(&format!("agent-{n}"), Profile::Ephemeral);
    }
    assert_eq!(tell(&w, 50 * MINUTE), 0);
    assert_eq!(tell(&w, 55 * MINUTE), 300);
    assert_eq!(tell(&w, 56 * MINUTE), 300);
}

#[test]
fn it_is_told_by_itself_while_the_deployment_runs() {
    let w = world();
    w.agent("one", Profile::Ephemeral);
    let (kakunin, clock) = (w.kakunin.clone(), w.clock.clone());
    let sleep = |_| async { std::thread::sleep(std::time::Duration::from_millis(1)) };
    let ended = std::sync::Arc::new(std::sync::atomic::AtomicBool::new(false));
    let stop = ended.clone();
    std::thread::spawn(move || {
        let mut run = std::pin::pin!(kakunin.run(sleep));
        let mut context = std::task::Context::from_waker(std::task::Waker::noop());
        while !stop.load(std::sync::atomic::Ordering::Relaxed) {
            let _ = run.as_mut().poll(&mut context);
        }
    });
    for n in 1..1_000 {
        clock.set(NOW.plus(50 * MINUTE + n * 2 * SECOND));
        std::thread::sleep(std::time::Duration::from_millis(10));
        if w.kinds().contains(&EXPIRING) {
            ended.store(true, std::sync::atomic::Ordering::Relaxed);
            return assert!(n * 2 * SECOND + 50 * MINUTE < HOUR + MINUTE);
        }
    }
    panic!("never told");
}
