//! Which process is on duty: an advisory lock of a session that lives as long as somebody asks for it.

use std::time::{Duration, Instant};

use async_lock::Mutex;

use super::link::{Connector, Link};
use super::rows::column;
use super::turns::number_of;
use super::{error, sql};
use crate::error::StoreError;

/// How often the database is asked.
const EVERY: Duration = Duration::from_millis(900);
/// How long it is waited for: whoever hears nothing of it is not on duty.
const WAIT: Duration = Duration::from_secs(3);
/// Whoever does not ask for so long is not on duty any more.
const SETTINGS: &str = "-c idle_session_timeout=10s";

/// Who is on duty, as far as this process knows.
#[derive(Debug)]
pub(super) struct Duty {
    connector: Connector,
    place: Mutex<Place>,
}

#[derive(Debug, Default)]
struct Place {
    link: Option<std::sync::Arc<Link>>,
    asked: Option<Instant>,
    held: bool,
}

impl Duty {
    pub(super) fn new(connector: &Connector) -> Self {
        Self { connector: connector.clone(), place: Mutex::default() }
    }

    pub(super) async fn is_ours(&self) -> bool {
        let mut place = self.place.lock().await;
        if place.link.as_ref().is_some_and(|link| link.is_closed()) {
            *place = Place { asked: place.asked, ..Place::default() };
        }
        if place.asked.is_some_and(|asked| asked.elapsed() < EVERY) {
            return place.held;
        }
        place.asked = Some(Instant::now());
        let asked = self.ask(&mut place).await;
        if asked.is_err() {
            // What became of the session is not known: it is closed, and with it goes the lock.
            if let Some(link) = place.link.take() {
                link.spoil();
            }
        }
        place.held = asked.unwrap_or(false);
        place.held
    }

    async fn ask(&self, place: &mut Place) -> Result<bool, StoreError> {
        let link = match &place.link {
            Some(link) => link.clone(),
            None => {
                let opened = self.connector.open_with("duty", &[sql::TRY_LOCK, sql::PING], SETTINGS).await?;
                let link = std::sync::Arc::new(opened);
                place.link = Some(link.clone());
                link
            }
        };
        let held = place.held;
        let ask = async move {
            if held {
                let ping = link.statement(sql::PING)?;
                return link.client().execute(&ping, &[]).await.map(|_| true).map_err(error::undone);
            }
            let row = link.query_one(sql::TRY_LOCK, &[&number_of("duty", "")]).await?;
            row.map_or(Ok(false), |row| column(&row, 0))
        };
        self.connector.runs.run(WAIT, ask).await
    }
}

impl Drop for Duty {
    fn drop(&mut self) {
        // Another one is on duty at once.
        if let Some(link) = &self.place.get_mut().link {
            link.spoil();
        }
    }
}
