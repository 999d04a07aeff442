//! Events that come one a line, for as long as somebody sends them: read as fast as they become durable, and no faster.

use std::time::Duration;

use axum::body::{Body, Bytes};
use http_body_util::BodyExt;
use kakunin_core::service::{EventStatus, MAX_EVENTS, Observed};
use tokio::sync::mpsc;
use tokio::time::{sleep, timeout};

use super::app::App;
use super::auth::Caller;
use super::compat::recorded::Sent;
use super::error::ApiError;
use super::ingests::{Place, RETRY_AFTER};
use super::json::too_large_line;
use super::line_answers::{EndLine, EventLine, written};
use super::lines::{Line, Lines};
use super::salvage;
use super::streams::{STALL, Subscription};
use super::subjects::Subjects;

/// How long nothing may come.
const IDLE: Duration = Duration::from_secs(60);
/// What refuses a whole call, and says for certain that nothing of it is on record.
const NOT_RECORDED: [&str; 3] = ["queue_full", "storage_full", "vault_unavailable"];
/// Octets of lines that are recorded at once, about.
const MAX_GATHERED: usize = 1 << 20;
/// How long a server that is busy is waited for.
const BUSY: Duration = Duration::from_secs(30);
/// Lines that are read before others have their turn.
const STEP: usize = 64;

/// Takes in what comes, and answers line by line.
pub(super) fn begin(app: &App, caller: Caller, body: Body) -> Result<Subscription, ApiError> {
    let place = app.ingests.place(caller.tenant())?;
    let (out, answers) = mpsc::channel(1);
    let (lines, end, app) = (Lines::default(), EndLine::default(), app.clone());
    tokio::spawn(Ingest { app, caller, body, lines, end, out, place }.run());
    Ok(Subscription(answers))
}

/// One stream.
struct Ingest {
    app: App,
    caller: Caller,
    body: Body,
    lines: Lines,
    end: EndLine,
    out: mpsc::Sender<Bytes>,
    place: Place,
}

/// Why there is no more.
enum Over {
    /// All of it was read.
    Read,
    /// Whoever sent it does not read what became of it.
    Gone,
    /// This.
    Because(ApiError),
}

impl Ingest {
    async fn run(mut self) {
        let over = loop {
            match self.step().await {
                Ok(()) => {}
                Err(over) => break over,
            }
        };
        let error = match over {
            Over::Gone => return,
            Over::Read => None,
            Over::Because(error) => Some(error),
        };
        let tenant = self.app.kakunin.tenant(self.caller.tenant());
        let end = std::mem::take(&mut self.end).ended(error, tenant.checkpoint().await.ok().flatten());
        let mut text = Vec::new();
        written(&mut text, &end);
        // What is left of the body is not read, and not recorded.
        let _ = self.out.send_timeout(text.into(), STALL).await;
    }

    /// Takes in what is there, at most a batch of it, and says what became of it.
    async fn step(&mut self) -> Result<(), Over> {
        let mut texts = Vec::new();
        let read = self.gather(&mut texts).await;
        if !texts.is_empty() {
            if !self.caller.stands(&self.app.kakunin) {
                return Err(Over::Because(ApiError::key_invalid("this key was revoked, or has expired")));
            }
            let answers = self.recorded(&texts).await?;
            self.out.send_timeout(answers.into(), STALL).await.map_err(|_| Over::Gone)?;
        }
        read
    }

    /// Waits for a line, and takes those that came with it.
    async fn gather(&mut self, texts: &mut Vec<Line>) -> Result<(), Over> {
        let mut octets = 0;
        loop {
            while texts.len() < MAX_EVENTS && octets < MAX_GATHERED {
                let Some(line) = self.lines.next() else { break };
                octets += line.len();
                texts.push(line);
            }
            if texts.len() == MAX_EVENTS || octets >= MAX_GATHERED {
                return Ok(());
            }
            // What is there already, and else what comes.
            let frame = if texts.is_empty() {
                self.more().await?
            } else {
                tokio::select! {
                    biased;
                    frame = self.body.frame() => frame,
                    () = std::future::ready(()) => return Ok(()),
                }
            };
            match frame {
                Some(Ok(frame)) => {
                    if let Some(octets) = frame.data_ref() {
                        self.lines.push(octets);
                    }
                }
                // It was cut, perhaps in the middle of a line.
                Some(Err(_)) => {
                    let sentence = "the body ended early; go on after the last line that was answered";
                    return Err(Over::Because(ApiError::bad_request("body_unreadable", sentence)));
                }
                None => {
                    texts.extend(self.lines.last());
                    return Err(Over::Read);
                }
            }
        }
    }

    async fn more(&mut self) -> Result<Option<Result<hyper::body::Frame<Bytes>, axum::Error>>, Over> {
        tokio::select! {
            frame = timeout(IDLE, self.body.frame()) => frame.map_err(|_| {
                let sentence = "no event came for 60 s; go on in another stream";
                Over::Because(ApiError::new(axum::http::StatusCode::REQUEST_TIMEOUT, "timeout", sentence))
            }),
            () = self.out.closed() => Err(Over::Gone),
            () = self.place.ends() => {
                let sentence = "this server ends; go on after the last line that was answered";
                Err(Over::Because(ApiError::busy("server_ending", sentence, RETRY_AFTER)))
            }
        }
    }

    /// Records these lines, once there is room for them, and gives the answers.
    async fn recorded(&mut self, texts: &[Line]) -> Result<Vec<u8>, Over> {
        let patience = tokio::time::Instant::now() + BUSY;
        loop {
            match self.record(texts).await {
                Ok(answers) => return Ok(answers),
                Err(error) => match error.waits().filter(|_| NOT_RECORDED.contains(&error.code())) {
                    // Whoever sends is kept waiting, as others are.
                    Some(seconds) if tokio::time::Instant::now() < patience => {
                        sleep(Duration::from_secs(seconds.clamp(1, RETRY_AFTER))).await;
                    }
                    _ => return Err(Over::Because(error)),
                },
            }
        }
    }

    async fn record(&mut self, texts: &[Line]) -> Result<Vec<u8>, ApiError> {
        let app = self.app.clone();
        let mut subjects = Subjects::new(&app, self.caller.tenant());
        let (mut sent, mut events) = (Vec::with_capacity(texts.len()), Vec::with_capacity(texts.len()));
        for (at, line) in texts.iter().enumerate() {
            if at % STEP == STEP - 1 {
                tokio::task::yield_now().await;
            }
            let taken = match line {
                Line::Whole(text) if text.trim_ascii().is_empty() => None,
                Line::Whole(text) => Some(salvage::take(&mut subjects, text).await),
                Line::TooLong => Some(Err(too_large_line())),
            };
            sent.push(match taken {
                Some(Ok(taken)) => {
                    let (one, event) = Sent::of(taken);
                    events.push(event);
                    Some(Ok(one))
                }
                Some(Err(error)) if error.is_ours() => return Err(error),
                Some(Err(error)) => Some(Err(error)),
                None => None,
            });
        }
        let tenant = self.caller.kakunin(&app).tenant(self.caller.tenant());
        let mut observed = tenant.observe_all(events).await?.into_iter();
        let mut answers = Vec::with_capacity(texts.len() * 64);
        for sent in sent {
            self.end.lines += 1;
            let seen = match sent {
                None => continue,
                Some(Ok(sent)) => {
                    observed.next().map(|seen| seen.map(|seen| (sent, seen)).map_err(ApiError::from))
                }
                Some(Err(error)) => Some(Err(error)),
            };
            let seen = seen.unwrap_or_else(|| Err(ApiError::internal()));
            self.count(&seen);
            written(&mut answers, &EventLine::of(self.end.lines, &seen));
        }
        Ok(answers)
    }

    fn count(&mut self, seen: &Result<(Sent, Observed), ApiError>) {
        let end = &mut self.end;
        *match seen {
            Ok((_, seen)) if seen.status == EventStatus::Duplicate => &mut end.duplicates,
            Ok(_) => &mut end.recorded,
            Err(_) => &mut end.refused,
        } += 1;
    }
}
