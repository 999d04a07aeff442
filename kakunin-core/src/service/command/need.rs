//! What a decision may use where there is no room left.

/// What a decision may use where there is no room left (ADR 21).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Need {
    /// Nothing: it is refused.
    Ordinary,
    /// Nothing, either; and it makes a key an agent's, which the store may refuse: then everything that was decided with
    /// it is decided again.
    Key,
    /// It takes in events, of which those are recorded that take an identity away: see
    /// [`Draft::scarce`](super::draft::Draft::scarce).
    Events,
    /// It takes trust away: what is set aside for that.
    Reserved,
}
