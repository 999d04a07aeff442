//! The end of what a client sends, told a moment late while something of it is under way.
//!
//! Whoever gives an order and hangs up, or shuts its side as `nc -N` does, has given it: a stop of an agent is not to
//! be lost for that. hyper takes an end that comes with a request for its sender's going away, and drops what it has not
//! begun; in that moment it begins, and what was begun is finished (see `http::frame`).

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Sleep, sleep};

use super::activity::Activity;

/// For how long: most answers are there by then, also for whoever shut its side and waits for one.
const MOMENT: Duration = Duration::from_secs(1);

/// A connection, above TLS, as it is read by hyper.
#[derive(Debug)]
pub(super) struct Lingering<S> {
    stream: S,
    activity: Arc<Activity>,
    /// Until when it is kept back, and what it is: no more octets, or an error.
    end: Option<(Pin<Box<Sleep>>, io::Result<()>)>,
}

impl<S> Lingering<S> {
    pub(super) const fn new(stream: S, activity: Arc<Activity>) -> Self {
        Self { stream, activity, end: None }
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Lingering<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if self.end.is_none() {
            let before = buffer.filled().len();
            let read = ready!(Pin::new(&mut self.stream).poll_read(context, buffer));
            if buffer.filled().len() > before {
                self.activity.asked();
                return Poll::Ready(read);
            }
            self.end = Some((Box::pin(sleep(MOMENT)), read));
        }
        let answered = self.activity.is_answered();
        let Some((until, end)) = &mut self.end else { return Poll::Ready(Ok(())) };
        if !answered {
            ready!(until.as_mut().poll(context));
        }
        Poll::Ready(std::mem::replace(end, Ok(())))
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Lingering<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        octets: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(context, octets)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(context, slices)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}
