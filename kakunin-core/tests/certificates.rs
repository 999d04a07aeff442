//! What a certificate costs and where it is kept: a row each, receipts of stops with them, and what older versions
//! wrote is read.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test that cannot go on has failed"
)]

mod common;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use async_trait::async_trait;
use common::{Hand, Keys, MODEL, NOW, P256, config, deployment, parts, reopened};
use kakunin_core::agent::{AgentState, NewAgent};
use kakunin_core::error::StoreError;
use kakunin_core::id::{AgentId, Serial, TenantId};
use kakunin_core::issue::{Certificate, Profile};
use kakunin_core::key::{KeyRef, SignError, Signer};
use kakunin_core::log::entry::{Entry, LogId};
use kakunin_core::revoke::Cause;
use kakunin_core::service::{Kakunin, MAX_CERTIFICATES_LISTED, Parts};
use kakunin_core::store::audit::{Append, AuditSink, Head, Room};
use kakunin_core::store::state::{Change, Kind};
use kakunin_core::time::{MINUTE, ManualClock};
use kakunin_kms::local::LocalKeys;
use pollster::block_on;

/// A sink that counts what is written through it.
#[derive(Debug)]
struct Counting(Arc<dyn AuditSink>, AtomicUsize);

#[async_trait]
impl AuditSink for Counting {
    async fn room(&self) -> Room {
        self.0.room().await
    }

    async fn append(&self, appends: Vec<Append>) -> Result<(), StoreError> {
        let value = |change: &Change| change.key.len() + change.value.as_ref().map_or(0, Vec::len);
        for append in &appends {
            let entry = |e: &Entry| e.leaf.len() + e.payload.as_ref().map_or(0, |p| p.octets.len());
            let written = append.entries.iter().map(entry).sum::<usize>()
                + append.changes.iter().map(value).sum::<usize>();
            self.1.fetch_add(written, Ordering::SeqCst);
        }
        self.0.append(appends).await
    }

    async fn head(&self, log: &LogId) -> Result<(Head, Option<String>), StoreError> {
        self.0.head(log).await
    }

    async fn read(&self, log: &LogId, from: u64, limit: usize) -> Result<Vec<Entry>, StoreError> {
        self.0.read(log, from, limit).await
    }

    async fn logs(&self) -> Result<Vec<LogId>, StoreError> {
        self.0.logs().await
    }
}

/// Software keys that count receipts, and can be cut off from signing them.
#[derive(Default)]
struct Receipts {
    cut: AtomicBool,
    signed: AtomicUsize,
}

impl Hand for Receipts {
    fn sign<'m>(&self, _: &dyn Signer, message: &'m [u8]) -> Result<&'m [u8], SignError> {
        // A receipt begins with an agent's identifier.
        let id = message.get(..36).and_then(|id| std::str::from_utf8(id).ok());
        if id.is_some_and(|id| id.parse::<AgentId>().is_ok()) {
            if self.cut.load(Ordering::SeqCst) {
                return Err(SignError::unavailable("sign", KeyRef::new("ca"), "timeout"));
            }
            self.signed.fetch_add(1, Ordering::SeqCst);
        }
        Ok(message)
    }
}

struct World {
    kakunin: Kakunin,
    parts: Parts,
    clock: Arc<ManualClock>,
    receipts: Arc<Receipts>,
    written: Arc<Counting>,
    acme: TenantId,
}

fn world() -> World {
    let receipts = Arc::new(Receipts::default());
    let (mut parts, clock) = parts(Keys(LocalKeys::ephemeral(), receipts.clone()));
    let written = Arc::new(Counting(parts.sink.clone(), AtomicUsize::new(0)));
    parts.sink = written.clone();
    let (kakunin, acme) = deployment(config(), &parts);
    World { kakunin, parts, clock, receipts, written, acme }
}

impl World {
    fn agent(&self, name: &str) -> (AgentId, Serial) {
        let spec = NewAgent::new(name, MODEL, ["read:accounts"]).unwrap();
        let agent = block_on(self.kakunin.tenant(&self.acme).register(spec)).unwrap().id;
        let issued =
            block_on(self.kakunin.tenant(&self.acme).certify(&agent, Profile::Standard, P256)).unwrap();
        (agent, issued.facts.serial)
    }

    fn renew(&self, agent: &AgentId) -> Certificate {
        let model = MODEL.parse().unwrap();
        block_on(self.kakunin.tenant(&self.acme).renew(agent, &model, Profile::Standard, P256)).unwrap()
    }

    fn reopened(self) -> Self {
        Self { kakunin: reopened(config(), &self.parts), ..self }
    }

    fn log(&self) -> LogId {
        LogId::Tenant(self.acme.clone())
    }

    fn rows(&self, kind: Kind) -> Vec<(Vec<u8>, Vec<u8>)> {
        block_on(self.parts.state.scan(&self.log(), kind, None, 100_000)).unwrap()
    }

    fn signed(&self) -> usize {
        self.receipts.signed.load(Ordering::SeqCst)
    }
}

#[test]
fn a_renewal_writes_as_much_after_a_thousand_as_after_ten() {
    let w = world();
    let (agent, first) = w.agent("one");
    let mut issued = 1;
    let mut written_after = |n: usize| {
        while issued < n {
            w.renew(&agent);
            issued += 1;
        }
        let before = w.written.1.load(Ordering::SeqCst);
        w.renew(&agent);
        issued += 1;
        w.written.1.load(Ordering::SeqCst) - before
    };
    let (ten, thousand) = (written_after(10), written_after(1_000));
    // The seal names the subtrees of the log, a hash for each bit of its size: these are some 4,000 records.
    let most = 64 + 32 * 12;
    assert!(ten > 1_000 && thousand.abs_diff(ten) < most, "{ten} octets after 10, {thousand} after 1,000");
    // The newest are listed, and the oldest is found.
    let listed = block_on(w.kakunin.tenant(&w.acme).certificates(&agent)).unwrap();
    assert_eq!(listed.len(), MAX_CERTIFICATES_LISTED);
    let newest = block_on(w.kakunin.tenant(&w.acme).agent(&agent)).unwrap().certificate;
    assert_eq!(listed.last().map(|c| c.facts.serial), newest);
    // The newest, and the one before it for a while.
    assert!(listed.iter().rev().skip(2).all(|c| c.revocation.is_some_and(|r| r.cause == Cause::Superseded)));
    let found = block_on(w.kakunin.find(&first)).unwrap();
    assert_eq!(found.revocation.map(|r| r.cause), Some(Cause::Superseded));
}

/// Rows as older versions wrote them: certificates in their agent's row, no rows of their own, no receipts, no seal, and
/// no MAC at the end of a row.
fn as_it_was(w: &World) {
    let mut changes = Vec::new();
    let bare = |kind| {
        let rows = block_on(w.kakunin.read_rows(&w.log(), kind)).unwrap().into_iter();
        rows.map(|(key, value)| (key, value[..value.len() - 16].to_vec())).collect::<Vec<_>>()
    };
    let standing = bare(Kind::Standing);
    let gone = |kind| w.rows(kind).into_iter().map(move |(key, _)| Change { kind, key, value: None });
    for (key, value) in bare(Kind::Agent) {
        let mut row: serde_json::Value = serde_json::from_slice(&value).unwrap();
        let of_agent = standing.iter().filter(|(k, _)| k.len() == 24 && k.starts_with(&key)).rev();
        let states = of_agent.map(|(_, serial)| {
            let (_, state) = standing.iter().find(|(k, _)| k == serial).unwrap();
            let mut state: serde_json::Value = serde_json::from_slice(state).unwrap();
            for new in ["index", "issued_at", "granted", "halt", "receipt"] {
                state.as_object_mut().unwrap().remove(new);
            }
            state
        });
        row["certificates"] = states.collect();
        for new in ["receipt", "void_before", "self_renewals", "refused_on"] {
            row.as_object_mut().unwrap().remove(new);
        }
        changes.push(Change { kind: Kind::Agent, key, value: Some(serde_json::to_vec(&row).unwrap()) });
    }
    changes.extend([Kind::Standing, Kind::Plan, Kind::Seal].into_iter().flat_map(gone));
    block_on(w.parts.state.put(&w.log(), &changes)).unwrap();
    assert!(w.rows(Kind::Standing).is_empty());
}

#[test]
fn a_store_of_an_older_version_is_brought_into_the_new_form_once() {
    let w = world();
    let ((one, _), (halted, serial), (held, on_hold)) = (w.agent("one"), w.agent("halted"), w.agent("held"));
    let newest = [(), (), ()].map(|()| w.renew(&one).facts.serial)[2];
    w.receipts.cut.store(true, Ordering::SeqCst);
    block_on(w.kakunin.tenant(&w.acme).halt(&halted, Cause::KillSwitchActivated, None)).unwrap();
    w.receipts.cut.store(false, Ordering::SeqCst);
    block_on(w.kakunin.tenant(&w.acme).hold(&on_hold)).unwrap();
    let listed = |w: &World| {
        [one, halted, held].map(|a| block_on(w.kakunin.tenant(&w.acme).certificates(&a)).unwrap())
    };
    let before = listed(&w);
    as_it_was(&w);
    let w = w.reopened();
    assert_eq!(listed(&w), before);
    let agents = block_on(w.kakunin.read_rows(&w.log(), Kind::Agent)).unwrap();
    assert!(agents.iter().all(|(_, row)| {
        let row = String::from_utf8_lossy(row);
        row.contains("name") && !row.contains("certificates")
    }));
    let rows = w.rows(Kind::Standing);
    let w = w.reopened();
    assert_eq!((listed(&w), w.rows(Kind::Standing)), (before, rows), "once");
    // Everything goes on, and the stop gets the receipt that nobody kept.
    block_on(w.kakunin.tenant(&w.acme).revoke(&newest, Cause::KeyCompromise)).unwrap();
    block_on(w.kakunin.tenant(&w.acme).release(&on_hold)).unwrap();
    block_on(w.kakunin.tend()).unwrap();
    assert!(block_on(w.kakunin.find(&serial)).unwrap().receipt.is_some());
    let states = [one, halted, held].map(|a| block_on(w.kakunin.tenant(&w.acme).agent(&a)).unwrap().state);
    assert_eq!(states, [AgentState::Suspended, AgentState::Suspended, AgentState::Active]);
    let all = block_on(w.kakunin.tenant(&w.acme).certificates(&one)).unwrap();
    assert_eq!(all.last().map(|c| c.facts.serial), Some(newest));
}

#[test]
fn a_receipt_is_signed_once_and_kept() {
    let w = world();
    let (agent, serial) = w.agent("one");
    let halt = || block_on(w.kakunin.tenant(&w.acme).halt(&agent, Cause::KillSwitchActivated, None)).unwrap();
    let first = halt();
    assert_eq!(w.signed(), 1);
    let receipt = block_on(w.kakunin.tenant(&w.acme).halt_receipt(&agent, &first)).unwrap();
    for _ in 0..20 {
        assert_eq!(halt(), first);
        assert_eq!(block_on(w.kakunin.tenant(&w.acme).halt_receipt(&agent, &first)).unwrap(), receipt);
        assert_eq!(block_on(w.kakunin.find(&serial)).unwrap().receipt.as_ref(), Some(&receipt));
    }
    block_on(w.kakunin.tend()).unwrap();
    assert_eq!(w.signed(), 1);
    // It stays with the certificate when the agent is trusted again, stopped again, and over a restart.
    let reason = "a drill".to_owned().try_into().unwrap();
    block_on(w.kakunin.tenant(&w.acme).reinstate(&agent, reason)).unwrap();
    let second = halt();
    assert_eq!((second.serial, w.signed()), (None, 2));
    let w = w.reopened();
    let found = block_on(w.kakunin.find(&serial)).unwrap();
    assert_eq!((found.halt, found.receipt.as_ref()), (Some(first), Some(&receipt)));
    assert_eq!(block_on(w.kakunin.tenant(&w.acme).halt_receipt(&agent, &first)).unwrap(), receipt);
    assert_ne!(block_on(w.kakunin.tenant(&w.acme).halt_receipt(&agent, &second)).unwrap(), receipt);
    assert_eq!(w.signed(), 2);
    // Of a stop that never was there is none.
    let forged = kakunin_core::revoke::Halt { at: NOW.plus(1), ..second };
    assert_eq!(
        block_on(w.kakunin.tenant(&w.acme).halt_receipt(&agent, &forged)).unwrap_err().code(),
        "not_found"
    );
}

#[test]
fn a_stop_does_not_wait_for_its_receipt() {
    let w = world();
    let (agent, serial) = w.agent("one");
    w.receipts.cut.store(true, Ordering::SeqCst);
    let halt = block_on(w.kakunin.tenant(&w.acme).halt(&agent, Cause::KillSwitchActivated, None)).unwrap();
    assert_eq!(block_on(w.kakunin.tenant(&w.acme).agent(&agent)).unwrap().state, AgentState::Suspended);
    let refused = block_on(w.kakunin.tenant(&w.acme).halt_receipt(&agent, &halt)).unwrap_err();
    assert_eq!(refused.code(), "key_unavailable");
    let found = block_on(w.kakunin.find(&serial)).unwrap();
    assert_eq!((found.halt, found.receipt), (Some(halt), None));
    assert!(found.revocation.is_some());
    assert_eq!(block_on(w.kakunin.tend()).unwrap().left, 1);
    // Over a restart, too.
    let w = w.reopened();
    w.receipts.cut.store(false, Ordering::SeqCst);
    w.clock.set(NOW.plus(5 * MINUTE));
    assert_eq!((block_on(w.kakunin.tend()).unwrap().left, w.signed()), (0, 1));
    assert!(block_on(w.kakunin.find(&serial)).unwrap().receipt.is_some());
    assert_eq!((block_on(w.kakunin.tend()).unwrap().left, w.signed()), (0, 1));
}

#[test]
fn a_stop_without_a_certificate_has_its_receipt_although_the_agent_is_reinstated_before() {
    for again in [false, true] {
        let w = world();
        let spec = NewAgent::new("one", MODEL, ["read:accounts"]).unwrap();
        let agent = block_on(w.kakunin.tenant(&w.acme).register(spec)).unwrap().id;
        w.receipts.cut.store(true, Ordering::SeqCst);
        let halt =
            || block_on(w.kakunin.tenant(&w.acme).halt(&agent, Cause::KillSwitchActivated, None)).unwrap();
        let first = halt();
        assert_eq!(first.serial, None);
        block_on(w.kakunin.tenant(&w.acme).reinstate(&agent, "a drill".to_owned().try_into().unwrap()))
            .unwrap();
        let stops = if again { vec![halt(), first] } else { vec![first] };
        assert_eq!(block_on(w.kakunin.tend()).unwrap().left, stops.len());
        let w = w.reopened();
        w.receipts.cut.store(false, Ordering::SeqCst);
        w.clock.set(NOW.plus(5 * MINUTE));
        assert_eq!((block_on(w.kakunin.tend()).unwrap().left, w.signed()), (0, stops.len()));
        assert!(w.rows(Kind::Plan).is_empty());
        let records =
            block_on(w.kakunin.tenant(&w.acme).records(None, 9, |r| r.name() == "agent.halt_receipt"));
        assert_eq!(records.unwrap().items.len(), stops.len(), "each on record");
        // A stop that never was has none, whatever happened before.
        let forged = kakunin_core::revoke::Halt { at: NOW.plus(1), ..first };
        let refused = block_on(w.kakunin.tenant(&w.acme).halt_receipt(&agent, &forged)).unwrap_err();
        assert_eq!((refused.code(), w.signed()), ("not_found", stops.len()));
    }
}
