//! Whatever three processes do at once: what was acknowledged is in the log once, and all come to the same.

use std::collections::{HashMap, HashSet};
use std::sync::Mutex;

use kakunin_core::id::{AgentId, Serial};
use kakunin_core::issue::Profile;
use kakunin_core::log::entry::LogId;
use kakunin_core::log::record::{Body, Record};
use kakunin_core::revoke::Cause;
use pollster::block_on;

use crate::common::P256;
use crate::world::{World, event};

const STEPS: u64 = 150;

struct Chance(u64);

impl Chance {
    fn of(&mut self, many: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % many
    }
}

#[test]
fn what_is_acknowledged_is_there_once_and_all_agree() {
    for seed in 1..=4 {
        let w = World::of(3);
        let agents: Vec<(AgentId, Serial)> = (0..6).map(|n| w.agent(n, &format!("agent-{n}"))).collect();
        w.level();
        let acknowledged = Mutex::new(HashMap::<(u64, u64), u64>::new());
        std::thread::scope(|scope| {
            for number in 0..3_usize {
                let (w, agents, acknowledged) = (&w, &agents, &acknowledged);
                let mut chance = Chance((seed * 31 + u64::try_from(number).unwrap()) ^ 0x9e37_79b9_7f4a_7c15);
                scope.spawn(move || run(w, number, agents, acknowledged, &mut chance));
            }
        });
        w.level();
        let log = LogId::Tenant(w.acme.clone());
        let entries = block_on(w.one(0).read_log(&log, 0, usize::MAX)).unwrap();
        let (mut found, mut all) = (HashMap::new(), HashSet::new());
        for (index, entry) in (0_u64..).zip(&entries) {
            if let Body::Event(act, _) = Record::open(entry).unwrap().body {
                let (stream, seq) = act.stream.unwrap();
                assert!(all.insert((stream, seq)), "seed {seed}: {stream} {seq} is there twice");
                found.insert((stream, seq), index);
            }
        }
        for (place, index) in acknowledged.into_inner().unwrap() {
            assert_eq!(found.get(&place), Some(&index), "seed {seed}: {place:?}");
        }
        let ids: Vec<_> = agents.iter().map(|(id, _)| *id).collect();
        w.agree(&ids);
    }
}

fn run(
    w: &World,
    number: usize,
    agents: &[(AgentId, Serial)],
    acknowledged: &Mutex<HashMap<(u64, u64), u64>>,
    chance: &mut Chance,
) {
    for step in 0..STEPS {
        let which = usize::try_from(chance.of(6)).unwrap();
        let (agent, first) = agents[which];
        let tenant = w.one(number).tenant(&w.acme);
        let serial = block_on(tenant.agent(&agent)).unwrap().certificate.unwrap_or(first);
        match chance.of(40) {
            0 => _ = block_on(tenant.revoke(&serial, Cause::Superseded)),
            1 => _ = block_on(tenant.hold(&serial)),
            2 => _ = block_on(tenant.release(&serial)),
            3 => _ = block_on(tenant.certify(&agent, Profile::Standard, P256)),
            4 => _ = block_on(w.one(number).tend()),
            5 => _ = block_on(w.one(number).snapshot()),
            _ => {
                // Some that another one sends, too.
                let stream = u64::try_from(which).unwrap() * 10 + chance.of(2);
                let place = (stream, step * 2 + chance.of(2));
                if let Ok(seen) = block_on(tenant.observe(event(serial, place.0, place.1)))
                    && let Some(index) = seen.index
                {
                    let mut all = acknowledged.lock().unwrap();
                    assert_eq!(*all.entry(place).or_insert(index), index, "{place:?} is in two places");
                }
            }
        }
    }
}
