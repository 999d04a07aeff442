//! The TLS pair, and files that others can read: looked at again and again, in one loop.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

use super::listening::Listening;
use super::tls::LOOK;
use super::{exposed, pair};
use crate::http::App;

/// Looks after the TLS pair, and files that others can read.
#[derive(Debug)]
pub(super) struct Watch {
    listening: Arc<Listening>,
    /// Any of those that there are, with what they share.
    app: App,
    watched: Mutex<Watched>,
}

#[derive(Debug)]
struct Watched {
    files: Vec<(PathBuf, u32)>,
    exposed: BTreeSet<PathBuf>,
    pair: pair::Told,
}

impl Watch {
    /// Looks for the first time, too.
    pub(super) fn new(listening: Arc<Listening>, app: &App, files: Vec<(PathBuf, u32)>) -> Self {
        let watched = Mutex::new(Watched { files, exposed: BTreeSet::new(), pair: None });
        let watch = Self { listening, app: app.clone(), watched };
        watch.look();
        watch
    }

    pub(super) fn set_files(&self, files: Vec<(PathBuf, u32)>) {
        self.watched.lock().unwrap_or_else(PoisonError::into_inner).files = files;
    }

    pub(super) fn look(&self) {
        let mut watched = self.watched.lock().unwrap_or_else(PoisonError::into_inner);
        let Watched { files, exposed, pair } = &mut *watched;
        let (public_url, seen) = (&self.app.kakunin.place().public_url, &self.app.surroundings);
        let host = pair::host_of(public_url);
        let tls = self.listening.tls.as_ref();
        let now = tls.and_then(|tls| pair::pair_of(&tls.chain(), host.as_deref()));
        seen.set_pair(now);
        pair::warn(now, self.app.now(), public_url, pair);
        seen.set_exposed(exposed::warn(files, exposed));
    }

    /// Takes another pair if there is one, and looks.
    pub(super) async fn look_for_ever(self: Arc<Self>) {
        loop {
            tokio::time::sleep(LOOK).await;
            if let Some(tls) = &self.listening.tls {
                tls.look();
            }
            self.look();
        }
    }
}
