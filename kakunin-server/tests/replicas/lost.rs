//! Servers that are killed, stand still, and are started anew under load.

use std::time::{Duration, Instant};

use crate::load::{PATIENCE, failed, longest, told, told_to_come_back};
use crate::proxy::pause;
use crate::world::{ALONE, GAP, World};

const CALLERS: usize = 6;

/// How often one is killed, unless the environment says otherwise.
fn rounds() -> usize {
    std::env::var("ROUNDS").ok().map_or(8, |rounds| rounds.parse().unwrap())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_that_is_killed_takes_nothing_with_it_that_was_acknowledged() {
    let _alone = ALONE.lock().await;
    let mut w = World::new().await;
    let load = w.load(CALLERS);
    for round in 0..rounds() {
        // At another moment of what it does each time.
        pause(250 + 37 * u64::try_from(round % 8).unwrap()).await;
        w.kill(round % 3);
        pause(250).await;
        w.start(round % 3);
    }
    let reports = load.end().await;
    let (gap, refused) = (longest(&reports), told_to_come_back(&reports));
    println!("killed: longest until something was acknowledged: {gap:?}; refused {refused}");
    assert!(gap < GAP, "{gap:?}");
    w.holds(&told(&reports)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn while_one_stands_still_the_others_go_on_and_what_it_had_under_way_is_written_once_or_refused() {
    const STILL: u64 = 2_800;
    let _alone = ALONE.lock().await;
    let w = World::new().await;
    let load = w.load(CALLERS);
    let mut still = Vec::new();
    for number in 0..3 {
        pause(400).await;
        w.signal(number, "-STOP");
        let from = Instant::now();
        pause(STILL).await;
        w.signal(number, "-CONT");
        still.push((number, from, Instant::now()));
        pause(400).await;
    }
    let reports = load.end().await;
    told_to_come_back(&reports);
    // Whoever waits in vain for one that stands still does so once for each thing that it sends.
    let at_once = reports.iter().map(|report| report.longest_at_once).max().unwrap();
    println!(
        "stood still: longest answer of the others {at_once:?}, elsewhere after all {:?}",
        longest(&reports)
    );
    assert!(at_once < GAP && longest(&reports) < PATIENCE + GAP, "{at_once:?}");
    for one in failed(&reports).filter(|failed| failed.answer.is_none()) {
        let stood =
            still.iter().any(|(at, from, until)| *at == one.at && one.from <= *until && *from <= one.until);
        assert!(stood, "{one:?}");
    }
    w.holds(&told(&reports)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_rolling_restart_fails_no_request_at_the_others() {
    let _alone = ALONE.lock().await;
    let mut w = World::new().await;
    let load = w.load(CALLERS);
    let mut down = Vec::new();
    let mut ending = Duration::ZERO;
    for number in 0..3 {
        pause(400).await;
        let from = Instant::now();
        w.signal(number, "-TERM");
        let mut server = w.servers[number].take().unwrap();
        assert!(server.child.wait().unwrap().success(), "{}", server.log());
        ending = ending.max(from.elapsed());
        w.start(number);
        down.push((number, from, Instant::now()));
    }
    pause(400).await;
    let reports = load.end().await;
    for one in failed(&reports) {
        let was_down =
            down.iter().any(|(at, from, until)| *at == one.at && one.from <= *until && *from <= one.until);
        assert!(was_down, "{one:?}");
    }
    let (gap, refused) = (longest(&reports), told_to_come_back(&reports));
    println!(
        "restarted: longest until something was acknowledged {gap:?}, to its end {ending:?}; refused {refused}"
    );
    assert!(gap < GAP, "{gap:?}");
    w.holds(&told(&reports)).await;
}
