//! What people say of a score, in Entra's spelling.

use crate::words::words;

words! {
    /// What a person says of an agent's score.
    #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
    pub enum Verdict {
        /// The evidence says nothing: it is taken out of the score.
        Dismiss = "dismiss",
        /// It was the agent, or somebody with its key: the identity is taken away.
        ConfirmCompromised = "confirmCompromised",
        /// What it did is its work: taken out of the score, and learned as a habit.
        ConfirmSafe = "confirmSafe",
    }
}

words! {
    /// Where an agent stands between its score and people.
    #[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
    pub enum RiskState {
        /// Nothing to decide.
        #[default]
        None = "none",
        /// Warned of, or its identity taken away or held, and nobody has decided.
        AtRisk = "atRisk",
        /// A person said that what it did is its work.
        ConfirmedSafe = "confirmedSafe",
        /// A person said that the evidence says nothing.
        Dismissed = "dismissed",
        /// A person said that it was not itself.
        ConfirmedCompromised = "confirmedCompromised",
        /// A person trusted it again after its identity was taken away.
        Remediated = "remediated",
    }
}
