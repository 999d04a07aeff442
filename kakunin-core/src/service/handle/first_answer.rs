//! The answer to an event that was recorded before: the first one, from what is on record.

use crate::log::entry::LogId;
use crate::log::record::{Body, Control, Evidence, Record};
use crate::risk::Family;
use crate::service::command::observe::{EventStatus, Observed};
use crate::service::effects::tenant::Tenant;
use crate::service::error::Error;

/// Most records that follow from an event, with some to spare.
const FOLLOW: usize = 16;
/// Records read at once: what is sent again stands together.
const WINDOW: usize = 256;

/// Some records, and the index of the first.
#[derive(Default)]
struct Window {
    first: u64,
    records: Vec<Option<Record>>,
}

impl Tenant {
    /// Makes of each duplicate what was answered first. What cannot be read stays as it is: the event is on record.
    pub(super) async fn as_first_answered(&self, each: &mut [Result<Observed, Error>]) {
        let again = each.iter_mut().flatten().filter(|observed| observed.status == EventStatus::Duplicate);
        let (log, mut window) = (LogId::Tenant(self.id.clone()), Window::default());
        let mut policy = None;
        for observed in again {
            let Some(index) = observed.index else { continue };
            if policy.is_none() {
                policy = self.policy().await.ok().map(|in_force| in_force.policy);
            }
            if window.from(index).len() <= FOLLOW {
                let Ok(entries) = self.inner.parts.sink.read_leaves(&log, index, WINDOW).await else {
                    continue;
                };
                let records = entries.iter().map(|entry| Record::open(entry).ok()).collect();
                window = Window { first: index, records };
            }
            let [Some(Record { time, body: Body::Event(act, _), .. }), then @ ..] = window.from(index) else {
                continue;
            };
            let Some(policy) = &policy else { continue };
            let score = act.score.unwrap_or(observed.score);
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

impl Window {
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
