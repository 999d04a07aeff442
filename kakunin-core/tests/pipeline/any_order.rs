//! Whoever comes, goes and is told in any order, and whatever becomes of writes: what was acknowledged is in the log once,
//! where its caller was told, and nothing is there that nobody sent.

use std::collections::HashMap;

use kakunin_core::service::EventStatus;

use crate::gate::{Ends, World};

/// xorshift64.
struct Chance(u64);

impl Chance {
    fn of(&mut self, many: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % many
    }
}

#[test]
fn what_is_acknowledged_is_recorded_once_and_in_order_whatever_fails() {
    for seed in 1..=60 {
        let mut chance = Chance(seed ^ 0x9e37_79b9_7f4a_7c15);
        let w = World::new();
        w.gate.shut();
        let (mut callers, mut acknowledged, mut sent, mut through) = (Vec::new(), HashMap::new(), 0, 0);
        for _ in 0..80 {
            match chance.of(8) {
                // Some are sent twice.
                0..=2 => {
                    sent += u64::from(sent == 0 || chance.of(4) > 0);
                    callers.push((sent, w.observes(sent)));
                }
                3 | 4 if through < w.gate.begun() => {
                    let ends = [Ends::Well, Ends::Well, Ends::Well, Ends::Full, Ends::Gone, Ends::Lost];
                    w.gate.let_through(through, ends[usize::try_from(chance.of(6)).unwrap()]);
                    through += 1;
                }
                5 if !callers.is_empty() && chance.of(3) == 0 => {
                    let gone = usize::try_from(chance.of(u64::try_from(callers.len()).unwrap())).unwrap();
                    // If it was writing its append never ends.
                    drop(callers.swap_remove(gone));
                }
                _ => {}
            }
            callers.retain_mut(|(seq, caller)| settle(&mut acknowledged, *seq, caller.told()));
        }
        w.gate.open();
        while !callers.is_empty() {
            callers.retain_mut(|(seq, caller)| settle(&mut acknowledged, *seq, caller.told()));
        }
        let recorded = w.recorded();
        let by_seq: HashMap<_, _> = recorded.iter().copied().collect();
        assert_eq!(by_seq.len(), recorded.len(), "seed {seed}: something is recorded twice");
        for (seq, index) in acknowledged {
            assert_eq!(by_seq.get(&seq), Some(&index), "seed {seed}: {seq}");
        }
        assert!(by_seq.keys().all(|seq| *seq <= sent), "seed {seed}");
        w.assert_level();
    }
}

/// Takes down what a caller was told; whether it still waits.
fn settle(
    acknowledged: &mut HashMap<u64, u64>,
    seq: u64,
    told: Option<Result<kakunin_core::service::Observed, kakunin_core::service::Error>>,
) -> bool {
    match told {
        None => return true,
        Some(Ok(observed)) => {
            assert!(matches!(observed.status, EventStatus::Scored | EventStatus::Duplicate));
            let index = observed.index.unwrap();
            assert_eq!(*acknowledged.entry(seq).or_insert(index), index, "{seq} is in two places");
        }
        Some(Err(error)) => assert!(error.code().starts_with("storage_"), "{error}"),
    }
    false
}
