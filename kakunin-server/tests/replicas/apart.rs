//! One server that does not reach the database while the others do.

use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use kakunin_server::demo::{Agent, Client};
use serde_json::json;

use crate::load::{Load, Place, told, told_to_come_back};
use crate::proxy::pause;
use crate::winners::check;
use crate::world::{ALONE, GAP, SOON, World};

/// How long a server goes on by what it heard last, and how long what it said may be kept.
const BOUND: Duration = Duration::from_secs(15);
const KEPT: Duration = Duration::from_secs(5);
/// A request is answered within that, whatever happens.
const ANSWERED: Duration = Duration::from_secs(31);

/// What one was asked, again and again: from when until when, and the answer.
type Asked = Arc<Mutex<Vec<(&'static str, Instant, Instant, u16, String)>>>;

/// Asks for everything at once, and does not wait for it.
fn ask(
    asked: &Asked,
    client: &Client,
    signed: Vec<(&'static str, String)>,
    body: &[u8],
    paths: [(&'static str, String); 3],
) {
    let (note, gateway, body) = (asked.clone(), client.clone(), body.to_vec());
    let from = Instant::now();
    tokio::spawn(async move {
        let answer = check(gateway, signed, body).await;
        let code = answer.json()["code"].as_str().unwrap_or_default().to_owned();
        note.lock().unwrap().push(("check", from, Instant::now(), answer.status.as_u16(), code));
    });
    for (name, path) in paths {
        let (note, client) = (asked.clone(), client.clone());
        tokio::spawn(async move {
            let Ok(answer) = client.get(&path).await else { return };
            let said = answer.json();
            let word = [&said["code"], &said["data"]["status"]].into_iter().find_map(|word| word.as_str());
            let word = word.unwrap_or_default().to_owned();
            note.lock().unwrap().push((name, from, Instant::now(), answer.status.as_u16(), word));
        });
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whoever_is_apart_lets_nobody_in_says_why_and_catches_up_while_the_others_go_on() {
    let _alone = ALONE.lock().await;
    let w = World::proxied().await;
    let agent = Agent::start("walker", &["read:mail"], &w.client(0)).await.unwrap();
    let serial = agent.serial.to_string();
    w.level().await;
    let content = json!({ "action": "read:mail" }).to_string().into_bytes();
    let sign = || agent.sign_for("http://ca.example", "POST", "/api/v1/gateway/check", &content);
    // A server takes no signature for the second in which it was started.
    let began = Instant::now();
    while check(w.client(2), sign().await.unwrap(), content.clone()).await.status != 200 {
        assert!(began.elapsed() < GAP, "{}", w.log_of(2));
        pause(100).await;
    }
    let others = (0..4_usize).map(|n| Place {
        home: n % 2,
        stream: u64::try_from(n).unwrap() + 1,
        serial: w.agents[n].1.clone(),
    });
    let load = Load::begin(&w.places, others);
    w.proxies[2].hang();
    pause(200).await;
    w.revoke(0, &serial).await;
    let revoked = Instant::now();
    let asked = Asked::default();
    let mut silent = None;
    while revoked.elapsed() < BOUND + KEPT + Duration::from_secs(2) {
        let paths = [
            ("verify", format!("/api/v1/verify/{serial}")),
            ("read", format!("/api/v1/agents/{}", agent.id)),
            ("ready", "/readyz".to_owned()),
        ];
        ask(&asked, &w.client(2), sign().await.unwrap(), &content, paths);
        for number in 0..2 {
            let there = check(w.client(number), sign().await.unwrap(), content.clone()).await;
            assert!(there.status == 403 || there.status == 429, "{number}: {}", there.json());
        }
        pause(500).await;
    }
    let denies = w.ready(2).await;
    assert_eq!((denies.status.as_u16(), &denies.json()["code"]), (503, &json!("storage_unavailable")));
    assert!(denies.json()["error"].as_str().unwrap().contains("was not heard"), "{}", denies.json());
    w.proxies[2].heal();
    let healed = Instant::now();
    while w.ready(2).await.status != 200 {
        assert!(healed.elapsed() < SOON, "it does not go on: {}", w.log_of(2));
        pause(50).await;
    }
    let recovered = healed.elapsed();
    let reports = load.end().await;
    w.level().await;
    let levelled = healed.elapsed();
    // Whatever is under way is answered.
    let after = check(w.client(2), sign().await.unwrap(), content.clone()).await;
    assert_eq!(after.status, 403, "{}", after.json());
    let asked = std::mem::take(&mut *asked.lock().unwrap());
    let since = |when: &Instant| when.saturating_duration_since(revoked);
    let mut accepted = Duration::ZERO;
    for (what, from, until, status, word) in &asked {
        assert!(*until - *from < ANSWERED, "{what} is answered after {:?}", *until - *from);
        let accepts = match *what {
            "check" => *status == 200,
            "verify" => *status == 200 && word == "active",
            _ => false,
        };
        if accepts {
            accepted = accepted.max(since(until));
        }
        assert!(!(accepts && *what == "check"), "a check that is on record nowhere passed");
        let late = since(from) > BOUND + Duration::from_secs(1) && *until < healed;
        if late && ["check", "read"].contains(what) {
            assert_eq!(*status, 503, "{what} after {:?}: {word}", since(from));
            silent.get_or_insert(since(until));
        }
    }
    let slowest = asked.iter().map(|(_, from, until, ..)| *until - *from).max().unwrap();
    println!(
        "apart: last accepted {accepted:?} after the revocation, slowest answer {slowest:?}, ready {recovered:?} and level \
         {levelled:?} after it was healed; longest of the others {:?}",
        crate::load::longest(&reports)
    );
    assert!(silent.is_some(), "nobody was denied anything");
    assert!(accepted <= BOUND + KEPT + Duration::from_secs(1), "{accepted:?}");
    told_to_come_back(&reports);
    assert!(crate::load::longest(&reports) < GAP, "{:?}", crate::load::longest(&reports));
    w.holds(&told(&reports)).await;
}
