//! An agent gets an identity, acts within its scope, and loses the identity once it is refused too often.

use std::{error::Error, sync::Arc};

use kakunin_kms::kakunin_core::prelude::*;
use kakunin_kms::local::LocalKeys;
use kakunin_verify::{Guard, Verifier};

const MODEL: &str = "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

async fn quickstart() -> Result<(), Box<dyn Error>> {
    let parts = Parts::new(MemoryStore::new(), Arc::new(LocalKeys::ephemeral()));
    let kakunin = Kakunin::open(Config::new("agents.example")?, parts).await?;
    let acme = kakunin.create_tenant(&"acme".parse()?).await?;
    let spec = NewAgent::new("trading-agent-003", MODEL, ["read:accounts", "write:payments"])?;
    let agent = acme.register(spec).await?;
    let issued = acme.certify(&agent.id, Profile::Standard, KeySource::default()).await?;
    let verifier = Verifier::following(kakunin.clone()).build(SystemClock.now())?;
    let me = verifier.verify(&[&issued.der], SystemClock.now())?;
    // Before each tool call: it is allowed or refused, that is on record, and a revocation in between is seen.
    let guard = Guard::new(Arc::new(SystemClock));
    let record = |event| acme.observe(event);
    let (permission, _) = guard.authorize_on_record(&me, "read:accounts", record).await?;
    println!("{} may {}", me.spiffe_id(), permission.action());
    // It drifts: what its certificate does not allow is refused, adds to its score, and costs it its identity.
    while me.recheck(SystemClock.now()).is_ok() {
        let refused = guard.authorize_on_record(&me, "delete:backups", record).await.err();
        refused.ok_or("allowed")?.into_denied()?;
    }
    println!("{:?}", me.recheck(SystemClock.now()).map_err(|denied| denied.code()));
    Ok(())
}

fn main() -> Result<(), Box<dyn Error>> {
    pollster::block_on(quickstart())
}
