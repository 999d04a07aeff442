//! What a refusal is about, and whose it is to mend.

use core::fmt;
use std::borrow::Cow;

use kakunin_core::id::{IssuerId, TenantId};
use kakunin_core::scope::Action;
use kakunin_core::time::UnixTime;

/// What a refusal is about.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Context {
    /// Nothing more than its code says.
    None,
    /// The action that is not allowed.
    Action(Action),
    /// The issuer that is not known, or of which nothing is.
    Issuer(IssuerId),
    /// The tenant whose agents alone the issuer certifies.
    Tenant(TenantId),
    /// When validity begins or ended, since when nothing is known, or when a request was signed.
    Time(UnixTime),
    /// A part of the certificate or of the request, or a reason, in words.
    Part(Cow<'static, str>),
}

/// Who has to act so that the same is not refused again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Party {
    /// Whoever sends the request: the agent's program.
    Caller,
    /// Whoever certifies the agent: its operator.
    Issuer,
    /// Whoever runs the verifier: anchors, issuing CAs, the feed, the clock.
    Verifier,
}

impl fmt::Display for Context {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::None => Ok(()),
            Self::Action(action) => action.fmt(f),
            Self::Issuer(issuer) => issuer.fmt(f),
            Self::Tenant(tenant) => tenant.fmt(f),
            Self::Time(time) => time.fmt(f),
            Self::Part(text) => f.write_str(text),
        }
    }
}

impl From<Action> for Context {
    fn from(action: Action) -> Self {
        Self::Action(action)
    }
}

impl From<IssuerId> for Context {
    fn from(issuer: IssuerId) -> Self {
        Self::Issuer(issuer)
    }
}

impl From<TenantId> for Context {
    fn from(tenant: TenantId) -> Self {
        Self::Tenant(tenant)
    }
}

impl From<UnixTime> for Context {
    fn from(time: UnixTime) -> Self {
        Self::Time(time)
    }
}

impl From<&'static str> for Context {
    fn from(text: &'static str) -> Self {
        Self::Part(Cow::Borrowed(text))
    }
}

impl From<String> for Context {
    fn from(text: String) -> Self {
        Self::Part(Cow::Owned(text))
    }
}
