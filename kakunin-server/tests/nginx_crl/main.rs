//! nginx as it comes from the distribution, in front of things: with mutual TLS it refuses a revoked agent
//! because `kakunin crl-sync` keeps its CRLs, and it caches certificate cards for as long as they say.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test that cannot go on has failed"
)]

#[path = "../binary/mod.rs"]
mod binary;
#[path = "../gateways/client.rs"]
mod client;
mod gap;
mod world;

use std::process::Command;
use std::time::{Duration, Instant};

use binary::{curl, run};
use world::{Process, World, free_port};

#[test]
fn nginx_refuses_a_revoked_agent_whose_crl_is_synced() {
    let w = World::start();
    let (gone, stays) = (w.agent("gone"), w.agent("stays"));
    let port = free_port();
    let nginx = w.nginx("nginx", "", &w.mutual_tls(port, ""), port);
    let _sync = Process::spawn(&mut w.crl_sync(&["--exec", &nginx.reload]));
    let (tls, url) = (w.at("tls.pem"), format!("https://127.0.0.1:{port}/"));
    let hello = |name: &str| {
        let (pem, key) = (w.at(&format!("{name}.pem")), w.at(&format!("{name}.key")));
        // A worker that ends because of a reload may take a connection and say goodbye at once.
        let again = ["--retry", "3", "--retry-all-errors", "--retry-delay", "1"];
        curl(&[&again[..], &["--cacert", &tls, "--cert", &pem, "--key", &key, &url]].concat()).0
    };
    assert_eq!((hello("gone").as_str(), hello("stays").as_str()), ("200", "200"));
    let mut took = Vec::new();
    let mut names = vec![("gone".to_owned(), gone)];
    for n in 0..4 {
        let name = format!("more{n}");
        let serial = w.agent(&name);
        names.push((name, serial));
    }
    for (name, serial) in &names {
        assert_eq!(hello(name), "200");
        w.revoke(serial);
        let revoked = Instant::now();
        while hello(name) != "400" {
            assert!(revoked.elapsed() < Duration::from_secs(20), "nginx does not refuse {name}");
            std::thread::sleep(Duration::from_millis(20));
        }
        took.push(revoked.elapsed());
    }
    took.sort_unstable();
    println!("nginx with crl-sync: revocation to refusal on a new connection {took:?}");
    assert_eq!(hello("stays"), "200");
    let text = run(
        "openssl",
        &["verify", "-crl_check_all", "-CAfile", "chain.pem", "-CRLfile", "crls.pem", "stays.pem"],
        w.path(),
    );
    assert!(String::from_utf8_lossy(&text.stdout).contains("stays.pem: OK"));
    assert!(!stays.is_empty());
}

#[test]
fn a_cache_with_defaults_answers_of_a_revoked_certificate_for_seconds_only() {
    let w = World::start();
    let serial = w.agent("one");
    let (port, up) = (free_port(), w.server.url.trim_start_matches("http://"));
    let http = format!(
        "proxy_cache_path {}/cache keys_zone=cards:1m;\n\
         server {{ listen 127.0.0.1:{port};\n\
         location / {{ proxy_cache cards; proxy_pass http://{up}; add_header x-cache $upstream_cache_status; }} }}\n",
        w.path().display()
    );
    let _nginx = w.nginx("nginx", "", &http, port);
    let url = format!("http://127.0.0.1:{port}/api/v1/verify/{serial}");
    let card = || curl(&[&url]).1;
    let valid = card();
    assert_eq!(valid["data"]["valid"], true, "{valid}");
    let headers = || {
        let out = Command::new("curl").args(["-sS", "-D", "-", "-o", "/dev/null", &url]).output().unwrap();
        String::from_utf8(out.stdout).unwrap().to_lowercase()
    };
    assert!(headers().contains("x-cache: hit"), "it is cached at all: {}", headers());
    w.revoke(&serial);
    let revoked = Instant::now();
    while card()["data"]["valid"] == true {
        assert!(revoked.elapsed() <= Duration::from_secs(10), "the cache still says that it is valid");
        std::thread::sleep(Duration::from_millis(50));
    }
    println!("nginx proxy_cache with defaults: revocation to refusal {:?}", revoked.elapsed());
}
