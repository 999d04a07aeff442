//! What version 0.1.0 wrote before its rows had tables of their own is opened, and is all there.
//!
//! `tests/data/former` is a folder that `makes_the_folder` made then: run it there again to have another.

use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use kakunin_core::access::Role;
use kakunin_core::agent::{AgentState, NewAgent};
use kakunin_core::event::{Event, Outcome, StreamSeq};
use kakunin_core::feed::Visibility;
use kakunin_core::id::TenantId;
use kakunin_core::issue::Profile;
use kakunin_core::key::{KeyAlgorithm, KeyProvider, PlannedKeyId};
use kakunin_core::month::Month;
use kakunin_core::revoke::Cause;
use kakunin_core::service::{Config, Damage, Kakunin, KeySource, Parts};
use kakunin_core::store::sqlite::SqliteStore;
use kakunin_core::store::state::Kind;
use kakunin_core::time::{HOUR, MINUTE, ManualClock, UnixTime};
use kakunin_core::x509::csr::RequestToSign;
use kakunin_kms::local::{KdfCost, LocalKeys, Secret};
use pollster::block_on;
use rusqlite::Connection;

use crate::deployment::MODEL;

/// 2026-11-23T08:00:00Z
pub(crate) const NOW: UnixTime = UnixTime::from_secs(1_795_420_800);
const P256: KeySource<'_> = KeySource::Provider(KeyAlgorithm::P256);

fn keys_in(dir: PathBuf) -> LocalKeys {
    let secret = Secret::new("passphrase").unwrap();
    LocalKeys::open_with_cost(dir, &secret, KdfCost(core::num::NonZeroU32::MIN)).unwrap()
}

pub(crate) fn opened(dir: &Path, now: UnixTime) -> (Kakunin, Parts) {
    let mut parts =
        Parts::new(SqliteStore::open(dir.join("k.db")).unwrap(), Arc::new(keys_in(dir.join("keys"))));
    parts.clock = Arc::new(ManualClock::at(now));
    let mut config = Config::new("agents.example").unwrap();
    config.ca_algorithms = (KeyAlgorithm::P256, KeyAlgorithm::P256);
    (block_on(Kakunin::open(config, parts.clone())).unwrap(), parts)
}

/// A certification request for a workload's own key, of this number.
fn request(dir: &Path, number: u8) -> Vec<u8> {
    let keys = keys_in(dir.join("workloads"));
    let key = block_on(keys.generate(&PlannedKeyId::new([number; 16]), KeyAlgorithm::P256)).unwrap();
    let key = block_on(keys.open(&key)).unwrap();
    let request = RequestToSign::new(key.public_key());
    let signature = block_on(key.sign(request.to_be_signed())).unwrap();
    request.assemble(&signature)
}

#[test]
#[ignore = "made what is in tests/data/former: KAKUNIN_TEST_DIR is where"]
fn makes_the_folder() {
    let dir = PathBuf::from(std::env::var("KAKUNIN_TEST_DIR").unwrap());
    let (kakunin, _) = opened(&dir, NOW);
    let [acme, bolt] = ["acme", "bolt"].map(|name| name.parse::<TenantId>().unwrap());
    let agent = |tenant: &TenantId, name: &str| {
        block_on(kakunin.tenant(tenant).register(NewAgent::new(name, MODEL, ["read:a"]).unwrap())).unwrap().id
    };
    for tenant in [&acme, &bolt] {
        block_on(kakunin.create_tenant(tenant)).unwrap();
    }
    block_on(kakunin.rotate_issuing(Some(&bolt))).unwrap();
    block_on(kakunin.tenant(&bolt).set_visibility(Visibility::Private)).unwrap();
    for (role, label) in [(Role::Admin, "an admin"), (Role::Reporter, "a reporter")] {
        let (_, key) =
            block_on(kakunin.tenant(&acme).create_api_key(role, label.parse().unwrap(), None)).unwrap();
        std::fs::write(dir.join(format!("{role:?}.key").to_lowercase()), key.reveal()).unwrap();
    }
    let (gone, _) =
        block_on(kakunin.tenant(&bolt).create_api_key(Role::Reporter, "gone".parse().unwrap(), None))
            .unwrap();
    block_on(kakunin.revoke_api_key(&gone.id)).unwrap();
    let certify =
        |tenant, id, key| block_on(kakunin.tenant(tenant).certify(id, Profile::Standard, key)).unwrap();
    let (good, held, bad) = (agent(&acme, "good"), agent(&acme, "held"), agent(&acme, "bad"));
    let theirs = agent(&bolt, "theirs");
    let (own, of_another) = (request(&dir, 1), request(&dir, 2));
    let serial = certify(&acme, &good, KeySource::Request(&own)).facts.serial;
    let kept = certify(&acme, &held, P256).facts.serial;
    block_on(kakunin.tenant(&acme).hold(&kept)).unwrap();
    let lost = certify(&acme, &bad, P256).facts.serial;
    block_on(kakunin.tenant(&acme).revoke(&lost, Cause::KeyCompromise)).unwrap();
    certify(&bolt, &theirs, KeySource::Request(&of_another));
    for seq in 0..40 {
        let mut event = Event::new(serial, "read:a".parse().unwrap(), Outcome::Ok);
        event.stream = Some(StreamSeq { stream: 1, seq });
        block_on(kakunin.tenant(&acme).observe(event)).unwrap();
    }
    let joins = agent(&acme, "joins");
    let (_, token) =
        block_on(kakunin.tenant(&acme).create_join_token(&joins, Profile::Standard, HOUR / 12)).unwrap();
    std::fs::write(dir.join("join.token"), token.reveal()).unwrap();
    block_on(kakunin.publish_due());
    block_on(kakunin.crl(None)).unwrap();
    block_on(kakunin.tell_of_endings()).unwrap();
    block_on(kakunin.snapshot()).unwrap();
}

/// A copy of the folder, with the texts of its keys and of its token.
pub(crate) fn copied() -> (tempfile::TempDir, [String; 3]) {
    let (from, to) =
        (Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/former"), tempfile::tempdir().unwrap());
    for folder in ["", "keys", "workloads"] {
        std::fs::create_dir_all(to.path().join(folder)).unwrap();
        for file in std::fs::read_dir(from.join(folder)).unwrap().map(Result::unwrap) {
            if file.file_type().unwrap().is_file() {
                // Written, not copied: a repository keeps no modes, and others could read the keys.
                let to = to.path().join(folder).join(file.file_name());
                let mut private = std::fs::OpenOptions::new();
                let mut private = private.write(true).create_new(true).mode(0o600).open(to).unwrap();
                private.write_all(&std::fs::read(file.path()).unwrap()).unwrap();
            }
        }
    }
    let read = |name: &str| std::fs::read_to_string(to.path().join(name)).unwrap();
    let texts = ["admin.key", "reporter.key", "join.token"].map(read);
    (to, texts)
}

#[test]
fn what_was_written_before_is_all_there() {
    let (dir, [admin, reporter, token]) = copied();
    let [acme, bolt] = ["acme", "bolt"].map(|name| name.parse::<TenantId>().unwrap());
    for round in 0..2 {
        let (kakunin, _) = opened(dir.path(), NOW.plus(round * MINUTE));
        assert_eq!(kakunin.authenticate(&admin).unwrap().role, Role::Admin);
        assert_eq!(kakunin.authenticate(&reporter).unwrap().role, Role::Reporter);
        assert_eq!(kakunin.api_keys(None).len(), 2);
        assert!(block_on(kakunin.had_admin_key()).unwrap());
        assert_eq!(block_on(kakunin.tenant(&bolt).visibility()).unwrap(), Visibility::Private);
        assert_eq!(block_on(kakunin.tenant(&acme).visibility()).unwrap(), Visibility::Public);
        assert_eq!(kakunin.authorities().len(), 2);
        let issuer = kakunin.issuer().id();
        let before = block_on(kakunin.published_crl(&issuer, Some(115))).unwrap();
        assert_eq!(before.number, 1_795_420_800, "as it was published, and not made again");
        block_on(kakunin.load()).unwrap();
        let all = |state| block_on(kakunin.tenant(&acme).agents(state, 0, 100)).unwrap().0;
        let count = |state| all(Some(state)).len();
        let [active, suspended, pending] =
            [AgentState::Active, AgentState::Suspended, AgentState::Pending].map(count);
        assert_eq!((active, suspended), (1 + usize::from(round == 1), 2));
        assert_eq!(pending, 1 - usize::from(round == 1));
        for agent in all(None) {
            let listed = block_on(kakunin.tenant(&acme).certificates(&agent.id)).unwrap();
            assert_eq!(listed.len(), usize::from(agent.certificate.is_some()));
            for entry in listed {
                let der = block_on(kakunin.tenant(&acme).certificate(&entry.facts.serial)).unwrap();
                assert!(!der.is_empty());
            }
        }
        assert_eq!(block_on(kakunin.tenant(&acme).notifications(None, 10)).unwrap().len(), 1);
        if round == 0 {
            // Once, and what the vault has of it is found.
            block_on(kakunin.enrol(&token, &request(dir.path(), 3))).unwrap();
        }
        block_on(kakunin.enrol(&token, &request(dir.path(), 4))).unwrap_err();
        assert_eq!(kakunin.damage(), Damage::default());
    }
}

/// What lay there unencrypted is read, and hidden once it is erased; what comes from now on is encrypted.
#[test]
fn payloads_of_before_are_read_and_erased_from_readers() {
    let (dir, _) = copied();
    let events = |kakunin: &Kakunin| {
        let acme = kakunin.tenant(&"acme".parse().unwrap());
        let page = block_on(acme.records(None, 1_000, |record| record.name() == "agent.event")).unwrap();
        assert!(page.damaged.is_empty());
        page.items
    };
    let by = {
        let (kakunin, _) = opened(dir.path(), NOW.plus(MINUTE));
        let before = events(&kakunin);
        assert!(before.len() == 40 && before.iter().all(|event| event.entry.payload.is_some()));
        let (month, agent) = (Month::of(before[0].record.time), before[0].record.agent.unwrap());
        let (acme, why) =
            (kakunin.tenant(&"acme".parse().unwrap()), "because".to_owned().try_into().unwrap());
        let erased = block_on(acme.erase(&agent, month, month, why)).unwrap();
        let event = Event::new(before[0].record.serial.unwrap(), "read:a".parse().unwrap(), Outcome::Ok);
        block_on(acme.observe(event)).unwrap();
        erased.record
    };
    let (kakunin, _) = opened(dir.path(), NOW.plus(2 * MINUTE));
    let after = events(&kakunin);
    let (new, old) = after.split_first().unwrap();
    assert!(new.erased.is_none() && new.entry.payload.is_some());
    assert!(old.len() == 40 && old.iter().all(|event| event.erased == Some(by)));
    assert_eq!(kakunin.damage(), Damage::default());
}

#[test]
fn keys_that_were_bound_before_are_their_agents() {
    let (dir, _) = copied();
    let (kakunin, _) = opened(dir.path(), NOW.plus(MINUTE));
    for (tenant, key) in [("acme", 2), ("bolt", 1)] {
        let tenant = tenant.parse().unwrap();
        let spec = NewAgent::new("new", MODEL, ["read:a"]).unwrap();
        let agent = block_on(kakunin.tenant(&tenant).register(spec)).unwrap().id;
        let request = request(dir.path(), key);
        let source = KeySource::Request(&request);
        let refused =
            block_on(kakunin.tenant(&tenant).certify(&agent, Profile::Standard, source)).unwrap_err();
        assert_eq!(refused.code(), "key_in_use");
    }
}

/// Rows of the system log, by table.
fn tables(dir: &Path) -> Vec<(u8, u32)> {
    let raw = Connection::open(dir.join("k.db")).unwrap();
    let sql = "SELECT kind, count(*) FROM state WHERE log_id = (SELECT id FROM log WHERE name = '_system') GROUP BY 1";
    let mut statement = raw.prepare(sql).unwrap();
    let rows = statement.query_map([], |row| Ok((row.get(0)?, row.get(1)?))).unwrap();
    rows.map(Result::unwrap).collect()
}

#[test]
fn rows_go_to_the_tables_they_belong_to_once() {
    let (dir, _) = copied();
    assert_eq!(tables(dir.path()), [(1, 2), (2, 9), (7, 4), (8, 7), (10, 1)]);
    let kinds = u32::try_from(Kind::ALL.len()).unwrap();
    for round in 0..2 {
        drop(opened(dir.path(), NOW.plus(MINUTE)));
        let of = |kind: Kind, count| (kind.code(), count);
        let now = [
            of(Kind::Vault, 4),
            of(Kind::Cursor, 1),
            of(Kind::Seal, 1),
            of(Kind::Deployment, 3),
            of(Kind::Authority, 3),
            of(Kind::Tenant, 2),
            of(Kind::ApiKey, 2),
            of(Kind::CrlMark, 3),
            of(Kind::Crl, 3),
            of(Kind::Layout, kinds),
        ];
        assert_eq!(tables(dir.path()), now, "round {round}");
    }
    let raw = Connection::open(dir.path().join("k.db")).unwrap();
    let later = raw.execute("UPDATE state SET value = x'0002' WHERE kind = 18 AND key = x'0c'", []).unwrap();
    assert_eq!(later, 1);
    drop(raw);
    let store = SqliteStore::open(dir.path().join("k.db")).unwrap();
    let parts = Parts::new(store, Arc::new(keys_in(dir.path().join("keys"))));
    let refused = block_on(Kakunin::open(Config::new("agents.example").unwrap(), parts)).unwrap_err();
    assert_eq!(refused.code(), "storage_foreign");
}

#[test]
fn what_somebody_wrote_into_a_former_file_counts_as_little_as_in_one_of_today() {
    let (dir, _) = copied();
    let raw = Connection::open(dir.path().join("k.db")).unwrap();
    let forged = [
        "DELETE FROM state WHERE kind = 2 AND key = CAST('private/bolt' AS BLOB)",
        "UPDATE state SET value = CAST(replace(CAST(value AS TEXT), 'reporter', 'admin') AS BLOB) WHERE kind = 2",
        "UPDATE state SET value = zeroblob(length(value)) WHERE kind = 8 AND CAST(key AS TEXT) LIKE 'published-crl/%/115'",
    ];
    for sql in forged {
        assert!(raw.execute(sql, []).unwrap() > 0, "{sql}");
    }
    drop(raw);
    let (kakunin, _) = opened(dir.path(), NOW.plus(MINUTE));
    assert_eq!(block_on(kakunin.tenant(&"bolt".parse().unwrap()).visibility()).unwrap(), Visibility::Private);
    let admins = kakunin.api_keys(None).iter().filter(|facts| facts.role == Role::Admin).count();
    assert_eq!(admins, 1);
    let crl = block_on(kakunin.published_crl(&kakunin.issuer().id(), Some(115))).unwrap();
    assert!(crl.number > 1_795_420_800, "made anew, above its mark");
    assert_eq!(kakunin.damage().count, 1, "{:?}", kakunin.damage());
}
