//! HTTP/2 by hand: frames as a hostile client writes them.

use std::collections::HashMap;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

pub const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
const DATA: u8 = 0;
const HEADERS: u8 = 1;
pub const RST_STREAM: u8 = 3;
const SETTINGS: u8 = 4;
const PING: u8 = 6;
pub const GOAWAY: u8 = 7;
const WINDOW_UPDATE: u8 = 8;
const END_STREAM: u8 = 1;
const END_HEADERS: u8 = 4;

pub struct Frame {
    pub kind: u8,
    pub flags: u8,
    pub stream: u32,
    pub payload: Vec<u8>,
}

/// A connection whose streams begin with this window.
pub struct Raw {
    pub stream: TcpStream,
    buffer: Vec<u8>,
}

pub fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).unwrap().to_be_bytes();
    [&length[1..], &[kind, flags], &stream.to_be_bytes(), payload].concat()
}

/// Of settings, the one that says how large the window of a stream is at first.
pub fn settings(window: u32) -> Vec<u8> {
    frame(SETTINGS, 0, 0, &[&[0, 4], &window.to_be_bytes()[..]].concat())
}

/// A request, with literals that need no table.
pub fn request(stream: u32, method: &str, path: &str, fields: &[(&str, &str)], ends: bool) -> Vec<u8> {
    let mut block = vec![0x86];
    let mut literal = |name: &str, value: &str| {
        block.push(0);
        for text in [name, value] {
            let length = text.len();
            // HPACK integers with a prefix of seven bits.
            if length < 127 {
                block.push(u8::try_from(length).unwrap());
            } else {
                block.push(127);
                let mut rest = length - 127;
                while rest >= 128 {
                    block.push(u8::try_from(rest % 128).unwrap() | 128);
                    rest /= 128;
                }
                block.push(u8::try_from(rest).unwrap());
            }
            block.extend_from_slice(text.as_bytes());
        }
    };
    literal(":method", method);
    literal(":path", path);
    literal(":authority", "a");
    for (name, value) in fields {
        literal(name, value);
    }
    frame(HEADERS, END_HEADERS | if ends { END_STREAM } else { 0 }, stream, &block)
}

impl Raw {
    pub async fn open(url: &str, window: u32) -> Self {
        let stream = TcpStream::connect(url.strip_prefix("http://").unwrap()).await.unwrap();
        let mut raw = Self { stream, buffer: Vec::new() };
        raw.send(&[PREFACE, &settings(window)].concat()).await;
        raw
    }

    pub const fn of(stream: TcpStream) -> Self {
        Self { stream, buffer: Vec::new() }
    }

    pub async fn send(&mut self, octets: &[u8]) {
        // It may have been closed already, which the next read tells.
        let _ = self.stream.write_all(octets).await;
    }

    pub async fn get(&mut self, stream: u32, path: &str) {
        self.send(&request(stream, "GET", path, &[], true)).await;
    }

    pub async fn data(&mut self, stream: u32, octets: &[u8]) {
        self.send(&frame(DATA, 0, stream, octets)).await;
    }

    pub async fn update(&mut self, stream: u32, octets: u32) {
        self.send(&frame(WINDOW_UPDATE, 0, stream, &octets.to_be_bytes())).await;
    }

    pub async fn ping(&mut self) {
        self.send(&frame(PING, 0, 0, &[7; 8])).await;
    }

    /// The next frame; `None` once the connection is closed.
    pub async fn frame(&mut self) -> Option<Frame> {
        loop {
            if let Some(head) = self.buffer.first_chunk::<9>() {
                let [a, b, c, kind, flags, rest @ ..] = *head;
                let length = usize::try_from(u32::from_be_bytes([0, a, b, c])).unwrap();
                if self.buffer.len() >= 9 + length {
                    let payload = self.buffer.drain(..9 + length).skip(9).collect();
                    let stream = u32::from_be_bytes(rest) & 0x7fff_ffff;
                    if kind == SETTINGS && flags == 0 {
                        self.send(&frame(SETTINGS, 1, 0, &[])).await;
                    }
                    return Some(Frame { kind, flags, stream, payload });
                }
            }
            let mut piece = vec![0; 64 * 1024];
            match self.stream.read(&mut piece).await {
                Ok(0) | Err(_) => return None,
                Ok(n) => self.buffer.extend_from_slice(&piece[..n]),
            }
        }
    }

    /// Reads on until `done` says so or time is over, and says whether it did. Gives octets by stream.
    pub async fn until(
        &mut self,
        time: Duration,
        mut done: impl FnMut(&Frame) -> bool,
    ) -> (bool, HashMap<u32, usize>) {
        let mut octets = HashMap::new();
        let reading = async {
            while let Some(frame) = self.frame().await {
                if frame.kind == DATA {
                    *octets.entry(frame.stream).or_default() += frame.payload.len();
                }
                if done(&frame) {
                    return true;
                }
            }
            false
        };
        let ended = timeout(time, reading).await.unwrap_or(false);
        (ended, octets)
    }

    /// Whether the connection is closed in time.
    pub async fn closed(&mut self, time: Duration) -> bool {
        timeout(time, async { while self.frame().await.is_some() {} }).await.is_ok()
    }
}

pub fn ends(frame: &Frame) -> bool {
    frame.kind <= HEADERS && frame.flags & END_STREAM != 0
}
