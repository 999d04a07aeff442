//! What must hold of a deployment, whatever happened to its process.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use kakunin_core::agent::AgentState;
use kakunin_core::feed::{self, Snapshot};
use kakunin_core::id::{Serial, SerialNumber};
use kakunin_core::log::cosignature::CosignerKey;
use kakunin_core::log::entry::LogId;
use kakunin_core::log::merkle::Frontier;
use kakunin_core::log::record::{Body, Control, Record};
use kakunin_core::revoke::{Cause, Reason, Revocation, RevocationChange};
use kakunin_core::service::{Damage, NotificationKind, Publishing, Tended};
use kakunin_core::x509::crl::CrlView;
use pollster::block_on;

use crate::case::{Case, history};
use crate::world::{Subject, World};

type Standing = BTreeMap<Serial, Revocation>;

/// How certificates changed by the tenant's log, which the issuer's revocation log has to repeat.
pub(crate) fn decided(w: &World) -> Vec<RevocationChange> {
    let of = |record: &Record| match control(record)? {
        Control::CertificateRevoked { revocation, .. }
        | Control::CertificateHeld { hold: revocation, .. } => Some(RevocationChange::Revoked(*revocation)),
        Control::CertificateReleased { issuer } => {
            Some(RevocationChange::Released { issuer: *issuer, serial: record.serial? })
        }
        _ => None,
    };
    w.log(&LogId::Tenant(w.acme.clone())).iter().filter_map(of).collect()
}

fn copied(w: &World) -> Vec<RevocationChange> {
    let of = |record: &Record| match control(record)? {
        Control::RevocationChanged(change) => Some(*change),
        _ => None,
    };
    w.log(&LogId::Revocations(w.kakunin.issuer().id())).iter().filter_map(of).collect()
}

fn control(record: &Record) -> Option<&Control> {
    match &record.body {
        Body::Control(control) => Some(control),
        Body::Event(..) => None,
    }
}

fn standing(changes: &[RevocationChange]) -> Standing {
    let mut standing = Standing::new();
    for change in changes {
        match change {
            RevocationChange::Revoked(r) => assert_eq!(standing.insert(r.serial, *r), None, "revoked twice"),
            RevocationChange::Released { serial, .. } => _ = standing.remove(serial).unwrap(),
        }
    }
    standing
}

/// What holds from the moment the deployment is open: the logs agree, and verifiers go by them.
pub(crate) fn opens_level(w: &World) {
    let decided = decided(w);
    assert_eq!(copied(w), decided, "in both logs or in neither");
    let (standing, issuer) = (standing(&decided), w.kakunin.issuer().id());
    let live = w.kakunin.revocations();
    for change in &decided {
        let (_, serial) = change.serial();
        let reason = standing.get(&serial).map(|r| r.cause.reason());
        assert_eq!(live.reason(&issuer, &serial), Ok(reason));
    }
}

/// Each append of the case is there with all of its records, or none of it is; says which records of the
/// subject's certificate there are.
pub(crate) fn is_whole_or_absent(w: &World, dir: &Path, case: Case, one: &Subject) -> Vec<&'static str> {
    let records = w.log(&LogId::Tenant(w.acme.clone()));
    let on_record = history(w, &one.facts.serial);
    let sql = "SELECT prev_size, new_size FROM batch JOIN log ON log.id = log_id
        WHERE name = 'acme' AND prev_size <= ?1 AND new_size > ?1";
    let raw = rusqlite::Connection::open(dir.join("logs.db")).unwrap();
    for (append, name) in case.appends().iter().zip(&on_record) {
        let at = records.iter().position(|r| r.name() == *name && r.serial == Some(one.facts.serial));
        let at = at.unwrap();
        let size = |n| -> usize {
            let found = raw.query_row(sql, [u32::try_from(at).unwrap()], |row| row.get::<_, u32>(n));
            found.unwrap().try_into().unwrap()
        };
        let (from, to) = (size(0), size(1));
        let names: Vec<_> = records[from..to].iter().map(Record::name).collect();
        // A CA key in this process signs at once: then the plan is in the append of what is made of it.
        let decided = names.strip_prefix(&["key.bound", "certificate.planned"]).unwrap_or(&names);
        assert_eq!(decided, *append, "one append");
        let Some(Control::CertificateRevoked { revocation, evidence, .. }) = control(&records[at]) else {
            continue;
        };
        assert_eq!((revocation.cause, evidence.is_some()), (case.cause(), case == Case::Automatic));
        if let Some(evidence) = evidence {
            let Body::Event(act, _) = &records[from].body else { panic!("{:?}", records[from]) };
            assert_eq!((usize::try_from(evidence.event), act.score), (Ok(from), Some(evidence.score)));
            assert!(evidence.score >= evidence.threshold && !evidence.families.is_empty());
        }
    }
    on_record
}

/// What holds once the deployment is at work: everybody who is asked says what the tenant's log says.
pub(crate) fn holds(w: &World, case: Case, one: &Subject) {
    opens_level(w);
    assert_eq!(block_on(w.kakunin.tend()).unwrap(), Tended::default());
    assert_eq!(block_on(w.kakunin.publish_due()), Publishing::default());
    assert_eq!(w.kakunin.damage(), Damage::default(), "a crash is no damage");
    let changes = decided(w);
    let standing = standing(&changes);
    let certificates = w.certificates();
    let shards: BTreeSet<_> = certificates.iter().map(|c| Some(c.facts.shard)).chain([None]).collect();
    shards.into_iter().for_each(|shard| on_crl(w, shard, &standing));
    on_feed(w, &changes, &standing);
    // What was void once stays void, released or not.
    let voided = !matches!(case, Case::Superseded | Case::Used) && !history(w, &one.facts.serial).is_empty();
    assert_eq!(w.redeem(&one.token), if voided { "join_token_invalid" } else { "exists" });
    let issuer = w.kakunin.issuer().id();
    for certificate in &certificates {
        let serial = certificate.facts.serial;
        let revocation = standing.get(&serial).copied();
        assert_eq!(certificate.revocation, revocation);
        assert_eq!(block_on(w.parts.revocations.find(&issuer, &serial)).unwrap(), revocation);
        let key = certificate.key.as_ref().unwrap();
        assert_eq!(w.signs(key), revocation.is_none(), "{key} of {serial}: {revocation:?}");
        let agent = block_on(w.kakunin.tenant(&w.acme).agent(&certificate.facts.agent)).unwrap();
        if agent.certificate == Some(serial) {
            let wanted = if revocation.is_some() { AgentState::Suspended } else { AgentState::Active };
            assert_eq!(agent.state, wanted);
        }
    }
    let kept = |r: Option<&Revocation>| r.is_none_or(|r| r.cause == Cause::Hold);
    let kept = certificates.iter().filter(|c| kept(standing.get(&c.facts.serial))).count();
    let held = block_on(w.parts.keys.list()).unwrap().len();
    assert_eq!(held, 4 + kept, "log, feed, root, issuing, and of certificates that stand or may again");
    let told = |kind| matches!(kind, NotificationKind::AgentRevoked | NotificationKind::AgentHalted);
    let inbox = block_on(w.kakunin.tenant(&w.acme).notifications(None, 100)).unwrap();
    let told = inbox.iter().filter(|(_, item)| item.agent == one.agent && told(item.kind)).count();
    assert_eq!(told, if standing.contains_key(&one.facts.serial) { case.tells() } else { 0 });
}

fn on_crl(w: &World, shard: Option<u16>, standing: &Standing) {
    let issuer = w.kakunin.issuer();
    let highest = numbers(w).into_iter().filter(|(of, _)| *of == shard).map(|(_, number)| number).max();
    let crl = block_on(w.kakunin.published_crl(&issuer.id(), shard)).unwrap();
    let view = CrlView::parse(&crl.der).unwrap();
    view.check(&issuer, w.parts.clock.now()).unwrap();
    let wanted: BTreeMap<SerialNumber, Reason> = standing
        .values()
        .filter(|r| shard.is_none_or(|shard| r.shard == shard))
        .map(|r| (r.serial.into(), r.cause.reason()))
        .collect();
    assert_eq!(view.revoked().collect::<BTreeMap<_, _>>(), wanted, "{shard:?}");
    assert!(Some(view.number) >= highest, "{shard:?}: {} after {highest:?}", view.number);
}

/// Numbers of the CRLs on record, by shard.
pub(crate) fn numbers(w: &World) -> Vec<(Option<u16>, u64)> {
    let of = |record: &Record| match control(record)? {
        Control::CrlPublished { shard, number, .. } => Some((*shard, *number)),
        _ => None,
    };
    w.log(&LogId::System).iter().filter_map(of).collect()
}

/// As a follower reads it that was there from the beginning, and one that begins with the snapshot.
fn on_feed(w: &World, changes: &[RevocationChange], standing: &Standing) {
    let issuer = w.kakunin.issuer().id();
    let key = CosignerKey::parse(w.kakunin.feed_verifier()).unwrap();
    let origin = feed::origin(&key, &issuer).unwrap();
    let page = block_on(w.kakunin.feed(&issuer, 0, 1_000)).unwrap();
    let opened: Vec<_> = page.frame.entries.iter().map(|entry| entry.open(&issuer).unwrap()).collect();
    let mut frontier = Frontier::default();
    opened.iter().for_each(|entry| frontier.push(entry.hash));
    let (checkpoint, _) = feed::open_checkpoint(&page.frame.checkpoint, &key, &origin).unwrap();
    assert_eq!((checkpoint.size, checkpoint.root), (frontier.size(), frontier.root()));
    assert_eq!(opened.iter().filter_map(|entry| entry.change).collect::<Vec<_>>(), changes);
    let snapshot = block_on(w.kakunin.feed_snapshot(&issuer)).unwrap();
    let answer = serde_json::to_vec(&serde_json::json!({ "data": &*snapshot })).unwrap();
    let (at, _, snapshot) = Snapshot::open(&answer, &key, &origin).unwrap();
    assert_eq!((at.size, at.root), (checkpoint.size, checkpoint.root));
    let mut revoked = snapshot.revoked;
    revoked.sort_unstable_by_key(|(serial, _)| *serial);
    let wanted: Vec<_> = standing.values().map(|r| (r.serial, r.cause.reason())).collect();
    assert_eq!(revoked, wanted);
}
