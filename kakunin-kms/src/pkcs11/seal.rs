//! A seal that is an AES-256 key of a token, used with AES-GCM there.
//!
//! What is sealed is `iv (12) || ciphertext || tag (16)`, with the context as associated data.

use std::fmt;
use std::sync::Arc;

use async_trait::async_trait;
use cryptoki::error::{Error as TokenError, RvError};
use cryptoki::mechanism::Mechanism;
use cryptoki::mechanism::aead::GcmParams;
use cryptoki::object::{Attribute, AttributeType, KeyType, ObjectClass, ObjectHandle};
use cryptoki::session::Session;
use kakunin_core::key::{KeyRef, SignError};
use zeroize::Zeroizing;

use super::config::Pkcs11Config;
use super::token::{Fault, Token};
use crate::seal::{SEALED_LIMIT, Seal, SealError, takes};

const IV: usize = 12;
const TAG_BITS: u64 = 128;
/// Octets of an AES-256 key.
const KEY: u64 = 32;

/// Which key of a token: whatever is given must match, and one key alone may.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SealingKey {
    /// Its label: `object` in a URI.
    pub label: Option<String>,
    /// Its identifier: `id`.
    pub id: Option<Vec<u8>>,
}

/// An AES-256 key of a token that seals. Make it there, sensitive and not extractable, with the rights to encrypt and
/// decrypt. At most 2^32 secrets may be sealed with one key, which draws its nonces at random.
#[derive(Clone)]
pub struct HsmSeal {
    token: Arc<Token>,
    key: SealingKey,
}

impl HsmSeal {
    /// Opens the token, logs in, and looks for the key.
    ///
    /// # Errors
    /// [`SealError::Unusable`] says what to do: no such token or key, several of that name, a wrong PIN.
    pub async fn open(config: Pkcs11Config, key: SealingKey) -> Result<Self, SealError> {
        if key == SealingKey::default() {
            return Err(SealError::Unusable("name the key by its label or identifier".to_owned()));
        }
        let seal = Self { token: Arc::new(Token::open(config).map_err(refused)?), key };
        let key = seal.key.clone();
        seal.run("open", move |session| key.find(session).map(drop)).await?;
        Ok(seal)
    }

    async fn run<T: Send + 'static>(
        &self,
        operation: &'static str,
        step: impl Fn(&Session) -> Result<T, Fault> + Send + 'static,
    ) -> Result<T, SealError> {
        self.token.run(operation, self.key.reference(), step).await.map_err(refused)
    }
}

#[async_trait]
impl Seal for HsmSeal {
    async fn seal(&self, context: &[u8], secret: &[u8]) -> Result<Vec<u8>, SealError> {
        takes(secret)?;
        let (key, context, secret) = (self.key.clone(), context.to_vec(), Zeroizing::new(secret.to_vec()));
        self.run("seal", move |session| encrypt(session, key.find(session)?, &context, &secret)).await
    }

    async fn open(&self, context: &[u8], sealed: &[u8]) -> Result<Zeroizing<Vec<u8>>, SealError> {
        if sealed.len() > SEALED_LIMIT {
            return Err(SealError::Wrong);
        }
        let (key, context, sealed) = (self.key.clone(), context.to_vec(), sealed.to_vec());
        let opened = self.run("open", move |session| {
            let key = key.find(session)?;
            match decrypt(session, key, &context, &sealed) {
                Err(Fault::Token(error)) if says_little(&error) => {
                    // Tokens have many words for a tag that does not fit. One that can still seal and open is well.
                    let probe = encrypt(session, key, &context, b"probe")?;
                    let well = decrypt(session, key, &context, &probe)?;
                    if well.as_deref().is_some_and(|it| it.as_slice() == b"probe") {
                        Ok(None)
                    } else {
                        Err(error.into())
                    }
                }
                result => result,
            }
        });
        opened.await?.ok_or(SealError::Wrong)
    }
}

/// Whether an error of decryption may mean no more than that the sealed is another's.
const fn says_little(error: &TokenError) -> bool {
    use RvError::{ArgumentsBad, DataInvalid, DataLenRange, FunctionFailed, GeneralError};
    matches!(
        error,
        TokenError::Pkcs11(GeneralError | FunctionFailed | DataInvalid | DataLenRange | ArgumentsBad, _)
    )
}

fn encrypt(session: &Session, key: ObjectHandle, context: &[u8], secret: &[u8]) -> Result<Vec<u8>, Fault> {
    let mut iv = [0; IV];
    aws_lc_rs::rand::fill(&mut iv).map_err(Fault::other)?;
    // Some tokens draw it themselves, and write it here.
    let gcm = Mechanism::AesGcm(GcmParams::new(&mut iv, context, TAG_BITS.into())?);
    let sealed = session.encrypt(&gcm, key, secret).map_err(explained)?;
    drop(gcm);
    Ok([&iv[..], &sealed].concat())
}

/// `None` if the token says that it is not what was sealed.
fn decrypt(
    session: &Session,
    key: ObjectHandle,
    context: &[u8],
    sealed: &[u8],
) -> Result<Option<Zeroizing<Vec<u8>>>, Fault> {
    let Some((iv, body)) = sealed.split_first_chunk::<IV>() else { return Ok(None) };
    let mut iv = *iv;
    let gcm = Mechanism::AesGcm(GcmParams::new(&mut iv, context, TAG_BITS.into())?);
    match session.decrypt(&gcm, key, body) {
        Ok(secret) => Ok(Some(Zeroizing::new(secret))),
        Err(TokenError::Pkcs11(RvError::EncryptedDataInvalid | RvError::EncryptedDataLenRange, _)) => {
            Ok(None)
        }
        Err(error) => Err(explained(error)),
    }
}

/// What only an operator can change is no outage.
fn explained(error: TokenError) -> Fault {
    use RvError::{KeyFunctionNotPermitted, KeyTypeInconsistent, MechanismInvalid};
    match error {
        TokenError::Pkcs11(KeyFunctionNotPermitted | KeyTypeInconsistent | MechanismInvalid, _) => {
            let why = format!("the token does not encrypt and decrypt with this key by AES-GCM: {error}");
            SignError::Locked(why).into()
        }
        other => other.into(),
    }
}

impl SealingKey {
    fn find(&self, session: &Session) -> Result<ObjectHandle, Fault> {
        let class = Attribute::Class(ObjectClass::SECRET_KEY);
        let mut template = vec![Attribute::Token(true), class, Attribute::KeyType(KeyType::AES)];
        template.extend(self.label.as_ref().map(|label| Attribute::Label(label.clone().into_bytes())));
        template.extend(self.id.as_ref().map(|id| Attribute::Id(id.clone())));
        match session.find_objects(&template)?.as_slice() {
            [key] if is_long(session, *key)? => Ok(*key),
            // A token that is gone shows nothing either.
            [] => Err(Fault::Unseen(self.reference())),
            [_] => Err(locked(format!("`{}` is no AES-256 key", self.reference()))),
            _ => {
                Err(locked(format!("several keys are `{}`; name one by `object` and `id`", self.reference())))
            }
        }
    }

    /// As a URI names it.
    fn reference(&self) -> KeyRef {
        let label = self.label.as_ref().map(|label| format!("object={label}"));
        let id = self.id.as_ref().map(|id| format!("id={}", kakunin_core::id::hex_encode(id)));
        KeyRef::new(label.into_iter().chain(id).collect::<Vec<_>>().join(";"))
    }
}

fn is_long(session: &Session, key: ObjectHandle) -> Result<bool, Fault> {
    let found = session.get_attributes(key, &[AttributeType::ValueLen])?;
    Ok(found.iter().any(|it| matches!(it, Attribute::ValueLen(len) if *len == KEY.into())))
}

const fn locked(why: String) -> Fault {
    Fault::Sign(SignError::Locked(why))
}

fn refused(error: SignError) -> SealError {
    match error {
        SignError::NotFound(key) => SealError::Unusable(format!(
            "the token has no AES-256 key `{key}`; make one there, or name another"
        )),
        SignError::Locked(why) => SealError::Unusable(why),
        SignError::Unavailable { source, .. } => SealError::Unavailable(source),
        other => SealError::Unusable(other.to_string()),
    }
}

impl fmt::Debug for HsmSeal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "HsmSeal({:?} {})", self.token, self.key.reference())
    }
}
