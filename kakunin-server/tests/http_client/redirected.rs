//! Redirects: an API key would go with them.

use std::io::Write;
use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;

use kakunin_server::{crl_sync, demo};

use crate::binary::{curl, refused, start};
use crate::followed::{feed_key, first_error};
use crate::peers::{SHORT, client, get, serving};

/// A server that leads to another with this status, and what comes to the other.
fn leading(status: u16) -> (String, Receiver<String>) {
    let (heads, seen) = channel();
    let to = serving(move |mut stream, head| {
        heads.send(head).unwrap();
        let _ = stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n");
    });
    let url = serving(move |mut stream, _| {
        let answer = format!("HTTP/1.1 {status} X\r\nlocation: {to}/elsewhere\r\ncontent-length: 0\r\n\r\n");
        let _ = stream.write_all(answer.as_bytes());
    });
    (url, seen)
}

#[tokio::test]
async fn no_redirect_is_followed_by_anybody() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    let server = start(&at("data"), &[]);
    let chain = curl(&[&format!("{}/api/v1/ca/chain", server.url)]).1;
    std::fs::write(at("chain.pem"), chain.as_str().unwrap()).unwrap();
    let feed_key = &feed_key();
    for status in [301, 302, 303, 307, 308] {
        let (url, seen) = leading(status);
        let answer = get(&client(&url, &SHORT)).await.unwrap();
        assert_eq!((answer.status().as_u16(), answer.headers().contains_key("location")), (status, true));
        let answer = demo::Client::new(&url).with_key("kak_live_x").get("/api").await.unwrap();
        assert_eq!(answer.status, status);
        let options = crl_sync::Options {
            url: url.clone(),
            out: at("crls.pem"),
            ca: at("chain.pem"),
            tls_ca: None,
            key_file: Some(at("data/admin.key")),
            exec: None,
            exec_limit: Duration::from_secs(1),
            every: Duration::from_secs(1),
            once: true,
        };
        let said = crl_sync::run(&options).await.unwrap_err().to_string();
        assert!(said.contains(&format!("answers {status}")), "{said}");
        let ((code, why), _) = first_error(&url, feed_key).await;
        assert_eq!((code, why), ("feed_refused", format!("the feed answered {status}")));
        let key = at("data/admin.key").display().to_string();
        let said = refused(&["monitor", "--url", &url, "--key-file", &key]);
        assert!(said.contains(&format!("was answered {status}")), "{said}");
        assert_eq!(seen.try_iter().collect::<Vec<_>>(), Vec::<String>::new(), "nobody went elsewhere");
    }
}
