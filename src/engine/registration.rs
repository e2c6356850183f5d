//! Registers an engine in the output folder, so that clients and other engines find it. The kernel releases the lock on its
//! file when the engine and all workers have exited.

use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use jiff::Timestamp;
use reeldeck_claims::{DiskFolder, Promise};
use reeldeck_common::open;

use crate::dataset::shown;
use crate::engine::publish::RunObserver;
use crate::error::{Exit, ExitError};
use crate::protocol::engine_report::EngineReport;
use crate::protocol::event::Line;
use crate::protocol::holder::{
    self, Holder, KnownVideo, Seen, has_no_locks, holders, host, log_name, place, read_holder,
};
use crate::protocol::snapshot::Snapshot;

/// How long to wait for the workers of an engine that was killed to exit.
const WORKER_EXIT_TIMEOUT: Duration = Duration::from_secs(10);

/// Why an engine cannot register in an output folder.
#[derive(Debug, thiserror::Error)]
pub(crate) enum RegistrationError {
    /// The file system does not meet a condition of the claims.
    #[error(
        "engines cannot share the output folder {}: its file system does not work as needed ({}); use another --out",
        shown(out),
        promise.in_words()
    )]
    Promise {
        /// The folder that was tried out.
        out: PathBuf,
        /// The condition.
        promise: Promise,
    },
    /// The file cannot be created or read.
    #[error("failed to register in {}; check space and permissions", shown(folder))]
    Io {
        /// The folder of the engines.
        folder: PathBuf,
        /// The cause.
        source: io::Error,
    },
}

impl From<RegistrationError> for ExitError {
    fn from(error: RegistrationError) -> Self {
        Self::new(Exit::Internal, error)
    }
}

/// The state of the file of an engine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum EngineFile {
    /// It is unchanged.
    Same,
    /// It is another file that names this engine, because the disk was mounted again.
    Remounted,
    /// It was removed or replaced.
    Gone,
}

#[derive(Debug)]
struct Held {
    file: File,
    /// Inherited by all child processes. The lock belongs to the open file, not to a process, so it lasts until the last of
    /// them has exited.
    _inherited: OwnedFd,
    path: PathBuf,
    holder: Holder,
    /// The name of the log.
    log: String,
    ended: bool,
}

/// The file of an engine.
#[derive(Clone, Debug)]
pub(crate) struct Registration {
    held: Arc<Mutex<Held>>,
    /// What the next heartbeat says. Its lock is never held during a file operation, so that the engine does not wait for a disk.
    report: Arc<Mutex<Option<EngineReport>>>,
}

impl Registration {
    /// Registers this process, and removes the files of engines that have ended.
    ///
    /// # Errors
    /// When the folder cannot be written to, or its file system does not meet a condition of the claims.
    pub(crate) fn new(private: &Path) -> Result<Self, RegistrationError> {
        let folder = holder::folder(private);
        let failed = |source| RegistrationError::Io { folder: folder.clone(), source };
        fs::create_dir_all(&folder).map_err(failed)?;
        let now = Timestamp::now();
        let id = id(now);
        if let Err(promise) = DiskFolder::new(&folder, &id).check().map_err(failed)? {
            return Err(RegistrationError::Promise { out: folder, promise });
        }
        let seen = holders(private).map_err(failed)?;
        let is_here = |seen: &&Seen| seen.held && seen.holder.as_ref().is_some_and(Holder::is_here);
        let log = match seen.iter().find(is_here) {
            Some(_) => format!("{}-{}", log_name(), std::process::id()),
            None => log_name(),
        };
        for ended in seen.iter().filter(|seen| !seen.may_run) {
            // A file that cannot be removed only takes space.
            let _ = fs::remove_file(&ended.path);
        }
        // Version 0.1.0 had this folder.
        let _ = fs::remove_dir_all(private.join("locks"));
        let path = holder::file(private, &id);
        let tool = concat!("reeldeck ", env!("CARGO_PKG_VERSION")).into();
        let holder = Holder {
            id,
            host: host(),
            pid: std::process::id(),
            tool,
            started: now,
            heartbeat: now,
            counter: 0,
            socket: None,
            place: place(),
            job: job(),
            videos: vec![],
            terms: String::new(),
            report: None,
        };
        let (file, inherited) = open_locked(&path).map_err(failed)?;
        write_holder(&file, &holder).map_err(failed)?;
        let held = Held { file, _inherited: inherited, path, holder, log, ended: false };
        Ok(Self { held: Arc::new(Mutex::new(held)), report: Arc::default() })
    }

    fn held(&self) -> std::sync::MutexGuard<'_, Held> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Sets what the next heartbeat says. Does not wait for the disk.
    pub(crate) fn report(&self, report: EngineReport) {
        *self.report.lock().unwrap_or_else(PoisonError::into_inner) = Some(report);
    }

    /// The id of the engine.
    pub(crate) fn id(&self) -> String {
        self.held().holder.id.clone()
    }

    /// The name of the log: one for each engine that runs on a host at the same time.
    pub(crate) fn log_name(&self) -> String {
        self.held().log.clone()
    }

    /// Removes the file at the end of the engine.
    pub(crate) fn end(&self) {
        let mut held = self.held();
        held.ended = true;
        // If it cannot be removed, the next engine removes it.
        let _ = fs::remove_file(&held.path);
    }

    /// Writes a heartbeat. Creates the file if another engine has removed it, but not its folder.
    ///
    /// # Errors
    /// When it cannot be written.
    pub(crate) fn beat(&self) -> io::Result<()> {
        let mut held = self.held();
        if held.ended {
            return Ok(());
        }
        held.holder.counter += 1;
        held.holder.heartbeat = Timestamp::now();
        let report = self.report.lock().unwrap_or_else(PoisonError::into_inner).take();
        if report.is_some() {
            held.holder.report = report;
        }
        // With many engines, each file operation of a heartbeat counts.
        if held.holder.counter.is_multiple_of(2) && !held.path.exists() {
            (held.file, held._inherited) = open_locked(&held.path)?;
        }
        write_holder(&held.file, &held.holder)
    }

    /// Tells clients where the engine listens.
    ///
    /// # Errors
    /// When it cannot be written.
    pub(crate) fn tell_socket(&self, socket: &Path) -> io::Result<()> {
        let mut held = self.held();
        held.holder.socket = Some(socket.to_owned());
        write_holder(&held.file, &held.holder)
    }

    /// Tells other engines some videos of the dataset and the terms of the recipe, and writes a heartbeat.
    ///
    /// # Errors
    /// When it cannot be written.
    pub(crate) fn tell_videos(&self, videos: &[KnownVideo], terms: &str) -> io::Result<()> {
        let mut held = self.held();
        (held.holder.videos, held.holder.terms) = (videos.to_vec(), terms.to_owned());
        drop(held);
        self.beat()
    }

    /// What this engine has written.
    pub(crate) fn holder(&self) -> Holder {
        self.held().holder.clone()
    }

    /// Whether no other engine may use the output folder. Waits for the workers of an engine that was killed on this host, because
    /// they may still write.
    ///
    /// # Errors
    /// When the files of the engines cannot be read.
    pub(crate) fn is_alone(&self, private: &Path) -> io::Result<bool> {
        let path = self.held().path.clone();
        let deadline = Instant::now() + WORKER_EXIT_TIMEOUT;
        loop {
            let mut others = holders(private)?;
            others.retain(|seen| seen.may_run && seen.path != path);
            let has_orphans = others.iter().any(|seen| seen.holder.as_ref().is_some_and(Holder::is_dead_here));
            if !has_orphans || Instant::now() >= deadline {
                return Ok(others.is_empty());
            }
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// Checks whether the file is unchanged.
    ///
    /// # Errors
    /// When the file system reports an error other than a missing file.
    pub(crate) fn look(&self) -> io::Result<EngineFile> {
        let held = self.held();
        let there = match fs::metadata(&held.path) {
            Ok(there) => there,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(EngineFile::Gone),
            Err(error) => return Err(error),
        };
        let own = held.file.metadata()?;
        if (own.dev(), own.ino()) == (there.dev(), there.ino()) {
            return Ok(EngineFile::Same);
        }
        let ours = read_holder(&held.path).is_some_and(|holder| holder.id == held.holder.id);
        Ok(if ours { EngineFile::Remounted } else { EngineFile::Gone })
    }

    /// Writes the file again after it was replaced.
    ///
    /// # Errors
    /// When it cannot be written.
    pub(crate) fn renew(&self) -> io::Result<()> {
        let mut held = self.held();
        held.path.parent().map_or(Ok(()), fs::create_dir_all)?;
        let (file, inherited) = open_locked(&held.path)?;
        write_holder(&file, &held.holder)?;
        (held.file, held._inherited) = (file, inherited);
        Ok(())
    }
}

/// An id that no other engine has: host, process and start.
fn id(now: Timestamp) -> String {
    format!("{}-{}-{:x}", log_name(), std::process::id(), now.as_nanosecond())
}

/// The job of a scheduler that this process belongs to; of an array, with the task.
fn job() -> Option<String> {
    let variable = |name: &str| std::env::var(name).ok();
    match (variable("SLURM_ARRAY_JOB_ID"), variable("SLURM_ARRAY_TASK_ID")) {
        (Some(job), Some(task)) => Some(format!("{job}_{task}")),
        _ => ["SLURM_JOB_ID", "PBS_JOBID", "LSB_JOBID"].into_iter().find_map(variable),
    }
}

fn open_locked(path: &Path) -> io::Result<(File, OwnedFd)> {
    let file = open::in_place(OpenOptions::new().read(true).write(true).create(true).truncate(false), path)?;
    match file.try_lock() {
        // A client that checks the lock holds it for a moment.
        Err(fs::TryLockError::WouldBlock) => file.lock()?,
        Err(fs::TryLockError::Error(error)) if !has_no_locks(&error) => return Err(error),
        _ => {}
    }
    // Files of the standard library are closed on exec; this duplicate is not.
    let inherited = rustix::io::dup(&file).map_err(io::Error::from)?;
    Ok((file, inherited))
}

fn write_holder(file: &File, holder: &Holder) -> io::Result<()> {
    file.write_all_at(&holder.file_text()?, 0)
}

/// Tells the registration what the engine does.
pub(crate) struct ReportObserver {
    registration: Registration,
    set: String,
}

impl ReportObserver {
    /// For the engine of this feature set.
    pub(crate) fn new(registration: Registration, set: &str) -> Self {
        Self { registration, set: set.to_owned() }
    }
}

impl RunObserver for ReportObserver {
    fn event(&mut self, _line: &Line, _text: &Arc<str>) {}

    fn snapshot(&mut self, snapshot: &Snapshot) {
        self.registration.report(EngineReport::of(&self.set, snapshot));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn engines_register_beside_each_other_and_leave_no_file() {
        let dir = tempfile::tempdir().unwrap();
        let first = Registration::new(dir.path()).unwrap();
        assert!(first.is_alone(dir.path()).unwrap());
        let second = Registration::new(dir.path()).unwrap();
        first.tell_socket(Path::new("/run/x.sock")).unwrap();
        let seen = holders(dir.path()).unwrap();
        assert!(seen.len() == 2 && seen.iter().all(|seen| seen.held), "{seen:?}");
        assert_eq!(seen[0].holder.as_ref().unwrap().socket.as_deref(), Some(Path::new("/run/x.sock")));
        assert!(!first.is_alone(dir.path()).unwrap());
        first.end();
        let mut reporter = ReportObserver::new(second.clone(), "s");
        reporter.snapshot(&Snapshot { clips_done: 7, ..Snapshot::default() });
        second.beat().unwrap();
        second.beat().unwrap();
        let seen = holders(dir.path()).unwrap().remove(0).holder.unwrap();
        assert_eq!((seen.counter, seen.report.map(|report| report.clips_done)), (2, Some(7)));
        second.end();
        second.beat().unwrap();
        assert_eq!(fs::read_dir(dir.path().join("engines")).unwrap().count(), 0);
    }

    #[test]
    fn any_content_of_an_engine_file_is_tolerated() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("engines/x.json");
        fs::create_dir(dir.path().join("engines")).unwrap();
        for text in [&b""[..], b"host a, process 7\n", b"{\"host\":1}", &[0xff; 5000], b"[[[[[[[[[[[["] {
            fs::write(&path, text).unwrap();
            assert_eq!(read_holder(&path), None);
            assert_eq!(holders(dir.path()).unwrap().len(), 1);
            Registration::new(dir.path()).unwrap().end();
            assert!(!path.exists(), "its engine has ended");
        }
    }

    #[test]
    fn the_file_of_an_engine_whose_clock_is_slow_stays() {
        let dir = tempfile::tempdir().unwrap();
        let path = holder::file(dir.path(), "a");
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        for (seconds, stays) in [(200, true), (2000, false)] {
            let heartbeat = Timestamp::now() - jiff::SignedDuration::from_secs(seconds);
            let holder = Holder { host: "another".into(), heartbeat, ..holder::tests::holder("a") };
            fs::write(&path, holder.file_text().unwrap()).unwrap();
            let engine = Registration::new(dir.path()).unwrap();
            assert_eq!((path.exists(), engine.is_alone(dir.path()).unwrap()), (stays, !stays), "{seconds}");
            engine.end();
        }
    }

    #[test]
    fn a_removed_file_is_noticed_and_recreated() {
        let dir = tempfile::tempdir().unwrap();
        let engine = Registration::new(dir.path()).unwrap();
        assert_eq!(engine.look().unwrap(), EngineFile::Same);
        let path = holder::file(dir.path(), &engine.id());
        let text = fs::read(&path).unwrap();
        fs::remove_file(&path).unwrap();
        assert_eq!(engine.look().unwrap(), EngineFile::Gone);
        fs::write(&path, text).unwrap();
        assert_eq!(engine.look().unwrap(), EngineFile::Remounted);
        fs::write(&path, "someone else").unwrap();
        assert_eq!(engine.look().unwrap(), EngineFile::Gone);
        engine.renew().unwrap();
        assert_eq!(engine.look().unwrap(), EngineFile::Same);
    }
}
