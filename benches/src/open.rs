//! An open loop: requests at their times, whether the last one was answered or not, so that what waits is seen to wait.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::sleep_until;

/// What was asked for.
#[derive(Clone, Debug)]
pub struct Plan {
    /// Whom.
    pub address: SocketAddr,
    /// Over how many connections, which take turns.
    pub connections: u32,
    /// Requests a second, over all of them; `None`: one after the other on each.
    pub rate: Option<u32>,
    /// The request.
    pub request: Vec<u8>,
    /// How long.
    pub length: Duration,
}

/// What came of it.
#[derive(Clone, Debug, Default)]
pub struct Seen {
    /// From when a request was due until its whole answer, in microseconds, in order.
    pub latencies: Vec<u64>,
    /// Answers that were no success.
    pub refused: usize,
    /// Answers a second.
    pub rate: f64,
}

impl Seen {
    /// This part of 1,000 of the latencies is at most so many microseconds.
    #[must_use]
    pub fn quantile(&self, per_mille: usize) -> u64 {
        self.latencies.get(self.latencies.len() * per_mille / 1_000).copied().unwrap_or(u64::MAX)
    }
}

impl Plan {
    /// Does it.
    ///
    /// # Panics
    /// If the server hangs up.
    pub async fn run(self) -> Seen {
        let began = Instant::now();
        let callers: Vec<_> =
            (0..self.connections).map(|n| tokio::spawn(self.clone().call(n, began))).collect();
        let mut all = Seen::default();
        for caller in callers {
            let (latencies, refused) = caller.await.unwrap();
            all.latencies.extend(latencies);
            all.refused += refused;
        }
        all.rate = all.latencies.len() as f64 / began.elapsed().as_secs_f64();
        all.latencies.sort_unstable();
        all
    }

    async fn call(self, n: u32, began: Instant) -> (Vec<u64>, usize) {
        let mut stream = TcpStream::connect(self.address).await.unwrap();
        stream.set_nodelay(true).unwrap();
        let (mut buffer, mut latencies, mut refused) = (vec![0; 1024 * 1024], Vec::new(), 0);
        let step = self.rate.map(|rate| Duration::from_secs(1) * self.connections / rate);
        let mut due = began + step.unwrap_or_default() * n / self.connections;
        while due < began + self.length {
            sleep_until(due.into()).await;
            stream.write_all(&self.request).await.unwrap();
            refused += usize::from(!answer(&mut stream, &mut buffer).await);
            latencies.push(u64::try_from(due.elapsed().as_micros()).unwrap());
            due = step.map_or_else(Instant::now, |step| due + step);
        }
        (latencies, refused)
    }
}

/// Reads a whole answer, and says whether it is a success.
async fn answer(stream: &mut TcpStream, buffer: &mut [u8]) -> bool {
    let (mut got, mut needed) = (0, usize::MAX);
    while got < needed {
        let read = stream.read(&mut buffer[got..]).await.unwrap();
        assert!(read > 0, "the server closed the connection");
        got += read;
        if needed == usize::MAX
            && let Some(end) = buffer[..got].windows(4).position(|w| w == b"\r\n\r\n")
        {
            let head = std::str::from_utf8(&buffer[..end]).unwrap().to_ascii_lowercase();
            let length = head.split("content-length: ").nth(1).and_then(|text| text.split("\r\n").next());
            needed = end + 4 + length.expect("answers have a length").parse::<usize>().unwrap();
        }
    }
    buffer.starts_with(b"HTTP/1.1 20")
}
