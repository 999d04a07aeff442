//! Several servers over one database.

use std::os::unix::fs::PermissionsExt;
use std::time::Duration;

use serde_json::json;

use crate::binary::curl;
use crate::site::{PASSWORD, Site, printed_key, within};

const SECOND: Duration = Duration::from_secs(1);

#[test]
fn a_server_without_a_folder_starts_and_goes_on_and_a_second_serves_the_same() {
    let site = Site::new();
    let file = site.at("admin.key");
    let first = site.start(&["--admin-key-file", &file]);
    assert!(first.said.contains(&file) && !first.said.contains("kak_live_"), "{}", first.said);
    assert_eq!(std::fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
    let key = std::fs::read_to_string(&file).unwrap().trim().to_owned();
    let (id, _) = first.agent(&key, "one");
    let name = &site.database.name;
    let line = first.log().lines().find(|line| line.contains("is in a database")).unwrap().to_owned();
    assert!(line.contains(&format!("127.0.0.1/{name}")) && line.contains("on_duty=true"), "{line}");
    let ready = first.ready();
    assert_eq!((&ready["status"], &ready["on_duty"]), (&json!("ok"), &json!(true)), "{ready}");
    first.stop();
    // It goes on where it was, and nobody makes a key again.
    let first = site.start(&["--admin-key-file", &file]);
    assert_eq!(first.said.lines().count(), 1, "{}", first.said);
    let second = site.start(&[]);
    for server in [&first, &second] {
        let shown = server.get(&key, &format!("/api/v1/agents/{id}")).1;
        assert_eq!(shown["data"]["name"], "one", "{shown}");
    }
    let roots: Vec<_> = [&first, &second].map(|s| curl(&[&format!("{}/api/v1/ca", s.url)]).1).into();
    assert_eq!(roots[0]["data"], roots[1]["data"]);
    // One of them is on duty; the other says that what follows the logs is done elsewhere, and is well.
    let ready = second.ready();
    assert_eq!((&ready["status"], &ready["on_duty"]), (&json!("ok"), &json!(false)), "{ready}");
    let states: Vec<_> = ready["followers"].as_array().unwrap().iter().map(|f| f["state"].clone()).collect();
    assert!(states.contains(&json!("elsewhere")) && !states.contains(&json!("failing")), "{states:?}");
    let figures = curl(&[&format!("{}/metrics", second.url)]).1;
    let figures = figures.as_str().unwrap();
    assert!(figures.contains("kakunin_followers_on_duty 0\n"), "{figures}");
    assert!(figures.contains("kakunin_database_silence_seconds 0\n"), "{figures}");
    // Whoever is on duty ends, and the other takes it.
    first.stop();
    within(10 * SECOND, "duty", || second.ready()["on_duty"] == json!(true));
    within(3 * SECOND, "a line", || second.log().contains("this server is on duty"));
    assert!(!second.log().contains(PASSWORD));
}

#[test]
fn what_one_decides_is_in_force_on_the_other_within_a_second() {
    let site = Site::new();
    let first = site.start(&[]);
    let second = site.start(&[]);
    let key = printed_key(&first.said);
    // A key that is made on one works on the other.
    let asked = json!({ "tenant": "default", "role": "operator", "label": "second" });
    let made = first.post(&key, "/api/v1/api-keys", &asked).1;
    let operator = made["data"]["key"].as_str().unwrap().to_owned();
    within(SECOND, "the key works", || second.get(&operator, "/api/v1/agents").0 == "200");
    for (here, there) in [(&first, &second), (&second, &first)] {
        let (_, serial) = here.agent(&key, &format!("agent-{}", here.child.id()));
        within(SECOND, "it is known", || there.status(&serial) == "active");
        let reason = json!({ "reason": "key_compromise" });
        assert_eq!(here.post(&key, &format!("/api/v1/certificates/{serial}/revoke"), &reason).0, "200");
        within(SECOND, "it is refused", || there.status(&serial) == "revoked");
    }
    // And a key that is taken away is refused.
    let id = made["data"]["id"].as_str().unwrap();
    let (bearer, url) =
        (format!("authorization: Bearer {key}"), format!("{}/api/v1/api-keys/{id}", first.url));
    let gone = curl(&["-X", "DELETE", "-H", &bearer, &url]);
    assert!(gone.0.starts_with('2'), "{gone:?}");
    within(SECOND, "the key is refused", || second.get(&operator, "/api/v1/agents").0 == "401");
}

#[test]
fn of_first_starts_at_once_one_makes_the_admin_key() {
    let site = Site::new();
    let starting = [(); 3].map(|()| site.spawn(&[]));
    let servers = starting.map(super::site::Starting::ready);
    let said: Vec<_> = servers.iter().filter(|server| server.said.contains("kak_live_")).collect();
    assert_eq!(said.len(), 1, "{:?}", servers.iter().map(|s| &s.said).collect::<Vec<_>>());
    let key = printed_key(&said[0].said);
    for server in &servers {
        within(SECOND, "it works", || server.get(&key, "/api/v1/agents").0 == "200");
    }
    let keys = said[0].get(&key, "/api/v1/api-keys").1;
    assert_eq!(keys["data"].as_array().unwrap().len(), 1, "{keys}");
}

#[test]
fn a_key_that_cannot_be_written_down_is_not_lost_silently_and_commands_work_beside_servers() {
    let site = Site::new();
    let server = site.start(&["--admin-key-file", &site.at("no/such/folder/key")]);
    assert!(!server.said.contains("kak_live_"), "{}", server.said);
    assert!(server.log().contains("run `kakunin admin-key`"), "{}", server.log());
    let made = site.command(&["admin-key"]);
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    let key = String::from_utf8(made.stdout).unwrap().trim().to_owned();
    within(SECOND, "it works", || server.get(&key, "/api/v1/agents").0 == "200");
    server.agent(&key, "one");
    let verified = site.command(&["log", "verify", "--json"]);
    let text = String::from_utf8_lossy(&verified.stdout).into_owned();
    assert!(verified.status.success() && text.contains("\"ok\":true"), "{text}{verified:?}");
    let rebuilt = site.command(&["rebuild"]);
    let why = String::from_utf8_lossy(&rebuilt.stderr).into_owned();
    assert!(!rebuilt.status.success() && why.contains("stop all of them first"), "{why}");
    server.stop();
    let rebuilt = site.command(&["rebuild"]);
    let (said, why) = (String::from_utf8_lossy(&rebuilt.stdout), String::from_utf8_lossy(&rebuilt.stderr));
    assert!(rebuilt.status.success(), "{said}{why}");
    let rotated = site.command(&["ca", "rotate"]);
    assert!(rotated.status.success(), "{}", String::from_utf8_lossy(&rotated.stderr));
}
