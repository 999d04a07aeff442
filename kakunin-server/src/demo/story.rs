//! Twenty instances of one model work; one is led astray, and loses its identity by itself.

use std::time::{Duration, Instant};

use kakunin_core::id::Serial;
use serde_json::Value;

use super::agents::{Agent, Call, SCOPE, expect, honest_calls};
use super::client::Client;
use super::error::DemoError;
use super::timeline::{Timeline, Tone};

const INSTANCES: usize = 20;
/// Which one reads the page with the injection.
const ASTRAY: usize = 6;
/// What the page talks it into, in turns: none of it is in its certificate.
const TEMPTATIONS: [(&str, &str); 6] = [
    ("read:credentials", "open_password_vault"),
    ("share:files", "share_folder_with_stranger"),
    ("grant:permissions", "invite_external_admin"),
    ("delete:files", "empty_trash"),
    ("write:credentials", "change_password"),
    ("send:messages", "message_everybody"),
];
/// More refusals than it can take.
const PATIENCE: usize = 200;
/// Between two attempts, so that the eye can follow.
const BREATH: Duration = Duration::from_millis(60);

/// Plays it; gives the serial number that was revoked.
pub(super) async fn tell(operator: &Client, timeline: &mut Timeline) -> Result<Serial, DemoError> {
    timeline.line(
        Tone::Good,
        "server",
        "ready: root CA, issuing CA, tenant, log and an admin key are made",
    )?;
    let mut agents = Vec::with_capacity(INSTANCES);
    for number in 1..=INSTANCES {
        agents.push(Agent::start(&format!("assistant-{number:02}"), &SCOPE, operator).await?);
    }
    let say = "20 instances of one model, each with a key and a certificate of its own";
    timeline.line(Tone::Good, "issued", say)?;
    let honest = honest_calls(INSTANCES)?;
    work(&agents, &honest, timeline).await?;
    let astray = agents.get(ASTRAY).ok_or_else(|| DemoError::Story("there is no such instance".into()))?;
    let fallen = fall(astray, operator, timeline).await?;
    look(astray, operator, timeline, fallen).await?;
    others(&agents, &honest, operator, timeline).await?;
    timeline.end(&astray.name, &astray.serial)?;
    Ok(astray.serial)
}

/// Everybody does its recorded work; every call is allowed.
async fn work(agents: &[Agent], honest: &[Vec<Call>], timeline: &mut Timeline) -> Result<(), DemoError> {
    let began = Instant::now();
    let mut allowed = 0;
    let longest = honest.iter().map(Vec::len).max().unwrap_or(0);
    for turn in 0..longest {
        for (agent, calls) in agents.iter().zip(honest) {
            if let Some(call) = calls.get(turn) {
                expect(agent.ask(&call.action, &call.tool, &call.session).await?, 200)?;
                allowed += 1;
            }
        }
    }
    let each = began.elapsed() / allowed.max(1);
    let say = format!(
        "{allowed} recorded calls, all allowed; {} us each, signature to record on disk",
        each.as_micros()
    );
    timeline.line(Tone::Good, "allowed", &say)
}

/// One instance tries what it may not, until it has no identity any more. Gives the moment of that.
async fn fall(astray: &Agent, operator: &Client, timeline: &mut Timeline) -> Result<Instant, DemoError> {
    let say = format!("{} reads a page that tells it to act for somebody else", astray.name);
    timeline.line(Tone::Bad, "astray", &say)?;
    let mut warned = false;
    for attempt in 1..=PATIENCE {
        let (action, tool) = TEMPTATIONS.get(attempt % TEMPTATIONS.len()).copied().unwrap_or_default();
        let answer = expect(astray.ask(action, tool, "page").await?, 403)?;
        let answered = Instant::now();
        let code = answer.json().get("error").and_then(Value::as_str).unwrap_or_default().to_owned();
        let risk = operator.get(&format!("/api/v1/agents/{}/risk", astray.id)).await?.data();
        let score = risk.get("risk_score").and_then(Value::as_f64).unwrap_or_default();
        let suspended = risk.get("agent_status").and_then(Value::as_str) == Some("suspended");
        timeline.refusal(attempt, action, &code, score)?;
        if !warned && notified(operator, "pre_revocation_warning").await? {
            warned = true;
            timeline.line(Tone::Warn, "inbox", "pre_revocation_warning: the operator is told")?;
        }
        if suspended {
            if !warned {
                return Err(DemoError::Story("no warning came before the revocation".into()));
            }
            return Ok(answered);
        }
        tokio::time::sleep(BREATH).await;
    }
    Err(DemoError::Story(format!("{PATIENCE} refusals took nothing away")))
}

async fn notified(operator: &Client, kind: &str) -> Result<bool, DemoError> {
    let inbox = expect(operator.get("/api/v1/notifications").await?, 200)?.data();
    let is_kind = |item: &Value| item.get("notification_type").and_then(Value::as_str) == Some(kind);
    Ok(inbox.as_array().is_some_and(|items| items.iter().any(is_kind)))
}

/// What the world sees of it.
async fn look(
    astray: &Agent,
    operator: &Client,
    timeline: &mut Timeline,
    fallen: Instant,
) -> Result<(), DemoError> {
    timeline.line(Tone::Bad, "revoked", &format!("certificate {}, by its own score", astray.serial))?;
    // What its certificate still says it may do.
    let refused = expect(astray.ask("read:email", "get_unread_emails", "page").await?, 403)?;
    let code = refused.json().get("error").and_then(Value::as_str).unwrap_or_default().to_owned();
    if code != "agent_revoked" {
        return Err(DemoError::Story(format!("the refusal is `{code}`")));
    }
    let after = fallen.elapsed();
    let say = format!(
        "403 agent_revoked on its next request, {:.1} ms after the event that took it",
        millis(after)
    );
    timeline.line(Tone::Bad, "gateway", &say)?;
    let anybody = operator.without_key();
    let seen = expect(anybody.get(&format!("/api/v1/verify/{}", astray.serial)).await?, 200)?;
    if seen.text("status") != "revoked" {
        return Err(DemoError::Story("the public status is not `revoked`".into()));
    }
    let say = format!("verify/{} says revoked, {}", astray.serial, seen.text("revocation_reason"));
    timeline.line(Tone::Bad, "public", &say)?;
    let crl = expect(anybody.get("/api/v1/crl").await?, 200)?;
    let der =
        kakunin_core::x509::pem::decode(kakunin_core::x509::pem::CRL, &String::from_utf8_lossy(&crl.body));
    let der = der.ok().and_then(|mut all| all.pop()).unwrap_or_default();
    if !der.windows(16).any(|octets| octets == astray.serial.as_bytes()) {
        return Err(DemoError::Story("the CRL lacks the serial number".into()));
    }
    let say = format!(
        "{} bytes, signed, with the serial number on it, {:.1} ms after",
        der.len(),
        millis(fallen.elapsed())
    );
    timeline.line(Tone::Bad, "CRL", &say)?;
    if !notified(operator, "risk_threshold_crossed").await? {
        return Err(DemoError::Story("the inbox does not tell of it".into()));
    }
    timeline.line(Tone::Warn, "inbox", "risk_threshold_crossed: score, threshold and evidence")
}

fn millis(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1_000.0
}

/// The others go on working, and exactly one certificate is revoked.
async fn others(
    agents: &[Agent],
    honest: &[Vec<Call>],
    operator: &Client,
    timeline: &mut Timeline,
) -> Result<(), DemoError> {
    let mut working = 0;
    for (number, (agent, calls)) in agents.iter().zip(honest).enumerate() {
        if number != ASTRAY
            && let Some(call) = calls.first()
        {
            expect(agent.ask(&call.action, &call.tool, "afterwards").await?, 200)?;
            working += 1;
        }
    }
    let list = expect(operator.get("/api/v1/agents?status=suspended").await?, 200)?.json();
    let suspended = list.pointer("/meta/total").and_then(Value::as_u64);
    if suspended != Some(1) || working != INSTANCES - 1 {
        let suspended = suspended.unwrap_or_default();
        return Err(DemoError::Story(format!("{working} work on, {suspended} are suspended")));
    }
    timeline.line(Tone::Good, "others", &format!("{working} instances of the same model work on"))?;
    let log = expect(operator.get("/api/v1/audit-log?limit=1").await?, 200)?.json();
    let note = log.get("checkpoint").and_then(Value::as_str).unwrap_or_default();
    let size = note.lines().nth(1).unwrap_or("?");
    let root: String = note.lines().nth(2).unwrap_or_default().chars().take(16).collect();
    timeline.line(Tone::Good, "log", &format!("{size} records under one signed root, {root}..."))
}
