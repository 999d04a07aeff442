//! Statements that are sent at once, one after the other, and answered in that order: one round trip for a transaction.

use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::task::{Context, Poll};

use tokio_postgres::{Error, Statement};

use super::error::{of_commit, undone};
use super::link::{Limit, Link, Value, WRITE};
use crate::error::StoreError;

type Reply<'a> = Pin<Box<dyn Future<Output = Result<u64, Error>> + Send + 'a>>;

/// A transaction: begin, statements, commit.
pub(super) struct Pipeline<'a> {
    link: &'a Link,
    replies: Vec<Step<'a>>,
}

enum Step<'a> {
    Waits(Reply<'a>),
    Done(Result<u64, Error>),
}

/// A transaction that was sent.
pub(super) struct Sent<'a> {
    replies: Vec<Step<'a>>,
    /// Whoever does not wait for the answers any more has no limit either: nothing waits for them then.
    _limit: Limit,
}

impl<'a> Pipeline<'a> {
    pub(super) fn begin(link: &'a Link) -> Self {
        let mut begun = Self { link, replies: Vec::with_capacity(8) };
        begun.batch("BEGIN");
        begun
    }

    /// A statement that is prepared on this connection.
    pub(super) fn then(&mut self, statement: Statement, values: Vec<Value<'a>>) {
        let client = self.link.client();
        let reply = async move { client.execute(&statement, &values).await };
        self.replies.push(Step::Waits(Box::pin(reply)));
    }

    fn batch(&mut self, sql: &'static str) {
        let client = self.link.client();
        let reply = async move { client.batch_execute(sql).await.map(|()| 0) };
        self.replies.push(Step::Waits(Box::pin(reply)));
    }

    /// Sends all of it, without waiting for anything: whoever is dropped from here on leaves no transaction open.
    ///
    /// # Errors
    /// If a statement could not be sent. Then COMMIT was not sent either: the connection is closed, and nothing is written.
    pub(super) async fn send(mut self) -> Result<Sent<'a>, StoreError> {
        self.batch("COMMIT");
        let link = self.link;
        let limit = link.limit(WRITE);
        if link.is_closed() {
            return Err(StoreError::not_written("the connection to the database is closed"));
        }
        let mut replies = self.replies;
        let last = replies.len().saturating_sub(1);
        poll_fn(|cx| {
            for (at, step) in replies.iter_mut().enumerate() {
                let Poll::Ready(Err(_)) = poll(step, cx) else { continue };
                if at == last {
                    // It may have been sent: its answer says.
                    break;
                }
                link.spoil();
                return Poll::Ready(Err(failure(step)));
            }
            Poll::Ready(Ok(()))
        })
        .await?;
        Ok(Sent { replies, _limit: limit })
    }
}

impl Sent<'_> {
    /// Waits for all answers.
    ///
    /// # Errors
    /// The first thing that was refused: nothing was written. [`StoreError::Unavailable`] if it is not known whether the
    /// transaction was committed.
    pub(super) async fn outcome(mut self) -> Result<(), StoreError> {
        poll_fn(|cx| {
            let mut waits = false;
            for step in &mut self.replies {
                waits |= poll(step, cx).is_pending();
            }
            if waits { Poll::Pending } else { Poll::Ready(()) }
        })
        .await;
        let committed = self.replies.pop();
        for step in self.replies {
            // What the server said of a statement before COMMIT undid the transaction. Where it said nothing, the
            // connection broke, and COMMIT was on its way.
            if let Step::Done(Err(error)) = step {
                let said = error.as_db_error().is_some();
                return Err(if said { undone(error) } else { StoreError::unavailable(error) });
            }
        }
        match committed {
            Some(Step::Done(Err(error))) => Err(of_commit(error)),
            _ => Ok(()),
        }
    }
}

fn poll<'s>(step: &'s mut Step<'_>, cx: &mut Context<'_>) -> Poll<Result<u64, &'s Error>> {
    if let Step::Waits(reply) = step {
        match reply.as_mut().poll(cx) {
            Poll::Ready(done) => *step = Step::Done(done),
            Poll::Pending => return Poll::Pending,
        }
    }
    match step {
        Step::Done(done) => Poll::Ready(done.as_ref().copied()),
        Step::Waits(_) => Poll::Pending,
    }
}

/// Why a statement could not be sent.
fn failure(step: &mut Step<'_>) -> StoreError {
    match std::mem::replace(step, Step::Done(Ok(0))) {
        Step::Done(Err(error)) => undone(error),
        _ => StoreError::not_written("a statement could not be sent"),
    }
}
