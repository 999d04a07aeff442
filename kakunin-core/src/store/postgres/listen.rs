//! Hears what others appended: by their notices, and by a look once a second for what no notice told.

use std::future::{Future, poll_fn};
use std::pin::pin;
use std::sync::{Arc, Weak};
use std::task::Poll;
use std::time::Duration;

use futures_util::future::{Either, select};
use tokio_postgres::{AsyncMessage, Client};

use super::error::undone;
use super::grown::{Sizes, read};
use super::link::{BRIEF, Connector};
use super::pool::Pool;
use super::rows::{column, number};
use super::sql;
use crate::error::StoreError;
use crate::log::entry::LogId;

/// Between two looks, and before another attempt to connect.
const EVERY: Duration = Duration::from_secs(1);
/// How often the connection that hears notices has to answer.
const PING: Duration = Duration::from_secs(5);

/// How large all logs are.
pub(super) async fn sizes(readers: &Arc<Pool>) -> Result<Vec<(LogId, u64)>, StoreError> {
    let link = readers.lend().await?;
    let _limit = link.limit(BRIEF);
    let rows = link.query(sql::SIZES, &[]).await?;
    rows.iter().map(|row| Ok((column::<&str>(row, 0)?.parse()?, number(row, 1)?))).collect()
}

/// Looks for as long as the store is there.
pub(super) async fn look(readers: Arc<Pool>, known: Weak<Sizes>) {
    loop {
        tokio::time::sleep(EVERY).await;
        let Ok(sizes) = sizes(&readers).await else { continue };
        let Some(known) = known.upgrade() else { return };
        known.look(sizes);
    }
}

/// Listens for as long as the store is there.
pub(super) async fn listen(connector: Connector, process: String, readers: Arc<Pool>, known: Weak<Sizes>) {
    while known.strong_count() > 0 {
        _ = hear(&connector, &process, &readers, &known).await;
        tokio::time::sleep(EVERY).await;
    }
}

async fn hear(
    connector: &Connector,
    process: &str,
    readers: &Arc<Pool>,
    known: &Weak<Sizes>,
) -> Result<(), StoreError> {
    let config = connector.options.config("listener", "");
    let connect = async { config.connect(connector.options.tls()).await.map_err(undone) };
    let (client, mut connection) = in_time(connect).await?;
    let heard = poll_fn(|cx| {
        loop {
            match connection.poll_message(cx) {
                Poll::Ready(Some(Ok(AsyncMessage::Notification(notice)))) => {
                    let Some(known) = known.upgrade() else { return Poll::Ready(()) };
                    known.hear(read(process, notice.payload()));
                }
                Poll::Ready(Some(Ok(_))) => {}
                Poll::Ready(_) => return Poll::Ready(()),
                Poll::Pending => return Poll::Pending,
            }
        }
    });
    let asks = async {
        in_time(began(&client, readers, known)).await?;
        // What is between may keep a connection whose other end is gone: then no notice comes, and no end either.
        loop {
            tokio::time::sleep(PING).await;
            in_time(async { client.batch_execute("").await.map_err(undone) }).await?;
        }
    };
    // The connection is polled for as long as it lives.
    match select(heard, pin!(asks)).await {
        Either::Left(_) => Ok(()),
        Either::Right((ended, _)) => ended,
    }
}

async fn in_time<T>(task: impl Future<Output = Result<T, StoreError>>) -> Result<T, StoreError> {
    let late = |_| StoreError::unavailable("the database does not answer in time");
    tokio::time::timeout(BRIEF, task).await.map_err(late)?
}

/// What was appended before is in a look that comes after LISTEN.
async fn began(client: &Client, readers: &Arc<Pool>, known: &Weak<Sizes>) -> Result<(), StoreError> {
    client.batch_execute("LISTEN kakunin").await.map_err(undone)?;
    let sizes = sizes(readers).await?;
    if let Some(known) = known.upgrade() {
        known.look(sizes);
    }
    Ok(())
}
