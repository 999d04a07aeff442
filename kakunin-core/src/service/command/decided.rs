//! Decisions alone: no store, no keys, nothing that waits.

use std::sync::Arc;

use super::abandon::Abandon;
use super::alert::{RefuseSelfRenewal, Suspect};
use super::decide::{Command, Need};
use super::draft::{Decided, Draft, Rules};
use super::enrol::CreateJoinToken;
use super::grace::EndGraces;
use super::halt::StopAgent;
use super::hold::{Hold, Release};
use super::observe::{Batch, EventStatus};
use super::policy::{Replaces, SetPolicy};
use super::register::{Ensure, Register};
use super::reinstate::Reinstate;
use super::retire::Retire;
use super::revoke::Revoke;
use super::update::Update;
use crate::access::{JoinTokenId, KeyCommitment, KeyHash};
use crate::agent::{Agent, AgentChange, AgentState, NewAgent, Note};
use crate::event::{Attribution, Event, Outcome, TokenKey};
use crate::id::{AgentId, HaltId, IssuerId, Serial};
use crate::issue::{Issued, Place, Profile};
use crate::log::record::{Control, Record};
use crate::policy::Policy;
use crate::revoke::{Cause, Said};
use crate::risk::{ModelId, Models, Prior, Weighted2};
use crate::service::error::Error;
use crate::service::state::api_keys::ApiKeys;
use crate::service::state::bound::BoundKeys;
use crate::service::state::folding::{Judging, Measure};
use crate::service::state::own::{InForce, Own};
use crate::service::state::projection::Projection;
use crate::service::state::settings::Settings;
use crate::service::state::system::fold::SystemState;
use crate::service::state::system::known::Known;
use crate::service::state::{apply, folding};
use crate::time::{DAY, MINUTE, UnixTime};
use crate::x509::oid;

const NOW: UnixTime = UnixTime::from_secs(1_795_420_800);

/// What a log amounts to, and what decisions go by beside that.
struct Tenant {
    projection: Projection,
    records: u64,
    now: UnixTime,
    settings: Settings,
    models: Models,
    place: Place,
    bound: BoundKeys,
    api_keys: ApiKeys,
    tokens: TokenKey,
}

impl Tenant {
    fn new() -> Self {
        let place = Place {
            trust_domain: "agents.test".parse().unwrap(),
            public_url: "https://kakunin.test".into(),
            arc: oid::Arc::default(),
        };
        let own = Own::of(Some(ModelId("weighted/2".into())));
        Self {
            projection: Projection { own, ..Projection::default() },
            records: 0,
            now: NOW,
            settings: Settings {
                policy: Arc::default(),
                prior: Prior::default(),
                renewal_grace: 5 * MINUTE,
                certificate_retention: 40 * DAY,
            },
            models: Models::of(Arc::new(Weighted2::default()), &[]),
            place,
            bound: BoundKeys::default(),
            api_keys: ApiKeys::new(Arc::new(Known::new(SystemState::default()))),
            tokens: TokenKey::new([7; 32]),
        }
    }

    /// The decision: a function of what is here and the command.
    fn decide<C: Command>(&self, command: C) -> Result<(C::Answer, Decided), Error> {
        let rules = Rules {
            settings: &self.settings,
            models: &self.models,
            second: None,
            place: &self.place,
            bound: &self.bound,
            api_keys: &self.api_keys,
        };
        let after = (self.records, self.now);
        let mut draft = Draft::new(rules, &self.tokens, &self.projection, after, (self.now, self.now));
        match command.decide(&mut draft) {
            Ok(answer) => Ok((answer, draft.decided()?)),
            Err(error) => {
                assert_eq!(draft.position(), (0, 0), "a refusal leaves something behind: {error}");
                Err(error)
            }
        }
    }

    /// Folds records, as a replay does.
    fn fold(&mut self, records: &[Record]) {
        for record in records {
            if Own::concerns(record) {
                self.projection.own.apply(self.records, record, &mut Vec::new()).unwrap();
            }
            let Some(id) = record.agent else {
                self.records += 1;
                continue;
            };
            let mut entry = self.projection.agents.get(&id).cloned();
            let judging = Judging::at(&self.projection.own, self.records, &self.models);
            if let Some(entry) = &mut entry {
                entry.judged_by(judging);
            }
            let certificates = &mut self.projection.certificates;
            apply::apply(&mut entry, certificates, self.records, record, &mut Vec::new()).unwrap();
            let mut entry = entry.unwrap();
            let policy = InForce::before(&self.projection.own, self.records, &self.settings.policy).policy;
            let measure = Measure { judging, second: None, prior: &self.settings.prior, policy: &policy };
            folding::fold(&mut entry, self.records, record, measure);
            self.projection.put(entry);
            self.records += 1;
        }
    }

    /// Decides, folds what came of it, and holds both against each other.
    fn live<C: Command>(&mut self, command: C) -> Result<C::Answer, Error> {
        let (answer, decided) = self.decide(command)?;
        self.fold(&decided.records);
        for (id, drafted) in &decided.agents {
            let folded = self.projection.agents.get(id).unwrap();
            assert_eq!(folded.row, drafted.row);
            assert_eq!((folded.score, folded.evidence), (drafted.score, drafted.evidence));
            assert_eq!((&folded.history, folded.reach), (&drafted.history, drafted.reach));
            assert_eq!((&folded.tally, &folded.usage), (&drafted.tally, &drafted.usage));
        }
        if let Some(own) = &decided.own {
            assert_eq!(self.projection.own, *own);
        }
        for (serial, drafted) in &decided.certificates {
            use crate::service::state::certificates::Certificates as _;
            assert_eq!(self.projection.certificates.get(serial), Some(drafted));
        }
        Ok(answer)
    }

    /// An agent with a certificate that is good for a day.
    fn certified(&mut self, n: u8) -> (AgentId, Serial) {
        let agent = agent(n, "one");
        let id = self.live(Register(agent)).unwrap().id;
        let serial = Serial::from_bytes([n; 16]).unwrap();
        let facts = Issued {
            serial,
            agent: id,
            issuer: IssuerId::from_bytes([1; 20]),
            not_before: self.now,
            not_after: self.now.plus(DAY),
            shard: 0,
        };
        let issued = Control::CertificateIssued {
            facts,
            certificate: String::new(),
            reinstates: false,
            constraints: None,
            renewal: None,
        };
        let planned = Control::CertificatePlanned { facts, profile: Profile::Standard };
        let record = |control| Record::control(self.now, Some(id), Some(serial), control);
        self.fold(&[record(planned), record(issued)]);
        (id, serial)
    }

    fn state(&self, id: &AgentId) -> AgentState {
        self.projection.agents.get(id).unwrap().row.agent.state
    }
}

fn agent(n: u8, name: &str) -> Agent {
    let spec = NewAgent::new(name, &format!("sha256:{}", "e3".repeat(32)), ["read:accounts"]).unwrap();
    Agent::register(AgentId::from_bytes([n; 16]), "acme".parse().unwrap(), spec, NOW).unwrap()
}

fn stop(n: u8, agent: AgentId) -> StopAgent {
    let id = HaltId::from_bytes([n; 16]);
    StopAgent { id, agent, cause: Cause::KillSwitchActivated, said: Said::default() }
}

fn events(serial: Serial, count: usize, outcome: Outcome) -> Batch {
    let mut event = Event::new(serial, "erase:everything".parse().unwrap(), outcome);
    event.attribution = Attribution::Possession;
    event.out_of_scope = outcome == Outcome::Denied;
    Batch { reporter: None, events: vec![event; count], times: None, whole: false }
}

#[test]
fn a_decision_changes_nothing_and_comes_out_alike_each_time() {
    let mut tenant = Tenant::new();
    let (id, serial) = tenant.certified(1);
    let revoke =
        || Revoke { serial, cause: Cause::OperatorInitiated, said: Said::default(), approved: false };
    let (first, second) = (tenant.decide(revoke()).unwrap(), tenant.decide(revoke()).unwrap());
    assert_eq!(first.0, second.0);
    assert_eq!(first.1.records, second.1.records);
    assert_eq!((tenant.state(&id), tenant.records), (AgentState::Active, 3), "it was only looked at");
    // Once it is so, the first revocation is the answer, and nothing is recorded.
    assert_eq!(tenant.live(revoke()).unwrap(), first.0);
    let (again, decided) = tenant.decide(revoke()).unwrap();
    assert_eq!((again, decided.records.len(), decided.revocations.len()), (first.0, 0, 0));
}

#[test]
fn a_rehearsal_says_which_event_would_take_the_identity() {
    let mut tenant = Tenant::new();
    let (id, serial) = tenant.certified(1);
    let (observed, decided) = tenant.decide(events(serial, 40, Outcome::Denied)).unwrap();
    let taken = observed.iter().position(|one| one.as_ref().is_ok_and(|one| one.revoked)).unwrap();
    let after = observed[taken + 1..].iter().flatten().all(|one| one.status == EventStatus::NotAccepted);
    assert!(taken > 1 && after && decided.revocations.len() == 1, "event {taken}");
    assert_eq!(tenant.state(&id), AgentState::Active);
    let honest = tenant.decide(events(serial, 40, Outcome::Ok)).unwrap().0;
    assert!(honest.iter().flatten().all(|one| !one.revoked && one.status == EventStatus::Scored));
}

#[test]
fn what_takes_trust_away_may_use_what_is_set_aside_for_it() {
    let needs = [Revoke::NEED, Hold::NEED, StopAgent::NEED, Retire::NEED, Abandon::NEED, EndGraces::NEED];
    assert_eq!(needs, [Need::Reserved; 6]);
    let others = [Register::NEED, Ensure::NEED, Update::NEED, Reinstate::NEED, Release::NEED, Suspect::NEED];
    assert_eq!(others, [Need::Ordinary; 6]);
    assert_eq!(Batch::NEED, Need::Events);
}

/// Random lives: what a command decides is what its records fold to, a refusal leaves nothing, and nobody who was
/// suspended is active without a person's word.
#[test]
fn what_is_decided_is_what_its_records_say() {
    let mut suspended = 0;
    for seed in 0..200_u64 {
        let mut tenant = Tenant::new();
        let mut chance = seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1;
        let mut below = |n: u64| {
            chance ^= chance << 13;
            chance ^= chance >> 7;
            chance ^= chance << 17;
            (chance >> 33) % n
        };
        let (id, serial) = tenant.certified(1);
        let mut done = 0;
        for n in 10..60_u8 {
            tenant.now = tenant.now.plus(below(MINUTE * 30));
            let (before, command) = (tenant.state(&id), below(15));
            let outcome = if below(2) == 0 { Outcome::Denied } else { Outcome::Ok };
            let (said, reason) = (Said::default(), Note::try_from("looked at".to_owned()).unwrap());
            let taken = match command {
                0 => tenant
                    .live(Revoke { serial, cause: Cause::KeyCompromise, said, approved: false })
                    .map(drop),
                1 => tenant.live(stop(n, id)).map(drop),
                2 => tenant.live(Hold { serial, said }).map(drop),
                3 => tenant.live(Release { serial, approved: false }),
                4 if below(20) == 0 => tenant.live(Retire { agent: id, said }),
                5 => tenant.live(Reinstate { agent: id, reason, approved: false }).map(drop),
                6 => tenant.live(Suspect { serial }).map(drop),
                7 => tenant.live(RefuseSelfRenewal { agent: id }),
                8 => tenant.live(Abandon { agent: id }).map(drop),
                9 => tenant.live(Ensure(agent(n, "one"))).map(drop),
                10 => {
                    let change = AgentChange { version: Some(None), ..AgentChange::default() };
                    tenant.live(Update { agent: id, change }).map(drop)
                }
                11 => {
                    let token = JoinTokenId::from_bytes([n; 16]);
                    let commitment = KeyCommitment::new(token.as_bytes(), &KeyHash::from_bytes([n; 32]));
                    let (profile, life) = (Profile::Standard, MINUTE);
                    let create =
                        CreateJoinToken { id: token, agent: id, profile, life, commitment, key: None };
                    tenant.live(create).map(drop)
                }
                12 => tenant.live(EndGraces(vec![id])),
                13 => {
                    let named =
                        [None, Some("weighted/1"), Some("weighted/2")][usize::try_from(below(3)).unwrap()];
                    let policy =
                        Policy { model: named.map(|name| ModelId(name.into())), ..Policy::default() };
                    let (replaces, reason) = (Replaces::Any, None);
                    tenant.live(SetPolicy { policy, replaces, reason, approved: false }).map(drop)
                }
                _ => tenant.live(events(serial, 3, outcome)).map(drop),
            };
            done += u32::from(taken.is_ok());
            let after = tenant.state(&id);
            suspended += u32::from(after == AgentState::Suspended);
            if before == AgentState::Suspended && after == AgentState::Active {
                assert_eq!(command, 3, "seed {seed}: only a release makes it active again");
            }
            assert!(before != AgentState::Retired || after == AgentState::Retired, "seed {seed}");
        }
        assert!(done > 15, "seed {seed}: {done} of 50 were taken");
    }
    assert!(suspended > 1_000, "{suspended}");
}
