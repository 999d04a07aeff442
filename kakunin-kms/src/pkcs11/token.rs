//! A token behind threads: PKCS#11 blocks, so each session has a thread of its own, and callers wait for an
//! answer without holding one.

use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use cryptoki::context::Pkcs11;
use cryptoki::error::{Error as TokenError, RvError};
use cryptoki::session::{Session, UserType};
use cryptoki::types::AuthPin;
use futures_channel::oneshot;
use kakunin_core::error::BoxError;
use kakunin_core::key::{KeyRef, SignError};
use zeroize::Zeroizing;

use super::config::Pkcs11Config;
use super::module::Module;
use super::which::{NotOne, WhichToken};

/// Calls that wait for a session; more are refused.
const QUEUE: usize = 1_024;

/// Why a step on the token was not done.
pub(super) enum Fault {
    Token(TokenError),
    Sign(SignError),
    /// The objects are not there, or not shown: a token that is gone, and one whose login has ended, show
    /// nothing and report no error.
    Unseen(KeyRef),
    /// No slot has such a token.
    NoToken(WhichToken),
    Other(BoxError),
}

impl Fault {
    pub(super) fn other(error: impl Into<BoxError>) -> Self {
        Self::Other(error.into())
    }

    /// Whether the session is gone, and another may do better.
    fn is_lost_session(&self) -> bool {
        let code = match self {
            Self::Unseen(_) | Self::NoToken(_) => return true,
            Self::Token(TokenError::Pkcs11(code, _)) => code,
            _ => return false,
        };
        matches!(
            code,
            RvError::SessionHandleInvalid
                | RvError::SessionClosed
                | RvError::UserNotLoggedIn
                | RvError::TokenNotPresent
                | RvError::TokenNotRecognized
                | RvError::DeviceRemoved
                | RvError::DeviceError
                | RvError::SlotIdInvalid
                | RvError::ObjectHandleInvalid
                | RvError::KeyHandleInvalid
                | RvError::CryptokiNotInitialized
        )
    }

    /// Whether the module has lost the token, and not only a session with it.
    fn is_lost_token(&self) -> bool {
        use RvError::{CryptokiNotInitialized, DeviceRemoved, TokenNotPresent};
        match self {
            Self::NoToken(_) => true,
            Self::Token(TokenError::Pkcs11(code, _)) => {
                matches!(code, CryptokiNotInitialized | DeviceRemoved | TokenNotPresent)
            }
            _ => false,
        }
    }

    fn no_token(which: &WhichToken) -> String {
        format!("no slot has a token with `{which}`; plug it in, or name another")
    }

    /// Labels are not unique, and a PIN tried on the wrong token may lock it.
    fn several(which: &WhichToken, found: &[String]) -> Self {
        let (count, found) = (found.len(), found.join(", "));
        Self::Sign(SignError::Locked(format!(
            "{count} tokens have `{which}`: {found}; no PIN was tried; name one of them with `serial=` or `slot-id=`"
        )))
    }
}

impl From<TokenError> for Fault {
    fn from(error: TokenError) -> Self {
        Self::Token(error)
    }
}

impl From<SignError> for Fault {
    fn from(error: SignError) -> Self {
        Self::Sign(error)
    }
}

type Job = Box<dyn FnOnce(&mut Worker) + Send>;

/// A token, and the threads that talk to it.
pub(super) struct Token {
    which: WhichToken,
    jobs: SyncSender<Job>,
    making: Arc<Making>,
}

/// Held while it is looked whether a key has to be made, and made.
#[derive(Debug, Default)]
pub(super) struct Making(Mutex<()>);

impl Making {
    pub(super) fn lock(&self) -> std::sync::MutexGuard<'_, ()> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

struct Worker {
    door: Arc<Door>,
    /// With the life of the module that it belongs to.
    session: Option<(u64, Session)>,
}

/// How sessions are opened.
struct Door {
    module: Arc<Module>,
    which: WhichToken,
    /// The token that was found first: no other is given the PIN, whatever it is called.
    found: OnceLock<WhichToken>,
    pin: Zeroizing<String>,
    /// Tokens lock themselves after a few wrong PINs, so a wrong one is not tried again.
    wrong_pin: AtomicBool,
}

impl Token {
    pub(super) fn open(config: Pkcs11Config) -> Result<Self, SignError> {
        let Pkcs11Config { module, token: which, pin, sessions } = config;
        if which.is_empty() {
            return Err(SignError::Locked("name the token by its label or serial number".to_owned()));
        }
        let module = Module::load(&module)?;
        let found = OnceLock::new();
        let wrong_pin = AtomicBool::new(false);
        let door = Arc::new(Door { module, which: which.clone(), found, pin, wrong_pin });
        let (jobs, queue) = sync_channel::<Job>(QUEUE);
        let queue = Arc::new(Mutex::new(queue));
        // The first session now: whoever opens a token hears what is wrong with it.
        let mut first = Worker { door: door.clone(), session: None };
        first.attempt(&|_: &Session| Ok(())).map_err(|fault| locked(&which, fault))?;
        let mut first = first.session;
        for _ in 0..sessions.clamp(1, 64) {
            let worker = Worker { door: door.clone(), session: first.take() };
            let queue = queue.clone();
            std::thread::Builder::new()
                .name("pkcs11".to_owned())
                .spawn(move || work(worker, &queue))
                .map_err(|e| SignError::unavailable("open", &which, e))?;
        }
        Ok(Self { which, jobs, making: Arc::default() })
    }

    pub(super) fn making(&self) -> Arc<Making> {
        self.making.clone()
    }

    /// Does `step` in a session; once more in a new one if the first was lost.
    pub(super) async fn run<T: Send + 'static>(
        &self,
        operation: &'static str,
        key: KeyRef,
        step: impl Fn(&Session) -> Result<T, Fault> + Send + 'static,
    ) -> Result<T, SignError> {
        let (answer, answered) = oneshot::channel();
        let job: Job = Box::new(move |worker| {
            // The receiver is gone only if its caller is.
            let _ = answer.send(worker.attempt(&step));
        });
        let unavailable = |why: &'static str| SignError::unavailable(operation, &key, why);
        self.jobs.try_send(job).map_err(|error| match error {
            TrySendError::Full(_) => unavailable("too many calls wait for the token; give it more sessions"),
            TrySendError::Disconnected(_) => unavailable("the token's threads have ended; restart"),
        })?;
        match answered.await {
            Ok(Ok(value)) => Ok(value),
            Ok(Err(Fault::Sign(error))) => Err(error),
            Ok(Err(Fault::Unseen(key))) => Err(SignError::NotFound(key)),
            Ok(Err(Fault::NoToken(which))) => {
                Err(SignError::unavailable(operation, &key, Fault::no_token(&which)))
            }
            Ok(Err(Fault::Token(error))) => Err(SignError::unavailable(operation, &key, error)),
            Ok(Err(Fault::Other(error))) => Err(SignError::unavailable(operation, &key, error)),
            Err(oneshot::Canceled) => Err(unavailable("the call was dropped; try again")),
        }
    }
}

fn work(mut worker: Worker, queue: &Mutex<Receiver<Job>>) {
    loop {
        let job = queue.lock().unwrap_or_else(PoisonError::into_inner).recv();
        match job {
            Ok(job) => job(&mut worker),
            // The token was dropped.
            Err(_) => return,
        }
    }
}

impl Worker {
    /// Once, again in a new session if the first was lost, and again in a new life of the module.
    fn attempt<T>(&mut self, step: &impl Fn(&Session) -> Result<T, Fault>) -> Result<T, Fault> {
        let door = self.door.clone();
        loop {
            let (calls, life) = door.module.calls();
            let fresh = self.session.as_ref().is_none_or(|(number, _)| *number != life.number);
            if fresh && let Some((_, stale)) = self.session.take() {
                // Its handle may be another's by now, who would find it closed.
                std::mem::forget(stale);
            }
            let result = self.session(calls, life.number).and_then(step);
            match result {
                Err(fault) if fault.is_lost_session() => {
                    self.session = None;
                    let lost_in = life.number;
                    drop(life);
                    if fresh && !(fault.is_lost_token() && door.module.revive(lost_in)) {
                        return Err(fault);
                    }
                }
                result => return result,
            }
        }
    }

    fn session(&mut self, calls: &Pkcs11, life: u64) -> Result<&Session, Fault> {
        if self.session.is_none() {
            self.session = Some((life, self.door.session(calls)?));
        }
        self.session.as_ref().map(|(_, session)| session).ok_or_else(|| Fault::other("no session"))
    }
}

impl Door {
    fn session(&self, calls: &Pkcs11) -> Result<Session, Fault> {
        let wrong = || SignError::Locked(format!("the PIN of token `{}` is wrong or locked", self.which));
        if self.wrong_pin.load(Ordering::Acquire) {
            return Err(wrong().into());
        }
        let which = self.found.get().unwrap_or(&self.which);
        let (slot, exactly) = match which.find(calls)? {
            Ok(one) => one,
            Err(NotOne::None) => return Err(Fault::NoToken(which.clone())),
            Err(NotOne::Several(found)) => return Err(Fault::several(which, &found)),
        };
        let session = calls.open_rw_session(slot)?;
        match session.login(UserType::User, Some(&AuthPin::from(self.pin.as_str()))) {
            // One login is a process's, for all its sessions.
            Ok(()) | Err(TokenError::Pkcs11(RvError::UserAlreadyLoggedIn, _)) => {
                self.found.get_or_init(|| exactly);
                Ok(session)
            }
            Err(TokenError::Pkcs11(
                RvError::PinIncorrect
                | RvError::PinLocked
                | RvError::PinInvalid
                | RvError::PinLenRange
                | RvError::PinExpired,
                _,
            )) => {
                self.wrong_pin.store(true, Ordering::Release);
                Err(wrong().into())
            }
            Err(error) => Err(error.into()),
        }
    }
}

fn locked(which: &WhichToken, fault: Fault) -> SignError {
    match fault {
        Fault::Sign(error) => error,
        Fault::Unseen(key) => SignError::NotFound(key),
        Fault::NoToken(which) => SignError::Locked(Fault::no_token(&which)),
        Fault::Token(error) => SignError::Locked(format!("token `{which}` cannot be used: {error}")),
        Fault::Other(error) => SignError::Locked(error.to_string()),
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.which.fmt(f)
    }
}
