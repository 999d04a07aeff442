//! Whether this process does what one of several is to do. It is asked for once a second; what followers remember of the log is
//! forgotten when it becomes so, for another process went on meanwhile.

use super::running::{Kakunin, Running};
use crate::log::entry::LogId;
use crate::service::error::Error;

impl Running {
    /// Looks whether this process is on duty.
    pub(super) async fn look_at_duty(&self) {
        let on = self.parts.duties.on_duty().await;
        if on && !self.duty.is_on() && self.is_shared() {
            // Another one stored histories meanwhile.
            for tenant in self.loaded_tenants().await {
                tenant.doubt_histories().await;
            }
        }
        if self.duty.set(on) {
            self.commits.rouse();
        }
    }
}

impl Kakunin {
    /// Whether this process does what one of several over a store is to do, as far as it was looked at: see
    /// [`Duties`](crate::store::duty::Duties).
    #[must_use]
    pub fn is_on_duty(&self) -> bool {
        self.inner.duty.is_on()
    }

    /// How many records of a log are applied here, whoever appended them; 0 of a log that is not in use here.
    #[must_use]
    pub fn applied(&self, log: &LogId) -> u64 {
        self.inner.commits.size(log)
    }

    /// Whether other processes may be over the store.
    #[must_use]
    pub fn is_shared(&self) -> bool {
        self.inner.is_shared()
    }

    /// For how long this process has not heard from its store what others appended, in milliseconds; nothing where there are
    /// no others.
    #[must_use]
    pub fn silence(&self) -> Option<u64> {
        self.inner.silence()
    }

    /// Refuses to go by what this process knows once it has not heard for too long what others append: trust may have been
    /// taken away since.
    ///
    /// # Errors
    /// [`Error::Store`].
    pub fn in_touch(&self) -> Result<(), Error> {
        Ok(self.inner.is_level()?)
    }

    /// Whether the store was silent for so long that nothing is read or decided until it is heard again: trust may have been
    /// taken away elsewhere.
    #[must_use]
    pub fn is_out_of_touch(&self) -> bool {
        self.inner.is_level().is_err()
    }
}
