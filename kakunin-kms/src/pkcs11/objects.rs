//! What a key is on the token: a private and a public object with one identifier, and labels that say how
//! it stands.

use aws_lc_rs::digest::{SHA256, digest};
use cryptoki::mechanism::rsa::{PkcsMgfType, PkcsPssParams};
use cryptoki::mechanism::{Mechanism, MechanismType};
use cryptoki::object::{Attribute, AttributeType, ObjectClass, ObjectHandle};
use cryptoki::session::Session;
use kakunin_core::key::{KeyAlgorithm, PlannedKeyId, SignError, Signature, Spki};
use kakunin_core::x509::der::{Reader, Writer};
use kakunin_core::x509::oid;

use super::reference::reference;
use super::token::Fault;

/// Labels of private objects.
const ENABLED: &[u8] = b"kakunin key";
const DISABLED: &[u8] = b"kakunin disabled key";
/// Labels of public objects.
const STANDING: &[u8] = b"kakunin public key";
const RETIRED: &[u8] = b"kakunin retired key";

/// OID of P-256, DER (RFC 5480, 2.1.1.1).
const P256: &[u8] = &[0x06, 8, 0x2a, 0x86, 0x48, 0xce, 0x3d, 3, 1, 7];

/// How a key stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum State {
    Enabled,
    Disabled,
    Retired,
}

/// How to sign.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Scheme {
    Pkcs1,
    Pss,
    Ecdsa,
}

pub(super) const fn makes(algorithm: KeyAlgorithm) -> bool {
    bits(algorithm).is_some() || matches!(algorithm, KeyAlgorithm::P256)
}

const fn bits(algorithm: KeyAlgorithm) -> Option<u64> {
    match algorithm {
        KeyAlgorithm::Rsa2048 => Some(2048),
        KeyAlgorithm::Rsa3072 => Some(3072),
        KeyAlgorithm::Rsa4096 => Some(4096),
        _ => None,
    }
}

pub(super) fn refused(planned: &PlannedKeyId, why: &'static str) -> Fault {
    SignError::Refused { key: reference(planned), why }.into()
}

fn id(planned: &PlannedKeyId) -> Attribute {
    Attribute::Id(planned.to_bytes().to_vec())
}

fn find(
    session: &Session,
    class: ObjectClass,
    planned: &PlannedKeyId,
    label: Option<&[u8]>,
) -> Result<Option<ObjectHandle>, Fault> {
    let mut template = vec![Attribute::Token(true), Attribute::Class(class), id(planned)];
    template.extend(label.map(|label| Attribute::Label(label.to_vec())));
    Ok(session.find_objects(&template)?.first().copied())
}

/// How the key stands; `None` if there is none.
pub(super) fn state(session: &Session, planned: &PlannedKeyId) -> Result<Option<State>, Fault> {
    if find(session, ObjectClass::PUBLIC_KEY, planned, Some(RETIRED))?.is_some() {
        return Ok(Some(State::Retired));
    }
    if find(session, ObjectClass::PUBLIC_KEY, planned, Some(STANDING))?.is_none() {
        return Ok(None);
    }
    for (label, state) in [(ENABLED, State::Enabled), (DISABLED, State::Disabled)] {
        if find(session, ObjectClass::PRIVATE_KEY, planned, Some(label))?.is_some() {
            return Ok(Some(state));
        }
    }
    Err(Fault::Unseen(reference(planned)))
}

pub(super) fn known(session: &Session, planned: &PlannedKeyId) -> Result<State, Fault> {
    state(session, planned)?.ok_or_else(|| Fault::Unseen(reference(planned)))
}

pub(super) fn generate(
    session: &Session,
    planned: &PlannedKeyId,
    algorithm: KeyAlgorithm,
) -> Result<(), Fault> {
    let mut public = vec![
        Attribute::Token(true),
        Attribute::Private(false),
        Attribute::Verify(true),
        Attribute::Label(STANDING.to_vec()),
        id(planned),
    ];
    let private = [
        Attribute::Token(true),
        Attribute::Private(true),
        Attribute::Sensitive(true),
        Attribute::Extractable(false),
        Attribute::Sign(true),
        Attribute::Label(ENABLED.to_vec()),
        id(planned),
    ];
    let mechanism = match bits(algorithm) {
        Some(bits) => {
            public.push(Attribute::ModulusBits(bits.into()));
            public.push(Attribute::PublicExponent(vec![1, 0, 1]));
            Mechanism::RsaPkcsKeyPairGen
        }
        None => {
            public.push(Attribute::EcParams(P256.to_vec()));
            Mechanism::EccKeyPairGen
        }
    };
    session.generate_key_pair(&mechanism, &public, &private)?;
    Ok(())
}

/// Brings a key to a state. A retired one stays retired.
pub(super) fn change(session: &Session, planned: &PlannedKeyId, to: State) -> Result<(), Fault> {
    if known(session, planned)? == State::Retired && to != State::Retired {
        return Err(refused(planned, "it is retired"));
    }
    let private = find(session, ObjectClass::PRIVATE_KEY, planned, None)?;
    let label = |object, text: &[u8]| session.update_attributes(object, &[Attribute::Label(text.to_vec())]);
    if let Some(private) = private {
        label(private, if to == State::Enabled { ENABLED } else { DISABLED })?;
    }
    if to == State::Retired {
        // Marked before it is gone, so that one that was cut off here is not made again.
        if let Some(public) = find(session, ObjectClass::PUBLIC_KEY, planned, Some(STANDING))? {
            label(public, RETIRED)?;
        }
        if let Some(private) = private {
            session.destroy_object(private)?;
        }
    }
    Ok(())
}

/// Keys that are not retired.
pub(super) fn standing(session: &Session) -> Result<Vec<PlannedKeyId>, Fault> {
    let public = Attribute::Class(ObjectClass::PUBLIC_KEY);
    let template = [Attribute::Token(true), public, Attribute::Label(STANDING.to_vec())];
    let mut all = Vec::new();
    for object in session.find_objects(&template)? {
        for attribute in session.get_attributes(object, &[AttributeType::Id])? {
            if let Attribute::Id(octets) = attribute
                && let Ok(octets) = <[u8; 16]>::try_from(octets)
            {
                all.push(PlannedKeyId::new(octets));
            }
        }
    }
    Ok(all)
}

/// The public key, put together from what every token shows of it.
pub(super) fn public_key(session: &Session, planned: &PlannedKeyId) -> Result<Spki, Fault> {
    let object = find(session, ObjectClass::PUBLIC_KEY, planned, Some(STANDING))?;
    let object = object.ok_or_else(|| SignError::NotFound(reference(planned)))?;
    let wanted = [AttributeType::Modulus, AttributeType::PublicExponent, AttributeType::EcPoint];
    let (mut modulus, mut exponent, mut point) = (None, None, None);
    for attribute in session.get_attributes(object, &wanted)? {
        match attribute {
            Attribute::Modulus(octets) if !octets.is_empty() => modulus = Some(octets),
            Attribute::PublicExponent(octets) if !octets.is_empty() => exponent = Some(octets),
            Attribute::EcPoint(octets) if !octets.is_empty() => point = Some(octets),
            _ => {}
        }
    }
    let mut out = Writer::new();
    match (modulus, exponent, point) {
        (Some(modulus), Some(exponent), _) => {
            let mut key = Writer::new();
            key.sequence(|w| _ = w.unsigned(strip(&modulus)).unsigned(strip(&exponent)));
            out.sequence(|w| _ = w.raw(oid::RSA_KEY_IDENTIFIER).bit_string(&key.into_bytes()));
        }
        (_, _, Some(point)) => {
            // An OCTET STRING around the point (PKCS #11 2.40, 2.3.3); some tokens leave it out.
            let bare = Reader::new(&point).read(0x04).ok().filter(|inner| inner.len() == 65);
            let bare = bare.unwrap_or(&point).to_vec();
            out.sequence(|w| _ = w.raw(oid::P256_KEY_IDENTIFIER).bit_string(&bare));
        }
        _ => return Err(Fault::other("the token does not show the public key")),
    }
    Spki::from_der(&out.into_bytes()).map_err(Fault::other)
}

/// Signs, if the key is enabled now.
pub(super) fn sign(
    session: &Session,
    planned: &PlannedKeyId,
    scheme: Scheme,
    message: &[u8],
) -> Result<Signature, Fault> {
    let Some(key) = find(session, ObjectClass::PRIVATE_KEY, planned, Some(ENABLED))? else {
        return Err(match known(session, planned)? {
            State::Retired => refused(planned, "it is retired"),
            State::Disabled => refused(planned, "it is disabled"),
            State::Enabled => Fault::other("the key was enabled a moment ago"),
        });
    };
    let pss =
        PkcsPssParams { hash_alg: MechanismType::SHA256, mgf: PkcsMgfType::MGF1_SHA256, s_len: 32.into() };
    let signature = match scheme {
        Scheme::Pkcs1 => session.sign(&Mechanism::Sha256RsaPkcs, key, message)?,
        Scheme::Pss => session.sign(&Mechanism::Sha256RsaPkcsPss(pss), key, message)?,
        Scheme::Ecdsa => {
            let raw = session.sign(&Mechanism::Ecdsa, key, digest(&SHA256, message).as_ref())?;
            let (r, s) = raw.split_at_checked(32).ok_or_else(|| Fault::other("not an ECDSA signature"))?;
            let mut out = Writer::new();
            out.sequence(|w| _ = w.unsigned(strip(r)).unsigned(strip(s)));
            out.into_bytes()
        }
    };
    Ok(Signature::new(signature))
}

/// A number without leading zeros.
fn strip(number: &[u8]) -> &[u8] {
    let zeros = number.iter().take_while(|b| **b == 0).count().min(number.len().saturating_sub(1));
    number.split_at(zeros).1
}
