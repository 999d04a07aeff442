//! Bodies of requests as they come in: one that does not come is cut, and what waits to be whole has a bound.

use std::net::IpAddr;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use axum::body::Bytes;
use hyper::body::{Body, Frame, Incoming, SizeHint};
use tokio::time::{Instant, Sleep, sleep};

use super::pace::Pace;
use crate::http::{AsItComes, BODIES_CROWDED, BODIES_NOT_SENT, BodyError, Share, Tally};

/// Octets that bodies of one address may hold: those that are on their way to us, and answers that were made for one
/// request and wait to be taken.
const MOST_OF_ONE: usize = 32 * 1024 * 1024;
/// The same of all addresses.
const MOST_OF_ALL: usize = 512 * 1024 * 1024;

/// What bodies hold in memory, by address, and by nobody's for all of them.
#[derive(Clone, Debug, Default)]
pub(super) struct Held(Tally<Option<IpAddr>>);

impl Held {
    /// A share of this address, or of nobody in particular.
    pub(super) fn share(&self, address: Option<IpAddr>) -> HeldShare {
        HeldShare { of_one: address.map(|address| self.0.share(Some(address))), of_all: self.0.share(None) }
    }
}

/// What one body holds.
#[derive(Debug)]
pub(super) struct HeldShare {
    of_one: Option<Share<Option<IpAddr>>>,
    of_all: Share<Option<IpAddr>>,
}

impl HeldShare {
    /// Takes so many octets more, if there is room.
    pub(super) fn grow(&mut self, octets: usize) -> bool {
        let one = self.of_one.as_mut().is_none_or(|share| share.grow(octets, MOST_OF_ONE));
        let room = one && self.of_all.grow(octets, MOST_OF_ALL);
        if !room && BODIES_CROWDED.count() {
            tracing::warn!("bodies are refused: an address, or all of them, hold too many octets");
        }
        room
    }
}

/// A body on its way.
#[derive(Debug)]
pub(super) struct Arriving {
    body: Incoming,
    pace: Pace,
    held: HeldShare,
    as_it_comes: AsItComes,
    waiting: Option<(Instant, Pin<Box<Sleep>>)>,
}

impl Arriving {
    pub(super) fn new(
        body: Incoming,
        patience: Duration,
        (held, as_it_comes): (HeldShare, AsItComes),
    ) -> Self {
        Self { body, pace: Pace::new(patience), held, as_it_comes, waiting: None }
    }
}

impl Body for Arriving {
    type Data = Bytes;
    type Error = Box<dyn std::error::Error + Send + Sync>;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        let this = &mut *self;
        if this.as_it_comes.is_said() {
            return Pin::new(&mut this.body).poll_frame(context).map_err(Into::into);
        }
        let Poll::Ready(frame) = Pin::new(&mut this.body).poll_frame(context) else {
            let left = this.pace.left();
            let (_, until) = this.waiting.get_or_insert_with(|| (Instant::now(), Box::pin(sleep(left))));
            ready!(until.as_mut().poll(context));
            BODIES_NOT_SENT.count();
            return Poll::Ready(Some(Err(BodyError::Slow.into())));
        };
        let octets = match &frame {
            Some(Ok(frame)) => frame.data_ref().map_or(0, Bytes::len),
            _ => 0,
        };
        let waited = this.waiting.take().map(|(since, _)| since.elapsed()).unwrap_or_default();
        this.pace.passed(waited, octets);
        if !this.held.grow(octets) {
            return Poll::Ready(Some(Err(BodyError::Crowded.into())));
        }
        Poll::Ready(frame.map(|frame| frame.map_err(Into::into)))
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
