//! What does not start, and what it says.

use crate::binary::refused;
use crate::cluster::ADMIN;
use crate::site::{PASSWORD, Site, printed_key};

fn said(site: &Site, words: &[&str]) -> String {
    let out = site.command(words);
    assert!(!out.status.success());
    let text = String::from_utf8(out.stderr).unwrap();
    assert!(!text.contains(PASSWORD), "{text}");
    text
}

#[test]
fn what_does_not_go_together_is_refused_with_what_to_do() {
    let site = Site::empty();
    let url = site.url();
    let (seal, keys) = (format!("file:{}", site.at("seal")), site.keys());
    let base = ["serve", "--listen", "127.0.0.1:0", "--database", &url];
    let with = |more: &[&str]| {
        let text = refused(&[&base[..], more].concat());
        assert!(!text.contains(PASSWORD), "{text}");
        text
    };
    assert!(with(&["--seal", &seal, "--data", "x"]).contains("exclude each other"));
    assert!(with(&["--database-file", "x"]).contains("exclude each other"));
    assert!(with(&[]).contains("needs --seal"));
    assert!(with(&["--seal", "nothing"]).contains("--seal:"));
    assert!(with(&["--seal", &seal]).contains("--keys with a KMS or an HSM"));
    assert!(with(&["--seal", &seal, "--keys", &keys]).contains("--insecure-software-keys"));
    let bare = ["--seal", &seal, "--keys", "local:", "--insecure-software-keys"];
    assert!(with(&bare).contains("key-file=FILE"));
    assert!(refused(&["serve", "--data", "x", "--seal", &seal]).contains("goes with --database"));
    assert!(refused(&["serve", "--data", "x", "--admin-key-file", "y"]).contains("goes with --database"));
    let wrong = format!("http://app:{PASSWORD}@x/y");
    let text = refused(&["serve", "--database", &wrong, "--seal", &seal]);
    assert!(text.contains("postgres://") && !text.contains(PASSWORD), "{text}");
    let backup = said(&site, &["backup", &site.at("copy")]);
    assert!(backup.contains("pg_basebackup") && backup.contains("--seal"), "{backup}");
    assert!(said(&site, &["log", "recover", "--new-origin"]).contains("pg_basebackup"));
    assert!(said(&site, &["log", "renew-guard"]).contains("--guard"));
}

#[test]
fn a_database_without_tables_is_refused_with_the_command_that_makes_them() {
    let site = Site::empty();
    let serve = ["serve", "--listen", "127.0.0.1:0", "--public-url", "http://ca.example"];
    assert!(said(&site, &serve).contains("run `kakunin migrate`"));
    let admin = site.database.url(ADMIN);
    let first = site.ran(&["migrate", "--database", &admin]);
    assert!(first.contains("was of version 0"), "{first}");
    let again = site.ran(&["migrate", "--database", &admin]);
    assert!(again.contains("nothing was changed") && again.lines().count() == 1, "{again}");
    // An older schema, as a program of later sees it: the version on record is taken away by who may do anything.
    site.database.admin(
        "DROP EVENT TRIGGER kakunin_structure; \
         ALTER TABLE audit.migration DISABLE TRIGGER deny; DELETE FROM audit.migration; \
         ALTER TABLE audit.migration ENABLE ALWAYS TRIGGER deny",
    );
    let old = said(&site, &serve);
    assert!(old.contains("is of version 0") && old.contains("run `kakunin migrate`"), "{old}");
}

#[test]
fn another_seal_opens_nothing_and_says_so() {
    let site = Site::new();
    let server = site.start(&[]);
    printed_key(&server.said);
    server.stop();
    let other = format!("file:{}", site.at("other-seal"));
    let keys = site.keys();
    let url = site.url();
    let serve = ["serve", "--listen", "127.0.0.1:0", "--seal", &other, "--keys", &keys];
    let out = crate::binary::kakunin(&[&serve[..], &["--insecure-software-keys"]].concat())
        .env("KAKUNIN_DATABASE", &url)
        .output()
        .unwrap();
    let text = String::from_utf8(out.stderr).unwrap();
    assert!(!out.status.success() && text.contains("the seal does not open the keys"), "{text}");
    assert!(!text.contains(PASSWORD), "{text}");
}
