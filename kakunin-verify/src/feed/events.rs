//! Server-sent events, as far as feeds need them: the data of each event.

use kakunin_core::feed::MAX_FRAME_LEN;

/// An event is longer than frames are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the stream has an event that is longer than frames are")]
pub struct TooLong;

/// Takes a stream apart, however it comes in pieces.
#[derive(Debug, Default)]
pub struct Events {
    /// The line that is not complete yet.
    line: Vec<u8>,
    data: Vec<u8>,
    /// Whether the event has a line of data, which may be empty.
    any: bool,
}

impl Events {
    /// Takes a piece in, and gives the data of the events that it completes.
    ///
    /// # Errors
    /// [`TooLong`]; the stream cannot be read on.
    pub fn push(&mut self, mut piece: &[u8]) -> Result<Vec<Vec<u8>>, TooLong> {
        let mut complete = Vec::new();
        while let Some(end) = piece.iter().position(|b| *b == b'\n') {
            let (head, rest) = piece.split_at(end);
            self.line.extend_from_slice(head);
            piece = rest.get(1..).unwrap_or_default();
            let line = std::mem::take(&mut self.line);
            complete.extend(self.take(line.strip_suffix(b"\r").unwrap_or(&line)));
            self.bounded()?;
        }
        self.line.extend_from_slice(piece);
        self.bounded()?;
        Ok(complete)
    }

    fn take(&mut self, line: &[u8]) -> Option<Vec<u8>> {
        if line.is_empty() {
            let data = std::mem::take(&mut self.data);
            return std::mem::take(&mut self.any).then_some(data);
        }
        if let Some(data) = line.strip_prefix(b"data:") {
            if self.any {
                self.data.push(b'\n');
            }
            self.any = true;
            self.data.extend_from_slice(data.strip_prefix(b" ").unwrap_or(data));
        }
        None
    }

    const fn bounded(&self) -> Result<(), TooLong> {
        if self.line.len() + self.data.len() > MAX_FRAME_LEN { Err(TooLong) } else { Ok(()) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn events_are_the_same_however_they_are_cut() {
        let stream = b": hello\r\nid: 1\ndata: one\ndata:two\n\nid: 2\n\ndata:\n\ndata: last";
        let whole = Events::default().push(stream).unwrap();
        assert_eq!(whole, [b"one\ntwo".to_vec(), b"".to_vec()]);
        for size in 1..stream.len() {
            let mut events = Events::default();
            let pieces: Vec<_> = stream.chunks(size).flat_map(|piece| events.push(piece).unwrap()).collect();
            assert_eq!(pieces, whole, "{size}");
        }
    }

    #[test]
    fn an_event_without_end_is_refused() {
        let (mut one, mut many) = (Events::default(), Events::default());
        let half = vec![b'x'; MAX_FRAME_LEN / 2 + 1];
        assert!(one.push(&half).is_ok());
        assert_eq!(one.push(&half), Err(TooLong));
        let line = [b"data: ", half.as_slice(), b"\n"].concat();
        assert!(many.push(&line).is_ok());
        assert_eq!(many.push(&line), Err(TooLong));
    }
}
