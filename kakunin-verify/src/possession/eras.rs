//! Which seconds were lived through already, by a clock that may be set: what a nonce that was forgotten in one of
//! them proved stays used.

/// Beyond this many, the two oldest become one: more than a clock is set in the life of a process.
const MOST: usize = 16;

/// Disjoint ranges of seconds, both ends in them, in order.
#[derive(Debug, Default)]
pub(super) struct Eras(Vec<(u64, u64)>);

impl Eras {
    /// Adds one second.
    pub(super) fn add(&mut self, second: u64) {
        let at = self.0.partition_point(|(_, last)| last.saturating_add(1) < second);
        match self.0.get_mut(at) {
            Some((first, last)) if first.saturating_sub(1) <= second => {
                (*first, *last) = ((*first).min(second), (*last).max(second));
                self.close_gap(at);
            }
            _ => self.0.insert(at, (second, second)),
        }
        if self.0.len() > MOST {
            let (first, _) = self.0.remove(0);
            if let Some(next) = self.0.first_mut() {
                next.0 = first;
            }
        }
    }

    pub(super) fn hold(&self, second: u64) -> bool {
        let at = self.0.partition_point(|(_, last)| *last < second);
        self.0.get(at).is_some_and(|(first, _)| *first <= second)
    }

    fn close_gap(&mut self, at: usize) {
        if let (Some((_, last)), Some((first, end))) = (self.0.get(at).copied(), self.0.get(at + 1).copied())
            && first <= last.saturating_add(1)
        {
            self.0.remove(at + 1);
            if let Some(range) = self.0.get_mut(at) {
                range.1 = range.1.max(end);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_lived_through_is_known_and_nothing_else() {
        let mut eras = Eras::default();
        for second in [10, 11, 13, 100, 12, 99, 101, 50, 10, u64::MAX, 0] {
            eras.add(second);
        }
        assert_eq!(eras.0, [(0, 0), (10, 13), (50, 50), (99, 101), (u64::MAX, u64::MAX)]);
        for (second, lived) in
            [(9, false), (10, true), (13, true), (14, false), (50, true), (98, false), (101, true)]
        {
            assert_eq!(eras.hold(second), lived, "{second}");
        }
    }

    #[test]
    fn only_the_oldest_become_one() {
        let mut eras = Eras::default();
        (0..1_000).for_each(|n| eras.add(n * 10));
        assert_eq!(eras.0.len(), MOST);
        assert!(eras.hold(5) && eras.hold(9_990) && !eras.hold(9_985) && !eras.hold(9_991));
    }
}
