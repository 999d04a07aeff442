//! Recorded agent traces, fed through issuance, scope check, scoring and revocation: each call at its own time.

mod error;
mod report;
pub(crate) mod scores;
pub(crate) mod trace;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Instant;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use kakunin_core::agent::NewAgent;
use kakunin_core::event::{Event, StreamSeq};
use kakunin_core::id::TenantId;
use kakunin_core::issue::Profile;
use kakunin_core::key::KeyAlgorithm;
use kakunin_core::log::checkpoint::Checkpoint;
use kakunin_core::log::note::VerifierKey;
use kakunin_core::service::{Config, EventStatus, Kakunin, KeySource, NotificationKind, Parts};
use kakunin_core::store::sqlite::SqliteStore;
use kakunin_core::time::{DAY, ManualClock, UnixTime};
use kakunin_kms::local::LocalKeys;
use kakunin_kms::private;
use kakunin_verify::{Guard, VerifiedAgent, Verifier};

pub use error::ReplayError;
pub use report::{Report, Verdicts};
use scores::Scores;
pub use trace::ScopeColumn;
use trace::{Call, TracedAgent, Truth};

/// A Monday, 00:00 UTC: day 0 of every trace.
pub(crate) const BASE: UnixTime = UnixTime::from_secs(1_767_571_200);
const DATABASE: &str = "replay.db";
/// It, and what SQLite and the lock keep beside it.
const FILES: [&str; 4] = [DATABASE, "replay.db-wal", "replay.db-shm", "replay.db.lock"];
/// Events sent to the service at once.
const BATCH: usize = 1_000;

/// How to replay.
#[derive(Clone, Debug)]
pub struct Options {
    /// Agents with their scopes; `agents.jsonl.gz` beside the events if not given.
    pub agents: Option<PathBuf>,
    /// Which list of scopes.
    pub scope: ScopeColumn,
    /// Algorithm of the agents' keys.
    pub key: KeyAlgorithm,
    /// Keep the log in this folder instead of one that goes away.
    pub data: Option<PathBuf>,
    /// Write the score after each scored event to this file.
    pub scores: Option<PathBuf>,
    /// Show a progress bar, if standard error is a terminal.
    pub progress: bool,
}

/// Replays a trace.
///
/// # Errors
/// [`ReplayError`]. Both files are read to their ends before anything is issued, so that a damaged one
/// is said at once.
pub fn run(events: &Path, options: &Options) -> Result<Report, ReplayError> {
    let beside = events.with_file_name("agents.jsonl.gz");
    // Before the agents, which lie beside it: what is wrong is what was named.
    let file = trace::open(events)?;
    let agents = trace::agents(options.agents.as_deref().unwrap_or(&beside), options.scope)?;
    let calls = trace::calls(file, events, &agents)?;
    let agents: Vec<TracedAgent> = agents.into_values().collect();

    let scores = options.scores.as_deref().map(Scores::create).transpose()?;
    let folder = tempfile::tempdir().map_err(ReplayError::Folder)?;
    let folder = options.data.as_deref().unwrap_or(folder.path());
    std::fs::create_dir_all(folder).map_err(ReplayError::Folder)?;
    private::folder(folder)?;
    for name in FILES {
        private::file(&folder.join(name))?;
    }
    let clock = Arc::new(ManualClock::at(BASE));
    let mut parts = Parts::new(SqliteStore::open(folder.join(DATABASE))?, Arc::new(LocalKeys::ephemeral()));
    parts.clock = clock.clone();
    let model = parts.model.id().0;
    let kakunin = pollster::block_on(Kakunin::open(Config::new("replay.example")?, parts))?;

    let mut replay = Replay::new(kakunin, clock, agents, scores)?;
    let started = Instant::now();
    replay.issue(options)?;
    let issuance_seconds = started.elapsed().as_secs_f64();
    let started = Instant::now();
    replay.play(&calls, &bar(options.progress, calls.len(), "events"))?;
    let seconds = started.elapsed().as_secs_f64();
    replay.report(&calls, issuance_seconds, seconds, model)
}

struct Replay {
    kakunin: Kakunin,
    clock: Arc<ManualClock>,
    tenant: TenantId,
    verifier: Verifier,
    guard: Guard,
    agents: Vec<TracedAgent>,
    scores: Option<Scores>,
    /// Each agent with its certificate, in the order of `agents`.
    certified: Vec<VerifiedAgent>,
    /// Number of the call that took each agent's identity away.
    revoked_at: Vec<Option<u64>>,
    refused_by_scope: u64,
    refused_after_revocation: u64,
    recorded: u64,
    not_recorded: u64,
}

impl Replay {
    fn new(
        kakunin: Kakunin,
        clock: Arc<ManualClock>,
        agents: Vec<TracedAgent>,
        scores: Option<Scores>,
    ) -> Result<Self, ReplayError> {
        let tenant: TenantId = "replay".parse().map_err(kakunin_core::agent::AgentError::from)?;
        pollster::block_on(kakunin.create_tenant(&tenant))?;
        let verifier = Verifier::following(kakunin.clone()).build(BASE)?;
        let guard = Guard::new(clock.clone());
        let revoked_at = vec![None; agents.len()];
        Ok(Self {
            kakunin,
            clock,
            tenant,
            verifier,
            guard,
            agents,
            scores,
            certified: Vec::new(),
            revoked_at,
            refused_by_scope: 0,
            refused_after_revocation: 0,
            recorded: 0,
            not_recorded: 0,
        })
    }

    /// Registers and certifies every agent, on every core: making an RSA key is the slow part.
    fn issue(&mut self, options: &Options) -> Result<(), ReplayError> {
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        let progress = bar(options.progress, self.agents.len(), "certificates");
        let share = self.agents.len().div_ceil(cores).max(1);
        let this = &*self;
        let issued: Vec<Result<Vec<_>, ReplayError>> = std::thread::scope(|scope| {
            let workers: Vec<_> = this
                .agents
                .chunks(share)
                .map(|agents| {
                    let progress = &progress;
                    scope.spawn(move || {
                        let each = agents.iter().map(|agent| {
                            progress.inc(1);
                            this.certify(agent, options.key)
                        });
                        each.collect()
                    })
                })
                .collect();
            // A worker that panicked is a fault of this program, and is passed on as one.
            workers
                .into_iter()
                .map(|w| w.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)))
                .collect()
        });
        progress.finish_and_clear();
        for share in issued {
            self.certified.extend(share?);
        }
        Ok(())
    }

    fn certify(&self, agent: &TracedAgent, key: KeyAlgorithm) -> Result<VerifiedAgent, ReplayError> {
        let spec = NewAgent {
            scope: agent.scope.clone(),
            ..NewAgent::new(&agent.name, &format!("sha256:{:064}", 0), Vec::<&str>::new())?
        };
        let issued = pollster::block_on(async {
            let registered = self.kakunin.tenant(&self.tenant).register(spec).await?;
            self.kakunin
                .tenant(&self.tenant)
                .certify(&registered.id, Profile::Standard, KeySource::Provider(key))
                .await
        })?;
        Ok(self.verifier.verify(&[issued.der], BASE)?)
    }

    fn play(&mut self, calls: &[Call], progress: &ProgressBar) -> Result<(), ReplayError> {
        let mut batch = Vec::with_capacity(BATCH);
        for calls in calls.chunks(BATCH) {
            for call in calls {
                batch.push(self.enforce(call));
            }
            let outside: Vec<_> = batch.iter().map(|(_, event)| event.out_of_scope).collect();
            let observed =
                pollster::block_on(self.kakunin.tenant(&self.tenant).replay(std::mem::take(&mut batch)))?;
            for ((call, outside), observed) in calls.iter().zip(outside).zip(observed) {
                let Ok(observed) = observed else {
                    self.not_recorded += 1;
                    continue;
                };
                self.recorded += 1;
                // The guard learns of a revocation with the next batch; whose identity is gone is refused for that.
                let gone = observed.status == EventStatus::NotAccepted;
                self.refused_after_revocation += u64::from(gone);
                self.refused_by_scope += u64::from(outside && !gone);
                if let (Some(scores), Some(agent)) = (&mut self.scores, self.agents.get(call.agent))
                    && observed.status == EventStatus::Scored
                {
                    scores.write(&agent.name, call.seq, observed.score)?;
                }
                if let Some(revoked @ None) = self.revoked_at.get_mut(call.agent)
                    && observed.revoked
                {
                    *revoked = Some(call.seq);
                }
            }
            progress.inc(u64::try_from(calls.len()).unwrap_or_default());
        }
        progress.finish_and_clear();
        self.scores.as_mut().map_or(Ok(()), Scores::finish)
    }

    /// What an enforcement point does with a call: lets it through or refuses it, and reports it.
    fn enforce(&mut self, call: &Call) -> (UnixTime, Event) {
        let at = BASE.plus(call.at);
        self.clock.set(at);
        let Some(agent) = self.certified.get(call.agent) else {
            unreachable!("every agent of the trace was certified")
        };
        let decided = self.guard.decide(agent, &call.action);
        let Some(mut event) = decided.event() else { unreachable!("what is called is an action") };
        if decided.denied().is_none() {
            event.outcome = call.outcome;
        }
        event.stream = Some(StreamSeq { stream: 0, seq: call.seq });
        event.auth_failure = call.auth_failure;
        event.session.clone_from(&call.session);
        event.tool.clone_from(&call.tool);
        event.target.clone_from(&call.target);
        event.counterparty.clone_from(&call.counterparty);
        event.amount = call.amount;
        (at, event)
    }

    fn report(
        self,
        calls: &[Call],
        issuance_seconds: f64,
        seconds: f64,
        model: String,
    ) -> Result<Report, ReplayError> {
        let end = calls.last().map_or(BASE, |c| BASE.plus(c.at).plus(DAY));
        self.clock.set(end);
        let (checkpoint, warnings) = pollster::block_on(async {
            let note = self.kakunin.tenant(&self.tenant).checkpoint().await?.unwrap_or_default();
            let key = VerifierKey::parse(&self.kakunin.tenant(&self.tenant).log_verifier().await?)?;
            Ok::<_, kakunin_core::service::Error>((Checkpoint::open(&note, &key)?, self.warnings().await?))
        })?;
        let count = |n: usize| u64::try_from(n).unwrap_or(u64::MAX);
        let events: u32 = u32::try_from(self.recorded).unwrap_or(u32::MAX);
        Ok(Report {
            agents: count(self.agents.len()),
            events: self.recorded,
            not_recorded: self.not_recorded,
            issuance_seconds,
            events_per_second: f64::from(events) / seconds.max(1e-9),
            refused_by_scope: self.refused_by_scope,
            refused_after_revocation: self.refused_after_revocation,
            warnings,
            revoked: count(self.revoked_at.iter().flatten().count()),
            truth: self.verdicts(),
            log_size: checkpoint.size,
            log_root: checkpoint.to_text().lines().nth(2).unwrap_or_default().to_owned(),
            model,
        })
    }

    async fn warnings(&self) -> Result<u64, kakunin_core::service::Error> {
        let (mut count, mut before) = (0, None);
        loop {
            let items = self.kakunin.tenant(&self.tenant).notifications(before, 1_000).await?;
            let Some((last, _)) = items.last() else {
                return Ok(count);
            };
            before = Some(*last);
            count += items
                .iter()
                .filter(|(_, n)| n.kind == NotificationKind::PreRevocationWarning)
                .map(|_| 1)
                .sum::<u64>();
        }
    }

    fn verdicts(&self) -> Option<Verdicts> {
        let mut verdicts = Verdicts::default();
        for (agent, revoked) in self.agents.iter().zip(&self.revoked_at) {
            match agent.truth? {
                Truth::Honest => {
                    verdicts.honest += 1;
                    verdicts.honest_revoked += u64::from(revoked.is_some());
                }
                Truth::Compromised(onset) => {
                    verdicts.compromised += 1;
                    let early = revoked.is_some_and(|at| onset.is_some_and(|onset| at < onset));
                    verdicts.revoked_before_onset += u64::from(early);
                    verdicts.compromised_revoked += u64::from(revoked.is_some() && !early);
                }
            }
        }
        Some(verdicts)
    }
}

fn bar(shown: bool, length: usize, what: &'static str) -> ProgressBar {
    let target = if shown { ProgressDrawTarget::stderr() } else { ProgressDrawTarget::hidden() };
    let style = ProgressStyle::with_template("{msg:<14} {wide_bar} {pos}/{len} {per_sec} {eta}");
    ProgressBar::with_draw_target(u64::try_from(length).ok(), target)
        .with_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()))
        .with_message(what)
}
