//! Feeds that fall silent, break off, or send what is no snapshot.

use std::io::Write;
use std::time::{Duration, Instant};

use kakunin_core::id::IssuerId;
use kakunin_verify::RevocationHandle;
use kakunin_verify::feed::FeedClient;

use crate::binary::{curl, start};
use crate::peers::serving;

/// What a client says first of the feed at `url`, and after how long.
pub(crate) async fn first_error(url: &str, feed_key: &str) -> ((&'static str, String), Duration) {
    let issuer = IssuerId::from_bytes([7; 20]);
    let client = FeedClient::new(url, feed_key, RevocationHandle::default()).unwrap();
    let following = client.issuer(issuer).api_key("kak_live_x").start().unwrap();
    let began = Instant::now();
    loop {
        if let Some(error) = following.status(&issuer).unwrap().last_error {
            return (error, began.elapsed());
        }
        assert!(began.elapsed() < Duration::from_secs(30));
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

/// The feed key of a deployment that is made for it.
pub(crate) fn feed_key() -> String {
    let folder = tempfile::tempdir().unwrap();
    let server = start(&folder.path().join("data"), &[]);
    let authorities = curl(&[&format!("{}/api/v1/ca", server.url)]).1;
    authorities["data"]["feed_verifier"].as_str().unwrap().to_owned()
}

/// A feed that sends this, and then nothing for a minute, or closes.
fn feed(sent: &'static str, stays: bool) -> String {
    serving(move |mut stream, _| {
        stream.write_all(sent.as_bytes()).unwrap();
        std::thread::sleep(Duration::from_secs(if stays { 60 } else { 0 }));
    })
}

const HALF: &str = "HTTP/1.1 200 OK\r\ncontent-length: 1000\r\n\r\nhalf";

#[tokio::test]
async fn a_feed_that_falls_silent_or_breaks_off_is_left_and_said_to() {
    let key = feed_key();
    let silent = [feed("", true), feed(HALF, true)];
    let (never, stops) = tokio::join!(first_error(&silent[0], &key), first_error(&silent[1], &key));
    for ((code, why), after) in [never, stops] {
        assert_eq!((code, why.as_str()), ("feed_unreachable", "the feed fell silent"));
        assert!((12..20).contains(&after.as_secs()), "{after:?}");
    }
    for (sent, expected, said) in [
        ("", "feed_unreachable", "cannot be reached"),
        (HALF, "feed_unreachable", "end of file before message length reached"),
        (
            "HTTP/1.1 200 OK\r\ncontent-length: 268435457\r\n\r\n",
            "feed_unreachable",
            "longer than snapshots are",
        ),
        ("HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n{}", "feed_malformed", ""),
        ("HTTP/1.1 503 Full\r\nretry-after: 5\r\ncontent-length: 0\r\n\r\n", "feed_refused", "answered 503"),
    ] {
        let ((code, why), _) = first_error(&feed(sent, false), &key).await;
        assert!(code == expected && why.contains(said), "{sent:?}: {code} {why}");
        assert!(!why.contains("kak_live_x"));
    }
}
