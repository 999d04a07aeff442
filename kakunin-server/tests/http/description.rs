//! What the description says of members.

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
    let pattern = &description["components"]["schemas"]["EventBody"]["properties"]["occurred_at"]["pattern"];
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
