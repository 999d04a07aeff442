//! Three processes over one store, each following what the others append.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use kakunin_core::agent::NewAgent;
use kakunin_core::event::{Event, Outcome, StreamSeq};
use kakunin_core::id::{AgentId, Serial, TenantId};
use kakunin_core::issue::Profile;
use kakunin_core::log::entry::LogId;
use kakunin_core::log::record::Record;
use kakunin_core::service::{Kakunin, Parts, RecordListener, ScoresDiffer};
use kakunin_core::time::SystemClock;
use kakunin_kms::local::LocalKeys;
use pollster::block_on;

use crate::common::{MODEL, P256, config};
use crate::member::{All, Member};

pub(crate) struct World {
    pub(crate) all: Arc<All>,
    pub(crate) keys: Arc<LocalKeys>,
    pub(crate) members: Vec<(Kakunin, Arc<Member>)>,
    pub(crate) acme: TenantId,
}

/// Scores are folded alike, whoever folds them.
#[derive(Debug)]
struct Strict;

impl RecordListener for Strict {
    fn recorded(&self, _: &LogId, _: u64, _: &Record) {}

    fn scores_differ(&self, log: &LogId, differing: &ScoresDiffer) {
        panic!("{log}: {differing:?}");
    }
}

impl World {
    pub(crate) fn of(count: usize) -> Self {
        let all = Arc::<All>::default();
        let acme: TenantId = "acme".parse().unwrap();
        let mut world = Self { all, keys: Arc::new(LocalKeys::ephemeral()), members: Vec::new(), acme };
        for _ in 0..count {
            world.join();
        }
        block_on(world.one(0).create_tenant(&world.acme)).unwrap();
        world.level();
        world
    }

    /// One more, which follows on a thread of its own for as long as the test lasts.
    pub(crate) fn join(&mut self) -> Kakunin {
        let (parts, member) = self.parts();
        let kakunin = block_on(Kakunin::open(config(), parts)).unwrap();
        let runs = kakunin.clone();
        std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
            runtime.block_on(runs.run(tokio::time::sleep))
        });
        self.members.push((kakunin.clone(), member));
        kakunin
    }

    pub(crate) fn parts(&self) -> (Parts, Arc<Member>) {
        let member = self.all.join();
        let parts = Parts {
            sink: member.clone(),
            duties: member.clone(),
            clock: Arc::new(SystemClock),
            ..Parts::shared(self.all.store.clone(), self.keys.clone())
        };
        (parts, member)
    }

    pub(crate) fn one(&self, number: usize) -> &Kakunin {
        &self.members[number % self.members.len()].0
    }

    /// An agent with a certificate, made by one of them.
    pub(crate) fn agent(&self, number: usize, name: &str) -> (AgentId, Serial) {
        let tenant = self.one(number).tenant(&self.acme);
        let agent = block_on(tenant.register(NewAgent::new(name, MODEL, ["read:a"]).unwrap())).unwrap().id;
        let leaf = block_on(tenant.certify(&agent, Profile::Standard, P256)).unwrap();
        (agent, leaf.facts.serial)
    }

    /// Waits until all have read everything.
    pub(crate) fn level(&self) {
        for (kakunin, member) in &self.members {
            if !member.cut_off.load(Ordering::SeqCst) {
                block_on(kakunin.load()).unwrap();
            }
        }
        self.until("everybody has read everything", || {
            let sizes = |kakunin: &Kakunin| {
                let log = LogId::Tenant(self.acme.clone());
                (kakunin.applied(&LogId::System), kakunin.applied(&log))
            };
            let here = self.members.iter().filter(|(_, member)| !member.cut_off.load(Ordering::SeqCst));
            let all: Vec<_> = here.map(|(kakunin, _)| sizes(kakunin)).collect();
            all.iter().all(|one| *one == all[0])
        });
    }

    pub(crate) fn until(&self, what: &str, done: impl Fn() -> bool) {
        let began = Instant::now();
        while !done() {
            assert!(began.elapsed() < Duration::from_secs(20), "not in 20 s: {what}");
            std::thread::sleep(Duration::from_millis(2));
        }
    }

    /// All say the same of an agent, and so does what is read from the logs alone.
    pub(crate) fn agree(&self, agents: &[AgentId]) {
        self.level();
        let said = |kakunin: &Kakunin| -> Vec<_> {
            let tenant = kakunin.tenant(&self.acme);
            agents
                .iter()
                .map(|id| {
                    let agent = block_on(tenant.agent(id)).unwrap();
                    let risk = block_on(tenant.risk(id)).unwrap();
                    format!("{agent:?} {:?} {:?} {:?} {:?}", risk.state, risk.days, risk.tally, risk.refused)
                })
                .collect()
        };
        let first = said(self.one(0));
        for (kakunin, _) in &self.members {
            assert_eq!(said(kakunin), first);
            assert_eq!(kakunin.damage().named, Vec::<String>::new());
        }
        let (mut parts, _) = self.parts();
        parts.listener = Arc::new(Strict);
        let reopened = block_on(Kakunin::open(config(), parts.clone())).unwrap();
        block_on(reopened.load()).unwrap();
        assert_eq!(said(&reopened), first);
        assert_eq!(reopened.damage().named, Vec::<String>::new());
        drop(reopened);
        // Followers go on recording.
        let cut_off = |all: bool| {
            self.members.iter().for_each(|(_, member)| member.cut_off.store(all, Ordering::SeqCst));
        };
        cut_off(true);
        // Who was in the middle of an append has yet to store what follows from it.
        self.until("nobody is in its turn", || self.all.is_still());
        crate::common::assert_folded(&config(), &parts);
        cut_off(false);
    }
}

pub(crate) fn event(serial: Serial, stream: u64, seq: u64) -> Event {
    let mut event = Event::new(serial, "read:a".parse().unwrap(), Outcome::Ok);
    event.stream = Some(StreamSeq { stream, seq });
    event
}
