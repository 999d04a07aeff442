//! Keys of a token, and the contract of key providers, kept with them.

use std::fmt;
use std::sync::Arc;

use async_trait::async_trait;
use kakunin_core::key::{
    HeldKey, KeyAlgorithm, KeyProvider, KeyRef, PlannedKeyId, SignError, Signature, Signer, Spki,
};

use super::config::Pkcs11Config;
use super::objects::{self, Scheme, State};
use super::reference::{planned, reference};
use super::token::Token;

/// Keys of a token.
#[derive(Clone)]
pub struct Pkcs11Keys {
    token: Arc<Token>,
}

/// One key, opened.
struct Key {
    planned: PlannedKeyId,
    spki: Spki,
    token: Arc<Token>,
}

impl Pkcs11Keys {
    /// Opens the token and logs in. A process that opens one token more than once shares its login.
    ///
    /// # Errors
    /// [`SignError::Locked`] says what to do: no such module or token, several of that name, a wrong PIN. A
    /// wrong PIN is tried once and never again, because tokens lock themselves after a few.
    pub fn open(config: Pkcs11Config) -> Result<Self, SignError> {
        Ok(Self { token: Arc::new(Token::open(config)?) })
    }
}

#[async_trait]
impl KeyProvider for Pkcs11Keys {
    async fn generate(&self, planned: &PlannedKeyId, algorithm: KeyAlgorithm) -> Result<KeyRef, SignError> {
        if !objects::makes(algorithm) {
            return Err(SignError::Unsupported(algorithm));
        }
        let (id, making) = (planned.clone(), self.token.making());
        self.token
            .run("generate", reference(planned), move |session| {
                // Tokens make a second key under an identifier without complaint.
                let _one_at_a_time = making.lock();
                match objects::state(session, &id)? {
                    None => objects::generate(session, &id, algorithm),
                    Some(State::Retired) => Err(objects::refused(&id, "it is retired")),
                    Some(State::Enabled | State::Disabled) => Ok(()),
                }
            })
            .await?;
        Ok(reference(planned))
    }

    fn is_near(&self) -> bool {
        false
    }

    async fn open(&self, key: &KeyRef) -> Result<Arc<dyn Signer>, SignError> {
        let id = planned(key)?;
        let wanted = id.clone();
        let spki = self
            .token
            .run("open", key.clone(), move |session| match objects::known(session, &wanted)? {
                State::Retired => Err(objects::refused(&wanted, "it is retired")),
                State::Enabled | State::Disabled => objects::public_key(session, &wanted),
            })
            .await?;
        Ok(Arc::new(Key { planned: id, spki, token: self.token.clone() }))
    }

    async fn disable(&self, key: &KeyRef) -> Result<(), SignError> {
        let id = planned(key)?;
        self.token.run("disable", key.clone(), move |s| objects::change(s, &id, State::Disabled)).await
    }

    async fn enable(&self, key: &KeyRef) -> Result<(), SignError> {
        let id = planned(key)?;
        self.token.run("enable", key.clone(), move |s| objects::change(s, &id, State::Enabled)).await
    }

    async fn retire(&self, key: &KeyRef) -> Result<(), SignError> {
        let id = planned(key)?;
        self.token.run("retire", key.clone(), move |s| objects::change(s, &id, State::Retired)).await
    }

    async fn list(&self) -> Result<Vec<HeldKey>, SignError> {
        let held = self.token.run("list", KeyRef::new(""), objects::standing).await?;
        Ok(held.into_iter().map(|id| HeldKey { key: reference(&id), planned: id }).collect())
    }
}

impl Key {
    async fn sign_as(&self, scheme: Scheme, message: &[u8]) -> Result<Signature, SignError> {
        let (id, message) = (self.planned.clone(), message.to_vec());
        let sign = move |session: &_| objects::sign(session, &id, scheme, &message);
        self.token.run("sign", reference(&self.planned), sign).await
    }
}

#[async_trait]
impl Signer for Key {
    fn algorithm(&self) -> KeyAlgorithm {
        self.spki.algorithm()
    }

    fn public_key(&self) -> &Spki {
        &self.spki
    }

    async fn sign(&self, message: &[u8]) -> Result<Signature, SignError> {
        let ec = self.algorithm() == KeyAlgorithm::P256;
        self.sign_as(if ec { Scheme::Ecdsa } else { Scheme::Pkcs1 }, message).await
    }

    async fn sign_pss(&self, message: &[u8]) -> Result<Signature, SignError> {
        match self.algorithm() {
            KeyAlgorithm::P256 => Err(SignError::Unsupported(KeyAlgorithm::P256)),
            _ => self.sign_as(Scheme::Pss, message).await,
        }
    }
}

impl fmt::Debug for Pkcs11Keys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Pkcs11Keys({:?})", self.token)
    }
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {:?}", reference(&self.planned), self.spki)
    }
}
