//! Which of several processes over one store does what one of them is to do.

use core::fmt;

use async_trait::async_trait;

/// Says which process is on duty: it tells key providers, webhooks and inboxes, and looks after what is stored.
///
/// * Concurrency: one process at a time, but for moments in which the one before does not know yet: what is done on duty is
///   harmless if it is done twice.
/// * Durability: none. Who is on duty stays so until it ends, or the store hears nothing of it; then another one is.
/// * Idempotence: whoever is on duty and asks again stays so.
#[async_trait]
pub trait Duties: fmt::Debug + Send + Sync {
    /// Whether there are no others, nor will be.
    fn is_alone(&self) -> bool;

    /// Whether it is this process: it becomes so where nobody is. Asked for about once a second.
    async fn on_duty(&self) -> bool;
}

/// The one process over its store.
#[derive(Clone, Copy, Debug)]
pub struct Alone;

#[async_trait]
impl Duties for Alone {
    fn is_alone(&self) -> bool {
        true
    }

    async fn on_duty(&self) -> bool {
        true
    }
}
