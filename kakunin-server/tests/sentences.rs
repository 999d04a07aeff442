//! What the binary says of what is wrong: what was given, and what to write; never in the words of a library.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test that cannot go on has failed"
)]

mod binary;

use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use binary::{MODEL, curl, kakunin, run, start};
use flate2::Compression;
use flate2::write::GzEncoder;
use serde_json::{Value, json};

/// How libraries speak.
const FOREIGN: [&str; 22] = [
    "{",
    "}",
    "Error",
    "Some(",
    "None",
    "Kind",
    "UnixTime",
    "(UNIX)",
    "KeyMismatch",
    "UnknownIssuer",
    "NotValid",
    "no items found",
    "peer sent no certificates",
    "invalid digit",
    "number would be zero",
    "invalid socket address",
    "invalid type",
    "unknown variant",
    "missing field",
    "EOF",
    "panicked",
    "struct ",
];

fn in_our_words(said: &str, about: &str) {
    for foreign in FOREIGN {
        assert!(!said.contains(foreign), "`{foreign}`, of {about}: {said}");
    }
}

/// What a command says that does not do it.
fn refused(arguments: &[&str]) -> String {
    let out = kakunin(arguments).output().unwrap();
    let said = String::from_utf8(out.stderr).unwrap();
    assert!(!out.status.success(), "{arguments:?}");
    // The parser of arguments says how to call the command, too.
    let first = said.lines().take_while(|line| !line.is_empty()).collect::<Vec<_>>().join(" ");
    assert!(first.starts_with("kakunin: ") || first.starts_with("error: "), "{said}");
    in_our_words(&first, &arguments.join(" "));
    first
}

/// Files as people have them: keys and certificates in each form but the one that is asked for.
fn files(folder: &Path) {
    let openssl = |line: &str| _ = run("openssl", &line.split(' ').collect::<Vec<_>>(), folder);
    let pair = |name: &str| {
        openssl(&format!(
            "req -x509 -newkey rsa:2048 -noenc -keyout {name}.key -out {name}.pem -subj /CN={name} -addext subjectAltName=DNS:localhost -addext basicConstraints=critical,CA:FALSE -days 30"
        ));
    };
    pair("one");
    pair("other");
    openssl("x509 -in one.pem -outform DER -out cert.der");
    openssl("pkey -in one.key -outform DER -out key.der");
    openssl("pkey -in one.key -aes256 -passout pass:secret -out encrypted.key");
    openssl("rsa -in one.key -traditional -aes256 -passout pass:secret -out old.key");
    openssl("pkcs12 -export -in one.pem -inkey one.key -passout pass: -out both.p12");
    let write = |name: &str, text: &str| std::fs::write(folder.join(name), text).unwrap();
    write("empty", "");
    write("text", "hello\n");
    write("damaged.pem", "-----BEGIN CERTIFICATE-----\n!!!!\n-----END CERTIFICATE-----\n");
    write("type.toml", "data = \"d\"\nlisten = 8080\n");
    write("member.toml", "data = \"d\"\nlisten-at = \"127.0.0.1:1\"\n");
    write("value.toml", "data = \"d\"\ntrusted-proxy = [\"ten\"]\n");
    write("syntax.toml", "data = \"d\"\nlisten 8080\n");
    for file in std::fs::read_dir(folder).unwrap() {
        let path = file.unwrap().path();
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o600)).unwrap();
    }
}

#[test]
fn files_of_tls_are_named_with_what_they_hold_and_what_to_do() {
    let folder = tempfile::tempdir().unwrap();
    files(folder.path());
    let at = |name: &str| folder.path().join(name).display().to_string();
    let data = at("data");
    for (certificate, key, said) in [
        ("cert.der", "one.key", &["--tls-cert", "cert.der", "is DER", "openssl x509 -inform DER -in"][..]),
        ("one.pem", "key.der", &["--tls-key", "key.der", "is DER", "openssl pkey -inform DER -in"]),
        ("one.pem", "encrypted.key", &["--tls-key", "encrypted.key", "is encrypted", "openssl pkey -in"]),
        ("one.pem", "old.key", &["--tls-key", "old.key", "is encrypted", "openssl pkey -in"]),
        ("one.pem", "other.key", &["one.pem", "other.key", "does not belong to"]),
        ("one.key", "one.key", &["--tls-cert", "one.key", "holds a `PRIVATE KEY`", "`CERTIFICATE`"]),
        ("one.pem", "one.pem", &["--tls-key", "one.pem", "holds a `CERTIFICATE`", "`PRIVATE KEY`"]),
        ("empty", "one.key", &["--tls-cert", "empty", "is empty"]),
        ("text", "one.key", &["--tls-cert", "text", "is no PEM", "-----BEGIN CERTIFICATE-----"]),
        ("damaged.pem", "one.key", &["--tls-cert", "damaged.pem", "is damaged", "copy it again"]),
        ("both.p12", "one.key", &["--tls-cert", "both.p12", "PKCS#12", "openssl pkcs12 -in"]),
        ("gone.pem", "one.key", &["--tls-cert", "gone.pem", "No such file"]),
        ("one.pem", "gone.key", &["--tls-key", "gone.key", "No such file"]),
    ] {
        let said_of = refused(&[
            "serve",
            "--data",
            &data,
            "--listen",
            "127.0.0.1:0",
            "--tls-cert",
            &at(certificate),
            "--tls-key",
            &at(key),
        ]);
        for part in said {
            assert!(said_of.contains(part), "`{part}`, of {certificate} and {key}: {said_of}");
        }
    }
    // What is told to do helps.
    let mut fixed = at("encrypted.key");
    run(
        "openssl",
        &["pkey", "-in", &fixed, "-passin", "pass:secret", "-out", &at("plain.key")],
        folder.path(),
    );
    fixed = at("plain.key");
    std::fs::set_permissions(&fixed, std::fs::Permissions::from_mode(0o600)).unwrap();
    let tls = ["--tls-cert", &at("one.pem"), "--tls-key", &fixed].map(str::to_owned);
    let server = start(&folder.path().join("data"), &tls.each_ref().map(String::as_str));
    assert!(server.url.starts_with("https://"));
    // And who does not trust it, or speaks TLS where there is none, is told so.
    let plain = start(&folder.path().join("plain"), &[]);
    let key_file = at("plain/admin.key");
    let (port, plain_port) = (server.url.rsplit(':').next().unwrap(), plain.url.rsplit(':').next().unwrap());
    let chain = curl(&[&format!("{}/api/v1/ca/chain", plain.url)]).1;
    std::fs::write(at("chain.pem"), chain.as_str().unwrap()).unwrap();
    for (url, ca, part) in [
        (format!("https://localhost:{port}"), "other.pem", "nobody who is trusted here issued it"),
        (format!("https://127.0.0.1:{port}"), "one.pem", "it is for localhost, and not for 127.0.0.1"),
        (format!("https://localhost:{plain_port}"), "one.pem", "speaks no TLS"),
        ("https://localhost:1".to_owned(), "one.pem", "Connection refused"),
    ] {
        let monitor = refused(&["monitor", "--url", &url, "--key-file", &key_file, "--ca", &at(ca)]);
        assert!(monitor.contains(part) && monitor.contains(&url), "{monitor}");
        let sync = refused(&[
            "crl-sync",
            "--once",
            "--url",
            &url,
            "--out",
            &at("crls"),
            "--ca",
            &at("chain.pem"),
            "--tls-ca",
            &at(ca),
        ]);
        assert!(sync.contains(part) && sync.contains(&url), "{sync}");
    }
}

#[test]
fn options_say_what_was_given_and_what_to_write() {
    let folder = tempfile::tempdir().unwrap();
    files(folder.path());
    let at = |name: &str| folder.path().join(name).display().to_string();
    let data = at("data");
    let serve = ["serve", "--data", data.as_str(), "--listen", "127.0.0.1:0"];
    let with = |more: &[&str]| refused(&[&serve[..], more].concat());
    for (more, said) in [
        (&["--tls-cert", "x"][..], &["--tls-key", "--tls-cert"][..]),
        (&["--client-certificates"], &["--tls-cert"]),
        (&["--renewal-grace", "5m"], &["`5m`", "seconds", "such as 300"]),
        (&["--renewal-grace", "-1"], &["-1"]),
        (&["--feed-subscribers", "many"], &["`many`", "whole number"]),
        (&["--feed-subscribers-per-address", "1.5"], &["`1.5`", "whole number"]),
        (&["--key-rate", "0"], &["`0`", "from 1 on"]),
        (&["--keep-alive", "99999999999"], &["`99999999999`", "whole number"]),
        (&["--log-level", "loud"], &["--log-level", "`loud`", "error, warn, info or debug"]),
        (&["--keys", "bogus"], &["--keys", "`local:`"]),
        (&["--keys", "pkcs11:token=T?colour=red"], &["--keys", "`colour`", "it has"]),
        (&["--public-url", "ca.example"], &["--public-url", "`ca.example`", "http(s)://host"]),
        (&["--trust-domain", "Agents Example"], &["`Agents Example`"]),
        (&["--ca-algorithm", "ed25519"], &["--ca-algorithm", "rsa-2048"]),
        (&["--gateway", "10.0.0.1=apache"], &["10.0.0.1=apache", "nginx"]),
        (&["--trusted-proxy", "ten"], &["'ten'", "10.0.0.0/8"]),
        (&["--authority", "a b"], &["'a b'", "api.example.org"]),
        (&["--key-file", "/nowhere/key"], &["/nowhere/key"]),
        (&["--config", &at("type.toml")], &["type.toml line 2", "`listen`", "the number 8080"]),
        (&["--config", &at("member.toml")], &["member.toml line 2", "`listen-at` is not known", "`listen`"]),
        (&["--config", &at("value.toml")], &["value.toml line 2", "`trusted-proxy`", "`ten`", "10.0.0.0/8"]),
        (&["--config", &at("syntax.toml")], &["syntax.toml line 2"]),
        (&["--config", &at("gone.toml")], &["--config", "gone.toml", "No such file"]),
    ] {
        let said_of = with(more);
        for part in said {
            assert!(said_of.contains(part), "`{part}`, of {more:?}: {said_of}");
        }
    }
    let listen = refused(&["serve", "--data", &data, "--listen", "8080"]);
    assert!(listen.contains("`8080`") && listen.contains("127.0.0.1:8080"), "{listen}");
    let (der, one, text) = (at("cert.der"), at("one.pem"), at("text"));
    let (root, secret, out) = (at("root"), at("root.secret"), at("out"));
    let root_options = ["--root", root.as_str(), "--key-file", secret.as_str()];
    assert!(kakunin(&[&["ca", "init"], &root_options[..]].concat()).output().unwrap().status.success());
    let ca = |command: &str, more: &[&str]| refused(&[&["ca", command], &root_options[..], more].concat());
    let sync = |more: &[&str]| refused(&[&["crl-sync", "--once", "--out", &out], more].concat());
    let monitor = |more: &[&str]| refused(&[&["monitor", "--url", "https://localhost:1"], more].concat());
    let known = at("root/root.pem");
    for (said_of, parts) in [
        (ca("sign-issuing", &[&der]), &["cert.der: ", "PKCS#10"][..]),
        (ca("sign-issuing", &[&one]), &["one.pem: ", "`CERTIFICATE`", "BEGIN CERTIFICATE REQUEST"]),
        (ca("sign-issuing", &[&at("gone")]), &["gone", "No such file"]),
        (ca("sign-crl", &["--days", "0"]), &["`0`", "1 to 3650"]),
        (ca("sign-crl", &["--days", "many"]), &["`many`", "1 to 3650"]),
        (
            refused(&["ca", "install", "--data", &data, &one]),
            &["one.pem", "1 certificate", "issuing CA and root"],
        ),
        (refused(&["ca", "install", "--data", &data, &der]), &["cert.der", "is DER", "openssl x509"]),
        (
            refused(&["ca", "install-crl", "--data", &data, &one]),
            &["one.pem", "`X509 CRL`", "holds a `CERTIFICATE`"],
        ),
        (sync(&["--url", "ftp://x", "--ca", &known]), &["--url", "`ftp://x`", "http://HOST"]),
        (sync(&["--url", "https://localhost:1", "--ca", &der]), &["--ca", "cert.der", "is DER"]),
        (
            sync(&["--url", "https://localhost:1", "--ca", &known, "--tls-ca", &text]),
            &["--tls-ca", "text", "is no PEM"],
        ),
        (sync(&["--url", "https://localhost:1", "--ca", &known, "--every", "0"]), &["`0`", "1 to 86400"]),
        (
            sync(&["--url", "https://localhost:1", "--ca", &known, "--key-file", &at("gone")]),
            &["--key-file", "gone"],
        ),
        (sync(&["--url", "https://localhost:1", "--ca", &one]), &["--ca", "one.pem", "certificate 1"]),
        (monitor(&["--key-file", &at("gone")]), &["--key-file", "gone", "No such file"]),
        (monitor(&["--key-file", &at("empty")]), &["--key-file", "empty", "no API key"]),
        (monitor(&["--key-file", &text, "--ca", &der]), &["--ca", "cert.der", "is DER"]),
        (monitor(&["--key-file", &text, "--bound", "a minute"]), &["`a minute`", "seconds"]),
        (monitor(&["--key-file", &text, "--every", "x"]), &["`x`", "seconds"]),
    ] {
        for part in parts {
            assert!(said_of.contains(part), "`{part}`: {said_of}");
        }
    }
}

fn gzipped(path: &Path, content: &str) {
    let mut file = GzEncoder::new(std::fs::File::create(path).unwrap(), Compression::fast());
    file.write_all(content.as_bytes()).unwrap();
    file.finish().unwrap();
}

#[test]
fn a_replay_names_the_file_the_line_and_the_member() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name).display().to_string();
    let replay = |more: &[&str]| refused(&[&["replay", "--key", "p256"], more].concat());
    let nope = replay(&[&at("nope.gz")]);
    assert!(nope.contains("cannot open") && nope.contains("nope.gz") && !nope.contains("agents"), "{nope}");
    const GOOD: &str =
        r#"{"agent":"a","seq":0,"session":"s","t":1.5,"action":"read:a","tool":"x","outcome":"ok"}"#;
    gzipped(&folder.path().join("events.jsonl.gz"), GOOD);
    let agents = replay(&[&at("events.jsonl.gz")]);
    assert!(agents.contains("agents.jsonl.gz") && agents.contains("--agents"), "{agents}");
    let agent = r#"{"agent":"a","scope_suite":["read:a"]}"#;
    gzipped(&folder.path().join("agents.jsonl.gz"), agent);
    assert!(replay(&[&at("events.jsonl.gz"), "--scope", "job"]).contains("line 1: `scope_job` is missing"));
    let scores = replay(&[&at("events.jsonl.gz"), "--scores", &at("none/scores")]);
    assert!(scores.contains("--scores") && scores.contains("none/scores"), "{scores}");
    for (from, to, said) in [
        ("\"a\",", "7,", "`agent` is the number 7: write a string"),
        ("\"agent\":\"a\",", "", "`agent` is missing"),
        ("\"a\",", "\"b\",", "`agent` is `b`, which is not in the agents file"),
        ("\"seq\":0", "\"seq\":-1", "`seq` is the number -1: write a whole number from 0 on"),
        ("\"seq\":0", "\"seq\":null", "`seq` is null: write a whole number"),
        ("\"s\"", "\"\"", "`session`: write 1 to 256 bytes"),
        ("1.5", "\"now\"", "`t` is the text \"now\": write a number"),
        ("1.5", "1e300", "write seconds since the beginning"),
        ("read:a", "read:*", "`action`: action `read:*` has a wildcard"),
        ("read:a", "read:A", "`action`: scope `read:A` is malformed at byte 5"),
        ("\"x\"", "\"LONG\"", "`tool`: write 1 to 64 bytes"),
        ("\"ok\"", "\"good\"", "`outcome` is `good`: write one of `ok`, `error`, `denied`"),
        (
            "\"ok\"",
            "\"ok\",\"auth_failure\":\"yes\"",
            "`auth_failure` is the text \"yes\": write true or false",
        ),
        ("\"ok\"}", "\"ok\"", "ends in the middle of its JSON"),
        ("{\"agent\"", "agent", "is not JSON"),
        ("{\"agent\"", "[]{\"agent\"", "write an object"),
    ] {
        let bad = GOOD.replacen(from, to, 1).replace("LONG", &"x".repeat(65));
        assert_ne!(bad, GOOD);
        gzipped(&folder.path().join("events.jsonl.gz"), &format!("{GOOD}\n{bad}\n"));
        let said_of = replay(&[&at("events.jsonl.gz")]);
        assert!(
            said_of.contains("events.jsonl.gz line 2: ") && said_of.contains(said),
            "`{said}`: {said_of}"
        );
    }
    gzipped(&folder.path().join("agents.jsonl.gz"), r#"{"agent":"a","scope_suite":"read:a"}"#);
    let scope = replay(&[&at("events.jsonl.gz")]);
    assert!(
        scope.contains("agents.jsonl.gz line 1: `scope_suite` is the text \"read:a\": write a list"),
        "{scope}"
    );
}

#[test]
fn events_of_a_batch_are_refused_with_index_and_member() {
    let folder = tempfile::tempdir().unwrap();
    let server = start(&folder.path().join("data"), &[]);
    let key = std::fs::read_to_string(folder.path().join("data/admin.key")).unwrap();
    let bearer = format!("authorization: Bearer {}", key.trim_end());
    let post = |path: &str, body: &str| {
        let url = format!("{}/api/v1/{path}", server.url);
        curl(&["-H", &bearer, "-H", "content-type: application/json", "--data-binary", body, &url])
    };
    let made = post(
        "agents",
        &json!({ "name": "one", "model_hash": MODEL, "permitted_actions": ["read:mail"] }).to_string(),
    );
    let id = made.1["data"]["id"].as_str().unwrap().to_owned();
    let certified = post(&format!("agents/{id}/certify"), r#"{"key_algorithm":"p256"}"#);
    assert_eq!(certified.0, "201", "{}", certified.1);
    let good = json!({ "agent_id": id, "action": "read:mail" });
    let long = |n: usize| Value::from("x".repeat(n));
    let cases: [(&str, Value, &str); 34] = [
        ("agent_id", json!(7), "`agent_id` is the number 7: write a string"),
        ("agent_id", json!("nobody"), "`agent_id`: no such agent, `nobody`; send the `id`"),
        ("agent_id", Value::Null, "`agent_id` is missing"),
        ("certificate_serial", json!("x"), "no such certificate, `x`; send the serial number"),
        ("action", json!(7), "`action` is the number 7: write a string"),
        ("action", Value::Null, "`action` is missing: send `action`, such as `read:mail`"),
        ("action", json!("READ"), "scope `READ` is malformed"),
        ("action", json!("read:*"), "has a wildcard: name one concrete action"),
        ("action_type", json!("Api Call"), "`action_type` is `Api Call`: write a word"),
        ("outcome", json!("good"), "`outcome` is `good`: write one of `ok`, `error`, `denied`"),
        ("outcome", json!(1), "`outcome` is the number 1: write one of its words"),
        ("out_of_scope", json!("no"), "`out_of_scope` is the text \"no\": write true or false"),
        ("auth_failure", json!(0), "`auth_failure` is the number 0: write true or false"),
        ("stream", json!([1, 2]), "`stream` is a list: write an object"),
        ("stream", json!({ "stream": 1 }), "`stream.seq` is missing"),
        (
            "stream",
            json!({ "stream": 1, "seq": -1 }),
            "`stream.seq`: `-1` is not a whole number from 0 to 2^53 - 1",
        ),
        ("stream", json!({ "stream": 1, "seq": 0, "x": 0 }), "`stream.x` is not known here"),
        ("client_id", json!(7), "`client_id` is the number 7"),
        ("client_id", long(257), "`client_id` has 257 bytes: write 1 to 256"),
        ("session_id", long(257), "`session_id` has 257 bytes: write 1 to 256"),
        ("correlation", long(65), "`correlation` has 65 bytes: write 1 to 64"),
        ("tool", json!(""), "`tool` has 0 bytes: write 1 to 64"),
        ("tool", long(65), "`tool` has 65 bytes: write 1 to 64"),
        ("subject", long(65), "`subject` has 65 bytes: write 1 to 64"),
        ("target", long(257), "`target` has 257 bytes: write 1 to 256"),
        ("counterparty", json!(["a"]), "`counterparty` is a list: write a string"),
        ("amount", json!(12), "`amount` is the number 12: write an object"),
        ("amount", json!({ "minor": 1.5, "currency": "EUR" }), "`amount.minor`: `1.5` is not a whole number"),
        (
            "amount",
            json!({ "minor": 1, "currency": "eur" }),
            "`amount.currency` is `eur`: write three upper-case letters",
        ),
        ("amount", json!({ "minor": 1 }), "`amount.currency` is missing"),
        ("occurred_at", json!("yesterday"), "`occurred_at` is `yesterday`: write RFC 3339"),
        ("occurred_at", json!(1_764_000_000), "`occurred_at` is the number 1764000000"),
        ("details", json!({ "x": long(17_000) }), "bytes: write 1 to 16384"),
        ("colour", json!("red"), "`colour` is not known here: leave it out, or write one of `agentId`"),
    ];
    for (member, value, said) in cases {
        let mut bad = good.clone();
        match &value {
            Value::Null => _ = bad.as_object_mut().unwrap().remove(member),
            value => bad[member] = value.clone(),
        }
        let shown: String = bad.to_string().chars().take(200).collect();
        let (status, answer) = post("events/batch", &json!({ "events": [good, bad, good] }).to_string());
        assert_eq!((status.as_str(), &answer["data"]["refused"]), ("207", &json!(1)), "{shown}: {answer}");
        let result = &answer["data"]["results"][1];
        let sentence = result["error"].as_str().unwrap();
        assert_eq!((&result["index"], &result["field"]), (&json!(1), &json!(member)), "{shown}: {result}");
        assert!(sentence.contains(said), "`{said}`: {sentence}");
        in_our_words(sentence, &shown);
        // All or nothing: the sentence of the whole names index and member.
        let (_, answer) = post("events/batch", &json!({ "events": [good, bad], "atomic": true }).to_string());
        let sentence = answer["error"].as_str().unwrap();
        assert!(sentence.starts_with("event 1: ") && sentence.contains(said), "{sentence}");
        assert_eq!(
            (&answer["field"], &answer["results"][1]["index"]),
            (&json!(member), &json!(1)),
            "{answer}"
        );
    }
    for (body, said) in [
        (json!({ "events": 7 }), "`events` is the number 7: write a list"),
        (json!({ "events": [7] }), "it is the number 7: write an object"),
        (json!({ "events": [], "atomic": "yes" }), "`atomic` is the text \"yes\": write true or false"),
        (json!({}), "`events` is missing"),
        (json!([]), "it is a list: write an object"),
        (json!({ "events": [good], "all": true }), "`all` is not known here"),
    ] {
        let (_, answer) = post("events/batch", &body.to_string());
        let sentence = answer["error"].as_str().unwrap();
        assert!(sentence.contains(said), "`{said}`: {sentence}");
        in_our_words(sentence, &body.to_string());
    }
    for (query, said) in [
        ("events?limit=0", "`limit` is 0: write 1 to 100"),
        ("events?limit=many", "`limit` is `many`: write a whole number"),
        ("events?limit=99999", "`limit` is `99999`: write a whole number that is not too large"),
        ("events?before=x", "`before` is `x`: send a `next_cursor`"),
        ("events?agent_id=Nobody", "`agent_id` is `Nobody`: write the UUID"),
        ("events?action_type=Api", "`action_type` is `Api`: write a word"),
        ("events?band=blue", "`band` is `blue`: write one of"),
        ("events?colour=red", "`colour` is not known here"),
        ("audit-log?since=yesterday", "`since` is `yesterday`: write RFC 3339"),
        ("audit-log?event_type=gone", "`event_type` is `gone`: write a kind of record"),
        ("agents?offset=2000000", "`offset` or `before` is 2000000: write 0 to 1000000"),
        ("agents?status=gone", "`status` is `gone`: write one of"),
    ] {
        let (status, answer) = curl(&["-H", &bearer, &format!("{}/api/v1/{query}", server.url)]);
        let sentence = answer["error"].as_str().unwrap();
        assert!(status == "400" && sentence.contains(said), "`{said}`: {status} {sentence}");
        in_our_words(sentence, query);
    }
}
