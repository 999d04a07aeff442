//! What can be read in more than one way is refused before it is mapped: the table of hostile paths, and paths made up,
//! before a service that reads them in every way.
#![allow(clippy::expect_used, clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]

#[cfg(feature = "tower")]
mod common;
#[path = "common/hostile.rs"]
mod hostile;

use std::collections::BTreeSet;

use hostile::{resources, table};
use kakunin_verify::Code;
#[cfg(feature = "tower")]
use kakunin_verify::layer::PeerCertificates;
use kakunin_verify::target::{RouteError, Routes, path};

fn routes() -> Routes {
    let mut routes = Routes::new();
    for method in ["GET", "POST", "PUT", "PATCH", "DELETE"] {
        routes = routes.route(method, "/pay", "write:payments").unwrap();
    }
    routes.route("*", "/vault", "delete:vault").unwrap()
}

fn only(resource: &str) -> BTreeSet<String> {
    BTreeSet::from([resource.to_owned()])
}

#[test]
fn the_service_reads_every_hostile_path_in_more_than_one_way() {
    let elsewhere = table().iter().filter(|row| resources(&row.target).contains("vault")).count();
    assert!(elsewhere > 40, "{elsewhere} lead to the vault");
}

#[test]
fn no_hostile_path_is_mapped() {
    for row in table() {
        let Ok(target) = std::str::from_utf8(&row.target) else {
            assert!(!row.allowed, "{}", row.what);
            continue;
        };
        let action = routes().action(&row.method, target).map(ToString::to_string);
        assert_eq!(action.as_deref() == Ok("write:payments"), row.allowed, "{}: {action:?}", row.what);
        // Nothing is normalised here.
        assert!(!row.either || action.is_err(), "{}", row.what);
        if row.allowed {
            assert_eq!(resources(&row.target), only("pay"), "{}", row.what);
        } else if action.is_ok() {
            assert_eq!(resources(&row.target), only("vault"), "{}: {action:?}", row.what);
        }
    }
}

/// As the layer sees targets, after an HTTP library has read them, which cuts fragments off.
#[test]
#[cfg(feature = "tower")]
fn no_hostile_path_passes_the_layer() {
    let site = common::site::Site::new();
    let routes = routes();
    let layer = site.layer_for(move |request| routes.of(request));
    let (mut let_in, mut refused) = (0, 0);
    for row in table() {
        let request = http::Request::builder()
            .method(row.method.as_str())
            .uri(row.target.as_slice())
            .extension(PeerCertificates([site.world.leaf_der()].into()));
        let Some(seen) = request.uri_ref().map(ToString::to_string) else {
            assert!(!row.allowed, "{}", row.what);
            continue;
        };
        let response = site.ask(&layer, request);
        if response.status() == 200 {
            let_in += 1;
            assert_eq!(response.body().split(' ').next(), Some("write:payments"), "{}", row.what);
            assert_eq!(resources(seen.as_bytes()), only("pay"), "{}", row.what);
            assert!(row.allowed || row.target.contains(&b'#'), "{}", row.what);
        } else {
            refused += 1;
            assert!(!row.allowed && response.status() == 403, "{}", row.what);
        }
    }
    assert!(let_in >= 4 && refused > 70, "{let_in} {refused}");
}

/// A service that believes such a field serves something else than the layer looked at.
#[test]
#[cfg(feature = "tower")]
fn nothing_is_asked_for_beside_the_request_line() {
    let site = common::site::Site::new();
    let by_name =
        |request: &http::request::Parts| (request.uri.path() == "/pay").then(|| "write:payments".to_owned());
    let layer = site.layer_for(by_name);
    let ask = |method: &str, target: &str, field: Option<&str>| {
        let request = http::Request::builder().method(method).uri(target);
        let request = request.extension(PeerCertificates([site.world.leaf_der()].into()));
        site.code(&layer, field.iter().fold(request, |request, name| request.header(*name, "/vault")))
    };
    assert_eq!(ask("POST", "/pay", None), "allowed");
    for field in kakunin_verify::target::OVERRIDE_HEADERS {
        assert_eq!(ask("POST", "/pay", Some(field)), "target_ambiguous", "{field}");
    }
    assert_eq!(ask("post", "/pay", None), "target_ambiguous");
    // It is not asked about these.
    assert_eq!(ask("POST", "/pay/../vault", None), "target_ambiguous");
    assert_eq!(ask("POST", "/elsewhere", None), "action_malformed");
    for query in
        ["_method=DELETE", "a=1&_method=DELETE", "_METHOD=PUT", "%5fmethod=PUT", "a;_method", "_%6dethod=PUT"]
    {
        assert_eq!(ask("POST", &format!("/pay?{query}"), None), "target_ambiguous", "{query}");
    }
    assert_eq!(ask("POST", "/pay?method=DELETE&x_method=1&q=_method", None), "allowed");
}

/// Whatever is put together from what attacks are made of: what is mapped has one reading.
#[test]
fn what_is_mapped_has_one_reading() {
    let parts = [
        "/",
        "/",
        "/",
        "pay",
        "vault",
        "..",
        ".",
        "%2e",
        "%2f",
        "%5c",
        "\\",
        ";",
        "%3b",
        "%00",
        "%25",
        "%",
        "#",
        "%23",
        "?",
        "%3f",
        "x",
        "A",
        " ",
        "%20",
        "\t",
        "%c0%ae",
        "%ef%bc%8f",
        "%c3%a9",
        "~",
        "@",
        "%40",
        "\u{ff0e}",
    ];
    let mut state: u64 = 7;
    let mut random = |below: usize| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        usize::try_from(state >> 33).unwrap() % below
    };
    let routes = routes();
    let (mut mapped, mut plain) = (0, 0);
    for _ in 0..200_000 {
        let below: String = (0..random(6)).map(|_| parts[random(parts.len())]).collect();
        let target = format!("{}{below}", ["/pay", "/vault", "/", ""][random(4)]);
        if let Ok(read) = path(&target) {
            plain += 1;
            // As it is, again.
            assert!(target.starts_with(read) && path(read) == Ok(read), "{target}");
            assert!(read.split('/').all(|segment| segment != "." && segment != ".."), "{target}");
        }
        if let Ok(action) = routes.action("GET", &target) {
            mapped += 1;
            let resource = if action.as_str() == "write:payments" { "pay" } else { "vault" };
            assert_eq!(resources(target.as_bytes()), only(resource), "{target}");
        }
    }
    assert!(mapped > 1_000 && plain > mapped, "{mapped} {plain}");
}

#[test]
fn the_longest_rule_decides_and_letter_case_leads_around_none() {
    let routes = Routes::new()
        .route("*", "/", "read:site")
        .and_then(|r| r.route("*", "/pay", "write:payments"))
        .and_then(|r| r.route("POST", "/pay/admin", "manage:payments"))
        .and_then(|r| r.route("GET", "/pay/admin", "read:payments"))
        .unwrap();
    let asked = |method: &str, target: &str| routes.action(method, target).map_err(|denied| denied.kind());
    for (method, target, action) in [
        ("GET", "/", "read:site"),
        ("GET", "/payroll", "read:site"),
        ("DELETE", "/pay", "write:payments"),
        ("DELETE", "/pay/", "write:payments"),
        ("GET", "/pay/administration?payment_method=card", "write:payments"),
        ("POST", "/pay/admin/", "manage:payments"),
        ("HEAD", "/pay/admin/1", "read:payments"),
    ] {
        assert_eq!(
            asked(method, target).map(ToString::to_string),
            Ok(action.to_owned()),
            "{method} {target}"
        );
    }
    // Another method does not fall back to the shorter rule.
    assert_eq!(asked("DELETE", "/pay/admin"), Err(Code::ActionMalformed));
    for target in [
        "/pay/Admin",
        "/PAY/admin/1",
        "/Pay",
        "/pay/%61dmin",
        "/pay/admin%20",
        "/pay/adm%C4%B1n",
        "/pay/%F0%9D%90%9Admin",
        "/pay?_method=DELETE",
        "/pay?a&%5fmethod=X",
    ] {
        assert_eq!(asked("POST", target), Err(Code::TargetAmbiguous), "{target}");
    }
    for method in ["post", "Post", "", "PO ST", "GET\0", &"A".repeat(17)] {
        assert_eq!(asked(method, "/pay"), Err(Code::TargetAmbiguous), "{method}");
    }
    assert_eq!(asked("GET", &format!("/{}", "a".repeat(9_000))), Err(Code::TargetAmbiguous));
    assert_eq!(Routes::new().action("GET", "/").map_err(|denied| denied.kind()), Err(Code::ActionMalformed));
}

#[test]
fn rules_have_one_spelling() {
    let rule = |method: &str, path: &str, action: &str| Routes::new().route(method, path, action).map(|_| ());
    for path in
        ["", "pay", "/pay//x", "/pay/../x", "/p%61y", "/pay?x", "/pay/*", "/a b", "/a@b", "/caf\u{e9}"]
    {
        assert!(matches!(rule("GET", path, "read:a"), Err(RouteError::Path(_))), "{path}");
    }
    for method in ["", "get", "GET,POST", "**"] {
        assert!(matches!(rule(method, "/pay", "read:a"), Err(RouteError::Method(_))), "{method}");
    }
    assert!(matches!(rule("GET", "/pay", "read:*"), Err(RouteError::Action(_))));
    let twice = Routes::new().route("GET", "/pay/", "read:a").unwrap().route("GET", "/PAY", "read:b");
    assert!(matches!(twice, Err(RouteError::Twice(_, _))));
}
