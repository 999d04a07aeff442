//! A database that stops under load, and connections to it that end in the middle of a transaction, or say nothing any more.

use std::time::{Duration, Instant};

use kakunin_server::demo::Answer;
use serde_json::json;

use crate::cluster::{Cluster, shared};
use crate::load::{Place, Refusal, Told, event, failed, index_of, longest, told, told_to_come_back};
use crate::proxy::{Fault, pause};
use crate::world::{ALONE, GAP, SOON, World};

/// Within that a connection that says nothing is given up.
const GIVEN_UP: Duration = Duration::from_secs(20);

/// A database that is stopped, until this is dropped.
struct Stopped(&'static Cluster);

impl Stopped {
    fn at_once(cluster: &'static Cluster) -> Self {
        cluster.crash();
        Self(cluster)
    }
}

impl Drop for Stopped {
    fn drop(&mut self) {
        self.0.resume();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_database_that_stops_at_once_loses_nothing_and_servers_go_on_by_themselves() {
    let _alone = ALONE.lock().await;
    let w = World::new().await;
    let load = w.load(6);
    pause(600).await;
    let stopped = Stopped::at_once(shared());
    pause(1_500).await;
    for number in 0..3 {
        let ready = w.ready(number).await;
        assert_eq!((ready.status.as_u16(), ready.headers.contains_key("retry-after")), (503, true));
    }
    drop(stopped);
    let began = Instant::now();
    for number in 0..3 {
        while w.ready(number).await.status != 200 {
            assert!(began.elapsed() < SOON, "server {number} does not go on: {}", w.log_of(number));
            pause(50).await;
        }
    }
    let recovered = began.elapsed();
    pause(1_000).await;
    let reports = load.end().await;
    let refused = told_to_come_back(&reports);
    let unanswered = failed(&reports).filter(|failed| failed.answer.is_none()).count();
    println!(
        "stopped: ready after {recovered:?}; refused {refused}, unanswered {unanswered}; longest {:?}",
        longest(&reports)
    );
    assert!(refused > 0, "nobody was told");
    w.holds(&told(&reports)).await;
}

/// Sends a batch to one server until it meets a fault, and then again: first there, then elsewhere.
async fn sent_again(w: &World, place: &Place, seq: &mut u64, fault: Fault) -> (Vec<Told>, Duration) {
    let mut all = Vec::new();
    loop {
        w.proxies[place.home].arm(fault);
        let numbers = *seq..*seq + 3;
        *seq += 3;
        let body = json!({ "events": numbers.clone().map(|seq| event(place, seq)).collect::<Vec<_>>() });
        let began = Instant::now();
        let first = w.client(place.home).post("/api/v1/events/batch", &body).await.unwrap();
        let took = began.elapsed();
        let mut indices = acknowledged(&first);
        if indices.is_none() {
            let refusal = Refusal::of(&first);
            assert!(refusal.is_to_come_back(), "{fault:?}: {refusal:?}");
        }
        for at in [place.home, (place.home + 1) % 3] {
            let again = until_acknowledged(w, at, &body).await;
            assert_eq!(*indices.get_or_insert(again.clone()), again, "{fault:?}: it is in another place");
        }
        all.extend(numbers.zip(indices.unwrap()).map(|(seq, index)| Told {
            stream: place.stream,
            seq,
            index,
        }));
        if w.proxies[place.home].is_spent() {
            return (all, took);
        }
    }
}

fn acknowledged(answer: &Answer) -> Option<Vec<u64>> {
    let done = answer.status.is_success();
    done.then(|| answer.data()["results"].as_array().unwrap().iter().map(index_of).collect())
}

async fn until_acknowledged(w: &World, at: usize, body: &serde_json::Value) -> Vec<u64> {
    let began = Instant::now();
    loop {
        let answer = w.client(at).post("/api/v1/events/batch", body).await.unwrap();
        if let Some(indices) = acknowledged(&answer) {
            return indices;
        }
        let refusal = Refusal::of(&answer);
        assert!(refusal.is_to_come_back(), "{refusal:?}");
        assert!(began.elapsed() < SOON, "{at}: it is not acknowledged: {refusal:?}: {}", w.log_of(at));
        pause(50).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_sent_again_after_a_connection_was_cut_is_recorded_once_where_it_was_told() {
    let _alone = ALONE.lock().await;
    let w = World::proxied().await;
    let load = w.load(3);
    let (mut all, mut longest) = (Vec::new(), Duration::ZERO);
    let cuts = [3, 12, 90, 700, 2_500].map(Fault::CutAfter);
    for home in 0..3 {
        let (mut seq, stream) = (1, 20 + u64::try_from(home).unwrap());
        let place = Place { home, stream, serial: w.agents[home].1.clone() };
        for fault in cuts.into_iter().chain([Fault::LoseAnswer; 3]) {
            let (told, took) = sent_again(&w, &place, &mut seq, fault).await;
            longest = longest.max(took);
            all.extend(told);
        }
    }
    let reports = load.end().await;
    told_to_come_back(&reports);
    println!("cut: longest until somebody was told {longest:?}, others {:?}", crate::load::longest(&reports));
    all.extend(told(&reports));
    w.holds(&all).await;
}

/// Whoever is between may keep a connection that is dead at its other end, and acknowledge whatever is sent over it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_commit_whose_answer_never_comes_is_given_up_and_holds_nobody_else_up() {
    let _alone = ALONE.lock().await;
    let w = World::proxied().await;
    let place = Place { home: 0, stream: 30, serial: w.agents[0].1.clone() };
    // The others go on meanwhile.
    let others: Vec<_> =
        [1, 2].map(|home| Place { home, stream: 30 + u64::try_from(home).unwrap(), ..place.clone() }).into();
    let load = crate::load::Load::begin(&w.places, others.into_iter());
    let mut seq = 1;
    let (mut all, took) = sent_again(&w, &place, &mut seq, Fault::SwallowAnswer).await;
    let reports = load.end().await;
    println!("swallowed: told after {took:?}; longest of others {:?}", longest(&reports));
    assert!(took < GIVEN_UP, "{took:?}");
    assert!(longest(&reports) < GAP, "{:?}", longest(&reports));
    all.extend(told(&reports));
    w.holds(&all).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_whose_connections_all_say_nothing_makes_others() {
    let _alone = ALONE.lock().await;
    let w = World::proxied().await;
    w.proxies[0].strand();
    let place = Place { home: 0, stream: 40, serial: w.agents[0].1.clone() };
    let (began, body) = (Instant::now(), json!({ "events": [event(&place, 1)] }));
    let indices = until_acknowledged(&w, 0, &body).await;
    let written = began.elapsed();
    // It also hears of what others do.
    w.revoke(1, &w.agents[1].1).await;
    w.level().await;
    println!("stranded: written after {written:?}, level after {:?}", began.elapsed());
    assert!(began.elapsed() < GIVEN_UP, "{:?}", began.elapsed());
    w.holds(&[Told { stream: 40, seq: 1, index: indices[0] }]).await;
}
