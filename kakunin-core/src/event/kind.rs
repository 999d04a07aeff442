//! What kind of act an event reports, how it ended, and how sure it is whose it was.

/// What kind of act an event reports.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum EventKind {
    /// A tool or API was called.
    #[default]
    ApiCall,
    /// Data was read.
    DataAccess,
    /// Data was changed.
    DataMutation,
    /// Value was moved.
    Transaction,
    /// The agent authenticated itself somewhere, or tried to.
    Authentication,
    /// The agent signed a message.
    MessageSigned,
    /// A message said to be the agent's did not verify.
    MessageVerificationFailed,
    /// Anything else.
    Other,
}

/// How it ended.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// It was done.
    #[default]
    Ok,
    /// It was tried and failed.
    Error,
    /// It was refused: by scope, by a right, or by a guard.
    Denied,
}

/// How sure it is that the act is the agent's own. Only the first two move its score.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize, serde::Deserialize,
)]
#[serde(rename_all = "snake_case")]
pub enum Attribution {
    /// Somebody named the agent; its serial is public, so this proves nothing.
    #[default]
    Asserted,
    /// The agent's possession of its key was shown, or its tenant's authenticated reporter says so.
    Possession,
    /// The agent's key, or a session key it vouches for, signed this very event.
    Signed,
}
