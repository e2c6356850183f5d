//! Fetches a still of a video from `reeldeck-probe`, which opens untrusted files in a process of its own.

use std::io;
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt};
use tokio::process::Command;

use super::picture::Rgb;

/// Longer than a healthy file on a slow disk takes.
pub(super) const TIMEOUT: Duration = Duration::from_secs(20);

const MAX_ERROR_BYTES: u64 = 4096;

/// A still from about a third into the video, scaled to fit `width` × `height` pixels. Dropping the future ends the
/// process.
///
/// # Errors
/// When `reeldeck-probe` cannot be started, reports an error, or takes longer than `timeout`.
pub(super) async fn still(
    probe: &Path,
    video: &Path,
    [width, height]: [usize; 2],
    timeout: Duration,
) -> io::Result<Rgb> {
    let fetched = tokio::time::timeout(timeout, fetch(probe, video, width, height)).await;
    let slow = || io::Error::new(io::ErrorKind::TimedOut, format!("no still came within {} s", timeout.as_secs_f64()));
    fetched.unwrap_or_else(|_| Err(slow()))
}

async fn fetch(probe: &Path, video: &Path, width: usize, height: usize) -> io::Result<Rgb> {
    let mut child = Command::new(probe)
        .arg("still")
        // A file name may start with a dash.
        .arg("--")
        .arg(video)
        .args([width.to_string(), height.to_string()])
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        // A process group of its own: Ctrl-C at the terminal must not reach it.
        .process_group(0)
        .kill_on_drop(true)
        .spawn()
        .map_err(|error| io::Error::new(error.kind(), format!("failed to start {}: {error}", probe.display())))?;
    let (Some(output), Some(errors)) = (child.stdout.take(), child.stderr.take()) else {
        return Err(io::Error::other("reeldeck-probe has no standard output"));
    };
    let most = (width * height * 3 + 64) as u64;
    // Each pipe is closed after enough was read, so a process that writes too much ends by itself.
    let (read, stderr) = tokio::join!(read_up_to(output, most), read_up_to(errors, MAX_ERROR_BYTES));
    let (picture, stderr) = (read?, stderr?);
    let status = child.wait().await?;
    if !status.success() {
        let stderr = String::from_utf8_lossy(&stderr);
        let last = stderr.trim().lines().last().unwrap_or_default().trim_start_matches("error: ").to_owned();
        let message = if last.is_empty() { format!("reeldeck-probe ended without a message ({status})") } else { last };
        return Err(io::Error::other(message));
    }
    read_ppm(&picture, width, height)
        .ok_or_else(|| io::Error::new(io::ErrorKind::InvalidData, "reeldeck-probe sent no still"))
}

/// Reads up to `most` bytes.
async fn read_up_to(pipe: impl AsyncRead + Unpin, most: u64) -> io::Result<Vec<u8>> {
    let mut bytes = vec![];
    pipe.take(most).read_to_end(&mut bytes).await?;
    Ok(bytes)
}

/// Parses a binary PPM of at most the given size.
fn read_ppm(bytes: &[u8], most_width: usize, most_height: usize) -> Option<Rgb> {
    let mut rest = bytes.strip_prefix(b"P6\n")?;
    let mut line = || {
        let end = rest.iter().position(|byte| *byte == b'\n')?;
        let line = std::str::from_utf8(rest.get(..end)?).ok()?;
        rest = rest.get(end + 1..)?;
        Some(line)
    };
    let (width, height) = line()?.split_once(' ')?;
    let (width, height) = (width.parse().ok()?, height.parse().ok()?);
    (line()? == "255" && width <= most_width && height <= most_height).then_some(())?;
    Rgb::new(width, height, rest)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;
    use std::path::PathBuf;

    use super::*;

    #[test]
    fn incomplete_pictures_are_rejected() {
        let read = |text: &[u8]| read_ppm(text, 4, 4).map(|picture| picture.size());
        assert_eq!(read(b"P6\n2 1\n255\n\0\x01\x02\x03\x04\n"), Some([2, 1]));
        for bad in [
            &b""[..],
            b"P6\n2 1\n255\n\0\x01",
            b"P6\n2 1\n65535\n123456",
            b"P6\n5 1\n255\n123456789012345",
            b"P5\n1 1\n255\n1",
            b"P6\n0 0\n255\n",
            b"P6\n1",
        ] {
            assert_eq!(read(bad), None, "{bad:?}");
        }
    }

    fn script(folder: &Path, text: &str) -> PathBuf {
        let path = folder.join("probe");
        std::fs::write(&path, format!("#!/bin/sh\n{text}\n")).unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).unwrap();
        path
    }

    /// Runs a script as the probe. Retries while another thread that forks still holds the script open for writing.
    fn ask(text: &str, timeout: Duration) -> io::Result<Rgb> {
        let folder = tempfile::tempdir().unwrap();
        let probe = script(folder.path(), text);
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        loop {
            match runtime.block_on(still(&probe, Path::new("-v 1.mp4"), [8, 8], timeout)) {
                Err(error) if error.kind() == io::ErrorKind::ExecutableFileBusy => std::thread::yield_now(),
                result => return result,
            }
        }
    }

    #[test]
    fn stills_and_error_messages_are_returned() {
        let long = Duration::from_secs(60);
        let picture =
            ask(r#"[ "$1 $2 $3 $4 $5" = "still -- -v 1.mp4 8 8" ] && printf 'P6\n1 1\n255\nabc'"#, long).unwrap();
        assert_eq!(picture.pixels(), [*b"abc"]);
        let error = ask("echo 'warned of something' >&2; echo 'error: the file is empty (0 bytes)' >&2; exit 1", long);
        assert_eq!(error.unwrap_err().to_string(), "the file is empty (0 bytes)");
        let error = ask("exit 3", long).unwrap_err().to_string();
        assert!(error.contains("without a message") && error.contains('3'), "{error}");
        assert!(ask("echo P6", long).unwrap_err().to_string().contains("no still"));
        // A process that writes too much is not read to its end.
        assert!(ask("while echo 'P6 P6 P6 P6 P6 P6 P6 P6'; do :; done; exit 0", long).is_err());
    }

    #[test]
    fn a_slow_probe_is_killed() {
        let error = ask("exec sleep 1000", Duration::from_millis(50)).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::TimedOut);
    }

    #[test]
    fn a_missing_probe_is_named() {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let fetched = still(Path::new("/nowhere/probe"), Path::new("v.mp4"), [8, 8], TIMEOUT);
        let error = runtime.block_on(fetched).unwrap_err();
        assert!(error.to_string().contains("failed to start /nowhere/probe"), "{error}");
    }
}
