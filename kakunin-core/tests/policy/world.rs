//! A deployment whose tenant has a policy, with agents that behave, or do not.

use std::sync::Arc;

use kakunin_core::agent::{NewAgent, Note};
use kakunin_core::event::{Event, Outcome};
use kakunin_core::id::{AgentId, Serial, TenantId};
use kakunin_core::issue::Profile;
use kakunin_core::log::record::{Body, Control, Record};
use kakunin_core::policy::Policy;
use kakunin_core::revoke::Reason;
use kakunin_core::service::{InForce, Kakunin, Notification, Observed, Parts, Replaces, Risk, Tenant};
use kakunin_core::time::ManualClock;
use kakunin_kms::local::LocalKeys;
use pollster::block_on;

pub(crate) use crate::common::{MODEL, NOW, P256};
use crate::common::{config, deployment, parts, reopened};

pub(crate) struct World {
    pub(crate) kakunin: Kakunin,
    pub(crate) parts: Parts,
    pub(crate) clock: Arc<ManualClock>,
    pub(crate) acme: TenantId,
}

pub(crate) fn world() -> World {
    let (parts, clock) = parts(LocalKeys::ephemeral());
    let (kakunin, acme) = deployment(config(), &parts);
    World { kakunin, parts, clock, acme }
}

pub(crate) fn note(text: &str) -> Note {
    text.to_owned().try_into().unwrap()
}

/// Out of its scope.
pub(crate) fn refused(serial: Serial) -> Event {
    Event::refused(serial, "delete:backups".parse().unwrap())
}

pub(crate) fn works(serial: Serial) -> Event {
    Event::new(serial, "read:accounts".parse().unwrap(), Outcome::Ok)
}

impl World {
    pub(crate) fn tenant(&self) -> Tenant {
        self.kakunin.tenant(&self.acme)
    }

    /// The tenant, as somebody sees it.
    pub(crate) fn tenant_of(&self, who: &str) -> Tenant {
        self.kakunin.acting_as(who.parse().unwrap()).tenant(&self.acme)
    }

    pub(crate) fn set(&self, change: impl FnOnce(&mut Policy)) -> InForce {
        let mut policy = (*block_on(self.tenant().policy()).unwrap().policy).clone();
        change(&mut policy);
        block_on(self.tenant().set_policy(policy, Replaces::Any, None)).unwrap()
    }

    pub(crate) fn agent(&self, name: &str) -> (AgentId, Serial) {
        let spec = NewAgent::new(name, MODEL, ["read:accounts"]).unwrap();
        let agent = block_on(self.tenant().register(spec)).unwrap().id;
        (agent, self.certify(&agent))
    }

    pub(crate) fn certify(&self, agent: &AgentId) -> Serial {
        block_on(self.tenant().certify(agent, Profile::Standard, P256)).unwrap().facts.serial
    }

    pub(crate) fn observe(&self, event: Event) -> Observed {
        block_on(self.tenant().observe(event)).unwrap()
    }

    /// Has it refused until something follows: gives the last answer, and after how many.
    pub(crate) fn until(&self, serial: Serial, done: impl Fn(&Observed) -> bool) -> (Observed, usize) {
        let each = (1..200).map(|n| (self.observe(refused(serial)), n));
        each.into_iter().find(|(observed, _)| done(observed)).expect("nothing follows")
    }

    pub(crate) fn lost(&self, serial: Serial) -> usize {
        self.until(serial, |observed| observed.revoked || observed.held).1
    }

    pub(crate) fn risk(&self, agent: &AgentId) -> Risk {
        block_on(self.tenant().risk(agent)).unwrap()
    }

    pub(crate) fn reason(&self, serial: &Serial) -> Option<Reason> {
        self.kakunin.revocations().reason(&self.kakunin.issuer().id(), serial).unwrap()
    }

    pub(crate) fn inbox(&self) -> Vec<Notification> {
        let items = block_on(self.tenant().notifications(None, 1_000)).unwrap();
        items.into_iter().rev().map(|(_, item)| item).collect()
    }

    /// All records that are not events, by index.
    pub(crate) fn records(&self) -> Vec<(u64, Record)> {
        let entries = block_on(self.tenant().entries(0, 100_000)).unwrap();
        let all = (0..).zip(entries.iter().map(|entry| Record::open(entry).unwrap()));
        all.filter(|(_, record)| matches!(record.body, Body::Control(_))).collect()
    }

    /// What `wanted` makes of records, oldest first.
    pub(crate) fn of<T>(&self, wanted: impl Fn(&Control) -> Option<T>) -> Vec<(u64, T)> {
        let one = |(index, record): (u64, Record)| match &record.body {
            Body::Control(control) => wanted(control).map(|found| (index, found)),
            Body::Event(..) => None,
        };
        self.records().into_iter().filter_map(one).collect()
    }

    /// The names of the control records from an index on.
    pub(crate) fn names(&self, from: u64) -> Vec<&'static str> {
        let all = self.of(|control| Some(control.name()));
        all.into_iter().filter(|(index, _)| *index >= from).map(|(_, name)| name).collect()
    }

    pub(crate) fn size(&self) -> u64 {
        u64::try_from(block_on(self.tenant().entries(0, 100_000)).unwrap().len()).unwrap()
    }

    pub(crate) fn restarted(self) -> Self {
        let Self { kakunin, parts, clock, acme } = self;
        drop(kakunin);
        let kakunin = reopened(config(), &parts);
        assert_eq!(kakunin.damage(), Default::default());
        Self { kakunin, parts, clock, acme }
    }

    /// After a start that finds no rows, so that all is folded from the log.
    pub(crate) fn rebuilt(self) -> Self {
        use kakunin_core::log::entry::LogId;
        use kakunin_core::store::state::{Change, Kind};
        let (parts, log) = (self.parts.clone(), LogId::Tenant(self.acme.clone()));
        let Self { kakunin, clock, acme, .. } = self;
        drop(kakunin);
        for kind in [Kind::Agent, Kind::Standing, Kind::Policy, Kind::Breaker, Kind::Approval, Kind::Risk] {
            let rows = block_on(parts.state.scan(&log, kind, None, 100_000)).unwrap();
            let gone = rows.into_iter().map(|(key, _)| Change { kind, key, value: None });
            block_on(parts.state.put(&log, &gone.collect::<Vec<_>>())).unwrap();
        }
        let kakunin = reopened(config(), &parts);
        Self { kakunin, parts, clock, acme }
    }
}
