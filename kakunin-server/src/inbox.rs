//! `kakunin inbox`: what people should know, on a terminal or as JSON, and what was read of it.

use std::io::Write;
use std::time::Duration;

use axum::http::Method;
use kakunin_core::service::{NotificationKind, Severity};
use kakunin_core::text::visible_prose;
use kakunin_verify::feed::Events;
use serde_json::{Value, json};

use crate::client::{Client, ClientError};

const INBOX: &str = "/api/v1/notifications";
/// Most items of one page.
const PAGE: usize = 100;
/// Between two attempts to follow, at first and at the most.
const WAIT: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(30));

/// What is shown, and how.
#[derive(Clone, Debug)]
pub struct Options {
    /// Only what was not read with this key.
    pub unread: bool,
    /// Only what asks for so much.
    pub severity: Option<Severity>,
    /// Only what is of this kind.
    pub kind: Option<NotificationKind>,
    /// How many, the newest first.
    pub limit: usize,
    /// Go on with what comes, until told to end.
    pub follow: bool,
    /// Each as a line of JSON, as the API has it.
    pub json: bool,
}

/// What was read.
#[derive(Clone, Debug)]
pub enum Read {
    /// The item of this id.
    One(String),
    /// Everything that is there.
    All,
}

/// Shows the newest items, newest first; with `follow` oldest first, and then what comes.
///
/// # Errors
/// [`ClientError`]; with `follow` a server that goes away is asked again until it is there.
pub async fn show(client: &Client, options: &Options) -> Result<(), ClientError> {
    let (mut items, mut before, mut cursor, mut unread) = (Vec::new(), None, None, Value::Null);
    while items.len() < options.limit {
        let page = client.get(&path(options, before.as_deref(), options.limit - items.len())).await?;
        let text = |pointer: &str| page.json.pointer(pointer).and_then(Value::as_str).map(str::to_owned);
        // As of the first page: what comes later is followed.
        cursor = cursor.or_else(|| text("/stream_cursor"));
        unread = page.json.get("unread_count").cloned().unwrap_or_default();
        items.extend(page.data().as_array().into_iter().flatten().cloned());
        before = text("/pagination/next_cursor");
        if before.is_none() {
            break;
        }
    }
    if options.follow {
        items.reverse();
    }
    items.iter().try_for_each(|item| say(item, options.json))?;
    if !options.json {
        line(&format!("{unread} unread"))?;
    }
    if options.follow { follow(client, options, cursor.unwrap_or_default()).await } else { Ok(()) }
}

/// Marks as read, and says how many are not.
///
/// # Errors
/// [`ClientError`].
pub async fn read(client: &Client, what: &Read) -> Result<(), ClientError> {
    let (path, body) = match what {
        // Whatever is no id is none that the server has; in a path it could be another path.
        Read::One(id) if !id.is_empty() && id.bytes().all(|octet| octet.is_ascii_digit()) => {
            (format!("{INBOX}/{id}/read"), json!({}))
        }
        Read::One(id) => return Err(ClientError::Argument(format!("`{id}` is no id of a notification"))),
        // What comes from here on is not read.
        Read::All => {
            let newest = client.get(&format!("{INBOX}?limit=1")).await?;
            let id = newest.data().pointer("/0/id").and_then(Value::as_str).unwrap_or("0").to_owned();
            (format!("{INBOX}/read"), json!({ "up_to": id }))
        }
    };
    let reply = client.send(Method::POST, &path, &[], Some(&body)).await?;
    let unread = reply.data().get("unread_count").cloned().unwrap_or_default();
    line(&format!("{unread} unread"))
}

fn path(options: &Options, before: Option<&str>, limit: usize) -> String {
    let mut path = format!("{INBOX}?limit={}", limit.min(PAGE));
    if options.unread {
        path.push_str("&unread=true");
    }
    for (name, word) in [
        ("severity", options.severity.map(Severity::as_str)),
        ("kind", options.kind.map(NotificationKind::as_str)),
        ("before", before),
    ] {
        path.extend(word.map(|word| format!("&{name}={word}")));
    }
    path
}

async fn follow(client: &Client, options: &Options, mut cursor: String) -> Result<(), ClientError> {
    let mut wait = WAIT.0;
    loop {
        match stream(client, options, &mut cursor, &mut wait).await {
            Err(error @ (ClientError::NoAnswer { .. } | ClientError::Refused { status: 429 | 503, .. })) => {
                crate::logging::complain(&format!("{error}; trying again"));
            }
            Err(error) => return Err(error),
            // It ended by itself: the server does, or the key was revoked, which the next attempt says.
            Ok(()) => {}
        }
        tokio::time::sleep(wait).await;
        wait = (wait * 2).min(WAIT.1);
    }
}

/// Shows what comes until the stream ends, and keeps where it is.
async fn stream(
    client: &Client,
    options: &Options,
    cursor: &mut String,
    wait: &mut Duration,
) -> Result<(), ClientError> {
    let mut answer = client.open(&format!("{INBOX}/stream"), Some(cursor)).await?;
    let mut events = Events::default();
    let unexpected = || ClientError::Unexpected { what: format!("GET {INBOX}/stream") };
    while let Some(piece) = client.piece(&mut answer).await? {
        *wait = WAIT.0;
        for data in events.push(&piece).map_err(|_| unexpected())? {
            let item: Value = serde_json::from_slice(&data).map_err(|_| unexpected())?;
            let id = item.get("id").and_then(Value::as_str).and_then(|id| id.parse::<u64>().ok());
            *cursor = id.and_then(|id| id.checked_add(1)).ok_or_else(unexpected)?.to_string();
            if takes(options, &item) {
                say(&item, options.json)?;
            }
        }
    }
    Ok(())
}

/// Whether something new is what is asked for; nobody has read it.
fn takes(options: &Options, item: &Value) -> bool {
    let is =
        |name: &str, word: Option<&str>| word.is_none_or(|word| item.get(name).is_some_and(|v| v == word));
    is("severity", options.severity.map(Severity::as_str))
        && is("kind", options.kind.map(NotificationKind::as_str))
}

fn say(item: &Value, json: bool) -> Result<(), ClientError> {
    if json {
        return print(&item.to_string());
    }
    let text = |name: &str| item.get(name).and_then(Value::as_str).unwrap_or_default();
    let mark = if item.get("read").is_some_and(|read| read == true) { ' ' } else { '*' };
    let (id, at, severity, kind) = (text("id"), text("created_at"), text("severity"), text("kind"));
    let (agent, title, message) = (text("agent_id"), text("title"), text("message"));
    line(&format!("{mark} {id:>8}  {at}  {severity:<8}  {kind:<23}  {agent:<36}  {title}. {message}"))
}

/// One line, with what would hide in it or move it written out.
fn line(text: &str) -> Result<(), ClientError> {
    print(&visible_prose(text).replace('\n', " "))
}

fn print(line: &str) -> Result<(), ClientError> {
    let mut out = std::io::stdout().lock();
    writeln!(out, "{line}")?;
    Ok(out.flush()?)
}
