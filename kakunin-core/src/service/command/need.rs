//! What a decision may use where there is no room left.

/// What a decision may use where there is no room left (ADR 21).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Need {
    /// Nothing: it is refused.
    Ordinary,
    /// It takes in events, of which those are recorded that take an identity away: see
    /// [`Draft::scarce`](super::draft::Draft::scarce).
    Events,
    /// It takes trust away: what is set aside for that.
    Reserved,
}
