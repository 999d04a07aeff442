//! An agent gets an identity, acts within its scope, and loses the identity once it is refused too often.

use std::{error::Error, sync::Arc};

use kakunin_kms::kakunin_core::prelude::*;
use kakunin_kms::local::LocalKeys;
use kakunin_verify::{TrustAnchor, Verifier};

const MODEL: &str = "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

async fn quickstart() -> Result<(), Box<dyn Error>> {
    let now = || SystemClock.now();
    let parts = Parts::new(MemoryStore::new(), Arc::new(LocalKeys::ephemeral()));
    let kakunin = Kakunin::open(Config::new("agents.example")?, parts).await?;
    let acme = "acme".parse()?;
    kakunin.create_tenant(&acme).await?;
    let spec = NewAgent::new("trading-agent-003", MODEL, ["read:accounts", "write:payments"])?;
    let agent = kakunin.register(&acme, spec).await?;
    let issued = kakunin.certify(&acme, &agent.id, Profile::Standard, KeySource::default()).await?;
    let anchor = TrustAnchor::new(kakunin.root().as_der(), kakunin.place().trust_domain.clone())?;
    let known = Verifier::builder(kakunin.revocations()).anchor(anchor).issuer(kakunin.issuer().as_der());
    let me = known.build(now())?.verify(&[&issued.der], now())?;
    me.authorize("read:accounts", now())?;
    while me.authorize("delete:backups", now()).is_err() && me.recheck(now()).is_ok() {
        kakunin.observe(&acme, Event::refused(*me.serial(), "delete:backups".parse()?)).await?;
    }
    println!("{} {:?}", me.spiffe_id(), me.recheck(now()).map_err(|denied| denied.code()));
    Ok(())
}

fn main() -> Result<(), Box<dyn Error>> {
    pollster::block_on(quickstart())
}
