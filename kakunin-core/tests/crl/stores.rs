//! Stores that lose what they were given.

use std::sync::Arc;

use kakunin_core::issue::Profile;
use kakunin_core::log::entry::LogId;
use kakunin_core::service::{Error, Kakunin, Parts, Reader, Regression};
use kakunin_core::store::MemoryStore;
use kakunin_core::store::audit::{Append, AuditSink, Head};
use kakunin_core::store::state::{Change, Kind, StateStore};
use kakunin_core::time::{MINUTE, SECOND};
use pollster::block_on;

use crate::common::{NOW, config};
use crate::world::{Faulty, World, world};

#[test]
fn a_store_that_loses_a_revocation_is_caught() {
    let mut w = world();
    let (lost, shard) = w.issue(Profile::Standard);
    let (kept, _) = w.issue(Profile::Standard);
    w.revoke(&lost);
    block_on(w.kakunin.publish_due());
    let before = w.crl(Some(shard)).unwrap();
    *w.store.lost.lock().unwrap() = Some(lost);
    w.restart_as_it_is();
    // Revoking goes on, and what is not touched is published.
    w.revoke(&kept);
    let publishing = block_on(w.kakunin.publish_due());
    let refused: Vec<_> = publishing.refused.iter().map(|crl| (crl.shard, crl.why)).collect();
    assert_eq!(refused, [(Some(shard), Regression::Vanished(lost))]);
    assert_eq!((publishing.left, w.kakunin.publishing()), (1, publishing));
    for coverage in [Some(shard), None] {
        let refused = w.crl(coverage).unwrap_err();
        assert_eq!(refused.code(), "crl_regression", "{refused}");
        assert!(refused.to_string().contains(&lost.to_string()), "{refused}");
    }
    let all = w.published();
    assert_eq!(all.iter().filter(|(of, _)| *of == Some(shard)).max(), Some(&(Some(shard), before.0)));
    // Mended, it goes on by itself.
    *w.store.lost.lock().unwrap() = None;
    w.restart();
    let publishing = block_on(w.kakunin.publish_due());
    assert!(publishing.left == 0 && publishing.refused.is_empty(), "{publishing:?}");
    assert!(w.crl(None).unwrap().1.is_superset(&[lost, kept].into()));
}

#[test]
fn a_store_from_before_the_last_crl_is_caught() {
    let w = world();
    let (serial, shard) = w.issue(Profile::Standard);
    w.revoke(&serial);
    block_on(w.kakunin.publish_due());
    // A clock that was set back is no reason to keep a revocation off the CRL.
    for back in [SECOND, 10 * MINUTE] {
        w.clock.set(NOW.minus(back));
        block_on(w.kakunin.crl(Some(shard))).unwrap();
    }
    // A log that is shorter than what was followed.
    let shorter = Arc::new(Faulty::default());
    let system = block_on(w.store.read(&LogId::System, 0, usize::MAX)).unwrap();
    let (head, checkpoint) = block_on(w.store.head(&LogId::System)).unwrap();
    let append = Append {
        log: LogId::System,
        expected: Head::default(),
        next: head,
        entries: system,
        checkpoint: checkpoint.unwrap(),
        changes: Arc::default(),
        revocations: Vec::new(),
        bindings: Vec::new(),
        reserved: false,
    };
    block_on(shorter.append(vec![append])).unwrap();
    let parts = Parts { sink: shorter.clone(), revocations: shorter, ..w.parts.clone() };
    let restored = block_on(Kakunin::open(config(), parts)).unwrap();
    let publishing = block_on(restored.publish_due());
    assert_eq!(publishing.failing, [(restored.issuer().id(), "crl_regression")]);
    let refused = block_on(restored.published_crl(&restored.issuer().id(), None)).unwrap_err();
    assert!(matches!(refused, Error::CrlRegression(Regression::Cursor)), "{refused}");
}

#[test]
fn numbers_grow_though_the_state_that_kept_them_was_lost() {
    let mut w = world();
    let (_, shard) = w.issue(Profile::Standard);
    // More CRLs than seconds: time alone would give a number that was there before.
    for coverage in [Some(shard), None] {
        (0..5).for_each(|_| _ = w.anew(coverage));
    }
    let root = |w: &World| block_on(w.kakunin.chain_crls(Reader::Deployment)).unwrap().last().unwrap().number;
    let before = (w.published(), root(&w));
    let empty = Arc::new(MemoryStore::new());
    let secret = block_on(w.parts.state.get(&LogId::System, Kind::Vault, b"secret")).unwrap();
    let vault = Change { kind: Kind::Vault, key: b"secret".to_vec(), value: secret };
    block_on(empty.put(&LogId::System, &[vault])).unwrap();
    w.parts.state = empty;
    w.restart();
    for coverage in [Some(shard), None] {
        // World::crl compares thisUpdate with that of the last one.
        let (_, last) = before.0.iter().rfind(|(of, _)| *of == coverage).unwrap();
        assert!(w.crl(coverage).unwrap().0 > *last, "{coverage:?}");
    }
    assert!(root(&w) > before.1);
}
