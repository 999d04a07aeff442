//! TLS: who answers is whom the URL asks for, or nobody is spoken with.

use std::path::Path;
use std::process::Command;

use kakunin_core::store::postgres::{PostgresOptions, PostgresStore};
use pollster::block_on;

use crate::cluster::{APPLICATION, Cluster, give, until};
use crate::logs::{grow, tenant};

/// A certificate for this name, of an authority made for it: the root is in `root.crt`.
fn certificate(data: &Path, name: &str) {
    let file = |name: &str| data.join(name).to_str().unwrap().to_owned();
    let make = |named: &str, rest: &[&str]| {
        let made = Command::new("openssl")
            .args([
                "req",
                "-x509",
                "-newkey",
                "ec",
                "-pkeyopt",
                "ec_paramgen_curve:P-256",
                "-nodes",
                "-days",
                "9",
            ])
            .args(["-subj", &format!("/CN={named}")])
            .args(["-keyout", &file(&format!("{named}.key")), "-out", &file(&format!("{named}.crt"))])
            .args(rest)
            .output()
            .unwrap();
        assert!(made.status.success(), "{made:?}");
    };
    make("root", &[]);
    let (root, key, alternative) = (file("root.crt"), file("root.key"), format!("subjectAltName=DNS:{name}"));
    let end = [
        "-CA",
        &root,
        "-CAkey",
        &key,
        "-addext",
        &alternative,
        "-addext",
        "basicConstraints=critical,CA:FALSE",
    ];
    make("server", &end);
    ["server.key", "server.crt"].iter().for_each(|name| give(&data.join(name)));
}

#[test]
fn certificates_are_checked_as_far_as_the_url_asks_and_passwords_are_bound_to_the_connection() {
    let cluster = Cluster::start();
    let database = cluster.database();
    certificate(&cluster.data(), "localhost");
    for sql in [
        &format!("ALTER ROLE {APPLICATION} PASSWORD 'correct horse'"),
        "ALTER SYSTEM SET ssl = on",
        "SELECT pg_reload_conf()",
    ] {
        database.admin(sql);
    }
    until("the server speaks TLS", || {
        let url = database.url("postgres").replace("sslmode=disable", "sslmode=require");
        Command::new(crate::cluster::command("psql"))
            .args(["-d", &url, "-c", "SELECT 1"])
            .output()
            .unwrap()
            .status
            .success()
    });
    let rules = format!(
        "local all all trust\nhost all postgres all trust\nhostssl all {APPLICATION} all scram-sha-256\n"
    );
    std::fs::write(cluster.data().join("pg_hba.conf"), rules).unwrap();
    database.admin("SELECT pg_reload_conf()");
    let root = cluster.data().join("root.crt");
    let url = |host: &str, rest: &str| {
        let url = database.url(&format!("{APPLICATION}:correct%20horse"));
        url.replace("127.0.0.1", host).replace("sslmode=disable", rest)
    };
    let opened = |host: &str, rest: &str| {
        block_on(PostgresStore::open(&PostgresOptions::parse(&url(host, rest)).unwrap()))
    };
    let with = |mode: &str| format!("sslmode={mode}&sslrootcert={}", root.display());
    for (host, rest, opens) in [
        ("localhost", "sslmode=disable".to_owned(), false),
        ("localhost", "sslmode=prefer".to_owned(), true),
        ("localhost", "sslmode=require".to_owned(), true),
        ("127.0.0.1", "sslmode=require&channel_binding=require".to_owned(), true),
        ("localhost", with("verify-full"), true),
        ("127.0.0.1", with("verify-full"), false),
        ("127.0.0.1", with("verify-ca"), true),
        ("127.0.0.1", with("require"), true),
        // By the system's roots.
        ("localhost", "sslmode=verify-full".to_owned(), false),
        ("localhost", "sslmode=verify-ca".to_owned(), false),
    ] {
        let opened = opened(host, &rest);
        assert_eq!(opened.is_ok(), opens, "{host} {rest}: {opened:?}");
        let said = format!("{opened:?}");
        assert!(!said.contains("correct"), "{said}");
    }
    let store = opened("localhost", &with("verify-full")).unwrap();
    grow(&store, &tenant(1), 2).unwrap();
    let encrypted = "SELECT count(*) FILTER (WHERE NOT ssl) FROM pg_stat_ssl JOIN pg_stat_activity USING (pid) WHERE application_name LIKE 'kakunin%' AND datname = current_database()";
    assert_eq!(database.admin(encrypted), "0");
}
