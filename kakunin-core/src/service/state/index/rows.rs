//! The rows of segments and blocks.

use std::collections::BTreeMap;

use super::mark::Mark;
use super::{SEGMENT, SEGMENTS};
use crate::id::{AgentId, Serial};
use crate::log::leaf::Leaf;
use crate::store::state::{Change, Kind};

/// First octets of keys.
const OF_SEGMENT: u8 = 0;
const OF_BLOCK: u8 = 1;
/// Segments have places below this one in their block.
const PLACES: u8 = 16;

/// Whose records: all, an agent's, or a certificate's.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Subject {
    All,
    Agent([u8; 8]),
    Serial([u8; 8]),
}

impl Subject {
    /// The octets of its id that are drawn at random.
    pub(crate) fn agent(id: &AgentId) -> Self {
        let octets = id.as_bytes();
        Self::Agent(octets.last_chunk().copied().unwrap_or_default())
    }

    pub(crate) fn serial(serial: &Serial) -> Self {
        let octets = serial.as_bytes();
        Self::Serial(octets.first_chunk().copied().unwrap_or_default())
    }

    fn add_to(self, key: &mut Vec<u8>) {
        match self {
            Self::All => key.push(0),
            Self::Agent(octets) => {
                key.push(1);
                key.extend(octets);
            }
            Self::Serial(octets) => {
                key.push(2);
                key.extend(octets);
            }
        }
    }
}

/// What keys of the segments of a block begin with.
pub(crate) fn within(block: u64) -> Vec<u8> {
    let mut key = vec![OF_SEGMENT];
    key.extend(number(block));
    key
}

/// What keys of the segments of a block begin with that are this subject's.
pub(crate) fn segments_of(subject: Subject, block: u64) -> Vec<u8> {
    let mut key = within(block);
    subject.add_to(&mut key);
    key
}

/// The key of a segment, by its number in the log.
pub(crate) fn segment_key(subject: Subject, segment: u64) -> Vec<u8> {
    let mut key = segments_of(subject, segment / SEGMENTS);
    key.push(u8::try_from(segment % SEGMENTS).unwrap_or_default());
    key
}

/// What keys of this subject's blocks begin with.
pub(crate) fn blocks_of(subject: Subject) -> Vec<u8> {
    let mut key = vec![OF_BLOCK];
    subject.add_to(&mut key);
    key
}

pub(crate) fn block_key(subject: Subject, block: u64) -> Vec<u8> {
    let mut key = blocks_of(subject);
    key.extend(number(block));
    key
}

/// The block of a key that begins so.
pub(crate) fn block_of(prefix: &[u8], key: &[u8]) -> Option<u64> {
    let octets: [u8; 5] = key.strip_prefix(prefix)?.try_into().ok()?;
    let [a, b, c, d, e] = octets;
    Some(u64::from_be_bytes([0, 0, 0, a, b, c, d, e]))
}

/// The segment, by its number in the log, of a key of a block that begins so.
pub(crate) fn segment_of(prefix: &[u8], block: u64, key: &[u8]) -> Option<u64> {
    let [place]: [u8; 1] = key.strip_prefix(prefix)?.try_into().ok()?;
    (place < PLACES).then(|| block * SEGMENTS + u64::from(place))
}

/// The segment after the last one that a row of this key is about; nothing if this is no such key.
pub(crate) fn end_of(key: &[u8]) -> Option<u64> {
    let number = |octets: &[u8]| match octets {
        [a, b, c, d, e] => Some(u64::from_be_bytes([0, 0, 0, *a, *b, *c, *d, *e])),
        _ => None,
    };
    match key {
        [OF_SEGMENT, block @ .., place] if *place < PLACES => {
            Some(number(block.get(..5)?)? * SEGMENTS + u64::from(*place) + 1)
        }
        [OF_BLOCK, rest @ ..] => Some((number(rest.last_chunk::<5>()?)? + 1) * SEGMENTS),
        _ => None,
    }
}

/// Blocks are 65,536 records: their numbers end where those of records do that can be stored.
const fn number(block: u64) -> [u8; 5] {
    let [_, _, _, octets @ ..] = block.to_be_bytes();
    octets
}

/// What the records of a segment are found as.
#[derive(Debug, Default)]
pub(crate) struct Segment(BTreeMap<Subject, Vec<u8>>);

impl Segment {
    /// Takes the record at a place of the segment.
    pub(crate) fn take(&mut self, place: u16, leaf: &Leaf) {
        let [a, b] = place.to_be_bytes();
        let [c, d] = Mark::of(leaf).octets();
        let agent = leaf.agent.as_ref().map(Subject::agent);
        let serial = leaf.serial.as_ref().map(Subject::serial);
        for subject in [Some(Subject::All), agent, serial].into_iter().flatten() {
            self.0.entry(subject).or_default().extend([a, b, c, d]);
        }
    }

    /// Its rows.
    pub(crate) fn rows(self, segment: u64) -> Vec<Change> {
        self.0.into_iter().map(|(subject, value)| row(segment_key(subject, segment), value)).collect()
    }
}

/// Indices of the records of a segment whose marks are wanted, rising; nothing if this is no such row.
pub(crate) fn indices(segment: u64, value: &[u8], wanted: impl Fn(Mark) -> bool) -> Option<Vec<u64>> {
    let first = segment * SEGMENT;
    let (fours, rest) = value.as_chunks::<4>();
    let found = fours.iter().filter(|[_, _, kind, score]| wanted(Mark::from_octets([*kind, *score])));
    let found = found.map(|[a, b, ..]| first + u64::from(u16::from_be_bytes([*a, *b]))).collect::<Vec<_>>();
    let whole = rest.is_empty() && !value.is_empty() && found.is_sorted_by(|a, b| a < b);
    (whole && found.last().is_none_or(|last| *last < first + SEGMENT)).then_some(found)
}

/// Segments, by their numbers in the log, of a block in which coarse marks occur that are wanted; nothing if this is no
/// such row.
pub(crate) fn segments(block: u64, value: &[u8], wanted: impl Fn(Mark) -> bool) -> Option<Vec<u64>> {
    let (fours, rest) = value.as_chunks::<4>();
    if !rest.is_empty() || value.is_empty() {
        return None;
    }
    let matching = fours.iter().filter(|[kind, score, ..]| wanted(Mark::from_octets([*kind, *score])));
    let bits = matching.fold(0, |all, [_, _, a, b]| all | u16::from_be_bytes([*a, *b]));
    Some((0..SEGMENTS).filter(|n| bits >> n & 1 == 1).map(|n| block * SEGMENTS + n).collect())
}

/// Makes the rows of a block from those of its segments, which come in the order of their keys.
#[derive(Debug)]
pub(crate) struct Block {
    number: u64,
    /// The key's subject of those that are being gathered.
    subject: Vec<u8>,
    marks: BTreeMap<Mark, u16>,
}

impl Block {
    pub(crate) const fn new(number: u64) -> Self {
        Self { number, subject: Vec::new(), marks: BTreeMap::new() }
    }

    /// Takes the next row of a segment; gives the row of the subject before, once it is whole.
    pub(crate) fn take(&mut self, key: &[u8], value: &[u8]) -> Option<Change> {
        let (place, subject) = key.strip_prefix(within(self.number).as_slice())?.split_last()?;
        let whole = if subject == self.subject { None } else { self.end() };
        self.subject = subject.to_vec();
        let bit = 1_u16.checked_shl(u32::from(*place)).unwrap_or_default();
        for [_, _, kind, score] in value.as_chunks::<4>().0 {
            *self.marks.entry(Mark::from_octets([*kind, *score]).coarse()).or_default() |= bit;
        }
        whole
    }

    /// The row of the last subject.
    pub(crate) fn end(&mut self) -> Option<Change> {
        let marks = core::mem::take(&mut self.marks);
        let mut key = vec![OF_BLOCK];
        key.append(&mut self.subject);
        key.extend(number(self.number));
        let value = marks.into_iter().flat_map(|(mark, segments)| {
            let ([a, b], [c, d]) = (mark.octets(), segments.to_be_bytes());
            [a, b, c, d]
        });
        let value: Vec<u8> = value.collect();
        (!value.is_empty()).then(|| row(key, value))
    }
}

fn row(key: Vec<u8>, value: Vec<u8>) -> Change {
    Change { kind: Kind::Index, key, value: Some(value) }
}
