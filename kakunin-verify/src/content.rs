//! Content of signed requests, read and checked before anybody acts on it.

use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use pin_project_lite::pin_project;

use crate::denied::{Code, Denied};

pin_project! {
    /// The content of a request behind an [`crate::layer::AgentLayer`]: as it comes, or as it was read and found to be
    /// what the agent signed. Trailers are not signed, and left out then.
    #[derive(Debug)]
    pub struct Content<B> {
        #[pin]
        coming: Option<B>,
        read: Bytes,
    }
}

impl<B> Content<B> {
    pub(crate) const fn coming(body: B) -> Self {
        Self { coming: Some(body), read: Bytes::new() }
    }

    pub(crate) fn read(octets: Vec<u8>) -> Self {
        Self { coming: None, read: octets.into() }
    }
}

impl<B: Body<Data = Bytes>> Body for Content<B> {
    type Data = Bytes;
    type Error = B::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, B::Error>>> {
        let this = self.project();
        if let Some(body) = this.coming.as_pin_mut() {
            return body.poll_frame(cx);
        }
        let all = std::mem::take(this.read);
        Poll::Ready((!all.is_empty()).then(|| Ok(Frame::data(all))))
    }

    fn is_end_stream(&self) -> bool {
        self.coming.as_ref().map_or(self.read.is_empty(), Body::is_end_stream)
    }

    fn size_hint(&self) -> SizeHint {
        let read = || SizeHint::with_exact(u64::try_from(self.read.len()).unwrap_or(u64::MAX));
        self.coming.as_ref().map_or_else(read, Body::size_hint)
    }
}

/// Reads on, until all of `body` is in `octets`, or more than `most` would be.
pub(crate) fn poll_read<B: Body<Data = Bytes>>(
    mut body: Pin<&mut B>,
    octets: &mut Vec<u8>,
    most: usize,
    cx: &mut Context<'_>,
) -> Poll<Result<(), Denied>> {
    loop {
        match ready!(body.as_mut().poll_frame(cx)) {
            None => return Poll::Ready(Ok(())),
            Some(Err(_)) => return Poll::Ready(Err(Denied::about(Code::PossessionInvalid, "content"))),
            Some(Ok(frame)) => {
                let Ok(data) = frame.into_data() else { continue };
                if octets.len().saturating_add(data.len()) > most {
                    return Poll::Ready(Err(Denied::new(Code::ContentTooLarge)));
                }
                octets.extend_from_slice(&data);
            }
        }
    }
}
