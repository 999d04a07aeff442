//! Hears what others appended: by their notices, and by a look once a second for what no notice told.

use std::future::poll_fn;
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
    let (client, mut connection) = config.connect(connector.options.tls()).await.map_err(undone)?;
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
    // The connection is polled for as long as it lives; what is asked over it ends before.
    if let Either::Right((began, heard)) = select(heard, pin!(began(&client, readers, known))).await {
        began?;
        heard.await;
    }
    Ok(())
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
