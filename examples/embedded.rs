//! The main job in process, without a server: an agent gets its own X.509 identity, its scope is
//! checked, what it does is reported, and it loses the identity by itself when it drifts.
//!
//! `cargo run --release --example embedded`

#![allow(clippy::unwrap_used, reason = "an example that cannot go on says so")]

use std::error::Error;
use std::sync::Arc;

use kakunin_kms::kakunin_core::prelude::*;
use kakunin_kms::local::LocalKeys;
use kakunin_verify::{Guard, Verifier};

const MODEL: &str = "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

fn main() -> Result<(), Box<dyn Error>> {
    pollster::block_on(embedded())
}

async fn embedded() -> Result<(), Box<dyn Error>> {
    let now = || SystemClock.now();

    // A deployment in this process, with a tenant.
    let parts = Parts::new(MemoryStore::new(), Arc::new(LocalKeys::ephemeral()));
    let kakunin = Kakunin::open(Config::new("agents.example")?, parts).await?;
    let acme = kakunin.create_tenant(&"acme".parse()?).await?;

    // An agent with an RSA-2048 key of its own; what it may do is bound into its certificate.
    let spec = NewAgent::new("trading-agent-003", MODEL, ["read:accounts", "write:payments"])?;
    let agent = acme.register(spec).await?;
    let issued = acme.certify(&agent.id, Profile::Standard, KeySource::default()).await?;

    // Whoever it calls checks certificate, scope and revocation; nothing is fetched. CAs that are made later are known too.
    let me = Verifier::following(kakunin.clone()).build(now())?.verify(&[&issued.der], now())?;
    println!("verified    {}", me.spiffe_id());

    // Before each call: what is allowed or refused is on record when the guard answers.
    let guard = Guard::new(Arc::new(SystemClock));
    let record = |event| acme.observe(event);
    let (permission, seen) = guard.authorize_on_record(&me, "read:accounts", record).await?;
    println!("authorized  {}: score {}", permission.action(), seen.score);

    // It drifts: refused calls add up to a score, and cost it its identity.
    let record_and_show = async |event| {
        let seen = acme.observe(event).await?;
        println!("refused     delete:backups: score {} ({:?})", seen.score, seen.band);
        Ok::<_, kakunin_kms::kakunin_core::service::Error>(seen)
    };
    while me.recheck(now()).is_ok() {
        guard.authorize_on_record(&me, "delete:backups", record_and_show).await.unwrap_err().into_denied()?;
    }
    let refused = guard.authorize_on_record(&me, "read:accounts", record).await.unwrap_err();
    assert_eq!(refused.into_denied()?.code(), "agent_revoked");
    println!("refused     read:accounts: agent_revoked");

    // Its program starts again: it finds its agent, which somebody has to trust again by name, and for a reason.
    let spec = NewAgent::new("trading-agent-003", MODEL, ["read:accounts", "write:payments"])?;
    assert_eq!(acme.ensure_agent(spec.clone()).await.unwrap_err().code(), "agent_suspended");
    acme.reinstate(&agent.id, "its prompt was mended".to_owned().try_into()?).await?;
    assert_eq!(acme.ensure_agent(spec).await?.id, agent.id);
    println!("reinstated  trading-agent-003");
    let checkpoint = acme.checkpoint().await?.ok_or("an empty log")?;
    println!("on record   {}", checkpoint.lines().collect::<Vec<_>>().join("\n            "));
    Ok(())
}
