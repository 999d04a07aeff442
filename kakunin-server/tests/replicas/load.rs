//! Callers that report what agents do, one thing after the other, and send again what was not acknowledged: elsewhere, with the
//! same numbers.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use kakunin_server::demo::{Answer, Client};
use serde_json::{Value, json};
use tokio::task::JoinHandle;

use crate::world::Places;

/// How long a caller waits for an answer before it asks elsewhere.
pub(crate) const PATIENCE: Duration = Duration::from_millis(2_500);
/// Events of a batch.
const BATCH: u64 = 8;
/// Before it asks elsewhere.
const PAUSE: Duration = Duration::from_millis(20);

/// What one caller reports, and whom it asks first.
#[derive(Clone)]
pub(crate) struct Place {
    pub(crate) home: usize,
    pub(crate) stream: u64,
    pub(crate) serial: String,
}

/// An event that was acknowledged, and where it was told to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Told {
    pub(crate) stream: u64,
    pub(crate) seq: u64,
    pub(crate) index: u64,
}

/// A request that was not acknowledged: at which server, from when until when, and why not; without an answer nobody knows.
#[derive(Debug)]
pub(crate) struct Failed {
    pub(crate) at: usize,
    pub(crate) from: Instant,
    pub(crate) until: Instant,
    pub(crate) answer: Option<Refusal>,
}

#[derive(Debug)]
pub(crate) struct Refusal {
    pub(crate) status: u16,
    pub(crate) code: String,
    /// Whether it says when to come back.
    pub(crate) waits: bool,
}

/// What a caller met.
#[derive(Debug, Default)]
pub(crate) struct Report {
    pub(crate) told: Vec<Told>,
    /// From when something was sent for the first time until it was acknowledged, at most.
    pub(crate) longest: Duration,
    /// The same of what was answered well at the first attempt.
    pub(crate) longest_at_once: Duration,
    pub(crate) failed: Vec<Failed>,
}

pub(crate) struct Load {
    stop: Arc<AtomicBool>,
    callers: Vec<JoinHandle<Report>>,
}

impl Load {
    pub(crate) fn begin(places: &Places, callers: impl Iterator<Item = Place>) -> Self {
        let stop = Arc::<AtomicBool>::default();
        let callers = callers.map(|place| tokio::spawn(run(places.clone(), place, stop.clone()))).collect();
        Self { stop, callers }
    }

    /// Ends it, and says what each caller met.
    pub(crate) async fn end(self) -> Vec<Report> {
        self.stop.store(true, Ordering::SeqCst);
        let mut reports = Vec::new();
        for caller in self.callers {
            reports.push(caller.await.unwrap());
        }
        reports
    }
}

async fn run(places: Places, place: Place, stop: Arc<AtomicBool>) -> Report {
    let (mut report, mut seq) = (Report::default(), 1);
    while !stop.load(Ordering::SeqCst) {
        let count = if seq % 3 == 0 { BATCH } else { 1 };
        let numbers = seq..seq + count;
        let events: Vec<_> = numbers.clone().map(|seq| event(&place, seq)).collect();
        let (path, body) = match events.as_slice() {
            [one] => ("/api/v1/events", one.clone()),
            all => ("/api/v1/events/batch", json!({ "events": all })),
        };
        let (began, mut at, mut attempts) = (Instant::now(), place.home, 0);
        let answer = loop {
            let (client, from) = (places.read().unwrap()[at].clone(), Instant::now());
            attempts += 1;
            let answer = match send(&client, path, &body).await {
                Some(answer) if answer.status.is_success() => break answer,
                other => other.map(|answer| Refusal::of(&answer)),
            };
            report.failed.push(Failed { at, from, until: Instant::now(), answer });
            assert!(began.elapsed() < Duration::from_secs(60), "stream {}: nobody answers", place.stream);
            at = (at + 1) % 3;
            tokio::time::sleep(PAUSE).await;
        };
        report.longest = report.longest.max(began.elapsed());
        if attempts == 1 {
            report.longest_at_once = report.longest_at_once.max(began.elapsed());
        }
        let data = answer.data();
        let results = data["results"].as_array().cloned().unwrap_or_else(|| vec![data.clone()]);
        assert_eq!(results.len(), events.len(), "{data}");
        for (result, seq) in results.iter().zip(numbers) {
            report.told.push(Told { stream: place.stream, seq, index: index_of(result) });
        }
        seq += count;
    }
    report
}

impl Refusal {
    pub(crate) fn of(answer: &Answer) -> Self {
        let code = answer.json()["code"].as_str().unwrap_or_default().to_owned();
        Self { status: answer.status.as_u16(), code, waits: answer.headers.contains_key("retry-after") }
    }

    /// Whether nothing is wrong with what was sent, and the caller was told to come back.
    pub(crate) fn is_to_come_back(&self) -> bool {
        self.status == 503 && self.waits && !self.code.is_empty()
    }
}

pub(crate) fn event(place: &Place, seq: u64) -> Value {
    json!({ "serial": place.serial, "action": "read:mail", "stream": { "stream": place.stream, "seq": seq } })
}

/// The place in the log that an answer tells of.
pub(crate) fn index_of(result: &Value) -> u64 {
    let status = result["status"].as_str().unwrap_or_default();
    assert!(["scored", "duplicate"].contains(&status), "{result}");
    let index = result["event_id"].as_str().and_then(|index| index.parse().ok());
    index.unwrap_or_else(|| panic!("it is acknowledged, and not told where: {result}"))
}

/// The answer, if it comes while a caller waits for it.
pub(crate) async fn send(client: &Client, path: &str, body: &Value) -> Option<Answer> {
    tokio::time::timeout(PATIENCE, client.post(path, body)).await.ok()?.ok()
}

pub(crate) fn told(reports: &[Report]) -> Vec<Told> {
    reports.iter().flat_map(|report| report.told.iter().copied()).collect()
}

pub(crate) fn failed(reports: &[Report]) -> impl Iterator<Item = &Failed> {
    reports.iter().flat_map(|report| &report.failed)
}

pub(crate) fn longest(reports: &[Report]) -> Duration {
    reports.iter().map(|report| report.longest).max().unwrap_or_default()
}

/// Everybody who was refused was told truthfully that it was for the server's sake, and to come back.
pub(crate) fn told_to_come_back(reports: &[Report]) -> usize {
    let refusals: Vec<_> = failed(reports).filter_map(|failed| failed.answer.as_ref()).collect();
    assert!(refusals.iter().all(|refusal| refusal.is_to_come_back()), "{refusals:?}");
    refusals.len()
}
