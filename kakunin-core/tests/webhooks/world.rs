//! A deployment, its endpoints, and receivers that answer as a test wants it.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use kakunin_core::agent::NewAgent;
use kakunin_core::id::{AgentId, Serial, WebhookId};
use kakunin_core::issue::Profile;
use kakunin_core::service::{Delivery, Kakunin, NewWebhook, Parts, Tenant};
use kakunin_core::time::{ManualClock, UnixTime};
use kakunin_core::webhook::{
    Answer, Guard, GuardError, PostError, Scheme, WebhookEvent, WebhookFacts, WebhookSecret,
    WebhookTransport, WebhookUrl,
};
use kakunin_kms::local::LocalKeys;
use pollster::block_on;
use serde_json::Value;

use crate::common::{MODEL, NOW, P256, config, deployment, parts};

/// What a receiver does.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Does {
    Says(u16),
    Busy(u64),
    /// Says so once [`Receivers::open`] lets it.
    Waits(u16),
    Fails,
}

/// What came to a receiver.
#[derive(Clone, Debug)]
pub(crate) struct Got {
    pub(crate) fields: HashMap<String, String>,
    pub(crate) body: Vec<u8>,
    pub(crate) taken: bool,
}

impl Got {
    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap()
    }

    pub(crate) fn id(&self) -> String {
        self.fields["webhook-id"].clone()
    }

    pub(crate) fn kind(&self) -> String {
        self.json()["type"].as_str().unwrap().to_owned()
    }

    pub(crate) fn agent(&self) -> String {
        self.json()["data"]["agent_id"].as_str().unwrap().to_owned()
    }
}

/// Receivers, by URL; and what each does about some agents.
#[derive(Debug, Default)]
pub(crate) struct Receivers {
    does: Mutex<HashMap<String, Does>>,
    about: Mutex<HashMap<String, Does>>,
    got: Mutex<HashMap<String, Vec<Got>>>,
    gate: Gate,
}

/// Closed at first.
#[derive(Debug)]
struct Gate(async_lock::Semaphore);

impl Default for Gate {
    fn default() -> Self {
        Self(async_lock::Semaphore::new(0))
    }
}

impl Receivers {
    pub(crate) fn set(&self, url: &str, does: Does) {
        self.does.lock().unwrap().insert(url.to_owned(), does);
    }

    /// What all of them do about this agent.
    pub(crate) fn about(&self, agent: &AgentId, does: Does) {
        self.about.lock().unwrap().insert(agent.to_string(), does);
    }

    /// Lets so many that wait go on.
    pub(crate) fn open(&self, many: usize) {
        self.gate.0.add_permits(many);
    }

    /// Waits until so many came.
    pub(crate) fn until(&self, url: &str, came: usize) {
        while self.got(url).len() < came {
            std::thread::sleep(std::time::Duration::from_millis(2));
        }
    }

    pub(crate) fn got(&self, url: &str) -> Vec<Got> {
        self.got.lock().unwrap().get(url).cloned().unwrap_or_default()
    }

    pub(crate) fn taken(&self, url: &str) -> Vec<Got> {
        self.got(url).into_iter().filter(|got| got.taken).collect()
    }
}

#[async_trait]
impl WebhookTransport for Receivers {
    fn check(&self, url: &WebhookUrl) -> Result<(), GuardError> {
        Guard::default().check_url(url)
    }

    async fn post(
        &self,
        url: &WebhookUrl,
        fields: Vec<(String, String)>,
        body: Vec<u8>,
    ) -> Result<Answer, PostError> {
        let json: Value = serde_json::from_slice(&body).unwrap();
        let agent = json["data"]["agent_id"].as_str().unwrap_or_default();
        let about = self.about.lock().unwrap().get(agent).copied();
        let does = about.or_else(|| self.does.lock().unwrap().get(url.as_str()).copied());
        let does = does.unwrap_or(Does::Says(204));
        let taken = matches!(does, Does::Says(200..=299));
        let got = Got { fields: fields.into_iter().collect(), body, taken };
        self.got.lock().unwrap().entry(url.to_string()).or_default().push(got);
        if let Does::Waits(_) = does {
            self.gate.0.acquire().await.forget();
        }
        match does {
            Does::Waits(status) | Does::Says(status) => {
                Ok(Answer { status, retry_after: None, body: b"so it is".to_vec() })
            }
            Does::Busy(seconds) => Ok(Answer { status: 503, retry_after: Some(seconds), body: Vec::new() }),
            Does::Fails => Err(PostError::TooSlow),
        }
    }
}

pub(crate) const URL: &str = "https://hooks.example/a";
pub(crate) const OTHER: &str = "https://hooks.example/b";

pub(crate) struct World {
    pub(crate) kakunin: Kakunin,
    pub(crate) acme: Tenant,
    pub(crate) receivers: Arc<Receivers>,
    pub(crate) parts: Parts,
    pub(crate) clock: Arc<ManualClock>,
}

pub(crate) fn world() -> World {
    let (parts, clock) = parts(LocalKeys::ephemeral());
    world_over(parts, clock)
}

pub(crate) fn world_over(mut parts: Parts, clock: Arc<ManualClock>) -> World {
    let receivers = Arc::new(Receivers::default());
    parts.webhooks = Some(receivers.clone());
    let (kakunin, acme) = deployment(config(), &parts);
    let acme = kakunin.tenant(&acme);
    World { kakunin, acme, receivers, parts, clock }
}

pub(crate) fn new(url: &str, events: &[WebhookEvent], scheme: Scheme) -> NewWebhook {
    let url = WebhookUrl::parse(url).unwrap();
    NewWebhook { url, events: events.to_vec(), scheme, label: None }
}

pub(crate) fn all_events() -> Vec<WebhookEvent> {
    WebhookEvent::ALL.iter().copied().filter(|event| event.can_be_chosen()).collect()
}

impl World {
    pub(crate) fn endpoint(&self, url: &str) -> (WebhookFacts, WebhookSecret) {
        block_on(self.acme.create_webhook(new(url, &all_events(), Scheme::Standard))).unwrap()
    }

    /// A certified agent.
    pub(crate) fn agent(&self, name: &str) -> (AgentId, Serial) {
        let agent = block_on(self.acme.register(NewAgent::new(name, MODEL, ["read:mail"]).unwrap())).unwrap();
        let issued = block_on(self.acme.certify(&agent.id, Profile::Standard, P256)).unwrap();
        (agent.id, issued.facts.serial)
    }

    pub(crate) fn deliver(&self) {
        block_on(self.kakunin.deliver_due()).unwrap();
    }

    pub(crate) fn at(&self, millis: u64) -> UnixTime {
        self.clock.set(NOW.plus(millis));
        NOW.plus(millis)
    }

    pub(crate) fn facts(&self, id: &WebhookId) -> Arc<WebhookFacts> {
        block_on(self.acme.webhook(id)).unwrap()
    }

    pub(crate) fn deliveries(&self, id: &WebhookId) -> Vec<(String, Delivery)> {
        block_on(self.acme.deliveries(id, None, 2_000)).unwrap()
    }

    /// The process ends, and another one begins over the same store.
    pub(crate) fn restarted(self) -> Self {
        let Self { receivers, parts, clock, .. } = self;
        let kakunin = block_on(Kakunin::open(config(), parts.clone())).unwrap();
        block_on(kakunin.load()).unwrap();
        let acme = kakunin.tenant(&"acme".parse().unwrap());
        Self { kakunin, acme, receivers, parts, clock }
    }
}
