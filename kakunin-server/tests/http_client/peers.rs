//! Servers that send what a test tells them to, and clients of them.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::time::Duration;

use axum::http::{HeaderMap, Method};
use kakunin_verify::feed::http::{Answer, Bounds, HttpClient, HttpError, Tls};

/// The head of a request.
pub(crate) fn head(stream: &mut TcpStream) -> String {
    let (mut head, mut octet) = (Vec::new(), [0]);
    while !head.ends_with(b"\r\n\r\n") && stream.read(&mut octet).unwrap_or(0) == 1 {
        head.push(octet[0]);
    }
    String::from_utf8(head).unwrap()
}

/// A server that hands each connection and the head of its request to `answer`.
pub(crate) fn serving(answer: impl Fn(TcpStream, String) + Clone + Send + 'static) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let (mut stream, answer) = (stream.unwrap(), answer.clone());
            std::thread::spawn(move || {
                let head = head(&mut stream);
                answer(stream, head);
            });
        }
    });
    url
}

/// A server that sends these pieces with a pause before each, and closes.
pub(crate) fn sending(pieces: Vec<Vec<u8>>, pause: Duration) -> String {
    serving(move |mut stream, _| {
        for piece in &pieces {
            std::thread::sleep(pause);
            if stream.write_all(piece).is_err() {
                return;
            }
        }
    })
}

/// Bounds of a test that has no time.
pub(crate) const SHORT: Bounds = Bounds {
    connect: Duration::from_millis(500),
    silence: Duration::from_millis(500),
    whole: None,
    body: 1_000,
    keep: false,
};

pub(crate) fn client(url: &str, bounds: &Bounds) -> HttpClient {
    HttpClient::new(url, &Tls::system(), None, bounds).unwrap()
}

pub(crate) async fn get(client: &HttpClient) -> Result<Answer, HttpError> {
    client.send(Method::GET, "/it", HeaderMap::new(), Vec::new()).await
}

/// Status and content of what is at `url`.
pub(crate) async fn whole(url: &str, bounds: &Bounds) -> Result<Vec<u8>, HttpError> {
    get(&client(url, bounds)).await?.whole().await
}
