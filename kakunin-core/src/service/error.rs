//! What the service answers when it does not do what it was asked for.

use super::limits::{
    MAX_ERASURES, MAX_EVENTS, MAX_JUMP, MAX_READ_MARKS, MAX_STREAMS, MAX_WAITING, SELF_RENEWALS,
};
use crate::agent::AgentError;
use crate::error::StoreError;
use crate::feed::FeedError;
use crate::id::{AgentId, ApprovalId, EntropyError, Serial};
use crate::issue::{IssueError, SignIssueError};
use crate::key::{SignError, SpkiError};
use crate::log::note::NoteError;
use crate::log::record::RecordError;
use crate::policy::PolicyError;
use crate::store::guard::GuardError;
use crate::webhook::WebhookError;
use crate::x509::ca::{CaError, SignCaError};
use crate::x509::crl::{CrlError, CrlRefused, SignCrlError};
use crate::x509::csr::CsrError;

/// Why a step was not done. Each carries a stable code.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// Nothing of that name, for this tenant.
    #[error("no such {0}")]
    NotFound(&'static str),
    /// It is there already.
    #[error("{0}")]
    Exists(&'static str),
    /// Anybody may read what a CA revoked that issues for many tenants.
    #[error(
        "the tenant has no issuing CA of its own, and what a shared one revokes is read by everybody; make one"
    )]
    SharedIssuer,
    /// The agent, or another of its name, was halted, revoked or held. Only an order by name lets it work again.
    #[error(
        "agent {0} is suspended; if it is to be trusted again, reinstate it by its id and with a `reason`"
    )]
    Suspended(AgentId),
    /// An agent renews its own certificate too early, or too often.
    #[error(
        "an agent renews its own certificate when a tenth of its life is over, and {max} times an hour at the most; \
         wait {} s, or let an operator renew it", wait / 1_000 + 1, max = SELF_RENEWALS
    )]
    SelfRenewal {
        /// Milliseconds until it may.
        wait: u64,
    },
    /// The agent's score is at or above the threshold of revocation, and nobody has said what to make of that.
    #[error("the score of agent {0} is high enough to revoke; give a verdict on it first, or reinstate it")]
    VerdictNeeded(AgentId),
    /// A verdict that is to take the identity away for something else.
    #[error("a verdict takes an identity away for `key_compromise` or `risk_threshold_exceeded`")]
    VerdictCause,
    /// A policy that nobody can mean.
    #[error(transparent)]
    Policy(#[from] PolicyError),
    /// Somebody else changed the policy meanwhile.
    #[error("the policy is another one by now; read it, and send the change again with its `ETag`")]
    PolicyChanged,
    /// The breaker holds nothing.
    #[error("the breaker has not tripped, so there is nothing to release or to confirm")]
    NotTripped,
    /// The tenant's policy wants a second person for this.
    #[error("by the tenant's policy this waits for a second person")]
    SecondPerson,
    /// What an order that waited was about is not as it was.
    #[error("what this order is about changed since it was given; have it given anew")]
    OrderOutdated,
    /// It is on record as an order that waits for a second person.
    #[error("this waits for a second person: have somebody else approve order {0} within a day")]
    Waits(ApprovalId),
    /// Whoever ordered it cannot be its second person.
    #[error("this order is your own; it needs the word of somebody else")]
    SamePerson,
    /// An order that waits for a second person, of nobody.
    #[error("an order that a second person approves says who gave it; act as somebody")]
    Unnamed,
    /// Months that nobody can mean.
    #[error("erase from one month to the same or a later one, and to this month at the latest")]
    ErasureMonths,
    /// Too many erasures of one agent.
    #[error("{max} erasures of this agent are kept apart; erase its months in one, from the first to the last", max = MAX_ERASURES)]
    TooManyErasures,
    /// Too many orders wait.
    #[error("{max} orders wait for a second person; have some of them decided", max = MAX_WAITING)]
    TooManyWaiting,
    /// The workload keeps the key, so nobody else signs with it.
    #[error("the key of this agent is with its workload; sign there")]
    KeyElsewhere,
    /// The key provider knows nobody to whom it could grant a key.
    #[error(
        "this key provider grants its keys to nobody; let the workload join with a token and keep its own key"
    )]
    NotGrantable,
    /// A join token that opens nothing. Which of the reasons it is stays unsaid.
    #[error("the join token is not known, was used, or is too old; ask for another")]
    JoinToken,
    /// A join token is to live too long.
    #[error("a join token lives 1 s to 10 min")]
    JoinTokenLife,
    /// What was asked for does not fit the agent or its state.
    #[error(transparent)]
    Agent(#[from] AgentError),
    /// The request is refused.
    #[error(transparent)]
    Csr(#[from] CsrError),
    /// More waits of this tenant than is written soon.
    #[error(
        "too much of this tenant waits to be recorded, and nothing of this was; send it again in a second"
    )]
    QueueFull,
    /// More events at once than are taken in.
    #[error("{0} events at once are too many; send at most {max}", max = MAX_EVENTS)]
    TooManyEvents(usize),
    /// A reporter with more streams for one agent than are kept.
    #[error(
        "this reporter used {max} streams for this agent within a day; go on with one of them",
        max = MAX_STREAMS
    )]
    TooManyStreams,
    /// A number that is too far ahead of the others of its stream.
    #[error(
        "this number is more than {max} ahead of its stream's highest; go on from there, or begin another stream",
        max = MAX_JUMP
    )]
    StreamJump,
    /// The reporter's own identifier of an event, used again for another one.
    #[error(
        "this `client_id` is on record with another event; give each event an identifier of its own, and send one again \
         as it was"
    )]
    IdReused,
    /// The nonce of a signature, used again.
    #[error("this signature was used before; sign each request anew")]
    NonceUsed,
    /// A number of a stream, used again for another event.
    #[error(
        "this number of its stream is on record with another event; go on from the highest, and send an event again as \
         it was"
    )]
    NumberReused,
    /// More items of the inbox marked one by one than are kept.
    #[error(
        "{max} items of the inbox are marked one by one above the oldest that is not; mark all up to one",
        max = MAX_READ_MARKS
    )]
    TooManyMarks,
    /// One of the events that were to be recorded all or none; none was.
    #[error("event {index} is refused, and none was recorded: {error}")]
    OneOfMany {
        /// Which, from 0.
        index: usize,
        /// Why.
        error: Box<Self>,
    },
    /// The event's names do not fit into a record.
    #[error(transparent)]
    Record(#[from] RecordError),
    /// Certificate or CA could not be made.
    #[error(transparent)]
    Issue(#[from] IssueError),
    /// A certificate authority could not be made.
    #[error(transparent)]
    Ca(#[from] CaError),
    /// A CRL could not be made.
    #[error(transparent)]
    Crl(#[from] CrlError),
    /// A CRL would take back what the last one said; it is not published.
    #[error("a CRL is not published: {0}")]
    CrlRegression(#[from] Regression),
    /// The CRL that was brought is not taken.
    #[error("the CRL is refused: {0}")]
    CrlRefused(#[from] CrlRefused),
    /// A public key of the provider is not usable.
    #[error(transparent)]
    Key(#[from] SpkiError),
    /// A key could not be used.
    #[error(transparent)]
    Sign(#[from] SignError),
    /// The log's key or checkpoint is not usable.
    #[error(transparent)]
    Note(#[from] NoteError),
    /// The feed could not be made.
    #[error(transparent)]
    Feed(#[from] FeedError),
    /// The store could not do it.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The root's key is not here, so it signs nothing here.
    #[error("the root is kept offline: make a request, have it signed there, and install what comes back")]
    RootOffline,
    /// A webhook is not made or changed.
    #[error(transparent)]
    Webhook(#[from] WebhookError),
    /// No randomness.
    #[error(transparent)]
    Entropy(#[from] EntropyError),
    /// What is kept outside of the store says something else.
    #[error(transparent)]
    Guard(#[from] GuardError),
    /// Store, keys and configuration are not of one deployment.
    #[error("this is the data of another deployment: {0}")]
    Deployment(String),
}

/// A CRL that would take back what an earlier one said. It is not published.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Regression {
    /// An entry is gone though its certificate has not expired and no hold was released.
    #[error("the CRL lost serial {0}, which no record released; restore the revocations from the log")]
    Vanished(Serial),
    /// The number does not grow.
    #[error("the number of the CRL does not grow")]
    Number,
    /// thisUpdate does not grow: some relying parties would keep the older CRL.
    #[error("thisUpdate of the CRL does not grow; make it a second after the last one's")]
    ThisUpdate,
    /// It was made from less of the revocation log than the last one.
    #[error("the revocation log is shorter than the last CRL; a restored store must not be behind")]
    Cursor,
}

impl From<SignIssueError> for Error {
    fn from(error: SignIssueError) -> Self {
        match error {
            SignIssueError::Issue(error) => error.into(),
            SignIssueError::Sign(error) => error.into(),
        }
    }
}

impl From<SignCaError> for Error {
    fn from(error: SignCaError) -> Self {
        match error {
            SignCaError::Ca(error) => error.into(),
            SignCaError::Sign(error) => error.into(),
        }
    }
}

impl From<SignCrlError> for Error {
    fn from(error: SignCrlError) -> Self {
        match error {
            SignCrlError::Crl(error) => error.into(),
            SignCrlError::Sign(error) => error.into(),
        }
    }
}

impl Error {
    /// A certificate that nobody has, or had so long ago that looking for it would be reading the log.
    pub const NO_CERTIFICATE: Self =
        Self::NotFound("certificate; one that expired long ago is in the log alone");

    /// Stable code of this error.
    #[must_use]
    pub const fn code(&self) -> &'static str {
        match self {
            Self::NotFound(_) => "not_found",
            Self::Exists(_) => "exists",
            Self::SharedIssuer => "issuer_shared",
            Self::Suspended(_) => "agent_suspended",
            Self::SelfRenewal { .. } => "self_renewal_limited",
            Self::VerdictNeeded(_) => "verdict_required",
            Self::VerdictCause => "verdict_cause",
            Self::Policy(e) => e.code(),
            Self::PolicyChanged => "policy_changed",
            Self::NotTripped => "breaker_not_tripped",
            Self::SecondPerson | Self::Waits(_) => "approval_required",
            Self::OrderOutdated => "approval_outdated",
            Self::SamePerson => "approval_same_person",
            Self::Unnamed => "approval_unnamed",
            Self::ErasureMonths => "erasure_months",
            Self::TooManyErasures => "too_many_erasures",
            Self::TooManyWaiting => "approvals_waiting",
            Self::KeyElsewhere => "key_elsewhere",
            Self::NotGrantable => "key_not_grantable",
            Self::JoinToken => "join_token_invalid",
            Self::JoinTokenLife => "join_token_life",
            Self::Agent(e) => e.code(),
            Self::Csr(e) => e.code(),
            Self::QueueFull => "queue_full",
            Self::TooManyEvents(_) => "too_many_events",
            Self::TooManyStreams => "too_many_streams",
            Self::StreamJump => "stream_jump",
            Self::IdReused => "client_id_reused",
            Self::NonceUsed => "nonce_used",
            Self::NumberReused => "stream_number_reused",
            Self::TooManyMarks => "too_many_marks",
            Self::OneOfMany { error, .. } => error.code(),
            Self::Record(RecordError::Leaf(_)) => "event_too_large",
            Self::Record(_) | Self::Entropy(_) => "internal",
            Self::Issue(e) => e.code(),
            Self::Ca(_) => "ca",
            Self::RootOffline => "root_offline",
            Self::Crl(_) => "crl",
            Self::CrlRegression(_) => "crl_regression",
            Self::CrlRefused(_) => "crl_refused",
            Self::Key(e) => e.code(),
            Self::Sign(e) => e.code(),
            Self::Note(e) => e.code(),
            Self::Feed(e) => e.code(),
            Self::Store(e) => e.code(),
            Self::Webhook(e) => e.code(),
            Self::Guard(e) => e.code(),
            Self::Deployment(_) => "deployment_mismatch",
        }
    }
}
