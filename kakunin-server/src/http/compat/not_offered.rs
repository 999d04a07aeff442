//! What the vendor offers and this server does not.

/// What clients of this kind ask for and no server of this one has, so that they do not take it for an object that is
/// not there.
pub(crate) fn not_offered(path: &str) -> Option<&'static str> {
    let rest = path.strip_prefix("/api/v1/")?;
    let of =
        |name: &str| rest.strip_prefix(name).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'));
    if of("chains") || of("verify/chain") {
        Some(
            "this server keeps no decision chains; the `chainId` of an event is on record as its `correlation`",
        )
    } else if of("reports") {
        Some(
            "this server writes no reports; what happened is in /api/v1/audit-log and /api/v1/agents/{id}/risk",
        )
    } else {
        None
    }
}
