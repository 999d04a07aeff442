//! The leaf: deterministic CBOR (RFC 8949, 4.2.1), integer keys, no floats, at most 512 octets.
//!
//! Stored once and never encoded again: what is hashed is what is kept. Field numbers and vectors
//! stand in `docs/AUDIT-LOG.md`. Decoding accepts exactly what encoding writes.

use hmac::{Hmac, KeyInit, Mac};
use minicbor::{Decoder, Encoder};

use crate::event::{Attribution, EventKind, Facts, Outcome};
use crate::id::{AgentId, Serial};
use crate::risk::Score;
use crate::scope::Action;
use crate::time::UnixTime;

/// Most octets of a leaf.
pub const MAX_LEAF_LEN: usize = 512;
/// Most octets of a name that stands in a leaf (tool, subject, correlation).
pub const MAX_LEAF_NAME_LEN: usize = 64;
/// The version of this format.
pub const VERSION: u64 = 1;
/// Kinds from here on may be passed over by a reader that does not know them.
pub const FIRST_ANCILLARY_KIND: u16 = 0x8000;

/// One leaf, decoded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Leaf {
    /// Kind of record.
    pub kind: u16,
    /// The log's time, never decreasing within a log.
    pub time: UnixTime,
    /// The agent it concerns.
    pub agent: Option<AgentId>,
    /// The certificate it concerns.
    pub serial: Option<Serial>,
    /// What an agent did, if that is what the record is about.
    pub act: Option<Act>,
    /// Salted commitment to the payload that lies beside the log.
    pub commitment: Option<[u8; 32]>,
}

/// What an agent did, as far as it stands in the leaf.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Act {
    /// On whose behalf.
    pub subject: Option<String>,
    /// With which tool.
    pub tool: Option<String>,
    /// What.
    pub action: Action,
    /// Correlation with other records.
    pub correlation: Option<String>,
    /// How sure it is that it was the agent.
    pub attribution: Attribution,
    /// The score after it, if it was scored.
    pub score: Option<Score>,
    /// The facts a risk model reads; action, outcome and flags are among them.
    pub facts: Facts,
    /// Stream and number, by which it is recorded once.
    pub stream: Option<(u64, u64)>,
    /// Token of the reporter's own identifier.
    pub client_id: Option<u64>,
    /// Token of who reported it; `None` for the process that embeds the deployment.
    pub reporter: Option<u64>,
    /// Whether `client_id` is of the nonce of the signature that showed the act, which is good once.
    pub once: bool,
}

/// Why octets are not a leaf.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum LeafError {
    /// Not the deterministic CBOR of a leaf.
    #[error("this is not a leaf of this log format")]
    Malformed,
    /// More than [`MAX_LEAF_LEN`] octets.
    #[error("a leaf would have more than {MAX_LEAF_LEN} bytes; shorten the action or its names")]
    TooLong,
    /// A later format version.
    #[error("the leaf is of a later format; update the reader")]
    Version,
}

impl Leaf {
    /// Encodes the leaf.
    ///
    /// # Errors
    /// [`LeafError::TooLong`].
    pub fn encode(&self) -> Result<Vec<u8>, LeafError> {
        let Self { kind, time, agent, serial, act, commitment } = self;
        encode(*kind, *time, (agent.as_ref(), serial.as_ref()), act.as_ref(), commitment.as_ref())
    }

    /// Decodes a leaf.
    ///
    /// # Errors
    /// [`LeafError`] on anything that [`Leaf::encode`] would not write.
    pub fn decode(octets: &[u8]) -> Result<Self, LeafError> {
        if octets.len() > MAX_LEAF_LEN {
            return Err(LeafError::TooLong);
        }
        let leaf = read(octets)?;
        // One comparison refuses every other spelling: long integers, other orders, trailing octets.
        if leaf.encode()? == octets { Ok(leaf) } else { Err(LeafError::Malformed) }
    }

    /// Whether a reader that does not know this kind must stop.
    #[must_use]
    pub const fn is_critical(&self) -> bool {
        self.kind < FIRST_ANCILLARY_KIND
    }
}

/// Encodes a leaf whose parts lie elsewhere.
pub(crate) fn encode(
    kind: u16,
    time: UnixTime,
    whose: (Option<&AgentId>, Option<&Serial>),
    act: Option<&Act>,
    commitment: Option<&[u8; 32]>,
) -> Result<Vec<u8>, LeafError> {
    let mut out = Vec::with_capacity(256);
    // Writing to a Vec cannot fail; an error here would be a fault of this function.
    write(kind, time, whose, act, commitment, &mut Encoder::new(&mut out))
        .map_err(|_| LeafError::Malformed)?;
    if out.len() > MAX_LEAF_LEN { Err(LeafError::TooLong) } else { Ok(out) }
}

/// The commitment to a payload: HMAC-SHA-256 under 32 random octets, so that it says nothing once
/// payload and salt are erased.
#[must_use]
pub fn commitment(salt: &[u8; 32], payload: &[u8]) -> [u8; 32] {
    Hmac::<sha2::Sha256>::new_from_slice(salt)
        .map_or([0; 32], |mac| mac.chain_update(payload).finalize().into_bytes().into())
}

type Written = Result<(), minicbor::encode::Error<core::convert::Infallible>>;

fn write(
    kind: u16,
    time: UnixTime,
    (agent, serial): (Option<&AgentId>, Option<&Serial>),
    act: Option<&Act>,
    commitment: Option<&[u8; 32]>,
    e: &mut Encoder<&mut Vec<u8>>,
) -> Written {
    let optional = [
        agent.is_some(),
        serial.is_some(),
        act.is_some_and(|a| a.subject.is_some()),
        act.is_some_and(|a| a.tool.is_some()),
        act.is_some(),
        act.is_some_and(|a| a.correlation.is_some()),
        act.is_some(),
        act.is_some_and(|a| a.score.is_some()),
        act.is_some(),
        act.is_some_and(|a| a.stream.is_some()),
        act.is_some_and(|a| a.client_id.is_some()),
        commitment.is_some(),
        act.is_some_and(|a| a.reporter.is_some()),
        act.is_some_and(|a| a.once),
    ];
    let present = optional.into_iter().map(u64::from).sum::<u64>();
    e.map(3 + present)?.u8(0)?.u64(VERSION)?.u8(1)?.u16(kind)?.u8(2)?.u64(time.millis())?;
    if let Some(agent) = agent {
        e.u8(3)?.bytes(agent.as_bytes())?;
    }
    if let Some(serial) = serial {
        e.u8(4)?.bytes(serial.as_bytes())?;
    }
    if let Some(act) = act {
        write_act(act, e)?;
    }
    if let Some(commitment) = commitment {
        e.u8(14)?.bytes(commitment)?;
    }
    if let Some(reporter) = act.and_then(|a| a.reporter) {
        e.u8(15)?.u64(reporter)?;
    }
    if act.is_some_and(|a| a.once) {
        e.u8(16)?.bool(true)?;
    }
    Ok(())
}

fn write_act(act: &Act, e: &mut Encoder<&mut Vec<u8>>) -> Written {
    if let Some(subject) = &act.subject {
        e.u8(5)?.str(subject)?;
    }
    if let Some(tool) = &act.tool {
        e.u8(6)?.str(tool)?;
    }
    e.u8(7)?.str(act.action.as_str())?;
    if let Some(correlation) = &act.correlation {
        e.u8(8)?.str(correlation)?;
    }
    e.u8(9)?.u8(attribution_code(act.attribution))?;
    if let Some(score) = act.score {
        e.u8(10)?.u32(score.millionths())?;
    }
    let f = &act.facts;
    e.u8(11)?.array(7)?;
    e.u8(kind_code(f.kind))?.u8(outcome_code(f.outcome))?;
    e.u8(u8::from(f.out_of_scope) | u8::from(f.auth_failure) << 1)?;
    optional(e, f.amount.map(u64::from))?;
    for token in [f.target, f.counterparty, f.session] {
        optional(e, token)?;
    }
    if let Some((stream, seq)) = act.stream {
        e.u8(12)?.array(2)?.u64(stream)?.u64(seq)?;
    }
    if let Some(id) = act.client_id {
        e.u8(13)?.u64(id)?;
    }
    Ok(())
}

fn optional(e: &mut Encoder<&mut Vec<u8>>, value: Option<u64>) -> Written {
    match value {
        Some(number) => e.u64(number)?,
        None => e.null()?,
    };
    Ok(())
}

impl From<minicbor::decode::Error> for LeafError {
    fn from(_: minicbor::decode::Error) -> Self {
        Self::Malformed
    }
}

fn read(octets: &[u8]) -> Result<Leaf, LeafError> {
    let mut d = Decoder::new(octets);
    let mut fields = d.map()?.ok_or(LeafError::Malformed)?;
    let mut key = Keys { left: &mut fields };
    let mut next = |d: &mut Decoder<'_>, wanted: u8| key.next(d, wanted);
    let required = |found: bool| if found { Ok(()) } else { Err(LeafError::Malformed) };

    required(next(&mut d, 0)?)?;
    if d.u64()? != VERSION {
        return Err(LeafError::Version);
    }
    required(next(&mut d, 1)?)?;
    let kind = d.u16()?;
    required(next(&mut d, 2)?)?;
    let time = UnixTime::from_millis(d.u64()?);
    let agent = if next(&mut d, 3)? { Some(AgentId::from_bytes(exact(d.bytes()?)?)) } else { None };
    let serial = match next(&mut d, 4)? {
        true => Some(Serial::from_bytes(exact(d.bytes()?)?).ok_or(LeafError::Malformed)?),
        false => None,
    };
    let subject = if next(&mut d, 5)? { Some(name(&mut d)?) } else { None };
    let tool = if next(&mut d, 6)? { Some(name(&mut d)?) } else { None };
    let action = match next(&mut d, 7)? {
        true => Some(Action::parse(d.str()?).map_err(|_| LeafError::Malformed)?),
        false => None,
    };
    let correlation = if next(&mut d, 8)? { Some(name(&mut d)?) } else { None };
    let attribution = if next(&mut d, 9)? { Some(attribution_of(d.u8()?)?) } else { None };
    let score = if next(&mut d, 10)? { Some(score_of(d.u32()?)?) } else { None };
    let facts = match (next(&mut d, 11)?, &action) {
        (true, Some(action)) => Some(read_facts(&mut d, action)?),
        (true, None) => return Err(LeafError::Malformed),
        (false, _) => None,
    };
    let stream = if next(&mut d, 12)? { Some(place_in_stream(&mut d)?) } else { None };
    let client_id = if next(&mut d, 13)? { Some(d.u64()?) } else { None };
    let commitment = if next(&mut d, 14)? { Some(exact(d.bytes()?)?) } else { None };
    let reporter = if next(&mut d, 15)? { Some(d.u64()?) } else { None };
    let once = if next(&mut d, 16)? { d.bool()? } else { false };
    required(fields == 0)?;
    let act = match (action, attribution, facts) {
        (Some(action), Some(attribution), Some(facts)) => Some(Act {
            subject,
            tool,
            action,
            correlation,
            attribution,
            score,
            facts,
            stream,
            client_id,
            reporter,
            once,
        }),
        _ => None,
    };
    // Parts of an act without the whole are caught by the comparison in `decode`.
    Ok(Leaf { kind, time, agent, serial, act, commitment })
}

fn place_in_stream(d: &mut Decoder<'_>) -> Result<(u64, u64), LeafError> {
    if d.array()? == Some(2) { Ok((d.u64()?, d.u64()?)) } else { Err(LeafError::Malformed) }
}

struct Keys<'k> {
    left: &'k mut u64,
}

impl Keys<'_> {
    // Whether the next key is `wanted`; if so it is taken.
    fn next(&mut self, d: &mut Decoder<'_>, wanted: u8) -> Result<bool, LeafError> {
        if *self.left == 0 {
            return Ok(false);
        }
        let found = d.probe().u8()? == wanted;
        if found {
            d.u8()?;
            *self.left -= 1;
        }
        Ok(found)
    }
}

fn read_facts(d: &mut Decoder<'_>, action: &Action) -> Result<Facts, LeafError> {
    if d.array()? != Some(7) {
        return Err(LeafError::Malformed);
    }
    let (kind, outcome, flags) = (kind_of(d.u8()?)?, outcome_of(d.u8()?)?, d.u8()?);
    let mut number = || -> Result<Option<u64>, LeafError> {
        if d.datatype()? == minicbor::data::Type::Null {
            d.null()?;
            return Ok(None);
        }
        Ok(Some(d.u64()?))
    };
    let amount = number()?.map(u8::try_from).transpose().map_err(|_| LeafError::Malformed)?;
    if amount.is_some_and(|a| a > 64) || flags > 3 {
        return Err(LeafError::Malformed);
    }
    Ok(Facts {
        kind,
        effect: crate::event::Effect::of(action),
        outcome,
        out_of_scope: flags & 1 != 0,
        auth_failure: flags & 2 != 0,
        amount,
        action: crate::event::action_token(action),
        target: number()?,
        counterparty: number()?,
        session: number()?,
    })
}

fn exact<const N: usize>(octets: &[u8]) -> Result<[u8; N], LeafError> {
    octets.try_into().map_err(|_| LeafError::Malformed)
}

fn name(d: &mut Decoder<'_>) -> Result<String, LeafError> {
    let text = d.str()?;
    if (1..=MAX_LEAF_NAME_LEN).contains(&text.len()) {
        Ok(text.to_owned())
    } else {
        Err(LeafError::Malformed)
    }
}

fn score_of(millionths: u32) -> Result<Score, LeafError> {
    let score = Score::from_millionths(millionths);
    if score.millionths() == millionths { Ok(score) } else { Err(LeafError::Malformed) }
}

macro_rules! codes {
    ($to:ident, $from:ident, $type:ty, $($variant:path = $code:literal),+) => {
        pub(crate) const fn $to(value: $type) -> u8 {
            match value {
                $($variant => $code,)+
            }
        }

        const fn $from(code: u8) -> Result<$type, LeafError> {
            match code {
                $($code => Ok($variant),)+
                _ => Err(LeafError::Malformed),
            }
        }
    };
}

codes!(
    kind_code,
    kind_of,
    EventKind,
    EventKind::ApiCall = 0,
    EventKind::DataAccess = 1,
    EventKind::DataMutation = 2,
    EventKind::Transaction = 3,
    EventKind::Authentication = 4,
    EventKind::MessageSigned = 5,
    EventKind::MessageVerificationFailed = 6,
    EventKind::Other = 7
);
codes!(outcome_code, outcome_of, Outcome, Outcome::Ok = 0, Outcome::Error = 1, Outcome::Denied = 2);
codes!(
    attribution_code,
    attribution_of,
    Attribution,
    Attribution::Asserted = 0,
    Attribution::Possession = 1,
    Attribution::Signed = 2
);
