//! What is stored of numbers and identifiers.

use super::numbers::{Numbers, Taken, Trace};
use crate::event::Token;
use crate::id::AgentId;
use crate::time::UnixTime;

/// The token of who reports; `None` for the process that embeds the deployment, and for whoever reported
/// before records said who.
pub(crate) type Reporter = Option<Token>;

/// One stored row.
pub(crate) struct Row {
    pub(crate) agent: AgentId,
    pub(super) by: Reporter,
    pub(super) number: u64,
    pub(super) what: What,
}

pub(super) enum What {
    Stream(Numbers),
    Id(UnixTime, Taken),
    Nonce(UnixTime),
}

pub(super) const STREAM: u8 = 0;
pub(super) const ID: u8 = 1;
pub(super) const NONCE: u8 = 2;

pub(super) fn row_key(agent: &AgentId, part: u8, by: Reporter, number: u64) -> Vec<u8> {
    let by = by.map(u64::to_be_bytes);
    let by = by.as_ref().map_or(&[][..], |by| by);
    [agent.as_bytes().as_slice(), &[part], by, &number.to_be_bytes()].concat()
}

impl Row {
    /// Reads a stored row; `now` is when streams were last used that were stored without it.
    pub(crate) fn read(key: &[u8], value: &[u8], now: UnixTime) -> Option<Self> {
        let (agent, rest) = key.split_first_chunk::<16>()?;
        let (part, rest) = rest.split_first()?;
        let (rest, number) = rest.split_last_chunk::<8>()?;
        let by = match rest {
            [] => None,
            by => Some(u64::from_be_bytes(by.try_into().ok()?)),
        };
        let what = match *part {
            STREAM if value.len().is_multiple_of(8) => What::Stream(Numbers::of_before(value, now)?),
            STREAM => What::Stream(Numbers::decode(value)?),
            ID => {
                let (at, taken) = value.split_first_chunk()?;
                let taken =
                    if taken.is_empty() { None } else { Some(Trace::decode(taken.try_into().ok()?)?) };
                What::Id(UnixTime::from_millis(u64::from_be_bytes(*at)), taken)
            }
            NONCE => What::Nonce(UnixTime::from_millis(u64::from_be_bytes(value.try_into().ok()?))),
            _ => return None,
        };
        Some(Self { agent: AgentId::from_bytes(*agent), by, number: u64::from_be_bytes(*number), what })
    }

    /// In which order they came: identifiers of one batch are of one time, and their records are not of one index. Streams
    /// come before all.
    pub(crate) fn order(&self) -> (UnixTime, u64) {
        match self.what {
            What::Stream(_) => (UnixTime::default(), 0),
            What::Id(at, taken) => (at, taken.map_or(0, |trace| trace.index)),
            What::Nonce(at) => (at, 0),
        }
    }
}
