//! What strangers can make the server hold in memory.

use std::time::Instant;

use crate::h2::{self, Raw};
use crate::{SECOND, binary};

/// Megabytes by which it may grow, whatever one address does.
const BOUND: usize = 96;

fn resident(pid: u32) -> usize {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
    line.split_whitespace().next().unwrap().parse::<usize>().unwrap() / 1024
}

#[test]
fn shut_windows_and_bodies_without_end_do_not_fill_the_memory() {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    let folder = tempfile::tempdir().unwrap();
    let server = binary::start(&folder.path().join("data"), &[]);
    let ca = binary::curl(&[&format!("{}/api/v1/ca", server.url)]).1;
    let issuer =
        ca["data"]["authorities"].as_array().unwrap().iter().find(|ca| ca["role"] == "issuing").unwrap();
    let issuer = issuer["key_id"].as_str().unwrap().to_owned();
    let pid = server.child.id();
    let before = resident(pid);
    let worst = runtime.block_on(async {
        let (mut held, mut worst) = (Vec::new(), 0);
        let paths = [
            "/api/v1/openapi.json".to_owned(),
            format!("/api/v1/feed/{issuer}/snapshot"),
            "/api/v1/crl".to_owned(),
        ];
        for connection in 0..150 {
            let mut raw = Raw::open(&server.url, if connection % 2 == 0 { 0 } else { 1 }).await;
            for n in 0..32_u32 {
                raw.get(n * 2 + 1, &paths[if n % 8 == 0 { 1 + connection % 2 } else { 0 }]).await;
            }
            held.push(raw);
        }
        // Bodies that are never whole, as large as they may be.
        for _ in 0..100 {
            let mut raw = Raw::open(&server.url, 65_535).await;
            for n in 0..16_u32 {
                let fields = [("content-type", "application/json")];
                raw.send(&h2::request(n * 2 + 1, "POST", "/api/v1/gateway/check", &fields, false)).await;
                raw.data(n * 2 + 1, &[b' '; 16_000]).await;
            }
            held.push(raw);
        }
        let began = Instant::now();
        while began.elapsed() < 10 * SECOND {
            worst = worst.max(resident(pid));
            tokio::time::sleep(SECOND / 4).await;
        }
        worst
    });
    println!("{before} MB before, {worst} MB at worst");
    assert!(worst < before + BOUND, "{before} MB before, {worst} MB at worst");
    assert_eq!(binary::curl(&[&format!("{}/healthz", server.url)]).0, "200");
}
