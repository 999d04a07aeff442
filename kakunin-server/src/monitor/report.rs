//! What was measured.

use std::fmt;
use std::time::Duration;

use kakunin_core::id::Serial;
use serde_json::{Value, json};

use super::error::MonitorError;

/// One consumer.
#[derive(Clone, Debug)]
pub struct Measured {
    /// Its name.
    pub consumer: String,
    /// How long after the revocation it refused; none if it did not within the bound.
    pub after: Option<Duration>,
}

/// All of them.
#[derive(Clone, Debug)]
pub struct Report {
    /// The certificate that was revoked.
    pub serial: Serial,
    /// How long each may take.
    pub bound: Duration,
    /// What each took.
    pub measured: Vec<Measured>,
}

impl Report {
    /// Whether every consumer refused in time.
    #[must_use]
    pub fn in_time(&self) -> bool {
        self.measured.iter().all(|measured| measured.after.is_some())
    }

    /// An error that names those who were late, if any was.
    ///
    /// # Errors
    /// [`MonitorError::Late`].
    pub fn verdict(&self) -> Result<(), MonitorError> {
        if self.in_time() {
            return Ok(());
        }
        let late = self.measured.iter().filter(|m| m.after.is_none());
        let consumers = late.map(|m| m.consumer.as_str()).collect::<Vec<_>>().join(", ");
        Err(MonitorError::Late { bound: self.bound, consumers })
    }

    /// One line of JSON.
    #[must_use]
    pub fn to_json(&self) -> String {
        let consumers: Vec<Value> = self
            .measured
            .iter()
            .map(|m| json!({ "consumer": m.consumer, "seconds": m.after.map(|after| after.as_secs_f64()) }))
            .collect();
        json!({
            "serial": self.serial.to_string(), "bound_seconds": self.bound.as_secs_f64(),
            "in_time": self.in_time(), "consumers": consumers,
        })
        .to_string()
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "canary {} revoked", self.serial)?;
        for Measured { consumer, after } in &self.measured {
            match after {
                Some(after) => write!(f, "\n  {:>9.3} s  {consumer}", after.as_secs_f64())?,
                None => {
                    write!(f, "\n      never  {consumer}: not refused within {} s", self.bound.as_secs_f64())?
                }
            }
        }
        Ok(())
    }
}
