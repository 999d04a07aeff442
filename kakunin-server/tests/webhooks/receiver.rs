//! A receiver in the test, and what came to it.

use std::collections::HashMap;
use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

/// What came.
#[derive(Clone, Debug)]
pub(crate) struct Got {
    pub(crate) path: String,
    pub(crate) fields: HashMap<String, String>,
    pub(crate) body: Vec<u8>,
    /// When its first octet was there.
    pub(crate) at: Instant,
}

impl Got {
    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap()
    }

    pub(crate) fn kind(&self) -> String {
        self.json()["type"].as_str().unwrap_or_default().to_owned()
    }

    pub(crate) fn id(&self) -> String {
        self.fields["webhook-id"].clone()
    }
}

/// What is answered to a path.
type Answers = Arc<dyn Fn(&Got) -> Option<String> + Send + Sync>;

/// A receiver; an answer of `None` never comes.
#[derive(Clone)]
pub(crate) struct Receiver {
    pub(crate) at: SocketAddr,
    got: Arc<Mutex<Vec<Got>>>,
}

impl Receiver {
    pub(crate) async fn answering(answers: impl Fn(&Got) -> Option<String> + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let receiver = Self { at: listener.local_addr().unwrap(), got: Arc::default() };
        let (got, answers): (_, Answers) = (receiver.got.clone(), Arc::new(answers));
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(serve(stream, got.clone(), answers.clone()));
            }
        });
        receiver
    }

    pub(crate) async fn taking() -> Self {
        Self::answering(|_| Some(status("204 No Content"))).await
    }

    pub(crate) fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.at)
    }

    pub(crate) fn got(&self) -> Vec<Got> {
        self.got.lock().unwrap().clone()
    }

    /// Waits until that came, for half a minute at the most.
    pub(crate) async fn until(&self, what: &str, came: impl Fn(&[Got]) -> bool) -> Vec<Got> {
        let deadline = Instant::now() + Duration::from_secs(30);
        loop {
            let got = self.got();
            if came(&got) {
                return got;
            }
            assert!(Instant::now() < deadline, "never: {what}; {} came", got.len());
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }
}

pub(crate) fn status(line: &str) -> String {
    format!("HTTP/1.1 {line}\r\ncontent-length: 0\r\n\r\n")
}

async fn serve(mut stream: TcpStream, all: Arc<Mutex<Vec<Got>>>, answers: Answers) -> io::Result<()> {
    let (mut octets, mut buffer) = (Vec::new(), [0; 16_384]);
    loop {
        let read = stream.read(&mut buffer).await?;
        if read == 0 {
            return Ok(());
        }
        let at = Instant::now();
        octets.extend_from_slice(&buffer[..read]);
        while let Some((got, rest)) = request(&octets, at) {
            all.lock().unwrap().push(got.clone());
            octets.drain(..rest);
            match answers(&got) {
                Some(answer) => stream.write_all(answer.as_bytes()).await?,
                None => std::future::pending().await,
            }
        }
    }
}

/// The first whole request, and how many octets it has.
fn request(octets: &[u8], at: Instant) -> Option<(Got, usize)> {
    let head = octets.windows(4).position(|four| four == b"\r\n\r\n")? + 4;
    let text = String::from_utf8_lossy(&octets[..head]).into_owned();
    let mut lines = text.lines();
    let path = lines.next()?.split(' ').nth(1)?.to_owned();
    let field =
        |line: &str| line.split_once(": ").map(|(name, value)| (name.to_ascii_lowercase(), value.to_owned()));
    let fields: HashMap<_, _> = lines.filter_map(field).collect();
    let length: usize = fields.get("content-length").map_or(0, |text| text.parse().unwrap());
    let body = octets.get(head..head + length)?.to_vec();
    Some((Got { path, fields, body, at }, head + length))
}
