//! A connection that ends when whoever is to read from it does not, so that nobody holds what waits for them.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Instant, Sleep, sleep};

use super::activity::Activity;
use super::pace::Pace;

/// Writes fail once the other side has kept them waiting too long. Reads are told to whoever watches the connection.
#[derive(Debug)]
pub(super) struct Patient<S> {
    stream: S,
    pace: Pace,
    activity: Arc<Activity>,
    /// Since when a write waits, and until when it may.
    waiting: Option<(Instant, Pin<Box<Sleep>>)>,
}

impl<S: Unpin> Patient<S> {
    pub(super) const fn new(stream: S, patience: Duration, activity: Arc<Activity>) -> Self {
        Self { stream, pace: Pace::new(patience), activity, waiting: None }
    }

    /// Passes on what a write led to; one that has waited long enough fails.
    fn bound<T>(
        &mut self,
        written: Poll<io::Result<T>>,
        octets: impl FnOnce(&T) -> usize,
        context: &mut Context<'_>,
    ) -> Poll<io::Result<T>> {
        if let Poll::Ready(result) = &written {
            let waited = self.waiting.take().map(|(since, _)| since.elapsed()).unwrap_or_default();
            self.pace.passed(waited, result.as_ref().map_or(0, octets));
            return written;
        }
        let left = self.pace.left();
        let (_, until) = self.waiting.get_or_insert_with(|| (Instant::now(), Box::pin(sleep(left))));
        ready!(until.as_mut().poll(context));
        Poll::Ready(Err(io::ErrorKind::TimedOut.into()))
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Patient<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let read = Pin::new(&mut self.stream).poll_read(context, buffer);
        if read.is_ready() {
            self.activity.read();
        }
        read
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Patient<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        octets: &[u8],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write(context, octets);
        self.bound(written, |count| *count, context)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write_vectored(context, slices);
        self.bound(written, |count| *count, context)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let flushed = Pin::new(&mut self.stream).poll_flush(context);
        self.bound(flushed, |()| 0, context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let shut = Pin::new(&mut self.stream).poll_shutdown(context);
        self.bound(shut, |()| 0, context)
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt, duplex};

    use super::super::options::Patience;
    use super::*;

    fn patient<S: Unpin>(stream: S, patience: u64) -> Patient<S> {
        let activity = Arc::new(Activity::new(Patience::default()));
        Patient::new(stream, Duration::from_millis(patience), activity)
    }

    #[tokio::test]
    async fn a_write_that_nobody_reads_fails_and_one_that_is_read_does_not() {
        let (ours, mut theirs) = duplex(8);
        let mut patient = patient(ours, 50);
        let reader = tokio::spawn(async move {
            let mut read = vec![0; 32];
            theirs.read_exact(&mut read).await.unwrap();
            theirs
        });
        patient.write_all(&[7; 32]).await.unwrap();
        let silent = reader.await.unwrap();
        let error = patient.write_all(&[7; 32]).await.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::TimedOut);
        drop(silent);
    }

    #[tokio::test]
    async fn one_octet_now_and_then_does_not_keep_a_write_alive() {
        let (ours, mut theirs) = duplex(8);
        let mut patient = patient(ours, 200);
        let drip = tokio::spawn(async move {
            while theirs.read_u8().await.is_ok() {
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        });
        let began = Instant::now();
        let error = patient.write_all(&[7; 1024]).await.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::TimedOut);
        assert!(began.elapsed() < Duration::from_secs(5));
        drop(patient);
        drip.await.unwrap();
    }
}
