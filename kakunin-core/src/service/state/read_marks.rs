//! Which items of the inbox somebody has read: all up to one, and some above it.

use std::collections::BTreeSet;

use super::rows::set;
use crate::error::StoreError;
use crate::event::ShortName;
use crate::service::limits::MAX_READ_MARKS;
use crate::store::state::{Change, Kind};

/// What somebody has read. It follows from no log and is not made anew: whoever loses it sees items as new again.
#[derive(Clone, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub(crate) struct ReadMarks {
    /// Every item below this index.
    pub(crate) below: u64,
    /// Items at these, none of them below.
    pub(crate) single: BTreeSet<u64>,
}

impl ReadMarks {
    pub(crate) fn has(&self, index: u64) -> bool {
        index < self.below || self.single.contains(&index)
    }

    /// Marks all items below an index.
    pub(crate) fn raise(&mut self, below: u64) {
        self.below = self.below.max(below);
        self.single = self.single.split_off(&self.below);
    }

    /// Marks the item at an index.
    pub(crate) fn add(&mut self, index: u64) {
        if !self.has(index) {
            self.single.insert(index);
        }
    }

    /// Whether they are as few as are kept.
    pub(crate) fn fit(&self) -> bool {
        self.single.len() <= MAX_READ_MARKS
    }

    /// Those of a row; nothing is read if there is none, or it does not decode.
    pub(crate) fn of_row(row: Option<&[u8]>) -> Self {
        row.and_then(|row| serde_json::from_slice(row).ok()).unwrap_or_default()
    }

    pub(crate) fn change(&self, who: Option<&ShortName>) -> Result<Change, StoreError> {
        set(Kind::ReadMark, key(who), self)
    }
}

/// Whose row: a name, or nobody's, which is that of the process.
pub(crate) fn key(who: Option<&ShortName>) -> Vec<u8> {
    who.map_or_else(|| vec![0], |who| who.as_str().as_bytes().to_vec())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn marks_grow_within_bounds_and_what_is_below_is_forgotten() {
        let mut marks = ReadMarks::default();
        [7, 7, 3].into_iter().for_each(|index| marks.add(index));
        assert_eq!((marks.has(7), marks.has(5), marks.single.len()), (true, false, 2));
        marks.raise(5);
        assert!(marks.has(3) && marks.has(4) && !marks.has(5) && marks.single.len() == 1);
        marks.raise(2);
        assert_eq!(marks.below, 5, "nothing is unread again");
        let most = u64::try_from(MAX_READ_MARKS).unwrap();
        (1..most).for_each(|n| marks.add(9_007_199_254_000_000 + n));
        assert!(marks.fit() && marks.single.len() == MAX_READ_MARKS);
        let row = marks.change(None).unwrap().value.unwrap();
        assert!(row.len() < 1 << 15 && ReadMarks::of_row(Some(&row)) == marks);
        marks.add(4);
        assert!(marks.fit(), "it is read anyway");
        marks.add(6);
        assert!(!marks.fit());
        assert_eq!(ReadMarks::of_row(Some(b"{")), ReadMarks::default());
    }
}
