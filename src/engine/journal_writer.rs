//! Writes the journal and failure files, and releases assignments to workers, on a thread, so that a slow disk never blocks the
//! engine.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{self, Receiver, Sender};
use std::time::Duration;

use reeldeck_common::atomic::Owner;
use reeldeck_common::error::is_absent;
use reeldeck_common::failure::{Attempt, FailureFile};
use reeldeck_common::layout::{Layout, check_inside};
use reeldeck_common::source::SourceStamp;
use reeldeck_common::video::VideoName;

use super::same_content;

/// Attempts kept in a failure file.
const ATTEMPTS_KEPT: usize = 20;

/// Something to write.
pub(crate) enum JournalEntry {
    /// A line of the journal.
    Line(Arc<str>),
    /// Called when all earlier lines are on the disk: after a power cut, the journal must name the videos in progress.
    Release(Box<dyn FnOnce() + Send>),
    /// A failed attempt.
    Record(Box<Record>),
    /// The video has a feature; its failure file can be removed.
    Forget(VideoName),
    /// The output folder can be written to again.
    TryAgain,
    /// Writes another file.
    Run(Box<dyn FnOnce() + Send>),
}

/// A failed attempt at a video.
pub(crate) struct Record {
    /// The video.
    pub video: VideoName,
    /// The path of the video.
    pub path: PathBuf,
    /// The file's size and time of change, where the worker reported them.
    pub source: Option<SourceStamp>,
    /// The attempt.
    pub attempt: Attempt,
}

/// The engine's handle on the writing thread.
pub(crate) struct JournalWriter {
    jobs: Sender<JournalEntry>,
    /// Attempts that are not recorded yet.
    unrecorded: Arc<AtomicUsize>,
    /// Closed at the end of the thread.
    ended: Receiver<()>,
}

impl JournalWriter {
    /// Starts writing. `on_error` is called with the reason when something cannot be written.
    ///
    /// # Errors
    /// When the thread cannot be started.
    pub(crate) fn start(
        layout: Layout,
        owner: Owner,
        journal: PathBuf,
        on_error: impl Fn(String) + Send + 'static,
    ) -> io::Result<Self> {
        let (jobs, waiting) = mpsc::channel();
        let unrecorded = Arc::new(AtomicUsize::new(0));
        let thread_state = WriterThread {
            layout,
            owner,
            path: journal,
            journal: None,
            lines: vec![],
            unwritten: vec![],
            unrecorded: Arc::clone(&unrecorded),
            on_error,
        };
        let (running, ended) = mpsc::channel();
        reeldeck_common::thread::spawn("journal_writer", move || {
            let _running = running;
            thread_state.work(&waiting);
        })?;
        Ok(Self { jobs, unrecorded, ended })
    }

    /// Queues something to write.
    pub(crate) fn write(&self, job: JournalEntry) {
        if matches!(job, JournalEntry::Record(_)) {
            self.unrecorded.fetch_add(1, Ordering::Relaxed);
        }
        let _ = self.jobs.send(job);
    }

    /// Writes another file, after all that was queued before.
    pub(crate) fn run(&self, write: impl FnOnce() + Send + 'static) {
        self.write(JournalEntry::Run(Box::new(write)));
    }

    /// How many attempts are not recorded yet.
    pub(crate) fn unrecorded(&self) -> Arc<AtomicUsize> {
        Arc::clone(&self.unrecorded)
    }

    /// Waits until everything is written, or until the limit if there is one.
    pub(crate) fn finish(self, limit: Option<Duration>) {
        drop(self.jobs);
        // Nothing is sent on this channel: both calls return when the thread ends.
        let _ = match limit {
            Some(limit) => self.ended.recv_timeout(limit).ok(),
            None => self.ended.recv().ok(),
        };
    }
}

struct WriterThread<C> {
    layout: Layout,
    owner: Owner,
    path: PathBuf,
    journal: Option<File>,
    lines: Vec<u8>,
    unwritten: Vec<Record>,
    unrecorded: Arc<AtomicUsize>,
    on_error: C,
}

impl<C: Fn(String)> WriterThread<C> {
    fn work(mut self, jobs: &Receiver<JournalEntry>) {
        while let Ok(first) = jobs.recv() {
            let mut releases = vec![];
            // Everything that waits is written together, with one fsync.
            for job in std::iter::once(first).chain(jobs.try_iter().take(10_000)) {
                match job {
                    JournalEntry::Line(line) => self.lines.extend_from_slice(line.as_bytes()),
                    JournalEntry::Release(release) => releases.push(release),
                    JournalEntry::Record(record) => self.record(*record),
                    JournalEntry::Forget(video) => self.forget(&video),
                    JournalEntry::TryAgain => self.try_again(),
                    JournalEntry::Run(write) => write(),
                }
            }
            if let Err(error) = self.flush(!releases.is_empty()) {
                (self.on_error)(format!("failed to write the journal {}: {error}", self.path.display()));
            }
            // Orders are released even if the journal cannot be written, because it is needed only after a crash.
            releases.into_iter().for_each(|release| release());
        }
        self.try_again();
        let _ = self.flush(true);
    }

    fn flush(&mut self, sync: bool) -> io::Result<()> {
        if self.lines.is_empty() {
            return Ok(());
        }
        if sync {
            self.close_removed();
        }
        if self.journal.is_none() {
            self.path.parent().map_or(Ok(()), |folder| self.layout.create_private(folder))?;
            self.journal = Some(reeldeck_common::open::append(&self.path)?);
        }
        if let Some(journal) = &mut self.journal {
            // A line that was written in part ends where the next attempt begins: readers pass over it.
            journal.write_all(&self.lines)?;
            self.lines.clear();
            if sync {
                journal.sync_data()?;
            }
        }
        Ok(())
    }

    fn record(&mut self, record: Record) {
        if let Err(error) = self.write_failure_file(&record) {
            let path = self.layout.failure(&record.video);
            (self.on_error)(format!("failed to write {}: {error}", path.display()));
            self.unwritten.push(record);
        } else {
            self.unrecorded.fetch_sub(1, Ordering::Relaxed);
        }
    }

    fn write_failure_file(&self, record: &Record) -> io::Result<()> {
        let path = self.layout.failure(&record.video);
        // A worker that crashed has not reported the state of the file.
        let source = record.source.or_else(|| SourceStamp::read(&record.path).ok());
        let content = same_content::content(&record.path, &record.attempt.failure);
        // A broken failure file is ignored. One that cannot be read now is read later, so that its attempts are kept.
        let earlier = match FailureFile::read(&path) {
            Err(error) if is_broken(&error) => None,
            read => read?,
        };
        // Attempts at an earlier version of the file are dropped, unless it may have the same content.
        let may_have_content = |file: &FailureFile| match &content {
            Ok(content) => content.is_some() && file.content == *content,
            Err(_) => file.content.is_some(),
        };
        let earlier = earlier.filter(|file| file.source == source || may_have_content(file));
        let mut attempts = earlier.map(|file| file.attempts).unwrap_or_default();
        attempts.push(record.attempt.clone());
        attempts.drain(..attempts.len().saturating_sub(ATTEMPTS_KEPT));
        let content = content.unwrap_or_default();
        FailureFile { video: record.video.clone(), source, content, attempts }.write(&path, &self.owner)
    }

    fn forget(&mut self, video: &VideoName) {
        let before = self.unwritten.len();
        self.unwritten.retain(|record| record.video != *video);
        self.unrecorded.fetch_sub(before - self.unwritten.len(), Ordering::Relaxed);
        // A feature takes precedence over a failure file, so a failure file that cannot be removed does no harm.
        let path = self.layout.failure(video);
        let _ = check_inside(&path, video).and_then(|()| fs::remove_file(path));
    }

    /// Closes a journal that was removed. The next line creates it again.
    fn close_removed(&mut self) {
        if fs::metadata(&self.path).is_err_and(|error| is_absent(&error)) {
            self.journal = None;
        }
    }

    fn try_again(&mut self) {
        self.close_removed();
        for record in std::mem::take(&mut self.unwritten) {
            self.record(record);
        }
    }
}

/// Whether an error of reading means that a file was read and has no usable content.
fn is_broken(error: &io::Error) -> bool {
    use io::ErrorKind::{FileTooLarge, InvalidData, InvalidInput, UnexpectedEof};
    matches!(error.kind(), InvalidData | UnexpectedEof | FileTooLarge | InvalidInput)
}

#[cfg(test)]
mod tests {
    use super::*;
    use reeldeck_common::error::{ErrorKind, Failure};
    use std::sync::Mutex;

    fn record(video: &VideoName) -> Record {
        let failure = Failure::new(ErrorKind::Corrupt, "no");
        let now = jiff::Timestamp::UNIX_EPOCH;
        let attempt = Attempt { started: now, ended: now, device: "cpu".into(), failure, stderr: vec![], retry: false };
        Record { video: video.clone(), path: "/nonexistent".into(), source: None, attempt }
    }

    #[test]
    fn earlier_attempts_are_kept_although_their_file_cannot_be_read_at_once() {
        let dir = tempfile::tempdir().unwrap();
        let layout = Layout::new(dir.path(), "s");
        layout.prepare().unwrap();
        let video = VideoName::new("A/v.mp4").unwrap();
        let (path, away) = (layout.failure(&video), dir.path().join("away"));
        let start = || {
            let journal = layout.private().join("runs/1.jsonl");
            JournalWriter::start(layout.clone(), Owner::this_process(), journal, |_| {}).unwrap()
        };
        let writer = start();
        writer.write(JournalEntry::Record(Box::new(record(&video))));
        writer.finish(None);
        fs::rename(&path, &away).unwrap();
        // A link to itself cannot be read.
        std::os::unix::fs::symlink(&path, &path).unwrap();
        let (sender, released) = mpsc::channel();
        let writer = start();
        writer.write(JournalEntry::Record(Box::new(record(&video))));
        writer.write(JournalEntry::Release(Box::new(move || sender.send(()).unwrap())));
        released.recv().unwrap();
        fs::rename(&away, &path).unwrap();
        writer.write(JournalEntry::TryAgain);
        writer.finish(None);
        assert_eq!(FailureFile::read(&path).unwrap().unwrap().attempts.len(), 2);
    }

    #[test]
    fn unwritten_records_are_kept_until_they_can_be_written() {
        let dir = tempfile::tempdir().unwrap();
        let layout = Layout::new(&dir.path().join("out"), "s");
        let complaints = Arc::new(Mutex::new(vec![]));
        let on_error = {
            let complaints = Arc::clone(&complaints);
            move |text| complaints.lock().unwrap().push(text)
        };
        let journal = layout.private().join("runs/1.jsonl");
        let journal_writer =
            JournalWriter::start(layout.clone(), Owner::this_process(), journal.clone(), on_error).unwrap();
        let video = VideoName::new("A/v.mp4").unwrap();
        let (sender, released) = mpsc::channel();
        journal_writer.write(JournalEntry::Record(Box::new(record(&video))));
        journal_writer.write(JournalEntry::Line("one\n".into()));
        journal_writer.write(JournalEntry::Release(Box::new(move || sender.send(()).unwrap())));
        released.recv().unwrap();
        // The line and the release may be written together or one after the other.
        assert!((2..=3).contains(&complaints.lock().unwrap().len()), "{complaints:?}");
        assert!(!dir.path().join("out").exists(), "nothing is written where the output folder was");
        layout.prepare().unwrap();
        journal_writer.write(JournalEntry::TryAgain);
        journal_writer.write(JournalEntry::Line("two\n".into()));
        let unrecorded = journal_writer.unrecorded();
        journal_writer.finish(None);
        assert_eq!(unrecorded.load(Ordering::Relaxed), 0);
        assert_eq!(fs::read_to_string(&journal).unwrap(), "one\ntwo\n");
        assert_eq!(FailureFile::read(&layout.failure(&video)).unwrap().unwrap().attempts.len(), 1);
    }
}
