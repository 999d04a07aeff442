//! What the description says of members.

use std::str::FromStr;

use kakunin_core::access::Role;
use kakunin_core::agent::AgentState;
use kakunin_core::event::{EventKind, Outcome};
use kakunin_core::feed::Visibility;
use kakunin_core::issue::Profile;
use kakunin_core::key::KeyAlgorithm;
use kakunin_core::service::{NotificationKind, Severity};
use serde_json::Value;

/// The words of a member, wherever its schema has them.
fn words(schema: &Value) -> Vec<&str> {
    let inner = schema["oneOf"].as_array().and_then(|any| any.iter().find(|one| one["enum"].is_array()));
    let listed = inner.unwrap_or(schema)["enum"].as_array().unwrap_or_else(|| panic!("no words: {schema}"));
    listed.iter().map(|word| word.as_str().unwrap()).collect()
}

/// As the core reads, writes and lists them.
fn of_the_core<T: FromStr + ToString>(words: &[&str], all: &[T]) {
    let listed: Vec<_> = all.iter().map(ToString::to_string).collect();
    assert_eq!(words, listed);
    for word in words {
        assert!(word.parse::<T>().is_ok_and(|read| read.to_string() == *word), "{word}");
    }
}

#[test]
fn words_in_the_description_are_the_core_s() {
    let description = kakunin_server::http::openapi();
    let member = |schema: &str, name: &str| &description["components"]["schemas"][schema]["properties"][name];
    for schema in ["CertifyBody", "RenewBody", "NewTokenBody"] {
        of_the_core(&words(member(schema, "profile")), Profile::ALL);
    }
    of_the_core(&words(member("NewKeyBody", "role")), Role::ALL);
    of_the_core(&words(member("EventBody", "outcome")), Outcome::ALL);
    for schema in ["TenantState", "TenantPatch", "CaBody"] {
        of_the_core(&words(member(schema, "revocations")), Visibility::ALL);
    }
    let parameters = description["paths"]["/api/v1/agents"]["get"]["parameters"].as_array().unwrap();
    let status = parameters.iter().find(|one| one["name"] == "status").unwrap();
    of_the_core(&words(&status["schema"]), AgentState::ALL);
    let inbox = description["paths"]["/api/v1/notifications"]["get"]["parameters"].as_array().unwrap();
    let asked = |name: &str| words(&inbox.iter().find(|one| one["name"] == name).unwrap()["schema"]);
    of_the_core(&asked("kind"), NotificationKind::ALL);
    of_the_core(&asked("severity"), Severity::ALL);
    let events = description["paths"]["/api/v1/events"]["get"]["parameters"].as_array().unwrap();
    let asked = |name: &str| words(&events.iter().find(|one| one["name"] == name).unwrap()["schema"]);
    of_the_core(&asked("kind"), EventKind::ALL);
    of_the_core(&asked("outcome"), Outcome::ALL);
    of_the_core(&words(member("NotificationBody", "kind")), NotificationKind::ALL);
    of_the_core(&words(member("NotificationBody", "severity")), Severity::ALL);
    // Some of the core's, not all: what the server makes, and what a caller may order.
    for schema in ["CertifyBody", "RenewBody"] {
        assert!(
            words(member(schema, "key_algorithm")).iter().all(|word| word.parse::<KeyAlgorithm>().is_ok())
        );
    }
    assert!(words(member("AgentChange", "status")).iter().all(|word| word.parse::<AgentState>().is_ok()));
}

#[test]
fn names_in_the_description_are_of_any_script() {
    let schemas = &kakunin_server::http::openapi()["components"]["schemas"];
    for (schema, most) in [("EventNameText", 256), ("ShortNameText", 64)] {
        let pattern = schemas[schema]["pattern"].as_str().unwrap();
        assert!(pattern.ends_with(&format!("{{1,{most}}}$")), "{pattern}");
    }
    let event = schemas["EventBody"].to_string();
    assert!(!event.contains("[ -~]"), "names that are not ASCII are accepted: {event}");
    for name in ["client_id", "session_id", "correlation", "tool", "subject", "target", "counterparty"] {
        let member = schemas["EventBody"]["properties"][name].to_string();
        assert!(member.contains("NameText"), "{name}: {member}");
    }
}

#[test]
fn dates_in_the_description_know_leap_days() {
    let description = kakunin_server::http::openapi();
    let member = &description["components"]["schemas"]["EventBody"]["properties"]["occurred_at"];
    let pattern = &member["oneOf"][0]["pattern"];
    let days = "print(json.dumps([bool(re.search(sys.argv[1], d + 'T10:00:00.5Z')) for d in sys.argv[2:]]))";
    let dates =
        ["2028-02-29", "2000-02-29", "2096-02-29", "2027-02-29", "2030-02-29", "2028-02-30", "2027-02-28"];
    let out = std::process::Command::new("python3")
        .args(["-c", &format!("import json,re,sys\n{days}"), pattern.as_str().unwrap()])
        .args(dates)
        .output()
        .unwrap();
    let matched: Vec<bool> = serde_json::from_slice(&out.stdout).unwrap();
    assert_eq!(matched, [true, true, true, false, false, false, true]);
}
