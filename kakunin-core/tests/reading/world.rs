//! A tenant whose agents did much.

use std::sync::Arc;

use kakunin_core::agent::NewAgent;
use kakunin_core::event::{Attribution, Event, EventKind, Outcome};
use kakunin_core::id::{AgentId, Serial, TenantId};
use kakunin_core::issue::Profile;
use kakunin_core::log::entry::LogId;
use kakunin_core::log::record::Record;
use kakunin_core::service::{Kakunin, Page, Parts, ReadFrom, RecordFilter, Tenant};
use kakunin_core::time::ManualClock;
use kakunin_kms::local::LocalKeys;
use pollster::block_on;

use crate::common::{MODEL, P256, config, deployment, parts};
use crate::store::{Counting, Shared};

/// Numbers as random as a test needs, the same each time.
pub(crate) struct Dice(pub(crate) u64);

impl Dice {
    pub(crate) fn roll(&mut self, sides: usize) -> usize {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        usize::try_from(self.0 >> 33).unwrap() % sides
    }

    pub(crate) fn of<T: Clone>(&mut self, all: &[T]) -> T {
        all[self.roll(all.len())].clone()
    }
}

pub(crate) struct World {
    pub(crate) kakunin: Kakunin,
    pub(crate) parts: Parts,
    pub(crate) store: Arc<Counting>,
    pub(crate) clock: Arc<ManualClock>,
    pub(crate) acme: Tenant,
    pub(crate) agents: Vec<(AgentId, Serial)>,
}

pub(crate) fn world(agents: usize) -> World {
    let (mut parts, clock) = parts(LocalKeys::ephemeral());
    let shared = Shared::default();
    (parts.sink, parts.state) = (Arc::new(shared.clone()), Arc::new(shared.clone()));
    let (kakunin, acme) = deployment(config(), &parts);
    let acme = kakunin.tenant(&acme);
    let mut w = World { kakunin, parts, store: shared.0, clock, acme, agents: Vec::new() };
    (0..agents).for_each(|_| w.register());
    w
}

impl World {
    pub(crate) fn register(&mut self) {
        let name = format!("agent-{}", self.agents.len());
        let spec = NewAgent::new(&name, MODEL, ["read:accounts"]).unwrap();
        let agent = block_on(self.acme.register(spec)).unwrap().id;
        let issued = block_on(self.acme.certify(&agent, Profile::Standard, P256)).unwrap();
        self.agents.push((agent, issued.facts.serial));
    }

    pub(crate) fn log(&self) -> LogId {
        LogId::Tenant(self.acme.id().clone())
    }

    pub(crate) fn size(&self) -> u64 {
        block_on(self.parts.sink.head(&self.log())).unwrap().0.frontier.size()
    }

    /// So many events of these agents that nobody vouches for: they are not scored.
    pub(crate) fn observe(&self, count: usize, event: impl Fn(usize, &mut Event)) {
        for first in (0..count).step_by(1_000) {
            let events = (first..count.min(first + 1_000)).map(|n| {
                let (_, serial) = self.agents[n % self.agents.len()];
                let mut one = Event::new(serial, "read:accounts".parse().unwrap(), Outcome::Ok);
                one.attribution = Attribution::Asserted;
                event(n, &mut one);
                one
            });
            let done = block_on(self.acme.observe_all(events.collect())).unwrap();
            assert!(done.iter().all(Result::is_ok));
        }
    }

    /// Until the tenant's log has so many records.
    pub(crate) fn fill_to(&self, size: u64) {
        self.observe(usize::try_from(size - self.size()).unwrap(), |_, _| {});
        assert_eq!(self.size(), size);
    }

    /// Followers have their turns until the index is level.
    pub(crate) fn index(&self) {
        for _ in 0..1_000 {
            let _ = block_on(self.kakunin.tend());
            if self.behind() == 0 {
                return;
            }
        }
        panic!("the index is never level");
    }

    /// Segments that the index lacks.
    pub(crate) fn behind(&self) -> usize {
        self.kakunin.followers().into_iter().find(|follower| follower.name == "index").unwrap().left
    }

    pub(crate) fn find(&self, filter: &RecordFilter, from: ReadFrom, limit: usize) -> Page {
        block_on(self.acme.find(filter, from, limit, |_| true)).unwrap()
    }

    /// The same after a restart.
    pub(crate) fn restarted(mut self) -> Self {
        self.kakunin = crate::common::reopened(config(), &self.parts);
        self.acme = self.kakunin.tenant(self.acme.id());
        self
    }

    /// Every record.
    pub(crate) fn records(&self) -> Vec<(u64, Record)> {
        let entries = block_on(self.kakunin.read_log(&self.log(), 0, usize::MAX)).unwrap();
        (0..).zip(entries.iter().map(|entry| Record::open(entry).unwrap())).collect()
    }
}

/// Only what this agent did.
pub(crate) fn of(agent: AgentId) -> RecordFilter {
    RecordFilter { agent: Some(agent), ..RecordFilter::default() }
}

/// Only events of this kind.
pub(crate) fn acts(kind: EventKind) -> RecordFilter {
    RecordFilter { act: Some(kind), ..RecordFilter::default() }
}

/// The key of a segment's row of all records, in the first block.
pub(crate) fn key_of_all(segment: u8) -> Vec<u8> {
    vec![0, 0, 0, 0, 0, 0, 0, segment]
}

/// What keys of an agent's blocks begin with.
pub(crate) fn keys_of(agent: AgentId) -> Vec<u8> {
    [&[1, 1], &agent.as_bytes()[8..]].concat()
}

pub(crate) fn nobody() -> TenantId {
    "nobody".parse().unwrap()
}
