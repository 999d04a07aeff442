//! What stands between an agent and what it asks for: authorizes, has the decision recorded, and looks again.

use core::fmt;
use std::sync::Arc;

use kakunin_core::event::{Attribution, Event, Outcome};
use kakunin_core::scope::{Action, ToAction};
use kakunin_core::time::{Clock, UnixTime};

use crate::agent::{Authorized, VerifiedAgent};
use crate::denied::{Code, Denied};
use crate::report::{Decision, Reporter};

/// Asks a certificate whether it allows an action, has the answer recorded, and looks again: a revocation may have come
/// while it was recorded. What is refused is recorded as well.
///
/// [`Guard::authorize`] tells a [`Reporter`] and never waits. [`Guard::authorize_on_record`] answers once the decision is
/// on record. Both are [`Guard::decide`] and one more step, for those who have more to say of a decision.
///
/// There is no dry run of a guard: a refusal is a value, reported or on record when the caller has it, and whoever wants
/// to see first goes on in spite of it. None of that makes an [`Authorized`].
///
/// ```
/// # pollster::block_on(async {
/// # use kakunin_core::prelude::*;
/// # use kakunin_kms::local::LocalKeys;
/// # use std::sync::Arc;
/// #
/// # let mut config = Config::new("agents.example")?;
/// # config.ca_algorithms = (KeyAlgorithm::P256, KeyAlgorithm::P256);
/// # let parts = Parts::new(MemoryStore::new(), Arc::new(LocalKeys::ephemeral()));
/// # let kakunin = Kakunin::open(config, parts).await?;
/// # let acme = kakunin.create_tenant(&"acme".parse()?).await?;
/// # let model = "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
/// # let spec = NewAgent::new("desk-7", model, ["read:mail"])?;
/// # let agent = acme.register(spec).await?;
/// # let key = KeySource::Provider(KeyAlgorithm::P256);
/// # let issued = acme.certify(&agent.id, Profile::Standard, key).await?;
/// use kakunin_verify::report::Decision;
/// use kakunin_verify::{Guard, Verifier};
/// use std::sync::mpsc;
///
/// let verifier = Verifier::following(kakunin.clone()).build(SystemClock.now())?;
/// let me = verifier.verify(&[&issued.der], SystemClock.now())?;
/// // Any function is a reporter; `report::queue` makes one that never waits.
/// let (told, decisions) = mpsc::channel();
/// let reporter = move |decision: Decision| told.send(decision).unwrap_or(());
/// let guard = Guard::new(Arc::new(SystemClock)).report_to(reporter);
/// assert_eq!(guard.authorize(&me, "read:mail")?.agent().agent(), &agent.id);
/// assert_eq!(guard.authorize(&me, "delete:vault").unwrap_err().code(), "scope_violation");
/// let events: Vec<_> = decisions.try_iter().filter_map(|decision| decision.event()).collect();
/// assert_eq!((events[0].outcome, events[1].outcome), (Outcome::Ok, Outcome::Denied));
/// # Ok::<_, Box<dyn std::error::Error>>(())
/// # }).unwrap();
/// ```
#[derive(Clone)]
pub struct Guard {
    clock: Arc<dyn Clock>,
    reporter: Option<Arc<dyn Reporter>>,
}

impl Guard {
    /// A guard that goes by this clock, and tells nobody yet.
    #[must_use]
    pub const fn new(clock: Arc<dyn Clock>) -> Self {
        Self { clock, reporter: None }
    }

    /// Tells `reporter` of each decision that [`Guard::authorize`] makes.
    #[must_use]
    pub fn report_to(mut self, reporter: impl Reporter + 'static) -> Self {
        self.reporter = Some(Arc::new(reporter));
        self
    }

    /// Allows `action` as [`VerifiedAgent::authorize`] does, and tells the reporter of it. Never waits.
    ///
    /// # Errors
    /// [`Denied`], also if the agent lost its certificate while that was told.
    pub fn authorize<A: ToAction + ?Sized>(
        &self,
        agent: &VerifiedAgent,
        action: &A,
    ) -> Result<Authorized, Denied> {
        self.decide(agent, action).report()
    }

    /// As [`Guard::authorize`], but answers once `record` has the decision on record, such as `Tenant::observe`; and
    /// gives what that said. The reporter is not told.
    ///
    /// ```
    /// # pollster::block_on(async {
    /// # use kakunin_core::prelude::*;
    /// # use kakunin_kms::local::LocalKeys;
    /// # use std::sync::Arc;
    /// #
    /// # let mut config = Config::new("agents.example")?;
    /// # config.ca_algorithms = (KeyAlgorithm::P256, KeyAlgorithm::P256);
    /// # let parts = Parts::new(MemoryStore::new(), Arc::new(LocalKeys::ephemeral()));
    /// # let kakunin = Kakunin::open(config, parts).await?;
    /// # let acme = kakunin.create_tenant(&"acme".parse()?).await?;
    /// # let model = "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
    /// # let spec = NewAgent::new("desk-7", model, ["read:mail"])?;
    /// # let agent = acme.register(spec).await?;
    /// # let key = KeySource::Provider(KeyAlgorithm::P256);
    /// # let issued = acme.certify(&agent.id, Profile::Standard, key).await?;
    /// use kakunin_verify::{Guard, Verifier};
    ///
    /// let verifier = Verifier::following(kakunin.clone()).build(SystemClock.now())?;
    /// let me = verifier.verify(&[&issued.der], SystemClock.now())?;
    /// let guard = Guard::new(Arc::new(SystemClock));
    /// let record = |event| acme.observe(event);
    /// let (_, seen) = guard.authorize_on_record(&me, "read:mail", record).await?;
    /// assert!(seen.index.is_some(), "its place in the log");
    /// let refused = guard.authorize_on_record(&me, "delete:vault", record).await.unwrap_err();
    /// assert_eq!(refused.into_denied()?.code(), "scope_violation");
    /// # Ok::<_, Box<dyn std::error::Error>>(())
    /// # }).unwrap();
    /// ```
    ///
    /// # Errors
    /// [`Refused`]: what cannot be recorded is not permitted.
    pub async fn authorize_on_record<A, T, E, F>(
        &self,
        agent: &VerifiedAgent,
        action: &A,
        record: impl FnOnce(Event) -> F,
    ) -> Result<(Authorized, T), Refused<E>>
    where
        A: ToAction + ?Sized,
        F: Future<Output = Result<T, E>>,
    {
        self.decide(agent, action).record(record).await
    }

    /// The first step: what the certificate says now. It permits nothing before the second one.
    pub fn decide<'a, A: ToAction + ?Sized>(
        &'a self,
        agent: &'a VerifiedAgent,
        action: &'a A,
    ) -> Decided<'a> {
        let at = self.now();
        Decided {
            guard: self,
            agent,
            asked: action.as_text(),
            verdict: agent.authorize(action, at),
            at,
            attribution: Attribution::Possession,
            instead: None,
        }
    }

    /// Tells the reporter of a request that does not come so far as to be decided, and gives the refusal back.
    pub fn refuse(
        &self,
        agent: Option<&VerifiedAgent>,
        action: Option<&str>,
        attribution: Attribution,
        denied: Denied,
    ) -> Denied {
        if let Some(reporter) = &self.reporter {
            reporter.report(Decision::new(self.now(), agent, action, Some(denied.kind()), attribution));
        }
        denied
    }

    pub(crate) fn now(&self) -> UnixTime {
        self.clock.now()
    }
}

impl fmt::Debug for Guard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.reporter.is_some() { "Guard(reports)" } else { "Guard" })
    }
}

/// What a certificate says to one action, before anybody knows.
#[derive(Debug)]
#[must_use = "it permits nothing until it is reported or recorded"]
pub struct Decided<'a> {
    guard: &'a Guard,
    agent: &'a VerifiedAgent,
    asked: &'a str,
    verdict: Result<Authorized, Denied>,
    at: UnixTime,
    attribution: Attribution,
    instead: Option<Action>,
}

impl Decided<'_> {
    /// How sure it is that the agent asks, if not [`Attribution::Possession`]: of the host's own agent, or of one whose
    /// possession of the key was shown.
    pub const fn attributed(mut self, attribution: Attribution) -> Self {
        self.attribution = attribution;
        self
    }

    /// Refuses for one reason more, if the certificate does not refuse already.
    pub fn and(mut self, more: Result<(), Denied>) -> Self {
        self.verdict = self.verdict.and_then(|permission| more.map(|()| permission));
        self
    }

    /// What goes on record where the agent asks for what is no action. Otherwise nothing does.
    pub fn recorded_as(mut self, action: Action) -> Self {
        self.instead = Some(action);
        self
    }

    /// Why it is refused, if it is.
    #[must_use]
    pub fn denied(&self) -> Option<&Denied> {
        self.verdict.as_ref().err()
    }

    /// The decision as an event that is recorded at once.
    #[must_use]
    pub fn event(&self) -> Option<Event> {
        let action = match &self.verdict {
            Ok(permission) => permission.action().clone(),
            Err(_) => self.asked.to_action().ok().or_else(|| self.instead.clone())?,
        };
        let mut event = Event::new(*self.agent.serial(), action, Outcome::Ok);
        event.attribution = self.attribution;
        if let Some(denied) = self.denied() {
            event.outcome = Outcome::Denied;
            event.out_of_scope = !self.agent.scope().permits(&event.action);
            event.occurred_at = denied.kind().is_end().then_some(self.at);
        }
        Some(event)
    }

    /// The second step: tells the reporter, and looks again.
    ///
    /// # Errors
    /// As [`Guard::authorize`].
    pub fn report(self) -> Result<Authorized, Denied> {
        let Some(reporter) = &self.guard.reporter else { return self.verdict };
        let refusal = self.denied().map(Denied::kind);
        reporter.report(Decision::new(
            self.at,
            Some(self.agent),
            Some(self.asked),
            refusal,
            self.attribution,
        ));
        self.look_again()
    }

    /// Or the second step: has it recorded, and looks again.
    ///
    /// # Errors
    /// As [`Guard::authorize_on_record`].
    pub async fn record<T, E, F>(self, record: impl FnOnce(Event) -> F) -> Result<(Authorized, T), Refused<E>>
    where
        F: Future<Output = Result<T, E>>,
    {
        let recorded = match self.event() {
            Some(event) => Some(record(event).await.map_err(Refused::NotRecorded)?),
            None => None,
        };
        let permission = self.look_again().map_err(Refused::Denied)?;
        // Whatever is permitted is an action, and on record.
        let recorded = recorded.ok_or(Refused::Denied(Denied::new(Code::ActionMalformed)))?;
        Ok((permission, recorded))
    }

    fn look_again(self) -> Result<Authorized, Denied> {
        let permission = self.verdict?;
        self.agent.recheck(self.guard.now())?;
        Ok(permission)
    }
}

/// Why a guard does not let something through, by who has to act.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refused<E> {
    /// The agent may not: it, or whoever certifies it.
    #[error(transparent)]
    Denied(Denied),
    /// The decision could not be recorded, whatever it was: whoever keeps the log.
    #[error("the decision is not on record, so nothing is permitted: {0}")]
    NotRecorded(E),
}

impl<E> Refused<E> {
    /// Why the agent is refused.
    ///
    /// # Errors
    /// Why that is not on record, where it is not.
    pub fn into_denied(self) -> Result<Denied, E> {
        match self {
            Self::Denied(denied) => Ok(denied),
            Self::NotRecorded(error) => Err(error),
        }
    }
}
