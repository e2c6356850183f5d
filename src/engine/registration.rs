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
use reeldeck_common::clock;
use reeldeck_common::error::is_absent;
use reeldeck_common::open;

use crate::dataset::shown;
use crate::engine::publish::RunObserver;
use crate::error::{Exit, ExitError};
use crate::protocol::engine_report::EngineReport;
use crate::protocol::event::Line;
use crate::protocol::holder::{self, Holder, KnownVideo, Seen, holders, host, log_name, place, read_holder};
use crate::protocol::snapshot::Snapshot;

#[cfg(test)]
mod tests;

/// How long to wait for the workers of an engine that was killed to exit.
const WORKER_EXIT_TIMEOUT: Duration = Duration::from_secs(10);

/// How long to wait for the lock of the own file. A client that checks the lock holds it for a moment.
const LOCK_TIMEOUT: Duration = Duration::from_secs(2);

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

impl Held {
    /// Opens and locks the file under its name, which may have been removed or replaced. The file that is held already is not
    /// locked again: its lock belongs to the first open file, so the second one would wait for the first one.
    fn reopen(&mut self) -> io::Result<()> {
        let file = open_in_place(&self.path)?;
        if identity(&file.metadata()?) != identity(&self.file.metadata()?) {
            let inherited = lock(&file).map_err(|error| {
                io::Error::new(error.kind(), format!("failed to lock {}: {error}", shown(&self.path)))
            })?;
            (self.file, self._inherited) = (file, inherited);
        }
        Ok(())
    }
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
        let now = clock::now();
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
        let file = open_in_place(&path).map_err(failed)?;
        let inherited = lock(&file).map_err(failed)?;
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

    /// Writes a heartbeat. Creates the file if it was removed, but not its folder. Returns whether it was.
    ///
    /// # Errors
    /// When it cannot be written, or its folder was removed.
    pub(crate) fn beat(&self) -> io::Result<bool> {
        let mut held = self.held();
        if held.ended {
            return Ok(false);
        }
        held.holder.counter += 1;
        held.holder.heartbeat = clock::now();
        let report = self.report.lock().unwrap_or_else(PoisonError::into_inner).take();
        if report.is_some() {
            held.holder.report = report;
        }
        // With many engines, each file operation of a heartbeat counts. An error leaves open whether the file is there.
        let was_removed =
            held.holder.counter.is_multiple_of(2) && fs::metadata(&held.path).is_err_and(|error| is_absent(&error));
        if was_removed {
            held.reopen()?;
        }
        write_holder(&held.file, &held.holder).map(|()| was_removed)
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
        self.beat().map(drop)
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
            Err(error) if is_absent(&error) => return Ok(EngineFile::Gone),
            Err(error) => return Err(error),
        };
        if identity(&held.file.metadata()?) == identity(&there) {
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
        held.reopen()?;
        write_holder(&held.file, &held.holder)
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

fn open_in_place(path: &Path) -> io::Result<File> {
    open::in_place(OpenOptions::new().read(true).write(true).create(true).truncate(false), path)
}

/// What tells a file from all others.
fn identity(metadata: &fs::Metadata) -> (u64, u64) {
    (metadata.dev(), metadata.ino())
}

/// Locks the file, where its file system has locks. Returns the file for child processes.
fn lock(file: &File) -> io::Result<OwnedFd> {
    match open::lock(file, LOCK_TIMEOUT) {
        Err(error) if !open::has_no_locks(&error) => return Err(error),
        _ => {}
    }
    // Files of the standard library are closed on exec; this duplicate is not.
    rustix::io::dup(file).map_err(io::Error::from)
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
