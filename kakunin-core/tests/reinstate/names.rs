//! Names: which agent a program finds that asks by one.

use kakunin_core::agent::{AgentChange, AgentState};
use kakunin_core::id::AgentId;
use kakunin_core::issue::Profile;
use kakunin_core::revoke::Cause;
use kakunin_core::service::Error;
use pollster::block_on;

use crate::common::{MODEL, P256};
use crate::world::{TAKINGS, Taking, code, spec, world};

/// Another agent that was registered under the same name before is as good as a new one.
#[test]
fn a_spare_agent_is_not_trusted_in_place_of_a_suspended_one_of_its_name() {
    for taking in TAKINGS.into_iter().filter(|taking| *taking != Taking::Retire) {
        let w = world();
        let (agent, certificate) = w.agent("one");
        let (colleague, _) = w.agent("one");
        let spare = block_on(w.kakunin.tenant(&w.acme).register(spec("one"))).unwrap().id;
        let token = w.join(&spare).unwrap();
        w.take(taking, &agent, &certificate.facts.serial);
        let w = w.reopened();
        assert_eq!(code(w.certify(&spare)), "agent_suspended", "{taking:?}");
        assert_eq!(code(w.join(&spare)), "agent_suspended", "{taking:?}");
        assert_eq!(code(w.enrol(&token)), "join_token_invalid", "{taking:?}");
        assert_eq!(w.state(&spare), AgentState::Pending, "{taking:?}");
        // Who was trusted under that name before goes on.
        let model = MODEL.parse().unwrap();
        block_on(w.kakunin.tenant(&w.acme).renew(&colleague, &model, Profile::Standard, P256)).unwrap();
        block_on(w.kakunin.tenant(&w.acme).halt(&colleague, Cause::RegulatoryOrder, None)).unwrap();
        w.reinstate(&colleague).unwrap();
        assert!(w.certify(&colleague).is_ok(), "{taking:?}: by name, and on record");
        match taking {
            Taking::Hold => block_on(w.kakunin.tenant(&w.acme).release(&certificate.facts.serial)).unwrap(),
            _ => _ = w.reinstate(&agent).unwrap(),
        }
        assert!(w.enrol(&token).is_ok(), "{taking:?}");
    }
    // While its certificate is made.
    let w = world();
    let (agent, _) = w.agent("one");
    let spare = block_on(w.kakunin.tenant(&w.acme).register(spec("one"))).unwrap().id;
    let (kakunin, acme) = (w.kakunin.clone(), w.acme.clone());
    w.meanwhile.let_happen(move || {
        block_on(kakunin.tenant(&acme).halt(&agent, Cause::RegulatoryOrder, None)).unwrap();
    });
    assert_eq!((code(w.certify(&spare)), w.state(&spare)), ("agent_suspended", AgentState::Pending));
}

#[test]
fn a_program_that_starts_again_finds_its_agent_and_not_a_fresh_one() {
    let w = world();
    let ensure = |name: &str| block_on(w.kakunin.tenant(&w.acme).ensure_agent(spec(name)));
    let one = ensure("one").unwrap();
    let certificate = w.certify(&one.id).unwrap();
    let again = ensure("one").unwrap();
    assert_eq!((again.id, again.state), (one.id, AgentState::Active));
    w.take(Taking::Behaviour, &one.id, &certificate.facts.serial);
    let w = w.reopened();
    let ensure = |name: &str| block_on(w.kakunin.tenant(&w.acme).ensure_agent(spec(name)));
    let register = |name: &str| block_on(w.kakunin.tenant(&w.acme).register(spec(name)));
    let rename = |agent: &AgentId, name: &str| {
        let name = name.parse().unwrap();
        block_on(
            w.kakunin
                .tenant(&w.acme)
                .update(agent, AgentChange { name: Some(name), ..AgentChange::default() }),
        )
    };
    assert!(matches!(ensure("one"), Err(Error::Suspended(id)) if id == one.id));
    assert!(matches!(register("one"), Err(Error::Suspended(id)) if id == one.id));
    let sentence = register("one").unwrap_err().to_string();
    assert!(sentence.contains(&format!("agent {} is suspended", one.id)), "{sentence}");
    // Neither out of the way, nor into its place.
    let two = ensure("two").unwrap();
    assert!(matches!(rename(&one.id, "old"), Err(Error::Suspended(id)) if id == one.id));
    assert!(matches!(rename(&two.id, "one"), Err(Error::Suspended(id)) if id == one.id));
    assert_eq!(ensure("One").unwrap().spec.name.as_str(), "One", "another name");
    let other = "other".parse().unwrap();
    block_on(w.kakunin.create_tenant(&other)).unwrap();
    assert!(block_on(w.kakunin.tenant(&other).ensure_agent(spec("one"))).is_ok(), "another tenant's");
    w.reinstate(&one.id).unwrap();
    assert_eq!(ensure("one").unwrap().id, one.id);
    rename(&two.id, "three").unwrap();
    assert_eq!((ensure("three").unwrap().id, ensure("two").unwrap().id == two.id), (two.id, false));
    // A retired one comes back by an order alone.
    block_on(w.kakunin.tenant(&w.acme).retire(&one.id)).unwrap();
    assert_eq!(code(ensure("one")), "agent_state");
    let next = register("one").unwrap();
    assert_eq!(ensure("one").unwrap().id, next.id);
    let named = |state| {
        block_on(w.kakunin.tenant(&w.acme).agents_named(&"one".parse().unwrap(), state, 0, 9)).unwrap()
    };
    let all: std::collections::BTreeSet<_> = named(None).0.iter().map(|a| a.id).collect();
    assert_eq!(all, [one.id, next.id].into());
    assert_eq!((named(Some(AgentState::Retired)).1, named(Some(AgentState::Active)).1), (1, 0));
}

#[test]
fn a_race_for_a_name_gives_one_agent() {
    for _ in 0..20 {
        let w = world();
        let ids = std::thread::scope(|scope| {
            let ensure = || block_on(w.kakunin.tenant(&w.acme).ensure_agent(spec("one"))).unwrap().id;
            let threads: Vec<_> = (0..8).map(|_| scope.spawn(ensure)).collect();
            threads.into_iter().map(|t| t.join().unwrap()).collect::<std::collections::BTreeSet<_>>()
        });
        assert_eq!((ids.len(), block_on(w.kakunin.tenant(&w.acme).agents(None, 0, 9)).unwrap().1), (1, 1));
    }
}
