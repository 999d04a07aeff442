//! Server-sent events (WHATWG HTML, 9.2.6), as far as a feed needs them: the data of each event.

use kakunin_core::feed::MAX_FRAME_LEN;

/// An event that is longer than frames are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("an event of the feed is longer than {MAX_FRAME_LEN} octets")]
pub(super) struct TooLong;

/// Parts a stream into events.
#[derive(Debug, Default)]
pub(super) struct Events {
    line: Vec<u8>,
    data: Vec<u8>,
}

impl Events {
    /// Takes more of the stream, and gives the data of the events that are whole.
    pub(super) fn push(&mut self, octets: &[u8]) -> Result<Vec<Vec<u8>>, TooLong> {
        let mut whole = Vec::new();
        for octet in octets {
            if *octet != b'\n' {
                self.line.push(*octet);
                if self.line.len() + self.data.len() > MAX_FRAME_LEN + 64 {
                    return Err(TooLong);
                }
                continue;
            }
            let line = std::mem::take(&mut self.line);
            let line = line.strip_suffix(b"\r").unwrap_or(&line);
            if line.is_empty() {
                whole.extend(Some(std::mem::take(&mut self.data)).filter(|data| !data.is_empty()));
            } else if let Some(value) = line.strip_prefix(b"data:") {
                if !self.data.is_empty() {
                    self.data.push(b'\n');
                }
                self.data.extend_from_slice(value.strip_prefix(b" ").unwrap_or(value));
            }
        }
        Ok(whole)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn events_are_whole_at_an_empty_line() {
        let stream = b": hello\n\nid: 7\nevent: frame\ndata: {\"a\":\ndata: 1}\n\ndata:x\r\n\r\ndata: rest";
        for step in 1..stream.len() {
            let mut events = Events::default();
            let all: Vec<_> = stream.chunks(step).flat_map(|some| events.push(some).unwrap()).collect();
            assert_eq!(all, [b"{\"a\":\n1}".to_vec(), b"x".to_vec()], "in steps of {step}");
        }
        assert_eq!(Events::default().push(&vec![b'a'; MAX_FRAME_LEN + 65]), Err(TooLong));
    }
}
