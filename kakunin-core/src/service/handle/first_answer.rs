//! The answer to an event that was recorded before: the first one, from what is on record.

use crate::log::entry::LogId;
use crate::log::record::{Body, Control, Evidence, Record};
use crate::risk::Family;
use crate::service::command::observe::{EventStatus, Observed};
use crate::service::effects::tenant::Tenant;
use crate::service::error::Error;
use crate::service::state::own::InForce;

/// Most records that follow from an event, with some to spare.
const FOLLOW: u64 = 16;
/// Most records read at once: what is sent again stands together.
const WINDOW: u64 = 1_024;

/// Some records, and the index of the first.
#[derive(Default)]
struct Window {
    first: u64,
    /// Up to where they were asked for: the log may end before.
    end: u64,
    records: Vec<Option<Record>>,
}

impl Tenant {
    /// Makes of each duplicate what was answered first. What cannot be read stays as it is: the event is on record.
    ///
    /// Of events that stand together each record is read once, and of one that stands alone those that may follow from it.
    pub(super) async fn as_first_answered(&self, each: &mut [Result<Observed, Error>]) {
        let again = each.iter_mut().flatten().filter(|observed| observed.status == EventStatus::Duplicate);
        let mut again: Vec<_> = again.filter_map(|observed| Some((observed.index?, observed))).collect();
        again.sort_unstable_by_key(|(index, _)| *index);
        let indices: Vec<_> = again.iter().map(|(index, _)| *index).collect();
        let Ok(tenant) = self.inner.tenant(&self.id).await else { return };
        let (log, mut window) = (LogId::Tenant(self.id.clone()), Window::default());
        for (at, (index, observed)) in again.into_iter().enumerate() {
            if !window.has(index) {
                let end = end_of(indices.get(at..).unwrap_or_default());
                let count = usize::try_from(end - index).unwrap_or(usize::MAX);
                let Ok(entries) = self.inner.parts.sink.read_leaves(&log, index, count).await else {
                    continue;
                };
                let records = entries.iter().map(|entry| Record::open(entry).ok()).collect();
                window = Window { first: index, end, records };
            }
            let [Some(Record { time, body: Body::Event(act, _), .. }), then @ ..] = window.from(index) else {
                continue;
            };
            let score = act.score.unwrap_or(observed.score);
            let default = &self.inner.settings.policy;
            let policy = InForce::before(&tenant.committed.read().own, index, default).policy;
            let band = policy.thresholds.band(score);
            let (revoked, held) = (false, false);
            *observed = Observed { at: *time, score, band, revoked, held, evidence: [0; 4], ..*observed };
            let controls = then.iter().map_while(|record| match &record.as_ref()?.body {
                Body::Control(control) => Some(&**control),
                Body::Event(..) => None,
            });
            controls.for_each(|control| follows(observed, index, control));
        }
    }
}

/// Up to where records are read for the first of these, which rise, and for those that stand close behind.
fn end_of(indices: &[u64]) -> u64 {
    let first = indices.first().copied().unwrap_or_default();
    let after = |index: u64| index.saturating_add(FOLLOW + 1);
    let most = first.saturating_add(WINDOW - FOLLOW);
    let close = |end: u64, index: &u64| (*index <= end && *index < most).then(|| after(*index));
    indices.iter().try_fold(after(first), |end, index| close(end, index).ok_or(end)).unwrap_or_else(|end| end)
}

impl Window {
    fn has(&self, index: u64) -> bool {
        index >= self.first && index.saturating_add(FOLLOW) < self.end
    }

    fn from(&self, index: u64) -> &[Option<Record>] {
        let at = index.checked_sub(self.first).and_then(|at| usize::try_from(at).ok());
        at.and_then(|at| self.records.get(at..)).unwrap_or_default()
    }
}

/// Adds what a record says that followed from the event.
fn follows(observed: &mut Observed, event: u64, control: &Control) {
    let because = |evidence: &Evidence| evidence.event == event;
    match control {
        Control::BandChanged { to, evidence, .. } if because(evidence) => {
            (observed.band, observed.evidence) = (*to, by_family(evidence));
        }
        Control::CertificateRevoked { evidence: Some(evidence), .. } if because(evidence) => {
            (observed.revoked, observed.evidence) = (true, by_family(evidence));
        }
        Control::CertificateHeld { braked: Some(braked), .. } if because(&braked.evidence) => {
            (observed.held, observed.evidence) = (true, by_family(&braked.evidence));
        }
        _ => {}
    }
}

fn by_family(evidence: &Evidence) -> [u32; 4] {
    let of = |family: &Family| evidence.families.iter().find(|(named, _)| named == family);
    let mut each = [0; 4];
    each.iter_mut().zip(Family::ALL).for_each(|(share, family)| {
        *share = of(family).map_or(0, |(_, score)| score.millionths());
    });
    each
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_stands_together_is_read_once_and_what_is_alone_costs_what_may_follow() {
        let read = |indices: &[u64]| {
            let (mut end, mut all) = (0, 0);
            for (at, index) in indices.iter().enumerate() {
                if index + FOLLOW >= end {
                    end = end_of(&indices[at..]);
                    assert!(end - index <= WINDOW + 1 && end > index + FOLLOW, "{index}");
                    all += end - index;
                }
            }
            all
        };
        let spread = |by: u64| (1..=1_000).map(|n| n * by).collect::<Vec<_>>();
        assert_eq!([spread(1), spread(2)].map(|all| read(&all)), [1_016, 2_030]);
        assert_eq!(read(&spread(10_000)), 17_000);
        assert_eq!(read(&[5, 5, 5]), 17, "one event, sent three times");
        assert_eq!(read(&[u64::MAX - 40]), 17);
    }
}
