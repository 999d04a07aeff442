//! Hostile paths, through each gateway to a service that reads them in every way that some service does: it never
//! serves what the agent may not do.

use std::collections::BTreeSet;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::client::{Client, NAME, Protocol};
use crate::hostile::{Row, resources, table};
use crate::world::World;

/// Fields by which a client says what the gateway has to say, or asks for something else than its request line.
const FIELDS: [&str; 28] = [
    "X-Kakunin-Action",
    "X-Kakunin-Cert-Serial",
    "X-Client-Cert",
    "X-HTTP-Method-Override",
    "X-HTTP-Method",
    "X-Method-Override",
    "X-Original-URL",
    "X-Rewrite-URL",
    "X-Kakunin-Spiffe-Id",
    "X-Kakunin-Certificate",
    "Client-Cert",
    "Client-Cert-Chain",
    "X-Forwarded-Client-Cert",
    "X-Forwarded-Tls-Client-Cert",
    "X-Forwarded-Tls-Client-Cert-Info",
    "X-SSL-Cert",
    "SSL-Client-Cert",
    "X-SSL-Client-Cert",
    "X-Original-URI",
    "X-Original-Method",
    "X-Forwarded-Uri",
    "X-Forwarded-Method",
    "X-Forwarded-Prefix",
    "Forwarded",
    "X-Forwarded-For",
    "X-Forwarded-Host",
    "X-Forwarded-Port",
    "X-Real-IP",
];

pub(crate) async fn hostile(gateway: &str) {
    let w = World::start(gateway);
    let ready = w.client(Some(&w.agent("ready", "read:mail")));
    w.until_ready(&ready).await;
    let rows = table();
    // Few to an agent: what is refused counts against it, and who has no identity left is refused anything.
    for (number, rows) in rows.chunks(12).enumerate() {
        let agent = w.agent(&format!("payer{number}"), "write:payments");
        let client = w.client(Some(&agent));
        for row in rows {
            let before = w.served();
            let status = raw(&client, &head(row, &[])).await;
            let heads = w.served_since(before);
            judge(gateway, row, status, &heads);
            // HTTP/2 has no request line, and the library writes less in its place.
            let target = std::str::from_utf8(&row.target).ok().filter(|target| target.starts_with('/'));
            let target =
                target.filter(|target| target.parse::<axum::http::Uri>().is_ok() && !target.contains('#'));
            if let Some(target) = target.filter(|_| row.method == "GET") {
                let before = w.served();
                let status = client.get(Protocol::Http2, target, &[]).await;
                judge(gateway, row, status, &w.served_since(before));
            }
        }
        assert_eq!(client.get(Protocol::Http1, "/pay", &[]).await, Some(200), "{gateway}: still an agent");
    }
    other_way_round(&w, gateway).await;
    fields(&w, gateway).await;
}

pub(crate) fn head(row: &Row, fields: &[String]) -> Vec<u8> {
    let length = if ["POST", "PUT"].contains(&&*row.method) { "content-length: 0\r\n" } else { "" };
    let rest = format!(" HTTP/1.1\r\nhost: {NAME}\r\n{length}{}connection: close\r\n\r\n", fields.concat());
    [row.method.as_bytes(), b" ", &row.target, rest.as_bytes()].concat()
}

/// The status of a request in HTTP/1.1 with these very octets; none if there is no answer.
pub(crate) async fn raw(client: &Client, head: &[u8]) -> Option<u16> {
    let mut stream = client.connect(Protocol::Http1).await?;
    stream.write_all(head).await.ok()?;
    let mut answer = [0; 12];
    let read = stream.read_exact(&mut answer);
    tokio::time::timeout(Duration::from_secs(20), read).await.expect("an answer, or the end").ok()?;
    std::str::from_utf8(&answer).ok()?.strip_prefix("HTTP/1.1 ")?.parse().ok()
}

fn judge(gateway: &str, row: &Row, status: Option<u16>, heads: &[Vec<u8>]) {
    let what = format!("{gateway}, {}: {status:?}", row.what);
    let let_in = status == Some(200);
    assert!(let_in == row.allowed || row.either, "{what}");
    assert_eq!(heads.len(), usize::from(let_in), "{what}");
    assert!(let_in || status.is_none_or(|status| (400..502).contains(&status)), "{what}");
    for head in heads {
        assert_eq!(served(head), BTreeSet::from(["pay".to_owned()]), "{what}");
    }
}

/// What a service serves that is asked so.
pub(crate) fn served(head: &[u8]) -> BTreeSet<String> {
    resources(head.split(|b| *b == b' ').nth(1).unwrap())
}

/// Whoever may do what is at the vault, and nothing else, reaches nothing else either.
async fn other_way_round(w: &World, gateway: &str) {
    for (number, rows) in table().chunks(12).enumerate() {
        let client = w.client(Some(&w.agent(&format!("keeper{number}"), "delete:vault")));
        for row in rows {
            let before = w.served();
            raw(&client, &head(row, &[])).await;
            for head in w.served_since(before) {
                assert_eq!(served(&head), BTreeSet::from(["vault".to_owned()]), "{gateway}, {}", row.what);
            }
        }
    }
}

/// What a client says of itself does not reach the service.
async fn fields(w: &World, gateway: &str) {
    let agent = w.agent("teller", "write:payments");
    let client = w.client(Some(&agent));
    let row = table().remove(0);
    for name in FIELDS {
        for name in [name.to_owned(), name.to_lowercase(), name.to_uppercase(), name.replace('-', "_")] {
            let before = w.served();
            let status = raw(&client, &head(&row, &[format!("{name}: forged\r\n")])).await;
            assert!(matches!(status, Some(200 | 400 | 401 | 403)), "{gateway}, {name}: {status:?}");
            for head in w.served_since(before) {
                let head = String::from_utf8_lossy(&head).to_lowercase();
                assert!(!head.contains("forged"), "{gateway}: {name} reaches the service: {head}");
                assert!(head.contains("x-kakunin-spiffe-id: spiffe://"), "{gateway}: {head}");
            }
        }
    }
    // Whoever gets the service to speak HTTP/2 on this connection asks for anything behind the gateway's back.
    let before = w.served();
    let h2c = "GET /pay HTTP/1.1\r\nhost: x\r\nconnection: Upgrade, HTTP2-Settings\r\nupgrade: h2c\r\nhttp2-settings: AAMAAABkAAQAAP__\r\n\r\n";
    raw(&client, h2c.replace("host: x", &format!("host: {NAME}")).as_bytes()).await;
    for head in w.served_since(before) {
        let head = String::from_utf8_lossy(&head).to_lowercase();
        assert!(!head.contains("h2c"), "{gateway}: {head}");
    }
}
