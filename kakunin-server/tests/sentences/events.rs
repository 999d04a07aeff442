//! Events: those of a replay, and those of a batch.

use std::io::Write;
use std::path::Path;

use flate2::Compression;
use flate2::write::GzEncoder;
use serde_json::{Value, json};

use crate::binary::{MODEL, curl, start};
use crate::words::{in_our_words, refused};

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
