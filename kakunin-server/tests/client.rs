//! The Python client `kakunin` (Apache-2.0, from the package index) against this server: each call of it that
//! has a counterpart here, and its own models over our answers.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    reason = "a test that cannot go on has failed"
)]

mod common;

use std::path::PathBuf;

use common::world;

const SCRIPT: &str = r#"
import asyncio, sys
from kakunin import Kakunin
from kakunin.exceptions import NotFoundError, UnprocessableError, AuthenticationError, ConflictError
base, key = sys.argv[1:3]
MODEL = "sha256:" + "ab" * 32
async def main():
    async with Kakunin(api_key=key, base_url=base + "/api/v1") as k:
        agent = await k.agents.create(name="desk-7", model="m", version="1", model_hash=MODEL,
            financial_scope={"max_single_trade_usd": 100, "permitted_venues": ["XNYS"]},
            metadata={"permitted_actions": ["read:accounts"], "team": "a"})
        assert (agent.status.value, agent.metadata["team"]) == ("suspended", "a"), agent
        certificate = await k.agents.certify(agent.id)
        assert certificate.status.value == "active" and "BEGIN CERTIFICATE" in certificate.pem
        # The answer was lost, and the client asks again.
        try:
            await k.agents.certify(agent.id)
            raise SystemExit("two certificates")
        except ConflictError as refused:
            assert "fetch it" in str(refused), refused
        assert (await k.agents.get(agent.id)).status.value == "active"
        for n in range(3):
            await k.agents.create(name=f"other-{n}", model="m", version="1", model_hash=MODEL)
        agents, pages = await k.agents.list(limit=2)
        rest, last = await k.agents.list(limit=2, before=pages.next_cursor)
        assert len({a.id for a in agents + rest}) == 4 and not last.has_next_page, (pages, last)
        changed = await k.agents.update(agent.id, metadata={"permitted_actions": ["read:accounts"], "team": "b"})
        assert changed.metadata["team"] == "b"
        event = await k.events.create(agent_id=agent.id, action_type="transaction_initiated", session_id="s",
            occurred_at="2026-11-23T08:00:00+00:00", details={"amount_usd": 12.5})
        assert event.id and event.action_type == "transaction"
        events, _ = await k.events.list(agent_id=agent.id, limit=10)
        assert [e.id for e in events] == [event.id]
        found, _ = await k.events.list(action_type="transaction_initiated", limit=10)
        assert [e.id for e in found] == [event.id]
        # The same moment by a clock in another zone, and a name in another script.
        zoned = await k.events.create(agent_id=agent.id, action_type="data_access", chain_id="連鎖-1",
            occurred_at="2026-11-23T09:00:00+01:00")
        assert zoned.occurred_at == event.occurred_at, zoned
        risk = await k.agents.risk(agent.id)
        assert risk.event_count == 2 and risk.window_days == 30 and risk.drift.drift_score is None
        signed = await k.agents.sign(agent.id, payload={"b": 1, "a": "x"})
        ask = dict(agent_id=agent.id, signature=signed.signature, certificate_serial=signed.certificate_serial)
        assert (await k.verify.message(payload={"a": "x", "b": 1}, **ask)).valid
        assert not (await k.verify.message(payload={"a": "x", "b": 2}, **ask)).valid
        assert (await k.verify.certificate(certificate.serial_number))["valid"] is True
        receipt = await k.agents.halt(agent.id, reason="it sold everything")
        assert receipt.certificate_serial == certificate.serial_number and receipt.signature
        assert (await k.verify.certificate(certificate.serial_number))["status"] == "revoked"
        assert not (await k.verify.message(payload={"a": "x", "b": 1}, **ask)).valid
        for call in [k.chains.create(name="c"), k.chains.get("c"), k.chains.list(), k.chains.close("c"),
                k.verify.chain("c"), k.reports.create(agent_id=agent.id), k.reports.get("r")]:
            try:
                await call
                raise SystemExit("what is not offered was answered")
            except NotFoundError as refused:
                assert str(refused).startswith("this server "), refused
        for expected, call in [(UnprocessableError, k.events.create(agent_id=agent.id, action_type="api_call")),
                (NotFoundError, k.agents.get("00000000-0000-7000-8000-000000000000")),
                (ConflictError, k.agents.sign(agent.id, payload={}))]:
            try:
                await call
                raise SystemExit(f"no {expected}")
            except expected:
                pass
        await k.agents.update(agent.id, status="retired")
    async with Kakunin(api_key="kak_live_wrong", base_url=base + "/api/v1") as k:
        try:
            await k.agents.list()
            raise SystemExit("a wrong key was accepted")
        except AuthenticationError:
            pass
asyncio.run(main())
print("satisfied")
"#;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_vendors_client_is_satisfied() {
    let w = world().await;
    let key = std::fs::read_to_string(w.folder.path().join("data/admin.key")).unwrap();
    let cache = std::env::var("XDG_CACHE_HOME").map(PathBuf::from);
    let cache = cache.or_else(|_| std::env::var("HOME").map(|h| PathBuf::from(h).join(".cache")));
    let tools = std::env::var("KAKUNIN_TOOLS").map(PathBuf::from);
    let tools = tools.or_else(|_| cache.map(|c| c.join("kakunin/tools")));
    let there = || tools.unwrap().join("venv/bin/python").display().to_string();
    let python = std::env::var("KAKUNIN_PYTHON").unwrap_or_else(|_| there());
    let out = std::process::Command::new(python)
        .args(["-c", SCRIPT, &w.url, key.trim_end()])
        .output()
        .expect("python is installed by `make setup`");
    let said = String::from_utf8_lossy(&out.stderr);
    assert!(out.status.success(), "{said}\nis the client there? run `make setup`");
    assert_eq!(String::from_utf8_lossy(&out.stdout).trim(), "satisfied");
}
