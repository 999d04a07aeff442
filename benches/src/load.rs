//! Callers over kept-alive connections of this machine, and what they saw.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// Requests a second, and latencies in microseconds.
#[derive(Clone, Copy, Debug)]
pub struct Round {
    /// Answers a second.
    pub rate: f64,
    /// Median.
    pub p50: u64,
    /// 99th percentile.
    pub p99: u64,
}

/// What is asked next: `None` once there is nothing left.
pub type Requests = Arc<dyn Fn() -> Option<Vec<u8>> + Send + Sync>;

/// The same request, for ever.
#[must_use]
pub fn same(request: String) -> Requests {
    Arc::new(move || Some(request.clone().into_bytes()))
}

/// Each of these once, whoever asks.
#[must_use]
pub fn each(requests: Vec<Vec<u8>>) -> Requests {
    let next = AtomicUsize::new(0);
    Arc::new(move || requests.get(next.fetch_add(1, Ordering::Relaxed)).cloned())
}

/// The round in the middle, by rate.
///
/// # Panics
/// Without rounds.
#[must_use]
pub fn median(rounds: &[Round]) -> Round {
    let mut order = rounds.to_vec();
    order.sort_by(|a, b| a.rate.total_cmp(&b.rate));
    order[order.len() / 2]
}

/// Asks over so many connections, one request after the other on each. Every answer must be a success.
///
/// # Panics
/// If one is not, or there were fewer requests than time.
pub async fn load(address: SocketAddr, connections: usize, requests: &Requests, length: Duration) -> Round {
    let began = Instant::now();
    let end = began + length;
    let caller = |_| tokio::spawn(call(address, requests.clone(), Some(end), Duration::ZERO));
    let callers: Vec<_> = (0..connections).map(caller).collect();
    let mut latencies = Vec::new();
    for caller in callers {
        latencies.extend(caller.await.unwrap());
    }
    round(latencies, began)
}

/// Asks over so many connections until there is nothing left to ask.
///
/// # Panics
/// If an answer is not a success.
pub async fn all(address: SocketAddr, connections: usize, requests: &Requests) -> Round {
    let began = Instant::now();
    let caller = |_| tokio::spawn(call(address, requests.clone(), None, Duration::ZERO));
    let mut latencies = Vec::new();
    for caller in (0..connections).map(caller).collect::<Vec<_>>() {
        latencies.extend(caller.await.unwrap());
    }
    round(latencies, began)
}

/// Asks over one connection, with a pause before each request: what somebody sees who is not the load.
///
/// # Panics
/// As [`load`].
pub async fn probe(address: SocketAddr, requests: &Requests, pause: Duration, length: Duration) -> Round {
    let began = Instant::now();
    round(call(address, requests.clone(), Some(began + length), pause).await, began)
}

fn round(mut latencies: Vec<u64>, began: Instant) -> Round {
    let rate = latencies.len() as f64 / began.elapsed().as_secs_f64();
    latencies.sort_unstable();
    Round { rate, p50: latencies[latencies.len() / 2], p99: latencies[latencies.len() * 99 / 100] }
}

/// Without an end, until there is nothing left to ask.
async fn call(address: SocketAddr, requests: Requests, end: Option<Instant>, pause: Duration) -> Vec<u64> {
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream.set_nodelay(true).unwrap();
    let (mut buffer, mut latencies) = (vec![0; 64 * 1024], Vec::new());
    while end.is_none_or(|end| Instant::now() < end) {
        let Some(request) = requests() else {
            assert!(end.is_none(), "there are fewer requests than the time takes");
            break;
        };
        if !pause.is_zero() {
            tokio::time::sleep(pause).await;
        }
        let began = Instant::now();
        stream.write_all(&request).await.unwrap();
        let mut got = 0;
        while !whole(&buffer[..got]) {
            let n = stream.read(&mut buffer[got..]).await.unwrap();
            assert!(n > 0, "the server closed the connection");
            got += n;
        }
        latencies.push(u64::try_from(began.elapsed().as_micros()).unwrap());
    }
    latencies
}

/// Whether this is a whole answer, which must be a success.
fn whole(answer: &[u8]) -> bool {
    let Some(end) = answer.windows(4).position(|w| w == b"\r\n\r\n") else { return false };
    let head = std::str::from_utf8(&answer[..end]).unwrap().to_ascii_lowercase();
    assert!(head.starts_with("http/1.1 20"), "{}", String::from_utf8_lossy(answer));
    let length = head.split("content-length: ").nth(1).and_then(|t| t.split("\r\n").next());
    match length {
        Some(length) => answer.len() >= end + 4 + length.parse::<usize>().unwrap(),
        None if head.contains("transfer-encoding: chunked") => answer.ends_with(b"\r\n0\r\n\r\n"),
        None => true,
    }
}
