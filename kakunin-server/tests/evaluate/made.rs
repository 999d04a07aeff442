//! Made-up traces: what each agent does is plain, and what comes of it can be counted by hand.

use std::fs::File;
use std::io::Write;
use std::path::Path;

use flate2::Compression;
use flate2::write::GzEncoder;
use serde_json::{Value, json};
use tempfile::TempDir;

/// Refusals outside the scope that revoke, one after the other.
const REFUSALS: u64 = 20;

/// Lines of the files of a folder.
#[derive(Clone, Debug, Default)]
pub(crate) struct Traces {
    pub(crate) agents: Vec<Value>,
    pub(crate) events: Vec<Value>,
    pub(crate) sessions: Vec<Value>,
}

impl Traces {
    /// Six agents of two models: one of each fate.
    pub(crate) fn of_every_fate() -> Self {
        let mut traces = Self::default();
        let honest = [("benign-bad", "benign", true), ("benign-good", "benign", false)];
        for (name, role, flagged) in honest.into_iter().chain([("exposed-good", "exposed", false)]) {
            traces.agent(name, role, None);
            traces.session(name, 0, 30, "benign");
            traces.works(name, 30, flagged);
        }
        // One success is over before its session of refusals, one is not.
        traces.agent("caught", "compromised", Some(4));
        traces.works("caught", 8, false);
        traces.refused("caught");
        for (first, events, label) in
            [(0, 4, "benign"), (4, 4, "attacked-successful"), (8, REFUSALS, "attacked-successful")]
        {
            traces.session("caught", first, events, label);
        }
        traces.agent("early", "compromised", Some(30));
        traces.works("early", 30, true);
        traces.works("early", 10, false);
        traces.session("early", 0, 30, "benign");
        traces.session("early", 30, 10, "attacked-successful");
        traces.agent("missed", "compromised", Some(10));
        traces.works("missed", 20, false);
        traces.session("missed", 0, 10, "benign");
        traces.session("missed", 10, 10, "attacked-unsuccessful");
        traces
    }

    fn agent(&mut self, name: &str, role: &str, onset: Option<u64>) {
        let model = if name.starts_with("benign") { "one" } else { "two" };
        self.agents.push(json!({
            "agent": name, "role": role, "suite": "desk", "model": model, "profile": "steady", "guard": "none",
            "scenario": null, "scope_job": ["read:mail"], "scope_suite": ["read:mail", "write:mail"],
            "scope_broad": ["read:mail", "write:mail"], "onset_seq": onset, "first_injected_seq": onset,
        }));
    }

    fn next(&self, agent: &str) -> u64 {
        let own = self.events.iter().filter(|event| event["agent"] == agent).count();
        u64::try_from(own).unwrap()
    }

    pub(crate) fn event(&mut self, agent: &str, action: &str, width: &str) {
        let seq = self.next(agent);
        self.events.push(json!({
            "agent": agent, "seq": seq, "session": format!("s{}", seq / 10), "t": 30_000 + seq * 20,
            "action": action, "tool": "tool", "outcome": "ok", "scope": width, "label": "benign",
        }));
    }

    /// So many calls, the last of which are refused.
    fn works(&mut self, agent: &str, calls: u64, flagged: bool) {
        let well = calls - if flagged { REFUSALS } else { 0 };
        (0..well).for_each(|_| self.event(agent, "read:mail", "task"));
        if flagged {
            self.refused(agent);
        }
    }

    fn refused(&mut self, agent: &str) {
        (0..REFUSALS).for_each(|_| self.event(agent, "delete:vault", "none"));
    }

    fn session(&mut self, agent: &str, first: u64, events: u64, label: &str) {
        let session = format!("s{first}");
        self.sessions.push(
            json!({"agent": agent, "session": session, "first_seq": first, "events": events, "label": label}),
        );
    }

    /// A folder with these files, gzipped.
    pub(crate) fn folder(&self) -> TempDir {
        let dir = tempfile::tempdir().unwrap();
        for (name, rows) in [("agents", &self.agents), ("events", &self.events), ("sessions", &self.sessions)]
        {
            if !rows.is_empty() {
                zip(&dir.path().join(format!("{name}.jsonl.gz")), lines(rows).as_bytes());
            }
        }
        dir
    }
}

pub(crate) fn lines(rows: &[Value]) -> String {
    rows.iter().map(|row| format!("{row}\n")).collect()
}

pub(crate) fn zip(path: &Path, content: &[u8]) {
    let mut file = GzEncoder::new(File::create(path).unwrap(), Compression::fast());
    file.write_all(content).unwrap();
    file.finish().unwrap();
}
