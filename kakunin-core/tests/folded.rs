//! The log says what happened: whatever is ordered in whatever order, what the log amounts to when it is read from its
//! first record is what life came to, octet for octet.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test that cannot go on has failed")]

use std::collections::BTreeMap;
use std::sync::Arc;

use kakunin_core::access::Role;
use kakunin_core::agent::{AgentChange, NewAgent};
use kakunin_core::event::{Amount, Event, Outcome, StreamSeq};
use kakunin_core::id::{AgentId, ApiKeyId, Serial, TenantId};
use kakunin_core::issue::Profile;
use kakunin_core::key::KeyAlgorithm;
use kakunin_core::log::entry::LogId;
use kakunin_core::log::leaf::Leaf;
use kakunin_core::revoke::Cause;
use kakunin_core::service::{Config, Kakunin, KeySource, Parts, Rebuild, rebuild};
use kakunin_core::store::audit::AuditSink;
use kakunin_core::store::state::{Kind, StateStore};
use kakunin_core::store::{MemoryStore, Store};
use kakunin_core::time::{DAY, HOUR, MINUTE, ManualClock, SECOND, UnixTime};
use kakunin_kms::local::LocalKeys;
use pollster::block_on;

const MODEL: &str = "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
const NOW: UnixTime = UnixTime::from_secs(1_795_420_800);
const P256: KeySource<'_> = KeySource::Provider(KeyAlgorithm::P256);
const ORDERS: usize = 220;

/// xorshift64*: the same orders each time.
struct Chance(u64);

impl Chance {
    fn below(&mut self, n: u64) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        (self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 33) % n
    }

    fn one_of<'a, T>(&mut self, all: &'a [T]) -> Option<&'a T> {
        let count = u64::try_from(all.len()).unwrap();
        if count == 0 { None } else { all.get(usize::try_from(self.below(count)).unwrap()) }
    }
}

/// A deployment under whatever comes.
struct Life {
    kakunin: Kakunin,
    config: Config,
    parts: Parts,
    clock: Arc<ManualClock>,
    now: UnixTime,
    chance: Chance,
    tenants: Vec<TenantId>,
    agents: Vec<(TenantId, AgentId)>,
    serials: Vec<(TenantId, Serial)>,
    keys: Vec<ApiKeyId>,
    done: BTreeMap<&'static str, u64>,
}

impl Life {
    fn order(&mut self) {
        let n = self.chance.below(100);
        let what = match n {
            0..=7 => self.register(),
            8..=24 => self.certify(),
            25..=54 => self.events(),
            55..=62 => self.time(),
            63..=84 => self.take_away(),
            _ => self.run_it(),
        };
        if let Some(what) = what {
            *self.done.entry(what).or_default() += 1;
        }
    }

    fn register(&mut self) -> Option<&'static str> {
        let tenant = self.chance.one_of(&self.tenants).unwrap().clone();
        let name = format!("agent {}", self.chance.below(12));
        let spec = NewAgent::new(&name, MODEL, ["read:a", "write:b"]).unwrap();
        let agent = match self.chance.below(2) {
            0 => block_on(self.kakunin.tenant(&tenant).register(spec)),
            _ => block_on(self.kakunin.tenant(&tenant).ensure_agent(spec)),
        };
        self.agents.push((tenant, agent.ok()?.id));
        Some("registered")
    }

    fn certify(&mut self) -> Option<&'static str> {
        let (tenant, agent) = self.chance.one_of(&self.agents)?.clone();
        let profile = [Profile::Standard, Profile::Elevated, Profile::HighRisk, Profile::Ephemeral]
            [usize::try_from(self.chance.below(4)).unwrap()];
        let (issued, what) = match self.chance.below(3) {
            0 => (
                block_on(self.kakunin.tenant(&tenant).renew(&agent, &MODEL.parse().unwrap(), profile, P256)),
                "renewed",
            ),
            1 => {
                let life = (1 + self.chance.below(600)) * SECOND;
                block_on(self.kakunin.tenant(&tenant).create_join_token(&agent, profile, life)).ok()?;
                return Some("token");
            }
            _ => (block_on(self.kakunin.tenant(&tenant).certify(&agent, profile, P256)), "certified"),
        };
        self.serials.push((tenant, issued.ok()?.facts.serial));
        Some(what)
    }

    fn events(&mut self) -> Option<&'static str> {
        let (tenant, serial) = self.chance.one_of(&self.serials)?.clone();
        let count = 1 + self.chance.below(12);
        if count == 1 {
            let (event, nonce) =
                (self.event(serial), format!("nonce {}", self.chance.below(60)).try_into().ok()?);
            return block_on(self.kakunin.tenant(&tenant).observe_once(nonce, event)).ok().map(|_| "shown");
        }
        let events: Vec<_> = (0..count).map(|_| self.event(serial)).collect();
        let reporter = format!("key:{}", self.chance.below(3)).try_into().unwrap();
        let observed = block_on(self.kakunin.acting_as(reporter).tenant(&tenant).observe_all(events)).ok()?;
        if observed.iter().flatten().any(|event| event.revoked) {
            Some("lost by score")
        } else {
            Some("events")
        }
    }

    fn event(&mut self, serial: Serial) -> Event {
        let mut event = match self.chance.below(5) {
            0 => Event::refused(serial, "delete:c".parse().unwrap()),
            1 => Event::new(serial, "write:b".parse().unwrap(), Outcome::Error),
            _ => Event::new(serial, "read:a".parse().unwrap(), Outcome::Ok),
        };
        event.auth_failure = self.chance.below(9) == 0;
        event.target = format!("target {}", self.chance.below(20)).parse().ok();
        if self.chance.below(3) == 0 {
            event.amount = Some(Amount {
                minor: self.chance.below(1 << 20),
                currency: "EUR".to_owned().try_into().unwrap(),
            });
        }
        match self.chance.below(3) {
            0 => event.stream = Some(StreamSeq { stream: self.chance.below(4), seq: self.chance.below(60) }),
            1 => event.client_id = format!("id {}", self.chance.below(60)).try_into().ok(),
            _ => {}
        }
        event
    }

    fn time(&mut self) -> Option<&'static str> {
        let step =
            [SECOND, MINUTE, 20 * MINUTE, HOUR, 4 * DAY][usize::try_from(self.chance.below(5)).unwrap()];
        let by = self.chance.below(step * 2);
        // Clocks are set back, too.
        let back = self.chance.below(8) == 0;
        self.now = if back { self.now.minus(by / 2) } else { self.now.plus(by) };
        self.clock.set(self.now);
        Some(if back { "clock set back" } else { "time went by" })
    }

    fn take_away(&mut self) -> Option<&'static str> {
        let (tenant, serial) = self.chance.one_of(&self.serials)?.clone();
        let (of, agent) = self.chance.one_of(&self.agents)?.clone();
        let cause =
            *self.chance.one_of(&[Cause::KeyCompromise, Cause::OperatorInitiated, Cause::Superseded])?;
        let kakunin = &self.kakunin;
        match self.chance.below(8) {
            0 => block_on(kakunin.tenant(&tenant).revoke(&serial, cause)).ok().map(|_| "revoked"),
            1 | 2 => block_on(kakunin.tenant(&tenant).hold(&serial)).ok().map(|_| "held"),
            3 | 4 => block_on(kakunin.tenant(&tenant).release(&serial)).ok().map(|()| "released"),
            5 => block_on(kakunin.tenant(&of).halt(&agent, Cause::KillSwitchActivated, None))
                .ok()
                .map(|_| "halted"),
            6 if self.chance.below(6) == 0 => {
                block_on(kakunin.tenant(&of).retire(&agent)).ok().map(|()| "retired")
            }
            _ => {
                let reason = "looked into it".to_owned().try_into().ok()?;
                block_on(kakunin.tenant(&of).reinstate(&agent, reason)).ok().map(|_| "reinstated")
            }
        }
    }

    fn run_it(&mut self) -> Option<&'static str> {
        let kakunin = &self.kakunin;
        match self.chance.below(10) {
            9 => {
                // Somebody starts it anew over what is stored.
                self.kakunin = block_on(Kakunin::open(self.config.clone(), self.parts.clone())).unwrap();
                Some("restarted")
            }
            0 => block_on(kakunin.tend()).ok().map(|_| "tended"),
            1 => block_on(kakunin.snapshot()).ok().map(|()| "snapshot"),
            2 => {
                let tenant = format!("tenant{}", self.tenants.len()).parse().unwrap();
                block_on(kakunin.create_tenant(&tenant)).ok()?;
                self.tenants.push(tenant);
                Some("tenant")
            }
            3 => {
                let tenant = self.chance.one_of(&self.tenants)?;
                let label = "a key".parse().unwrap();
                let (facts, _) =
                    block_on(kakunin.tenant(tenant).create_api_key(Role::Reporter, label, None)).ok()?;
                self.keys.push(facts.id);
                Some("key made")
            }
            4 => {
                let id = *self.chance.one_of(&self.keys)?;
                block_on(kakunin.revoke_api_key(&id)).ok().map(|()| "key revoked")
            }
            5 => {
                let (tenant, agent) = self.chance.one_of(&self.agents)?.clone();
                let scope = ["read:a", "write:b"]
                    .into_iter()
                    .take(1 + usize::try_from(self.chance.below(2)).unwrap());
                let spec = NewAgent::new("changed", MODEL, scope).unwrap();
                block_on(
                    kakunin
                        .tenant(&tenant)
                        .update(&agent, AgentChange { scope: Some(spec.scope), ..AgentChange::default() }),
                )
                .ok()
                .map(|_| "changed")
            }
            6 if self.chance.below(4) == 0 => {
                let tenant = self.chance.one_of(&self.tenants)?;
                block_on(kakunin.rotate_issuing(Some(tenant))).ok().map(|_| "rotated")
            }
            7 => {
                let (_, serial) = self.chance.one_of(&self.serials)?;
                block_on(kakunin.suspect_impersonation(serial)).ok().map(|_| "suspected")
            }
            _ => block_on(kakunin.tell_of_endings()).ok().map(|()| "told"),
        }
    }
}

type Rows = BTreeMap<(String, u8, Vec<u8>), Vec<u8>>;

/// Everything that follows from the logs. What the vault has, and CRLs, follow from nothing there.
fn rows(state: &dyn StateStore, logs: &[LogId]) -> Rows {
    let mut rows = Rows::new();
    for log in logs {
        // A seal is over what it was made for: a record of which no row comes moves none on.
        for kind in Kind::ALL.into_iter().filter(|kind| !matches!(kind, Kind::Vault | Kind::Seal)) {
            for (key, value) in block_on(state.scan(log, kind, None, usize::MAX >> 1)).unwrap() {
                rows.insert((log.to_string(), kind.code(), key), value);
            }
        }
    }
    rows
}

/// How many certificates the logs issued that no row tells of any more.
fn left(sink: &dyn AuditSink, logs: &[LogId], rows: &Rows) -> u64 {
    let issued = logs.iter().flat_map(|log| block_on(sink.read(log, 0, 100_000)).unwrap());
    let issued = issued.filter(|entry| Leaf::decode(&entry.leaf).unwrap().kind == 22).count();
    let kept = rows.keys().filter(|(_, kind, _)| *kind == Kind::Certificate.code()).count();
    u64::try_from(issued - kept).unwrap()
}

fn folded_is_lived(seed: u64, store: impl Store + 'static) -> BTreeMap<&'static str, u64> {
    let clock = Arc::new(ManualClock::at(NOW));
    let mut parts = Parts::new(store, Arc::new(LocalKeys::ephemeral()));
    parts.clock = clock.clone();
    let mut config = Config::new("agents.example").unwrap();
    config.ca_algorithms = (KeyAlgorithm::P256, KeyAlgorithm::P256);
    // Two days, then: what expired leaves.
    config.certificate_retention = 0;
    let kakunin = block_on(Kakunin::open(config.clone(), parts.clone())).unwrap();
    let acme: TenantId = "acme".parse().unwrap();
    block_on(kakunin.create_tenant(&acme)).unwrap();
    let chance = Chance(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1);
    let (tenants, done) = (vec![acme], BTreeMap::new());
    let (agents, serials, keys) = (Vec::new(), Vec::new(), Vec::new());
    let (of, over) = (config.clone(), parts.clone());
    let mut life = Life {
        kakunin,
        config: of,
        parts: over,
        clock,
        now: NOW,
        chance,
        tenants,
        agents,
        serials,
        keys,
        done,
    };
    (0..ORDERS).for_each(|_| life.order());
    // What is left to be done is done, and histories are as they are now, also of a tenant that nothing happened to.
    block_on(life.kakunin.load()).unwrap();
    block_on(life.kakunin.tend()).unwrap();
    block_on(life.kakunin.snapshot()).unwrap();
    let rebuilt = block_on(rebuild(config.clone(), parts.clone(), Rebuild::Compare, None)).unwrap();
    let differing: Vec<_> = rebuilt.tables.iter().filter(|table| table.differs).collect();
    assert!(rebuilt.is_equal() && rebuilt.tables.len() > 15, "seed {seed}: {differing:?}");
    let logs: Vec<_> =
        [LogId::System].into_iter().chain(life.tenants.iter().cloned().map(LogId::Tenant)).collect();
    let lived = rows(&*parts.state, &logs);
    life.done.insert("left", left(&*parts.sink, &logs, &lived));
    drop(life.kakunin);

    let fresh = Arc::new(MemoryStore::new());
    for (key, value) in block_on(parts.state.scan(&LogId::System, Kind::Vault, None, 10_000)).unwrap() {
        let change = kakunin_core::store::state::Change { kind: Kind::Vault, key, value: Some(value) };
        block_on(fresh.put(&LogId::System, &[change])).unwrap();
    }
    let folded = Parts { state: fresh.clone(), ..parts };
    let kakunin = block_on(Kakunin::open(config, folded)).unwrap();
    block_on(kakunin.load()).unwrap();
    block_on(kakunin.tend()).unwrap();
    block_on(kakunin.snapshot()).unwrap();
    let folded = rows(&*fresh, &logs);
    for (row, value) in &lived {
        let show = |octets: &[u8]| String::from_utf8_lossy(octets).into_owned();
        let again = folded.get(row).map(|octets| show(octets));
        assert_eq!(
            again,
            Some(show(value)),
            "seed {seed}: row of kind {} in log {}: {}",
            row.1,
            row.0,
            show(&row.2)
        );
    }
    let extra: Vec<_> = folded.keys().filter(|row| !lived.contains_key(*row)).collect();
    assert!(extra.is_empty(), "seed {seed}: rows that life does not have: {extra:?}");
    life.done
}

#[test]
fn what_the_log_amounts_to_is_what_life_came_to() {
    let mut done: BTreeMap<&'static str, u64> = BTreeMap::new();
    for seed in 1..=24 {
        for (what, count) in folded_is_lived(seed, MemoryStore::new()) {
            *done.entry(what).or_default() += count;
        }
    }
    // A walk that gets nowhere would agree with anything.
    for what in [
        "renewed",
        "lost by score",
        "held",
        "released",
        "halted",
        "reinstated",
        "retired",
        "rotated",
        "key revoked",
        "restarted",
        "shown",
        "left",
    ] {
        assert!(done.get(what).is_some_and(|count| *count > 2), "{what}: {done:?}");
    }
}

#[cfg(feature = "sqlite")]
#[test]
fn so_it_is_in_a_file() {
    for seed in 101..=103 {
        let folder = tempfile::tempdir().unwrap();
        let store = kakunin_core::store::sqlite::SqliteStore::open(folder.path().join("k.db")).unwrap();
        let done = folded_is_lived(seed, store);
        assert!(done.values().sum::<u64>() > 100 && done.contains_key("restarted"), "{done:?}");
    }
}
