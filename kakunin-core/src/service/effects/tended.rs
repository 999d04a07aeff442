//! How telling the key provider goes.

/// What is left to tell the key provider.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tended {
    /// Keys to be disabled, enabled, retired or looked for, over all tenants that are loaded.
    pub left: usize,
    /// Tenants whose last attempt failed.
    pub failing: usize,
}
