//! The main job in process, without a server: an agent gets its own X.509 identity, its scope is
//! checked, what it does is reported, and it loses the identity by itself when it drifts.
//!
//! `cargo run --release --example embedded`

use std::error::Error;
use std::sync::Arc;

use kakunin_kms::kakunin_core::agent::NewAgent;
use kakunin_kms::kakunin_core::event::{Event, Outcome};
use kakunin_kms::kakunin_core::service::{Config, Kakunin, KeySource, Parts};
use kakunin_kms::kakunin_core::store::MemoryStore;
use kakunin_kms::kakunin_core::time::{Clock, SystemClock};
use kakunin_kms::local::LocalKeys;
use kakunin_verify::{TrustAnchor, Verifier};

const MODEL: &str = "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

fn main() -> Result<(), Box<dyn Error>> {
    pollster::block_on(embedded())
}

async fn embedded() -> Result<(), Box<dyn Error>> {
    // 1. A deployment in this process, and a tenant of it.
    let now = || SystemClock.now();
    let parts = Parts::new(MemoryStore::new(), Arc::new(LocalKeys::ephemeral()));
    let kakunin = Kakunin::open(Config::new("agents.example")?, parts).await?;
    let acme = "acme".parse()?;
    kakunin.create_tenant(&acme).await?;

    // 2. An agent with an RSA-2048 key of its own, and what it may do bound into its certificate.
    let spec = NewAgent::new("trading-agent-003", MODEL, ["read:accounts", "write:payments"])?;
    let agent = kakunin.register(&acme, spec).await?;
    let certificate = kakunin
        .certify(&acme, &agent.id, Default::default(), KeySource::default())
        .await?;

    // 3. Whoever is called by the agent checks certificate, scope and revocation; nothing is fetched.
    let anchor = TrustAnchor::new(kakunin.root().as_der(), kakunin.place().trust_domain.clone())?;
    let issuer = kakunin.issuer().as_der();
    let verifier = Verifier::builder(kakunin.revocations())
        .anchor(anchor)
        .issuer(issuer)
        .build(now())?;
    let me = verifier.verify(&[&certificate.der], now())?;
    println!("verified     {} as {}", certificate.facts.serial, me.spiffe_id());
    me.authorize("read:accounts", now())?;
    kakunin
        .observe(
            &acme,
            Event::new(*me.serial(), "read:accounts".parse()?, Outcome::Ok),
        )
        .await?;
    println!("authorized   read:accounts");

    // 4. It drifts: calls outside its scope are refused, reported, and add up to a score.
    for target in 1.. {
        let Err(denied) = me.authorize("delete:backups", now()) else {
            return Err("this was not granted".into());
        };
        if denied.code() == "agent_revoked" {
            println!("refused      {denied}");
            break;
        }
        let mut event = Event::refused(*me.serial(), "delete:backups".parse()?);
        event.target = Some(format!("backup-{target}").parse()?);
        let seen = kakunin.observe(&acme, event).await?;
        println!(
            "refused      delete:backups: {}, score {} ({:?})",
            denied.code(),
            seen.score,
            seen.band
        );
    }

    // 5. The identity is gone for everything, also for what it was allowed to do, and it is on record.
    assert!(
        me.authorize("read:accounts", now()).is_err() && verifier.verify(&[&certificate.der], now()).is_err()
    );
    let checkpoint = kakunin.checkpoint(&acme).await?.ok_or("the log is empty")?;
    println!(
        "on record    {}",
        checkpoint.trim_end().replace('\n', "\n             ")
    );
    Ok(())
}
