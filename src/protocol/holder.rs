//! How clients find the engines of an output folder: a file for each engine, which the engine rewrites with each heartbeat.

use std::fs::{self, TryLockError};
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::sync::OnceLock;
use std::time::Duration;

use jiff::Timestamp;
use reeldeck_common::clock;
pub(crate) use reeldeck_common::machine::host;
use reeldeck_common::open;
use reeldeck_common::pid::is_gone;
use reeldeck_common::source::SourceStamp;
use reeldeck_common::video::{VideoName, printable};
use serde::{Deserialize, Serialize};

use super::engine_report::EngineReport;
use crate::out::time;

/// An engine that is not known to have ended has ended when its heartbeat is older than this. Its claims end at the same time.
pub(crate) const DEAD_AFTER: Duration = Duration::from_millis(reeldeck_claims::LEASE);

/// An engine on another host may still run if its heartbeat is not older than this: the clocks of hosts differ. Nothing of such an
/// engine is removed. The clocks of a cluster with Slurm differ by less than five minutes, or its authentication fails.
const MAY_RUN: Duration = Duration::from_mins(15);

/// The size of the file of an engine in bytes. It is constant, so that a write replaces the whole text.
pub(crate) const FILE_SIZE: usize = 8192;

/// What an engine writes about itself.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Holder {
    /// The id of the engine, which is also the name of its file.
    #[serde(default)]
    pub id: String,
    /// The host name.
    pub host: String,
    /// The process id on that host.
    pub pid: u32,
    /// Name and version of the program.
    pub tool: String,
    /// When it started.
    pub started: Timestamp,
    /// When it last wrote this file.
    pub heartbeat: Timestamp,
    /// How often it has written this file.
    #[serde(default)]
    pub counter: u64,
    /// The path of its socket, if it has one.
    pub socket: Option<PathBuf>,
    /// Where its process id is valid.
    #[serde(default)]
    pub place: String,
    /// The job of a scheduler that it belongs to.
    #[serde(default)]
    pub job: Option<String>,
    /// Some of its videos, the same ones for each engine of a dataset.
    #[serde(default)]
    pub videos: Vec<KnownVideo>,
    /// What its recipe says beyond the name of the feature set: the outputs, and how much damage is accepted. Empty before it has read
    /// its videos.
    #[serde(default)]
    pub terms: String,
    /// What it does; none from an older version.
    #[serde(default)]
    pub report: Option<EngineReport>,
}

/// A video as an engine sees it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct KnownVideo {
    /// Its name.
    pub name: VideoName,
    /// The size and time of its file.
    pub stamp: SourceStamp,
}

impl Holder {
    /// Whether it ran on this host and has ended.
    pub fn is_dead_here(&self) -> bool {
        self.is_here() && is_gone(self.pid)
    }

    /// Whether its process id is valid here.
    pub fn is_here(&self) -> bool {
        self.host == host() && (self.place.is_empty() || self.place == place())
    }

    /// A video of which this engine has another file than an engine with these videos, if that is so for most that both have.
    pub(crate) fn other_copy<'v>(&self, videos: &'v [KnownVideo]) -> Option<&'v KnownVideo> {
        let theirs = |name| self.videos.iter().find(|video| video.name == name);
        let both = videos.iter().filter_map(|video| Some((video, theirs(video.name.clone())?)));
        let (same, other): (Vec<_>, Vec<_>) = both.partition(|(ours, theirs)| ours.stamp == theirs.stamp);
        other.first().filter(|_| other.len() > same.len()).map(|(ours, _)| *ours)
    }

    /// Host, process and start, for people.
    pub fn in_words(&self) -> String {
        format!("host {}, {}", self.host, self.process_in_words())
    }

    /// Process, job and start, for people.
    pub fn process_in_words(&self) -> String {
        let job = self.job.as_ref().map_or_else(String::new, |job| format!(", job {job}"));
        format!("process {}{job}, since {}", self.pid, time(self.started))
    }

    /// The time since its last heartbeat, on the clocks of both machines.
    pub(crate) fn age(&self, now: Timestamp) -> Duration {
        Duration::try_from(now.duration_since(self.heartbeat)).unwrap_or_default()
    }

    /// The text of its file, shortened until it fits.
    ///
    /// # Errors
    /// When it does not fit without a report.
    pub(crate) fn file_text(&self) -> io::Result<Vec<u8>> {
        let mut holder = self.clone();
        loop {
            let mut text = serde_json::to_vec(&holder)?;
            if text.len() < FILE_SIZE {
                text.resize(FILE_SIZE - 1, b' ');
                text.push(b'\n');
                return Ok(text);
            }
            if !holder.report.as_mut().is_some_and(EngineReport::shorten) && holder.report.take().is_none() {
                return Err(io::Error::other("the socket's path is too long"));
            }
        }
    }
}

/// The file of an engine.
#[derive(Debug)]
pub(crate) struct Seen {
    /// Its path.
    pub path: PathBuf,
    /// Whether the engine runs, as far as the clocks of the hosts agree.
    pub held: bool,
    /// Whether it may run although `held` is false, because the clocks may differ.
    pub may_run: bool,
    /// What the engine has written; none when it cannot be read.
    pub holder: Option<Holder>,
}

/// The folder of the files of the engines.
pub(crate) fn folder(private: &Path) -> PathBuf {
    private.join("engines")
}

/// The file of an engine.
pub(crate) fn file(private: &Path, id: &str) -> PathBuf {
    folder(private).join(format!("{id}.json"))
}

/// The files of all engines of an output folder, the one that started first at the beginning.
///
/// # Errors
/// When their folder exists and cannot be read.
pub(crate) fn holders(private: &Path) -> io::Result<Vec<Seen>> {
    let entries = match fs::read_dir(folder(private)) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(vec![]),
        Err(error) => return Err(error),
    };
    let mut seen = vec![];
    for entry in entries {
        let path = entry?.path();
        if path.extension().is_some_and(|extension| extension == "json") {
            seen.extend(look(&path)?);
        }
    }
    seen.sort_by_key(|seen| seen.holder.as_ref().map(|holder| (holder.started, holder.pid)));
    Ok(seen)
}

/// Reads the file of an engine, and finds out whether the engine runs. None if the file does not exist.
///
/// # Errors
/// When it exists and cannot be read.
pub(crate) fn look(path: &Path) -> io::Result<Option<Seen>> {
    let file = match open::regular(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        file => file?,
    };
    let holder = read_holder(path);
    let beats = || holder.as_ref().is_some_and(|holder| is_fresh(holder, DEAD_AFTER));
    let held = match file.try_lock_shared() {
        // The lock may be one of another host only.
        Ok(()) => holder.as_ref().is_some_and(|holder| !holder.is_here()) && beats(),
        Err(TryLockError::WouldBlock) => true,
        Err(TryLockError::Error(error)) if open::has_no_locks(&error) => beats(),
        Err(TryLockError::Error(error)) => return Err(error),
    };
    let is_elsewhere = |holder: &Holder| !holder.is_here() && is_fresh(holder, MAY_RUN);
    let may_run = held || holder.as_ref().is_some_and(is_elsewhere);
    Ok(Some(Seen { path: path.to_owned(), held, may_run, holder }))
}

/// The name of the log of the first engine on this host.
pub(crate) fn log_name() -> String {
    host().replace(|c: char| !c.is_ascii_alphanumeric(), "-")
}

/// Where process ids are valid: the boot of the kernel, and the namespace of the processes.
pub(crate) fn place() -> String {
    static PLACE: OnceLock<String> = OnceLock::new();
    let read = || {
        let boot = fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default();
        let namespace = fs::read_link("/proc/self/ns/pid").unwrap_or_default();
        format!("{} {}", boot.trim(), namespace.display())
    };
    PLACE.get_or_init(read).clone()
}

/// Whether the last heartbeat is not older than the limit, and the engine has not ended on this host.
fn is_fresh(holder: &Holder, limit: Duration) -> bool {
    let age = clock::now().duration_since(holder.heartbeat);
    age.unsigned_abs() < limit && !holder.is_dead_here()
}

/// Reads the file of an engine; `None` when it is empty or has another content. In a shared output folder, others may have written it:
/// its texts are escaped.
pub(crate) fn read_holder(path: &Path) -> Option<Holder> {
    let mut text = vec![];
    open::regular(path).ok()?.take(FILE_SIZE as u64 * 2).read_to_end(&mut text).ok()?;
    let holder: Holder = serde_json::from_slice(&text).ok()?;
    Some(Holder {
        id: printable(&holder.id),
        host: printable(&holder.host),
        tool: printable(&holder.tool),
        terms: printable(&holder.terms),
        job: holder.job.as_deref().map(printable),
        report: holder.report.map(EngineReport::checked),
        ..holder
    })
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::protocol::engine_report::tests::device;
    use crate::protocol::snapshot::Snapshot;

    /// An engine that has just started.
    pub(crate) fn holder(id: &str) -> Holder {
        let now = clock::now();
        Holder {
            id: id.into(),
            host: host(),
            pid: 4711,
            tool: "reeldeck 0".into(),
            started: now,
            heartbeat: now,
            counter: 0,
            socket: None,
            place: String::new(),
            job: None,
            videos: vec![],
            terms: String::new(),
            report: None,
        }
    }

    #[test]
    fn texts_of_an_engine_file_are_escaped() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.json");
        let text = r#"{"host":"h\u001b]0;x\u0007\nerror: \u202ee\udb40\udc41","pid":1,"tool":"t\u200b","started":"2026-01-01T00:00:00Z",
            "heartbeat":"2026-01-01T00:00:00Z","socket":null}"#;
        fs::write(&path, text).unwrap();
        let holder = read_holder(&path).unwrap();
        assert_eq!(holder.host, "h\\u{1b}]0;x\\u{7}\\nerror: \\u{202e}e\\u{e0041}");
        assert_eq!(holder.tool, "t\\u{200b}");
        assert_eq!(holder.report, None, "an older version writes none");
    }

    #[test]
    fn an_engine_of_another_host_may_run_although_its_clock_differs() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.json");
        let look = |seconds: i64, host: String| {
            let heartbeat = clock::now() - jiff::SignedDuration::from_secs(seconds);
            fs::write(&path, Holder { host, heartbeat, ..holder("a") }.file_text().unwrap()).unwrap();
            let seen = look(&path).unwrap().unwrap();
            (seen.held, seen.may_run)
        };
        for (seconds, expected) in [(0, true), (-80, true), (200, false), (-200, false), (800, false)] {
            assert_eq!(look(seconds, "another".into()), (expected, true), "{seconds}");
        }
        assert_eq!(look(1000, "another".into()), (false, false));
        assert_eq!(look(0, host()), (false, false), "the lock of an engine on this host tells");
    }

    #[test]
    fn the_file_of_an_engine_has_the_same_size_whatever_it_says() {
        let path = tempfile::NamedTempFile::new().unwrap();
        for devices in [0, 1, 8, 16, 64, 1_000] {
            let devices: Vec<_> = (0..devices).map(|number| device(number, 17)).collect();
            let snapshot = Snapshot { devices, reason: Some("\u{1b}".repeat(5_000)), ..Snapshot::default() };
            let report = EngineReport::of("slowonly-0123abcd", &snapshot);
            let holder = Holder { report: Some(report), ..holder("a") };
            let text = holder.file_text().unwrap();
            assert_eq!((text.len(), text.last()), (FILE_SIZE, Some(&b'\n')));
            fs::write(path.path(), text).unwrap();
            let read = read_holder(path.path()).unwrap().report.unwrap();
            assert_eq!(read.devices.len() + read.more_devices, snapshot.devices.len());
            assert!(read.devices.len() >= snapshot.devices.len().min(16), "{}", read.devices.len());
            assert!(read.devices.iter().all(|device| !device.in_flight.is_empty()));
        }
        let socket = Some("x".repeat(FILE_SIZE).into());
        assert!(Holder { socket, ..holder("a") }.file_text().is_err());
    }
}
