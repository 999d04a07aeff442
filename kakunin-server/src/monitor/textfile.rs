//! What was measured, for the textfile collector of Prometheus' `node_exporter`.

use std::fmt::{Display, Write};
use std::path::Path;
use std::time::Duration;

use kakunin_core::time::UnixTime;

use super::error::MonitorError;
use super::report::Report;
use crate::replace;

/// Replaces the file, at once or not at all. Without a report nothing could be measured.
///
/// # Errors
/// [`MonitorError::Textfile`].
pub fn write(
    file: &Path,
    report: Option<&Report>,
    bound: Duration,
    now: UnixTime,
) -> Result<(), MonitorError> {
    let failed = |source| MonitorError::Textfile { path: file.to_owned(), source };
    replace::file(file, text(report, bound, now).as_bytes()).map_err(failed)
}

fn text(report: Option<&Report>, bound: Duration, now: UnixTime) -> String {
    let measured = report.map_or(&[][..], |report| &report.measured);
    let label = |consumer: &str| format!("{{consumer=\"{}\"}}", escaped(consumer));
    let mut out = String::new();
    let refused = measured.iter().map(|m| (label(&m.consumer), u8::from(m.after.is_some())));
    gauge(
        &mut out,
        "kakunin_revocation_refused",
        "Whether the canary was refused within the bound.",
        refused,
    );
    let seconds = measured.iter().filter_map(|m| Some((label(&m.consumer), m.after?.as_secs_f64())));
    let help = "From the revocation of the canary to its refusal; absent if it was not refused.";
    gauge(&mut out, "kakunin_revocation_seconds", help, seconds);
    let mut alone = |name, help, value: &dyn Display| gauge(&mut out, name, help, [(String::new(), value)]);
    alone("kakunin_revocation_bound_seconds", "How long each consumer may take.", &bound.as_secs_f64());
    let success = u8::from(report.is_some_and(Report::in_time));
    alone("kakunin_monitor_success", "Whether every consumer was measured and refused in time.", &success);
    let (millis, help) = (now.millis(), "When the last measurement ended.");
    let seconds = format!("{}.{:03}", millis / 1_000, millis % 1_000);
    alone("kakunin_monitor_timestamp_seconds", help, &seconds);
    out
}

fn gauge<V: Display>(
    out: &mut String,
    name: &str,
    help: &str,
    samples: impl IntoIterator<Item = (String, V)>,
) {
    // Writing to a String does not fail.
    let _ = writeln!(out, "# HELP {name} {help}\n# TYPE {name} gauge");
    for (labels, value) in samples {
        let _ = writeln!(out, "{name}{labels} {value}");
    }
}

fn escaped(label: &str) -> String {
    label.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n")
}
