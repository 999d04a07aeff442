//! What a connection is doing, and when it has done nothing for too long.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use axum::http::Version;
use tokio::time::{Instant, sleep, sleep_until};

use super::options::Patience;

/// What one connection is doing.
#[derive(Debug)]
pub(super) struct Activity {
    patience: Patience,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    /// Since when nothing is under way: since it was accepted, or the last request was answered.
    idle: Instant,
    /// Since when the head of the next request is on its way.
    head: Option<Instant>,
    /// Requests under way.
    busy: usize,
    /// Whether there was a request.
    begun: bool,
    /// Whether what comes between requests need not be one's head.
    multiplexed: bool,
    /// Whether something came since all requests were answered.
    asked: bool,
}

impl Activity {
    /// It was accepted just now.
    pub(super) fn new(patience: Patience) -> Self {
        let state = State {
            idle: Instant::now(),
            head: None,
            busy: 0,
            begun: false,
            multiplexed: false,
            asked: false,
        };
        Self { patience, state: Mutex::new(state) }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Something came.
    pub(super) fn read(&self) {
        let mut state = self.lock();
        if state.busy == 0 && state.begun && !state.multiplexed && state.head.is_none() {
            state.head = Some(Instant::now());
        }
    }

    /// Something came of a request, or of what is under way.
    pub(super) fn asked(&self) {
        self.lock().asked = true;
    }

    /// Whether all that came is answered.
    pub(super) fn is_answered(&self) -> bool {
        !self.lock().asked
    }

    /// A request is under way until what this gives is dropped.
    pub(super) fn begin(self: &Arc<Self>, version: Version) -> Busy {
        let mut state = self.lock();
        (state.begun, state.head) = (true, None);
        state.multiplexed = version == Version::HTTP_2;
        state.busy = state.busy.saturating_add(1);
        Busy(self.clone())
    }

    /// Whether nothing is under way.
    pub(super) fn is_idle(&self) -> bool {
        self.lock().busy == 0
    }

    /// Whether it never sent a request.
    pub(super) fn is_silent(&self) -> bool {
        !self.lock().begun
    }

    /// When patience with it ends, if nothing comes.
    fn deadline(&self) -> Option<Instant> {
        let state = self.lock();
        match (state.busy, state.begun, state.head) {
            (0, false, _) => Some(state.idle + self.patience.head),
            (0, true, Some(head)) => Some(head + self.patience.head),
            (0, true, None) => Some(state.idle + self.patience.idle),
            _ => None,
        }
    }

    /// Ends when nothing has been under way for too long.
    pub(super) async fn overdue(&self) {
        // What comes meanwhile may put it off, or bring it nearer. To be woken for that would cost each request.
        let look = self.patience.head / 4;
        loop {
            match self.deadline() {
                Some(at) if at <= Instant::now() => return,
                Some(at) => sleep_until(at.min(Instant::now() + look)).await,
                None => sleep(look).await,
            }
        }
    }
}

/// A request that is under way.
#[derive(Debug)]
pub(super) struct Busy(Arc<Activity>);

impl Drop for Busy {
    fn drop(&mut self) {
        let mut state = self.0.lock();
        state.busy = state.busy.saturating_sub(1);
        if state.busy == 0 {
            (state.idle, state.asked) = (Instant::now(), false);
        }
    }
}
