//! Halts and holds, also while a certificate is made.

use base64ct::{Base64, Encoding};
use kakunin_core::agent::{AgentChange, AgentState, NewAgent};
use kakunin_core::issue::Profile;
use kakunin_core::revoke::{Cause, Reason};
use kakunin_core::service::{NotificationKind, Parts};
use kakunin_core::time::HOUR;
use pollster::block_on;

use crate::common::{MODEL, NOW, P256};
use crate::world::{deployment_meanwhile, let_happen, reinstate, world};

#[test]
fn a_halt_takes_the_certificate_once_and_its_receipt_verifies() {
    let w = world();
    let (agent, certificate) = w.agent("one");
    let by = w.kakunin.acting_as("key:ops".parse().unwrap());
    let note = Some("stop it".to_owned().try_into().unwrap());
    let first = block_on(by.tenant(&w.acme).halt(&agent, Cause::KillSwitchActivated, note)).unwrap();
    assert_eq!(first.serial, Some(certificate.facts.serial));
    let again = block_on(by.tenant(&w.acme).halt(&agent, Cause::OperatorInitiated, None)).unwrap();
    assert_eq!(again, first, "the first stop stands");
    assert_eq!(w.reason(&certificate.facts.serial), Some(Reason::PrivilegeWithdrawn));
    assert_eq!(w.state(&agent), AgentState::Suspended);
    let receipt = block_on(w.kakunin.tenant(&w.acme).halt_receipt(&agent, &first)).unwrap();
    let text = format!("{agent}:{}:{}:{}", certificate.facts.serial, first.at, first.id);
    let signature = Base64::decode_vec(&receipt.signature).unwrap();
    w.kakunin.issuer().key().verify(text.as_bytes(), &signature).unwrap();
    let found = block_on(w.kakunin.find(&certificate.facts.serial)).unwrap();
    assert_eq!((found.halt, found.revocation.map(|r| r.cause)), (Some(first), Some(first.cause)));
    assert_eq!(found.receipt, Some(receipt));
    let inbox = block_on(w.kakunin.tenant(&w.acme).notifications(None, 9)).unwrap();
    assert_eq!(inbox.iter().map(|(_, n)| n.kind).collect::<Vec<_>>(), [NotificationKind::AgentHalted]);
    let ops = Some("key:ops".to_owned());
    let receipt = ("agent.halt_receipt", None);
    assert_eq!(w.names()[..3], [receipt, ("certificate.revoked", ops.clone()), ("agent.halted", ops)]);
    w.reinstate(&agent);
    let next = block_on(w.kakunin.tenant(&w.acme).certify(&agent, Profile::Standard, P256)).unwrap();
    assert_eq!((w.state(&agent), w.reason(&next.facts.serial)), (AgentState::Active, None));
    let halted = block_on(w.kakunin.tenant(&w.acme).halt(&agent, Cause::RegulatoryOrder, None)).unwrap();
    assert!(halted.id != first.id && halted.serial == Some(next.facts.serial));
}

#[test]
fn an_agent_without_a_certificate_can_be_halted_too() {
    let w = world();
    let spec = NewAgent::new("idle", MODEL, ["read:accounts"]).unwrap();
    let agent = block_on(w.kakunin.tenant(&w.acme).register(spec)).unwrap().id;
    let halt = block_on(w.kakunin.tenant(&w.acme).halt(&agent, Cause::RegulatoryOrder, None)).unwrap();
    assert_eq!((halt.serial, w.state(&agent)), (None, AgentState::Suspended));
}

#[test]
fn a_halt_while_a_certificate_is_made_is_not_undone_by_it() {
    let (kakunin, Parts { keys, .. }, acme, meanwhile) = deployment_meanwhile(true);
    let spec = NewAgent::new("one", MODEL, ["read:accounts"]).unwrap();
    let agent = block_on(kakunin.tenant(&acme).register(spec)).unwrap().id;
    let certify = || block_on(kakunin.tenant(&acme).certify(&agent, Profile::Standard, P256));
    let state = || block_on(kakunin.tenant(&acme).agent(&agent)).unwrap().state;
    let held = block_on(keys.list()).unwrap().len();
    let halt = || {
        let (kakunin, acme) = (kakunin.clone(), acme.clone());
        move || _ = block_on(kakunin.tenant(&acme).halt(&agent, Cause::RegulatoryOrder, None)).unwrap()
    };
    let_happen(&meanwhile.made, halt());
    assert_eq!(certify().unwrap_err().code(), "agent_state");
    assert_eq!((state(), block_on(keys.list()).unwrap().len()), (AgentState::Suspended, held));
    assert_eq!(certify().unwrap_err().code(), "agent_suspended", "ordered after the halt, too");
    reinstate(&kakunin, &acme, &agent);
    let issued = certify().unwrap();
    assert_eq!(state(), AgentState::Active);
    let_happen(&meanwhile.made, halt());
    let renewed =
        block_on(kakunin.tenant(&acme).renew(&agent, &MODEL.parse().unwrap(), Profile::Standard, P256));
    assert_eq!((renewed.unwrap_err().code(), state()), ("agent_state", AgentState::Suspended));
    let reason = kakunin.revocations().reason(&kakunin.issuer().id(), &issued.facts.serial).unwrap();
    assert_eq!(reason, Some(Reason::PrivilegeWithdrawn));
    reinstate(&kakunin, &acme, &agent);
    assert!(certify().is_ok(), "nothing is left in the way");
}

#[test]
fn a_change_while_a_certificate_is_made_is_in_it_whole_or_not_at_all() {
    // The model of the certificate is the attested one, and the document kept is the one it pins.
    let (kakunin, _, acme, meanwhile) = deployment_meanwhile(true);
    let spec = NewAgent::new("one", MODEL, ["read:accounts"]).unwrap();
    let agent = block_on(kakunin.tenant(&acme).register(spec)).unwrap().id;
    block_on(kakunin.tenant(&acme).certify(&agent, Profile::Standard, P256)).unwrap();
    let change = |change: AgentChange| {
        let (kakunin, acme) = (kakunin.clone(), acme.clone());
        move || _ = block_on(kakunin.tenant(&acme).update(&agent, change)).unwrap()
    };
    let renew = |model: &str| {
        block_on(kakunin.tenant(&acme).renew(&agent, &model.parse().unwrap(), Profile::Standard, P256))
    };
    let other = MODEL.replace('e', "f");
    let model = other.parse().unwrap();
    let_happen(&meanwhile.made, change(AgentChange { model_hash: Some(model), ..AgentChange::default() }));
    assert_eq!(renew(MODEL).unwrap_err().code(), "attestation_mismatch");
    assert!(renew(&other).is_ok(), "nothing is left in the way");
}

#[test]
fn a_hold_of_an_expired_certificate_says_nothing_of_the_agent() {
    let w = world();
    let spec = NewAgent::new("short", MODEL, ["read:accounts"]).unwrap();
    let agent = block_on(w.kakunin.tenant(&w.acme).register(spec)).unwrap().id;
    let certify = || block_on(w.kakunin.tenant(&w.acme).certify(&agent, Profile::Ephemeral, P256)).unwrap();
    let old = certify().facts.serial;
    w.clock.set(NOW.plus(2 * HOUR));
    certify();
    block_on(w.kakunin.tenant(&w.acme).hold(&old)).unwrap();
    assert_eq!(w.state(&agent), AgentState::Active);
    block_on(w.kakunin.tenant(&w.acme).release(&old)).unwrap();
    assert_eq!(w.state(&agent), AgentState::Active);
}
