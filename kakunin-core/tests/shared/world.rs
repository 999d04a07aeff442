//! Two deployments over one store, and what is seen of each.

use std::sync::Arc;

use kakunin_core::access::{ApiKey, ApiKeyFacts, Role};
use kakunin_core::agent::NewAgent;
use kakunin_core::id::{IssuerId, TenantId};
use kakunin_core::issue::Profile;
use kakunin_core::log::entry::LogId;
use kakunin_core::log::record::Record;
use kakunin_core::service::{Error, Kakunin, Parts};
use kakunin_core::store::MemoryStore;
use kakunin_core::store::state::{Change, Kind, StateStore as _};
use kakunin_core::time::{Clock as _, ManualClock, UnixTime};
use kakunin_kms::local::LocalKeys;
use pollster::block_on;

use crate::common::{self, MODEL, P256, config};

pub(crate) struct World {
    pub(crate) one: Kakunin,
    pub(crate) other: Kakunin,
    pub(crate) parts: Parts,
    pub(crate) clock: Arc<ManualClock>,
    pub(crate) acme: TenantId,
}

pub(crate) fn world_over(parts: Parts, clock: Arc<ManualClock>) -> World {
    let one = block_on(Kakunin::open(config(), parts.clone())).unwrap();
    let acme: TenantId = "acme".parse().unwrap();
    block_on(one.create_tenant(&acme)).unwrap();
    let other = block_on(Kakunin::open(config(), parts.clone())).unwrap();
    World { one, other, parts, clock, acme }
}

pub(crate) fn world() -> World {
    let (parts, clock) = common::parts(LocalKeys::ephemeral());
    world_over(parts, clock)
}

/// Reads on, as it is done about once a second.
pub(crate) fn follow(kakunin: &Kakunin) {
    block_on(kakunin.tend()).unwrap();
}

pub(crate) fn key(kakunin: &Kakunin, tenant: &TenantId) -> (ApiKeyFacts, ApiKey) {
    block_on(kakunin.tenant(tenant).create_api_key(Role::Operator, "desk".parse().unwrap(), None)).unwrap()
}

pub(crate) fn issuer_of_next(kakunin: &Kakunin, tenant: &TenantId, name: &str) -> Result<IssuerId, Error> {
    let spec = NewAgent::new(name, MODEL, ["read:a"]).unwrap();
    let agent = block_on(kakunin.tenant(tenant).register(spec)).unwrap().id;
    block_on(kakunin.tenant(tenant).certify(&agent, Profile::Standard, P256)).map(|leaf| leaf.facts.issuer)
}

/// Everything that the system log says, as callers see it.
pub(crate) fn seen(kakunin: &Kakunin, now: UnixTime) -> String {
    let tenants = block_on(kakunin.tenants());
    let visible: Vec<_> =
        tenants.iter().map(|tenant| block_on(kakunin.tenant(tenant).visibility()).unwrap()).collect();
    let mut cas = kakunin.authorities();
    // Whoever begins by now does not open one that was replaced and has ended.
    cas.retain(|ca| ca.current || ca.issuer.not_after() > now);
    let cas: Vec<_> = cas
        .iter()
        .map(|ca| {
            (ca.issuer.id(), ca.issuer.serial_number(), ca.root.id(), &ca.tenant, ca.current, ca.visibility)
        })
        .collect();
    let roots: Vec<_> = kakunin.roots().iter().map(|root| root.id()).collect();
    let had = block_on(kakunin.had_admin_key()).unwrap();
    let keys = kakunin.api_keys(None);
    format!("{tenants:?} {visible:?} {cas:?} {} {roots:?} {keys:?} {had}", kakunin.authorities_made())
}

impl World {
    /// Both know the same, and so does a third that begins from the log alone; and nobody's rows look damaged.
    pub(crate) fn agree(&self) {
        follow(&self.one);
        follow(&self.other);
        let reopened = block_on(Kakunin::open(config(), self.parts.clone())).unwrap();
        let (folded, _) = folded(&self.parts);
        let now = self.clock.now();
        for kakunin in [&self.other, &reopened, &folded] {
            assert_eq!(seen(kakunin, now), seen(&self.one, now));
        }
        for kakunin in [&self.one, &self.other, &reopened] {
            assert_eq!(kakunin.damage().named, Vec::<String>::new());
        }
    }

    pub(crate) fn records(&self, name: &str) -> usize {
        let entries = block_on(self.one.read_log(&LogId::System, 0, 10_000)).unwrap();
        entries.iter().filter(|entry| Record::open(entry).unwrap().name() == name).count()
    }
}

/// One that has the same logs and the same vault, and no projection.
pub(crate) fn folded(parts: &Parts) -> (Kakunin, Parts) {
    let fresh = Arc::new(MemoryStore::new());
    for (key, value) in block_on(parts.state.scan(&LogId::System, Kind::Vault, None, 10_000)).unwrap() {
        let change = Change { kind: Kind::Vault, key, value: Some(value) };
        block_on(fresh.put(&LogId::System, &[change])).unwrap();
    }
    let parts = Parts { state: fresh, ..parts.clone() };
    (block_on(Kakunin::open(config(), parts.clone())).unwrap(), parts)
}
