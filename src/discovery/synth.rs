//! Generates videos with `reeldeck-probe`.

use std::io::{self, Write};
use std::path::Path;
use std::process::{Command, Stdio};

/// Generates the videos of a list that `reeldeck-probe synth` understands.
///
/// # Errors
/// When `reeldeck-probe` cannot be started, does not read the list, or fails.
pub(crate) fn synthesize(probe: &Path, videos: &[serde_json::Value]) -> io::Result<()> {
    let fail = |what: &str, error: io::Error| io::Error::new(error.kind(), format!("{what}: {error}"));
    let mut child = Command::new(probe)
        .arg("synth")
        .stdin(Stdio::piped())
        .spawn()
        .map_err(|error| fail("failed to start reeldeck-probe", error))?;
    let sent = child.stdin.take().map_or(Ok(()), |mut input| input.write_all(&serde_json::to_vec(videos)?));
    let status = child.wait().map_err(|error| fail("failed to wait for reeldeck-probe", error))?;
    if !status.success() {
        return Err(io::Error::other(format!("reeldeck-probe failed to generate videos ({status})")));
    }
    sent.map_err(|error| fail("failed to send the list of videos to reeldeck-probe", error))
}
