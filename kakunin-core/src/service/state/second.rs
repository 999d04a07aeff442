//! What a second model makes of an agent: it runs beside the one that decides, and only reports.

use std::sync::Arc;

use crate::event::Facts;
use crate::risk::{Family, History, ModelId, Prior, RiskModel, Score};
use crate::time::UnixTime;

/// The agent's history and score by the second model, since that runs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Second {
    pub(crate) model: ModelId,
    pub(crate) score: Score,
    evidence: [u32; 4],
    history: History,
}

impl Second {
    /// Takes an event in. What another model, or another version, made of the agent before is forgotten.
    pub(crate) fn record(
        this: &mut Option<Arc<Self>>,
        model: &dyn RiskModel,
        prior: &Prior,
        (at, facts): (UnixTime, &Facts),
    ) {
        let id = model.id();
        let before = this.take().filter(|before| before.model == id).map(Arc::unwrap_or_clone);
        let mut history = before.map(|before| before.history).unwrap_or_default();
        let assessment = model.assess(&history, prior, at, facts);
        history.record(model, at, facts, &assessment);
        let (score, evidence) = (assessment.score, assessment.evidence);
        *this = Some(Arc::new(Self { model: id, score, evidence, history }));
    }

    /// What was suspicious is so no more.
    pub(crate) fn dismiss(this: &mut Option<Arc<Self>>) {
        if let Some(second) = this.as_mut().map(Arc::make_mut) {
            second.history.dismiss();
            (second.score, second.evidence) = (Score::default(), [0; 4]);
        }
    }

    /// What each family contributes, strongest first.
    pub(crate) fn families(&self) -> Vec<(Family, Score)> {
        Family::ranked(&self.evidence)
    }

    /// `length of the model's name (2) || name || score and evidence (5 x 4) || history`.
    pub(crate) fn encode(&self) -> Vec<u8> {
        let name = self.model.0.as_bytes();
        let length = u16::try_from(name.len()).unwrap_or(u16::MAX);
        let mut out = length.to_be_bytes().to_vec();
        out.extend(name.iter().take(length.into()));
        let numbers = [self.score.millionths()].into_iter().chain(self.evidence);
        out.extend(numbers.flat_map(u32::to_be_bytes));
        out.extend(self.history.encode());
        out
    }

    pub(crate) fn decode(octets: &[u8]) -> Option<Self> {
        let (length, rest) = octets.split_first_chunk::<2>()?;
        let (name, rest) = rest.split_at_checked(u16::from_be_bytes(*length).into())?;
        let (numbers, history) = rest.split_at_checked(20)?;
        let mut numbers = numbers.as_chunks::<4>().0.iter().map(|number| u32::from_be_bytes(*number));
        let score = Score::from_millionths(numbers.next()?);
        let mut evidence = [0; 4];
        evidence.iter_mut().zip(numbers).for_each(|(to, from)| *to = from);
        let model = ModelId(core::str::from_utf8(name).ok()?.to_owned());
        Some(Self { model, score, evidence, history: History::decode(history)? })
    }
}
