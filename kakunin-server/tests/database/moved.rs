//! A deployment that moves from a folder into a database.

use std::path::PathBuf;
use std::time::Duration;

use serde_json::{Value, json};

use crate::binary::{self, curl, kakunin, refused, run};
use crate::cluster::APPLICATION;
use crate::site::{PASSWORD, Site, within};

/// A folder with a deployment in it, as its server left it.
struct Folder {
    data: PathBuf,
    key: String,
    revoked: String,
    standing: String,
    event: Value,
    recorded: Value,
}

fn bearer(key: &str) -> String {
    format!("authorization: Bearer {key}")
}

fn post(url: &str, key: &str, path: &str, body: &Value) -> (String, Value) {
    let url = format!("{url}{path}");
    curl(&["-H", &bearer(key), "-H", "content-type: application/json", "-d", &body.to_string(), &url])
}

fn certified(url: &str, key: &str, name: &str) -> String {
    let body = json!({ "name": name, "model_hash": binary::MODEL, "scope": ["read:mail"] });
    let id = post(url, key, "/api/v1/agents", &body).1["data"]["id"].as_str().unwrap().to_owned();
    let issued =
        post(url, key, &format!("/api/v1/agents/{id}/certify"), &json!({ "key_algorithm": "p256" })).1;
    issued["data"]["serial_number"].as_str().unwrap().to_owned()
}

fn revoke(url: &str, key: &str, serial: &str) {
    let path = format!("/api/v1/certificates/{serial}/revoke");
    let (status, said) = post(url, key, &path, &json!({ "reason": "key_compromise" }));
    assert_eq!(status, "200", "{said}");
}

fn status(url: &str, serial: &str) -> String {
    let shown = curl(&[&format!("{url}/api/v1/verify/{serial}")]).1;
    shown["data"]["status"].as_str().unwrap_or_default().to_owned()
}

/// The number of the newest CRL.
fn crl_number(site: &Site, url: &str) -> u64 {
    let crl = curl(&[&format!("{url}/api/v1/crl")]).1;
    std::fs::write(site.at("crl.pem"), crl.as_str().unwrap()).unwrap();
    let out = run("openssl", &["crl", "-in", "crl.pem", "-noout", "-crlnumber"], site.folder.path());
    let text = String::from_utf8(out.stdout).unwrap();
    u64::from_str_radix(text.trim().rsplit("0x").next().unwrap(), 16).unwrap()
}

fn stop(mut server: binary::Server) {
    let id = server.child.id().to_string();
    assert!(std::process::Command::new("kill").args(["-TERM", &id]).status().unwrap().success());
    assert!(server.child.wait().unwrap().success());
}

impl Folder {
    /// Agents, events, a revocation.
    fn made(site: &Site) -> (Self, u64) {
        let data = site.folder.path().join("data");
        let server = binary::start(&data, &["--public-url", "http://ca.example", "--ca-algorithm", "p256"]);
        let key = std::fs::read_to_string(data.join("admin.key")).unwrap().trim().to_owned();
        let [standing, revoked] = ["one", "two"].map(|name| certified(&server.url, &key, name));
        let event = json!({ "serial": standing, "action": "read:mail", "client_id": "e1", "outcome": "ok",
            "target": "x", "details": { "a": 1 } });
        let (status_of, recorded) = post(&server.url, &key, "/api/v1/events", &event);
        assert_eq!(status_of, "201", "{recorded}");
        let before = crl_number(site, &server.url);
        revoke(&server.url, &key, &revoked);
        within(Duration::from_secs(10), "a CRL", || crl_number(site, &server.url) > before);
        let number = crl_number(site, &server.url);
        stop(server);
        (Self { data, key, revoked, standing, event, recorded: recorded["data"]["event_id"].clone() }, number)
    }

    fn keys(&self) -> String {
        format!("local:{}/keys?key-file={0}/key.secret", self.data.display())
    }

    fn move_to(&self, site: &Site) -> (bool, String) {
        let (from, seal) = (format!("sqlite:{}", self.data.display()), format!("file:{}", site.at("seal")));
        let words = ["migrate", "--from", &from, "--seal", &seal, "--keys", &self.keys()];
        let out = kakunin(&words).env("KAKUNIN_DATABASE", site.url()).output().unwrap();
        let all = [out.stdout, out.stderr].concat();
        let text = String::from_utf8(all).unwrap();
        assert!(!text.contains(PASSWORD), "{text}");
        (out.status.success(), text)
    }

    /// Every log with size and root, as the command that checks them has it.
    fn logs(&self, site: &Site, database: bool) -> Value {
        let data = self.data.display().to_string();
        let (seal, keys, url) = (format!("file:{}", site.at("seal")), self.keys(), site.url());
        let there: &[&str] = match database {
            true => &["--database", &url, "--seal", &seal, "--keys", &keys, "--insecure-software-keys"],
            false => &["--data", &data],
        };
        let out = kakunin(&[&["log", "verify", "--json"], there].concat()).output().unwrap();
        let why = String::from_utf8_lossy(&out.stderr).into_owned();
        let said: Value = serde_json::from_slice(&out.stdout).unwrap_or_else(|_| panic!("{why}"));
        assert_eq!(said["ok"], true, "{said}");
        let of = |log: &Value| json!([log["log"], log["size"], log["root"]]);
        said["logs"].as_array().unwrap().iter().map(of).collect()
    }

    fn serve(&self, site: &Site) -> crate::site::Server {
        let keys = self.keys();
        site.spawn_with(&keys, &[]).ready()
    }
}

#[test]
fn a_folder_moves_into_a_database_and_goes_on_there() {
    let site = Site::new();
    let (folder, number) = Folder::made(&site);
    let (done, said) = folder.move_to(&site);
    assert!(done, "{said}");
    assert!(said.contains("_system: ") && said.contains("key.secret"), "{said}");
    assert_eq!(folder.logs(&site, false), folder.logs(&site, true));
    // The folder is served no more, nor moved again.
    let data = folder.data.display().to_string();
    let said = refused(&["serve", "--data", &data, "--listen", "127.0.0.1:0"]);
    assert!(said.contains("was moved into a database"), "{said}");
    let (again, said) = folder.move_to(&site);
    assert!(!again && said.contains("was moved into a database"), "{said}");
    let servers = [folder.serve(&site), folder.serve(&site)];
    for server in &servers {
        assert!(!server.said.contains("kak_live_"), "{}", server.said);
        assert_eq!(status(&server.url, &folder.standing), "active");
        assert_eq!(status(&server.url, &folder.revoked), "revoked");
        // What was recorded before is a duplicate, and not another event.
        let (said, again) = post(&server.url, &folder.key, "/api/v1/events", &folder.event);
        assert_eq!((said.as_str(), &again["data"]["status"]), ("200", &json!("duplicate")), "{again}");
        assert_eq!(again["data"]["event_id"], folder.recorded);
        assert_eq!(server.ready()["status"], "ok", "{}", server.ready());
    }
    let url = &servers[0].url;
    assert!(crl_number(&site, url) >= number);
    revoke(url, &folder.key, &folder.standing);
    within(Duration::from_secs(10), "a CRL", || crl_number(&site, url) > number);
    let other = &servers[1].url;
    within(Duration::from_secs(1), "it is refused", || status(other, &folder.standing) == "revoked");
    let third = certified(other, &folder.key, "three");
    within(Duration::from_secs(1), "it is known", || status(url, &third) == "active");
    servers.into_iter().for_each(crate::site::Server::stop);
    folder.logs(&site, true);
}

#[test]
fn a_move_that_was_cut_off_is_gone_on_with_and_nothing_is_served_from_the_half_of_it() {
    let site = Site::new();
    let (folder, _) = Folder::made(&site);
    site.database.admin(
        "CREATE FUNCTION state.cut() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION 'cut'; END $$; \
         GRANT EXECUTE ON FUNCTION state.cut() TO kakunin_app; \
         CREATE TRIGGER cut BEFORE INSERT ON state.head FOR EACH ROW WHEN (NEW.log = '_system') EXECUTE FUNCTION state.cut()",
    );
    let (done, said) = folder.move_to(&site);
    assert!(!done, "{said}");
    let out = site.command(&["serve", "--listen", "127.0.0.1:0", "--public-url", "http://ca.example"]);
    let why = String::from_utf8_lossy(&out.stderr).into_owned();
    assert!(!out.status.success() && why.contains("run `kakunin migrate --from` again"), "{why}");
    // The folder is served as before, and has more by the next attempt.
    let server = binary::start(&folder.data, &[]);
    let later = certified(&server.url, &folder.key, "later");
    stop(server);
    site.database.admin("DROP TRIGGER cut ON state.head; DROP FUNCTION state.cut()");
    let (done, said) = folder.move_to(&site);
    assert!(done && said.contains("was gone on with"), "{said}");
    assert_eq!(folder.logs(&site, false), folder.logs(&site, true));
    let server = folder.serve(&site);
    assert_eq!(status(&server.url, &later), "active");
    assert_eq!(server.ready()["damage_found"], 0, "{}", server.ready());
    server.stop();
    // Another deployment does not move to where one is.
    let other = Site { database: site.database, ..Site::empty() };
    let (second, _) = Folder::made(&other);
    let (done, said) = second.move_to(&other);
    assert!(!done && said.contains("there is a deployment in this store already"), "{said}");
    assert!(other.database.sql(APPLICATION, "SELECT 1").is_ok());
}
