//! Answers on their way out. Over HTTP/2 a stream whose window stays shut is reset: the connection under it may be well,
//! and what waits for the stream would wait for ever.

use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use axum::body::{Body, Bytes};
use hyper::body::{Body as _, Frame, SizeHint};
use hyper::rt::Executor;
use tokio::time::{Instant, Sleep, sleep_until};

use super::activity::Busy;
use super::arriving::HeldShare;
use super::pace::Pace;
use crate::http::BODIES_NOT_TAKEN;

/// Octets handed over at once: the most of an answer that waits where it cannot be taken back.
const PIECE: usize = 16 * 1024;

tokio::task_local! {
    /// The stream that is being worked for.
    static STREAM: Stream;
}

/// One stream: how long its pieces may wait.
#[derive(Clone, Debug)]
struct Stream(Arc<Mutex<State>>);

#[derive(Debug)]
struct State {
    pace: Pace,
    /// When a piece was handed over that is not taken yet, and its octets.
    given: Option<(Instant, usize)>,
}

impl Stream {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whoever asks for more has taken what was given.
    fn taken(&self) {
        let mut state = self.lock();
        if let Some((since, octets)) = state.given.take() {
            state.pace.passed(since.elapsed(), octets);
        }
    }

    fn deadline(&self) -> Option<Instant> {
        let state = self.lock();
        state.given.map(|(since, _)| since + state.pace.left())
    }
}

/// Runs the streams of HTTP/2 connections, each as long as it makes progress.
#[derive(Clone, Copy, Debug)]
pub(super) struct Streams {
    pub(super) patience: Duration,
}

impl<F: Future<Output = ()> + Send + 'static> Executor<F> for Streams {
    fn execute(&self, work: F) {
        let stream = Stream(Arc::new(Mutex::new(State { pace: Pace::new(self.patience), given: None })));
        let work = Box::pin(STREAM.scope(stream.clone(), work));
        tokio::spawn(Watched { work, stream, until: None });
    }
}

/// A stream's work, which is dropped once the other side took too long; dropping it resets the stream.
struct Watched<F> {
    work: Pin<Box<F>>,
    stream: Stream,
    until: Option<Pin<Box<Sleep>>>,
}

impl<F: Future<Output = ()>> Future for Watched<F> {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        if self.work.as_mut().poll(context).is_ready() {
            return Poll::Ready(());
        }
        let Some(deadline) = self.stream.deadline() else { return Poll::Pending };
        let until = self.until.get_or_insert_with(|| Box::pin(sleep_until(deadline)));
        if until.deadline() != deadline {
            until.as_mut().reset(deadline);
        }
        ready!(until.as_mut().poll(context));
        if BODIES_NOT_TAKEN.count() {
            tracing::info!("a stream was reset: what it asked for was not taken in time");
        }
        Poll::Ready(())
    }
}

/// The body of an answer, handed over piece by piece.
#[derive(Debug)]
pub(super) struct Delivery {
    body: Body,
    rest: Bytes,
    /// Only over HTTP/2; otherwise the connection itself is watched.
    stream: Option<Stream>,
    _busy: Busy,
    _held: Option<HeldShare>,
}

impl Delivery {
    pub(super) fn new(body: Body, busy: Busy, held: Option<HeldShare>) -> Self {
        let stream = STREAM.try_with(Clone::clone).ok();
        Self { body, rest: Bytes::new(), stream, _busy: busy, _held: held }
    }

    /// The next piece. The last octet comes alone: it is asked for when all before it has been let through, and until
    /// then the stream is watched.
    fn piece(&mut self, stream: &Stream) -> Bytes {
        let mut octets = self.rest.len().min(PIECE);
        if octets > 1 && octets == self.rest.len() && self.body.is_end_stream() {
            octets -= 1;
        }
        stream.lock().given = Some((Instant::now(), octets));
        self.rest.split_to(octets)
    }
}

impl hyper::body::Body for Delivery {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        let this = &mut *self;
        let Some(stream) = this.stream.clone() else { return Pin::new(&mut this.body).poll_frame(context) };
        stream.taken();
        if this.rest.is_empty() {
            match ready!(Pin::new(&mut this.body).poll_frame(context)) {
                Some(Ok(frame)) => match frame.into_data() {
                    Ok(data) if !data.is_empty() => this.rest = data,
                    Ok(data) => return Poll::Ready(Some(Ok(Frame::data(data)))),
                    Err(frame) => return Poll::Ready(Some(Ok(frame))),
                },
                other => return Poll::Ready(other),
            }
        }
        let piece = this.piece(&stream);
        Poll::Ready(Some(Ok(Frame::data(piece))))
    }

    fn is_end_stream(&self) -> bool {
        self.rest.is_empty() && self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        let more = self.body.size_hint();
        let rest = u64::try_from(self.rest.len()).unwrap_or(u64::MAX);
        let mut hint = SizeHint::new();
        hint.set_lower(more.lower().saturating_add(rest));
        if let Some(upper) = more.upper() {
            hint.set_upper(upper.saturating_add(rest));
        }
        hint
    }
}
