//! Generates videos with `reeldeck-probe`.

use std::io::Write;
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};

use anyhow::{Context, ensure};
use rustix::process::Signal;

use crate::error::ExitError;
use crate::signals;

/// Generates the videos of a list that `reeldeck-probe synth` understands.
///
/// # Errors
/// When `reeldeck-probe` cannot be started, does not read the list, or fails, and when `cancelled` is set.
pub(crate) fn synthesize(probe: &Path, videos: &[serde_json::Value], cancelled: &AtomicBool) -> anyhow::Result<()> {
    let mut child = Command::new(probe)
        .arg("synth")
        .stdin(Stdio::piped())
        .spawn()
        .with_context(|| format!("failed to start {}", probe.display()))?;
    let text = serde_json::to_vec(videos)?;
    let sent = child.stdin.take().map_or(Ok(()), |mut input| input.write_all(&text));
    let status = signals::wait_for(&mut child, cancelled).context("failed to wait for reeldeck-probe")?;
    // A terminal sends its signals to the probe, too.
    let is_stopped =
        || status.signal().is_some_and(|signal| [Signal::INT, Signal::TERM].map(Signal::as_raw).contains(&signal));
    if cancelled.load(Ordering::Relaxed) || is_stopped() {
        return Err(ExitError::interrupted().into());
    }
    ensure!(status.success(), "reeldeck-probe failed to generate videos ({status})");
    sent.context("failed to send the list of videos to reeldeck-probe")
}
