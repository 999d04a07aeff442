//! Lines of a body, as they come in pieces.

/// Most octets of a line: an event of 32 KiB, written with twice as many.
pub(super) const MAX_LINE: usize = 64 * 1024;

/// What came of a body and was not taken yet.
#[derive(Debug, Default)]
pub(super) struct Lines {
    octets: Vec<u8>,
    /// Where the next line begins, and up to where there is no end of it.
    start: usize,
    looked: usize,
    /// Whether a line is passed over that was too long.
    skipping: bool,
}

/// One line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Line {
    /// Without its end.
    Whole(Vec<u8>),
    /// Longer than any may be. What it was is gone.
    TooLong,
}

impl Line {
    pub(super) const fn len(&self) -> usize {
        match self {
            Self::Whole(octets) => octets.len(),
            Self::TooLong => 0,
        }
    }
}

impl Lines {
    pub(super) fn push(&mut self, octets: &[u8]) {
        self.octets.drain(..self.start);
        (self.looked, self.start) = (self.looked - self.start, 0);
        self.octets.extend_from_slice(octets);
    }

    /// The next line that came whole.
    pub(super) fn next(&mut self) -> Option<Line> {
        let rest = self.octets.get(self.looked..).unwrap_or_default();
        let Some(length) = rest.iter().position(|octet| *octet == b'\n') else {
            self.looked = self.octets.len();
            if self.looked - self.start > MAX_LINE {
                (self.skipping, self.start) = (true, self.looked);
            }
            return None;
        };
        let end = self.looked + length;
        let line = self.line(end);
        (self.start, self.looked) = (end + 1, end + 1);
        Some(line)
    }

    /// What came after the last end of a line; nothing if that is empty.
    pub(super) fn last(&mut self) -> Option<Line> {
        let end = self.octets.len();
        let is_empty = !self.skipping && self.start == end;
        let line = self.line(end);
        (self.start, self.looked) = (end, end);
        (!is_empty).then_some(line)
    }

    fn line(&mut self, end: usize) -> Line {
        let skipped = std::mem::take(&mut self.skipping);
        match self.octets.get(self.start..end) {
            Some(line) if !skipped && line.len() <= MAX_LINE => Line::Whole(line.to_vec()),
            _ => Line::TooLong,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all(pieces: &[&[u8]]) -> Vec<Line> {
        let (mut lines, mut found) = (Lines::default(), Vec::new());
        for piece in pieces {
            lines.push(piece);
            found.extend(std::iter::from_fn(|| lines.next()));
        }
        found.extend(lines.last());
        assert!(lines.octets.len() <= MAX_LINE + pieces.iter().map(|piece| piece.len()).max().unwrap_or(0));
        found
    }

    fn whole(lines: &[&str]) -> Vec<Line> {
        lines.iter().map(|line| Line::Whole(line.as_bytes().to_vec())).collect()
    }

    #[test]
    fn lines_are_the_same_however_they_are_cut() {
        let text = b"{\"a\":1}\n\n{\"b\":2}\r\nlast";
        let expected = whole(&["{\"a\":1}", "", "{\"b\":2}\r", "last"]);
        assert_eq!(all(&[text]), expected);
        for at in 0..=text.len() {
            let (one, other) = text.split_at(at);
            assert_eq!(all(&[one, other]), expected, "{at}");
        }
        let octets: Vec<_> = text.chunks(1).collect();
        assert_eq!(all(&octets), expected);
        assert_eq!((all(&[]), all(&[b""]), all(&[b"x\n"])), (vec![], vec![], whole(&["x"])));
    }

    #[test]
    fn a_line_that_is_too_long_costs_itself_alone_and_no_memory() {
        let (long, fits) = ("x".repeat(MAX_LINE + 1), "y".repeat(MAX_LINE));
        let text = format!("a\n{long}\n{fits}\nb");
        let expected = [whole(&["a"]), vec![Line::TooLong], whole(&[&fits, "b"])].concat();
        assert_eq!(all(&[text.as_bytes()]), expected);
        let pieces: Vec<_> = text.as_bytes().chunks(1_000).collect();
        assert_eq!(all(&pieces), expected);
        let endless: Vec<_> = (0..100).map(|_| long.as_bytes()).collect();
        assert_eq!(all(&endless), [Line::TooLong]);
    }
}
