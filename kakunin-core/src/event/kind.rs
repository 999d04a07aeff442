//! What kind of act an event reports, how it ended, and how sure it is whose it was.

use crate::words::words;

words! {
    /// What kind of act an event reports.
    #[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
    #[non_exhaustive]
    pub enum EventKind {
        /// A tool or API was called.
        #[default]
        ApiCall = "api_call",
        /// Data was read.
        DataAccess = "data_access",
        /// Data was changed.
        DataMutation = "data_mutation",
        /// Value was moved.
        Transaction = "transaction",
        /// The agent authenticated itself somewhere, or tried to.
        Authentication = "authentication",
        /// The agent signed a message.
        MessageSigned = "message_signed",
        /// A message said to be the agent's did not verify.
        MessageVerificationFailed = "message_verification_failed",
        /// Anything else.
        Other = "other",
    }
}

words! {
    /// How it ended.
    #[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
    pub enum Outcome {
        /// It was done.
        #[default]
        Ok = "ok",
        /// It was tried and failed.
        Error = "error",
        /// It was refused: by scope, by a right, or by a guard.
        Denied = "denied",
    }
}

words! {
    /// How sure it is that the act is the agent's own. Only the first two move its score.
    #[derive(
        Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize, serde::Deserialize,
    )]
    pub enum Attribution {
        /// Somebody named the agent; its serial is public, so this proves nothing.
        #[default]
        Asserted = "asserted",
        /// The agent's possession of its key was shown, or its tenant's authenticated reporter says so.
        Possession = "possession",
        /// The agent's key, or a session key it vouches for, signed this very event.
        Signed = "signed",
    }
}
