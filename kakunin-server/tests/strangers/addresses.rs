//! Whose address counts behind a proxy: never one that a client made up.

use axum::http::Method;
use kakunin_server::demo::Client;

use crate::common::world_with;

const LIMIT: u32 = 10;

#[tokio::test]
async fn an_address_that_a_client_makes_up_buys_it_nothing() {
    let w = world_with(|options| {
        options.api.trusted_proxies = vec!["127.0.0.1".parse().unwrap(), "10.0.0.0/8".parse().unwrap()];
        options.api.anonymous_rate = LIMIT.try_into().unwrap();
    });
    let w = w.await;
    let stranger = Client::new(&w.url);
    let ask = async |fields: &[(&str, &str)]| {
        stranger.send(Method::GET, "/api/v1/crl", fields, Vec::new()).await.unwrap().status.as_u16()
    };
    let field = "x-forwarded-for";
    // What the proxy appends when it does not know, or names as it does, after what the client sent.
    for (client, appended) in [
        ("192.0.2.1", "unknown"),
        ("192.0.2.1", ""),
        ("192.0.2.1", "\"198.51.100.1\""),
        ("192.0.2.1", "198.51.100.1:4711"),
        ("192.0.2.1", "[2001:db8::1]:4711"),
        ("192.0.2.1:80", "198.51.100.2, 10.9.9.9:443"),
    ] {
        let mut limited = 0;
        for n in 0..60 {
            let value = format!("203.0.113.{n}, {client}{n}, {appended}");
            limited += u32::from(ask(&[(field, &value)]).await == 429);
        }
        assert!(limited > 0, "{appended:?}: each made-up address had a limit of its own");
    }
    // On lines of their own.
    let mut limited = 0;
    for n in 0..60 {
        let made_up = format!("203.0.113.{n}");
        limited += u32::from(ask(&[(field, &made_up), (field, "198.51.100.3")]).await == 429);
    }
    assert!(limited > 0);
    // Those whom the proxy knows each have their own.
    for n in 0..60 {
        let value = format!("1.1.1.1, 198.18.0.{n}:4711");
        assert_eq!(ask(&[(field, &value)]).await, 200, "{value}");
    }
    // One IPv6 network is one client.
    let mut limited = 0;
    for n in 0..60 {
        limited += u32::from(ask(&[(field, &format!("[2001:db8:7:7::{n:x}]:1"))]).await == 429);
    }
    assert!(limited > 0);
    let many = "10.1.1.1,".repeat(5_000);
    assert_eq!(
        ask(&[(field, &format!("{many}10.1.1.1"))]).await,
        200,
        "a long one is looked at as far as it matters"
    );
}
