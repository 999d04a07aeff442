//! The command that is told of new CRLs, and ended if it does not end.

use std::os::unix::process::CommandExt;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use super::CrlSyncError;

/// Between two looks at whether it is done.
const LOOK: Duration = Duration::from_millis(20);

/// Runs it in a process group of its own, so that what it starts is ended with it.
pub(super) async fn run(command: &str, limit: Duration) -> Result<(), CrlSyncError> {
    let mut shell = Command::new("sh");
    // A process group in the background must not ask the terminal.
    let mut child = shell.args(["-c", command]).stdin(Stdio::null()).process_group(0).spawn()?;
    let began = Instant::now();
    while began.elapsed() < limit {
        match child.try_wait()? {
            Some(status) if status.success() => return Ok(()),
            Some(status) => return Err(CrlSyncError::Exec(status.to_string())),
            None => tokio::time::sleep(LOOK).await,
        }
    }
    // The number is the group's until somebody waited for the child.
    let kill = format!("kill -s KILL -- -{}", child.id());
    let killed = Command::new("sh").args(["-c", &kill]).status();
    // It may be in the middle of something that the system does not cut short.
    std::thread::spawn(move || child.wait());
    match killed {
        Ok(status) if status.success() => Err(CrlSyncError::Hung(limit)),
        Ok(status) => Err(CrlSyncError::Exec(format!("still running, and cannot be ended ({status})"))),
        Err(error) => Err(error.into()),
    }
}
