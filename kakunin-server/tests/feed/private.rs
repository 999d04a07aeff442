//! A tenant keeps its revocations to itself; who may follow learns of new issuing CAs; nobody takes all the places.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use axum::http::Method;
use kakunin_core::id::IssuerId;
use kakunin_core::time::Clock as _;
use kakunin_core::time::SystemClock;
use kakunin_server::demo::{Answer, Client};
use kakunin_server::{crl_sync, monitor};
use kakunin_verify::feed::{FeedClient, FeedSetupError};
use kakunin_verify::{RevocationHandle, TrustAnchor, Verifier};
use serde_json::json;
use tokio::time::sleep;

use crate::common::{World, code, world, world_with};
use crate::world::{Certified, Raw, SOON, authorities, certified, feed_path, revoke};

/// The text of a new key.
async fn key(world: &World, tenant: &str, role: &str) -> (String, String) {
    assert_eq!(world.admin.post("/api/v1/tenants", &json!({ "id": tenant })).await.unwrap().status, 201);
    let asked = json!({ "tenant": tenant, "role": role, "label": "test" });
    let made = world.admin.post("/api/v1/api-keys", &asked).await.unwrap();
    (made.text("key"), made.text("id"))
}

async fn switch(client: &Client, tenant: &str, revocations: &str) -> Answer {
    let (path, body) = (format!("/api/v1/tenants/{tenant}"), json!({ "revocations": revocations }));
    let json = [("content-type", "application/json")];
    client.send(Method::PATCH, &path, &json, body.to_string().into_bytes()).await.unwrap()
}

/// A tenant with an issuing CA of its own, an operator of it, and one of its agents.
async fn acme(world: &World) -> (IssuerId, Client, Certified) {
    let operator = world.admin.with_key(&key(world, "acme", "operator").await.0);
    let own = world.kakunin.rotate_issuing(Some(&"acme".parse().unwrap())).await.unwrap().id();
    let agent = certified(&operator, "agent").await;
    (own, operator, agent)
}

#[tokio::test]
async fn what_is_private_is_read_with_a_key_of_its_tenant_alone() {
    let world = world().await;
    let (shared, ..) = authorities(&world.admin).await;
    let operator = world.admin.with_key(&key(&world, "acme", "operator").await.0);
    let refused = switch(&operator, "acme", "private").await;
    assert_eq!((refused.status.as_u16(), code(&refused).as_str()), (409, "issuer_shared"));
    let (own, operator, agent) = acme(&world).await;
    let (reader, other) = (key(&world, "acme", "reader").await.0, key(&world, "other", "operator").await.0);
    let (reader, other) = (world.admin.with_key(&reader), world.admin.with_key(&other));
    assert_eq!(switch(&reader, "acme", "private").await.status, 403);
    assert_eq!(switch(&other, "acme", "private").await.status, 404);
    for state in ["private", "public"] {
        assert_eq!(switch(&world.admin, "acme", state).await.status, 200, "who makes tenants may say so");
    }
    assert_eq!(switch(&world.admin, "nobody", "private").await.status, 404);
    assert_eq!(switch(&operator, "acme", "private").await.data()["revocations"], "private");
    assert_eq!(reader.get("/api/v1/tenants/acme").await.unwrap().data()["revocations"], "private");
    revoke(&operator, &agent).await;

    let (anybody, wrong) = (world.admin.without_key(), world.admin.with_key("kak_live_x"));
    let all = |issuer: &IssuerId| {
        let feed = feed_path(issuer);
        let crl = |name: &str| format!("/api/v1/crl/{issuer}/{name}.crl");
        [feed.clone(), format!("{feed}/snapshot"), crl("0"), crl("full")]
    };
    for path in all(&own).iter().chain([&format!("{}/stream", feed_path(&own))]) {
        for (client, expected) in [
            (&anybody, (401, "api_key_missing")),
            (&wrong, (401, "api_key_invalid")),
            (&other, (404, "not_found")),
        ] {
            let refused = client.get(path).await.unwrap();
            assert_eq!((refused.status.as_u16(), code(&refused).as_str()), expected, "{path}");
        }
    }
    for path in all(&own) {
        let answer = reader.get(&path).await.unwrap();
        assert_eq!(
            (answer.status.as_u16(), &answer.headers["cache-control"]),
            (200, &"no-store".parse().unwrap())
        );
        assert!(!answer.headers.contains_key("access-control-allow-origin"), "{path}");
    }
    // What is shared stays for everybody, whatever key they show.
    for path in all(&shared) {
        for client in [&anybody, &wrong, &other] {
            let answer = client.get(&path).await.unwrap();
            assert!(
                answer.status == 200 && answer.headers["cache-control"].to_str().unwrap().contains("public")
            );
        }
    }
    let crls = async |client: &Client| {
        let chain = client.get("/api/v1/crl/chain").await.unwrap();
        assert_eq!(chain.headers["vary"], "authorization");
        String::from_utf8(chain.body.to_vec()).unwrap().matches("BEGIN X509 CRL").count()
    };
    assert_eq!((crls(&anybody).await, crls(&other).await, crls(&reader).await), (2, 2, 3));
    assert_eq!(wrong.get("/api/v1/crl/chain").await.unwrap().status, 401, "it would lack what was hoped for");
    // Who was shown a certificate may ask for it.
    let card = anybody.get(&format!("/api/v1/verify/{}", agent.serial)).await.unwrap().data();
    assert_eq!(card["status"], "revoked");
    let named = anybody.get("/api/v1/ca").await.unwrap().data();
    let visible = |ca: &serde_json::Value| (ca["tenant"] == "acme", ca["revocations"] == "private");
    assert!(
        named["authorities"].as_array().unwrap().iter().map(visible).all(|(acme, private)| acme == private)
    );
}

/// A verifier that follows whatever the deployment names.
async fn relying(world: &World, key: Option<&str>) -> (Verifier, kakunin_verify::feed::Following) {
    let (_, feed, root, domain) = authorities(&world.admin).await;
    let handle = RevocationHandle::default();
    let anchor = TrustAnchor::new(&root, domain.parse().unwrap()).unwrap();
    let verifier = Verifier::builder(handle.clone()).anchor(anchor).build(SystemClock.now()).unwrap();
    let client = FeedClient::new(&world.url, &feed, handle).unwrap().every_issuer();
    let client = if let Some(key) = key { client.api_key(key) } else { client };
    (verifier, client.start().unwrap())
}

async fn until(verifier: &Verifier, agent: &Certified, expected: Option<&str>) {
    let began = Instant::now();
    loop {
        let refusal =
            verifier.check(&agent.chain, "read:mail", SystemClock.now()).err().map(|denied| denied.code());
        if refusal == expected {
            return;
        }
        assert!(began.elapsed() < SOON, "{refusal:?} instead of {expected:?}");
        sleep(Duration::from_millis(5)).await;
    }
}

#[tokio::test]
async fn streams_end_for_those_who_may_not_read_on() {
    let world = world().await;
    let (own, operator, agent) = acme(&world).await;
    let (reader, id) = key(&world, "acme", "reader").await;
    let other = key(&world, "other", "operator").await.0;
    let foreign = world.kakunin.rotate_issuing(Some(&"other".parse().unwrap())).await.unwrap().id();
    assert_eq!(switch(&world.admin.with_key(&other), "other", "private").await.status, 200);
    let (keyed, keyed_feed) = relying(&world, Some(&reader)).await;
    let (anonymous, _following) = relying(&world, None).await;
    until(&keyed, &agent, None).await;
    until(&anonymous, &agent, None).await;
    let path = format!("{}/stream", feed_path(&own));
    let mut stranger = Raw::open(&world.url, &path, "").await;
    let mut known = Raw::open(&world.url, &path, &format!("authorization: Bearer {reader}\r\n")).await;
    assert_eq!(switch(&operator, "acme", "private").await.status, 200);
    let began = Instant::now();
    while stranger.event().await.is_some() {}
    assert!(began.elapsed() < Duration::from_secs(8), "the next heartbeat ends it");
    revoke(&operator, &agent).await;
    until(&keyed, &agent, Some("agent_revoked")).await;
    while known.event().await.unwrap().0 < 1 {}
    let followed = keyed_feed.issuers();
    assert!(followed.contains(&own) && !followed.contains(&foreign), "another tenant's is left alone");
    // Who does not learn of it any more believes nothing after a while, and never that it is good again.
    let refusal = anonymous.check(&agent.chain, "read:mail", SystemClock.now().plus(30_000)).unwrap_err();
    assert_eq!(refusal.code(), "verify_unavailable");
    // A key that was taken away reads nothing from the next frame on.
    let gone =
        world.admin.send(Method::DELETE, &format!("/api/v1/api-keys/{id}"), &[], Vec::new()).await.unwrap();
    assert_eq!(gone.status, 200);
    while known.event().await.is_some() {}
    let began = Instant::now();
    while keyed_feed.status(&own).unwrap().last_error.is_none() {
        assert!(began.elapsed() < SOON);
        sleep(Duration::from_millis(20)).await;
    }
    let mut again = switch(&operator, "acme", "public").await;
    assert_eq!(again.status, 200);
    again = world.admin.without_key().get(&feed_path(&own)).await.unwrap();
    assert_eq!(again.status, 200);
}

#[tokio::test]
async fn private_crls_are_synced_with_a_key() {
    let world = world().await;
    let (_, operator, _) = acme(&world).await;
    assert_eq!(switch(&operator, "acme", "private").await.status, 200);
    let at = |name: &str| world.folder.path().join(name);
    std::fs::write(at("key"), key(&world, "acme", "reader").await.0 + "\n").unwrap();
    std::fs::write(at("chain.pem"), world.admin.get("/api/v1/ca/chain").await.unwrap().body).unwrap();
    let sync = async |url: &str, key_file: Option<PathBuf>| {
        let options = crl_sync::Options {
            url: url.to_owned(),
            out: at("crls.pem"),
            ca: at("chain.pem"),
            tls_ca: None,
            key_file,
            exec: None,
            exec_limit: SOON,
            every: SOON,
            once: true,
        };
        crl_sync::run(&options).await.map_err(|error| error.to_string())
    };
    let crls = || std::fs::read_to_string(at("crls.pem")).unwrap().matches("BEGIN X509 CRL").count();
    sync(&world.url, None).await.unwrap();
    assert_eq!(crls(), 2);
    sync(&world.url, Some(at("key"))).await.unwrap();
    assert_eq!(crls(), 3);
    // One that is there is not lost because the key was forgotten; others go on.
    let shared = certified(&world.admin, "shared").await;
    revoke(&world.admin, &shared).await;
    let before = std::fs::read_to_string(at("crls.pem")).unwrap();
    assert!(sync(&world.url, None).await.unwrap_err().contains("has no CRL of"));
    assert_eq!(crls(), 3);
    assert_ne!(std::fs::read_to_string(at("crls.pem")).unwrap(), before, "the shared CA's is a new one");
    let plain = sync("http://ca.example", Some(at("key"))).await.unwrap_err();
    assert!(plain.contains("https"), "{plain}");
    let none = sync(&world.url, Some(at("none"))).await.unwrap_err();
    assert!(none.contains("--key-file"), "{none}");
}

#[tokio::test]
async fn the_monitor_of_a_private_tenant_sees_what_its_verifiers_see() {
    let world = world().await;
    let (_, operator, _) = acme(&world).await;
    assert_eq!(switch(&operator, "acme", "private").await.status, 200);
    let file = world.folder.path().join("key");
    std::fs::write(&file, key(&world, "acme", "operator").await.0).unwrap();
    let options = monitor::Options {
        url: world.url.clone(),
        key_file: file,
        ca: None,
        probes: Vec::new(),
        bound: SOON,
        by_score: false,
    };
    let report = monitor::run(&options).await.unwrap();
    assert!(report.in_time() && report.measured.len() == 5, "{report}");
}

#[tokio::test]
async fn an_issuing_ca_that_is_made_later_is_followed_without_being_told() {
    let world = world().await;
    let (verifier, following) = relying(&world, None).await;
    let before = certified(&world.admin, "before").await;
    until(&verifier, &before, None).await;
    let second = world.kakunin.rotate_issuing(None).await.unwrap().id();
    let after = certified(&world.admin, "after").await;
    until(&verifier, &after, None).await;
    assert!(following.issuers().contains(&second));
    revoke(&world.admin, &after).await;
    until(&verifier, &after, Some("agent_revoked")).await;
    until(&verifier, &before, None).await;
}

#[tokio::test]
async fn nobody_without_a_key_takes_all_the_places() {
    let world = world_with(|options| options.api.feed_subscribers_per_address = 2).await;
    let (issuer, ..) = authorities(&world.admin).await;
    let path = format!("{}/stream", feed_path(&issuer));
    let open = async |field: &str| Raw::open(&world.url, &path, field).await;
    let (first, _second) = (open("").await, open("").await);
    let third = open("").await;
    assert!(third.head.contains("503") && third.head.contains("retry-after: 30"), "{}", third.head);
    let field = format!("authorization: Bearer {}\r\n", key(&world, "acme", "reader").await.0);
    assert!(open(&field).await.head.contains("200"), "a key says who it is");
    drop(first);
    let began = Instant::now();
    while !open("").await.head.contains("200") {
        assert!(began.elapsed() < SOON);
        sleep(Duration::from_millis(20)).await;
    }
}

#[tokio::test]
async fn a_key_is_not_shown_in_the_clear_to_another_machine() {
    let world = world().await;
    let (_, feed, ..) = authorities(&world.admin).await;
    let client =
        |url: &str| FeedClient::new(url, &feed, RevocationHandle::default()).unwrap().api_key("kak_live_x");
    assert_eq!(client("http://ca.example").start().unwrap_err(), FeedSetupError::ApiKey);
    assert!(client("https://ca.example").start().is_ok() && client(&world.url).start().is_ok());
    assert!(!format!("{:?}", client(&world.url)).contains("kak_live_x"));
}
