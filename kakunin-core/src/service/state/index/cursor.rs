//! Up to where a log is indexed.

use super::SEGMENT;
use crate::store::state::{Change, Kind};

/// Key of its row.
pub(crate) const KEY: &[u8] = b"index";
/// Damaged segments that are known apart; whoever looks for what is in others sees no more of them.
const MAX_DAMAGED: usize = 1_024;

/// Up to where a log is indexed, and what of it is not.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Indexed {
    /// Records below it are: a multiple of a segment.
    pub(crate) level: u64,
    /// The sum of the MACs of the rows that say so: whoever takes one away or puts one back is found out.
    pub(crate) sum: u128,
    /// Segments with records that could not be read: nobody knows whose they are.
    pub(crate) damaged: Vec<u64>,
}

impl Indexed {
    /// The number of the segment that comes next.
    pub(crate) const fn next(&self) -> u64 {
        self.level / SEGMENT
    }

    /// One more segment is indexed, with rows whose MACs have this sum.
    pub(crate) fn advance(&mut self, damaged: bool, sum: u128) {
        if damaged && self.damaged.len() < MAX_DAMAGED {
            self.damaged.push(self.next());
        }
        self.sum = self.sum.wrapping_add(sum);
        self.level += SEGMENT;
    }

    /// As a row: the level (8 octets), the sum (16), damaged segments (8 each).
    pub(crate) fn row(&self) -> Change {
        let mut value = self.level.to_be_bytes().to_vec();
        value.extend(self.sum.to_be_bytes());
        value.extend(self.damaged.iter().flat_map(|segment| segment.to_be_bytes()));
        Change { kind: Kind::Cursor, key: KEY.to_vec(), value: Some(value) }
    }

    /// From a row; nothing if it is none.
    pub(crate) fn from_row(value: &[u8]) -> Option<Self> {
        let (level, rest) = value.split_first_chunk()?;
        let (sum, rest) = rest.split_first_chunk()?;
        let (damaged, []) = rest.as_chunks::<8>() else { return None };
        let (level, sum) = (u64::from_be_bytes(*level), u128::from_be_bytes(*sum));
        let damaged = damaged.iter().map(|octets| u64::from_be_bytes(*octets)).collect();
        level.is_multiple_of(SEGMENT).then_some(Self { level, sum, damaged })
    }
}
