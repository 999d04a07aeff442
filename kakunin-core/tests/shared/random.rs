//! Whatever two order of a deployment, whatever becomes of their appends: what the log amounts to from its first record
//! is what both have come to.

use std::collections::BTreeMap;
use std::sync::Arc;

use kakunin_core::access::{ApiKey, Role};
use kakunin_core::feed::Visibility;
use kakunin_core::id::{ApiKeyId, TenantId};
use kakunin_core::log::entry::LogId;
use kakunin_core::service::{Error, Kakunin};
use kakunin_core::store::state::{Kind, StateStore};
use kakunin_core::time::{Clock as _, DAY, HOUR};
use kakunin_kms::local::LocalKeys;
use pollster::block_on;

use crate::common;
use crate::common::sink::{Does, Sink};
use crate::world::{World, folded, follow, world_over};

const ORDERS: usize = 90;
const SEEDS: u64 = 24;

/// xorshift64*: the same orders each time.
struct Chance(u64);

impl Chance {
    fn below(&mut self, n: usize) -> usize {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        usize::try_from((self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 33) % u64::try_from(n).unwrap())
            .unwrap()
    }

    fn one_of<T: Clone>(&mut self, all: &[T]) -> Option<T> {
        if all.is_empty() { None } else { all.get(self.below(all.len())).cloned() }
    }
}

struct Life {
    w: World,
    sink: Arc<Sink>,
    chance: Chance,
    tenants: Vec<TenantId>,
    keys: Vec<ApiKeyId>,
    texts: Vec<ApiKey>,
    done: BTreeMap<String, u64>,
}

impl Life {
    fn order(&mut self) {
        let mood = match self.chance.below(20) {
            0 => Does::Lost,
            1 => Does::Gone,
            2 => Does::Full,
            _ => Does::Well,
        };
        let one = [self.w.one.clone(), self.w.other.clone()][self.chance.below(2)].clone();
        self.sink.does(mood);
        let (what, done) = self.one_order(&one);
        self.sink.does(Does::Well);
        let what = match done {
            Ok(()) => what.to_owned(),
            Err(error) => format!("{what}: {}", error.code()),
        };
        *self.done.entry(what).or_default() += 1;
    }

    fn one_order(&mut self, one: &Kakunin) -> (&'static str, Result<(), Error>) {
        let tenant = self.chance.one_of(&self.tenants).unwrap();
        match self.chance.below(12) {
            0 | 1 => {
                let tenant: TenantId = format!("tenant{}", self.chance.below(9)).parse().unwrap();
                self.tenants.push(tenant.clone());
                ("tenant", block_on(one.create_tenant(&tenant)).map(drop))
            }
            2 | 3 => {
                let role = [Role::Admin, Role::Operator, Role::Reporter][self.chance.below(3)];
                let expires = [None, Some(self.w.clock.now().plus(HOUR))][self.chance.below(2)];
                let made =
                    block_on(one.tenant(&tenant).create_api_key(role, "desk".parse().unwrap(), expires));
                let made = made.map(|(facts, text)| {
                    self.keys.push(facts.id);
                    self.texts.push(text);
                });
                ("key", made)
            }
            4 | 5 => match self.chance.one_of(&self.keys) {
                Some(id) => ("revoked", block_on(one.revoke_api_key(&id))),
                None => ("nothing", Ok(())),
            },
            6 => {
                let tenant = Some(tenant).filter(|_| self.chance.below(4) > 0);
                ("rotated", block_on(one.rotate_issuing(tenant.as_ref())).map(|_| ()))
            }
            7 | 8 => {
                let visibility = [Visibility::Private, Visibility::Public][self.chance.below(2)];
                ("visibility", block_on(one.tenant(&tenant).set_visibility(visibility)))
            }
            9 => {
                let shard = u16::try_from(self.chance.below(4)).unwrap();
                ("crl", block_on(one.crl(Some(shard))).map(|_| ()))
            }
            10 => {
                // Past a key's end, and past the day from which a root is followed.
                let step = [HOUR, 30 * DAY, 4 * 365 * DAY][self.chance.below(3)];
                self.w.clock.set(self.w.clock.now().plus(step).min(crate::common::NOW.plus(20 * 365 * DAY)));
                ("time", Ok(()))
            }
            _ => ("followed", block_on(one.tend()).map(|_| ())),
        }
    }

    /// Asks again for what may have failed, so that nobody refuses more than what is on record.
    fn ask_again(&mut self) {
        for one in [self.w.one.clone(), self.w.other.clone()] {
            follow(&one);
            for tenant in block_on(one.tenants()) {
                let visibility = block_on(one.tenant(&tenant).visibility()).unwrap();
                let asked = block_on(one.tenant(&tenant).set_visibility(visibility));
                assert!(asked.is_ok() || matches!(asked, Err(Error::SharedIssuer)), "{asked:?}");
                if asked.is_err() {
                    block_on(one.tenant(&tenant).set_visibility(Visibility::Public)).unwrap();
                }
            }
            for id in &self.keys {
                if one.api_key(id).is_none() {
                    let _ = block_on(one.revoke_api_key(id));
                }
            }
        }
    }

    fn accepted(&self, kakunin: &Kakunin) -> Vec<bool> {
        self.texts.iter().map(|text| kakunin.authenticate(text.reveal()).is_some()).collect()
    }
}

/// What follows from the system log: marks of CRLs among it, and CRLs not.
fn rows(state: &dyn StateStore) -> BTreeMap<(u8, Vec<u8>), Vec<u8>> {
    let mut rows = BTreeMap::new();
    let follow = [Kind::Deployment, Kind::Authority, Kind::Tenant, Kind::ApiKey, Kind::ApiKeyCommitment];
    for kind in follow.into_iter().chain([Kind::CrlMark, Kind::Seal]) {
        let all = block_on(state.scan(&LogId::System, kind, None, 100_000)).unwrap();
        rows.extend(all.into_iter().map(|(key, value)| ((kind.code(), key), value)));
    }
    rows
}

fn folded_is_lived(seed: u64) -> BTreeMap<String, u64> {
    let (mut parts, clock) = common::parts(LocalKeys::ephemeral());
    let sink = Sink::beneath(&mut parts);
    let w = world_over(parts, clock);
    let chance = Chance(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1);
    let (tenants, keys, texts) = (vec![w.acme.clone()], Vec::new(), Vec::new());
    let mut life = Life { w, sink, chance, tenants, keys, texts, done: BTreeMap::new() };
    for _ in 0..ORDERS {
        life.order();
    }
    life.ask_again();
    life.w.agree();
    let (again, parts) = folded(&life.w.parts);
    for kakunin in [&life.w.other, &again] {
        assert_eq!(life.accepted(kakunin), life.accepted(&life.w.one), "seed {seed}");
    }
    assert_eq!(rows(&*parts.state), rows(&*life.w.parts.state), "seed {seed}");
    life.done
}

#[test]
fn what_the_system_log_amounts_to_is_what_both_have_come_to() {
    let mut done: BTreeMap<String, u64> = BTreeMap::new();
    for seed in 1..=SEEDS {
        for (what, count) in folded_is_lived(seed) {
            *done.entry(what).or_default() += count;
        }
    }
    // A walk that gets nowhere would agree with anything.
    for what in ["tenant", "key", "revoked", "rotated", "visibility", "crl", "followed"] {
        assert!(done.get(what).is_some_and(|count| *count > 40), "{what}: {done:?}");
    }
    for what in ["key: storage_unavailable", "revoked: storage_unavailable", "visibility: issuer_shared"] {
        assert!(done.get(what).is_some_and(|count| *count > 2), "{what}: {done:?}");
    }
    let codes = ["storage_unavailable", "storage_full", "issuer_shared", "not_found"];
    let refused = done.keys().filter_map(|what| what.split_once(": "));
    assert!(refused.clone().all(|(_, code)| codes.contains(&code)), "{done:?}");
}
