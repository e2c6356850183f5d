//! The state of a run: its videos, workers and queue. Only `update` changes it.

use std::collections::VecDeque;
use std::sync::Arc;

use reeldeck_common::protocol::JobId;
use reeldeck_common::video::VideoName;
use typed_index_collections::TiVec;

use super::files::Files;
use crate::dataset::scan::VideoFile;
use crate::protocol::snapshot::{Counts, Folder};
use kills::Kills;
use queue::Queue;
use video::count;

mod claims;
mod kills;
mod queue;
mod video;
mod worker;

pub(crate) use super::ids::Millis;
pub use super::ids::{VideoId, WorkerId};
pub use kills::Shortage;
pub use video::{Status, Video};
pub(crate) use worker::{Assignment, Incarnation, Worker};
pub use worker::{KillReason, Progress, WorkerProcess, WorkerStatus};

/// The phase of a run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Phase {
    /// No worker runs, and none is started before a user starts a run.
    Waiting,
    /// Videos are handed out.
    Running,
    /// Only videos in progress are finished: a user has stopped the run, or no device is left.
    Finishing {
        /// Why the run cannot continue; none where a user has stopped it.
        because: Option<String>,
    },
    /// A user has stopped the run at once.
    Aborting,
}

/// Nothing is handed out, because of a folder.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hold {
    /// The folder that the run waits for.
    pub folder: Folder,
    /// What is wrong with the folder and what to do about it.
    pub reason: String,
    /// How the hold ends.
    pub until: HoldUntil,
}

/// What ends a hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HoldUntil {
    /// The folder cannot be used: a check succeeds. The next one is due at this time; `None` while one is pending.
    Checked(Option<Millis>),
    /// The folder does not respond: its check is answered, and the orders that wait for the journal are released.
    Responds,
}

/// The checks of a folder. There is one at a time.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Check {
    /// When the pending check was requested.
    pub asked: Option<Millis>,
    /// When the last check that succeeded was requested.
    pub succeeded: Option<Millis>,
}

impl Check {
    /// Whether a check has succeeded that was requested at this time or later.
    pub fn succeeded_since(&self, time: Millis) -> bool {
        self.succeeded.is_some_and(|asked| asked >= time)
    }
}

/// The checks of both folders.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Checks {
    /// Those of the output folder.
    pub output: Check,
    /// Those of the dataset folder.
    pub dataset: Check,
}

impl Checks {
    /// Those of this folder.
    pub fn of(&mut self, folder: Folder) -> &mut Check {
        match folder {
            Folder::Output => &mut self.output,
            Folder::Dataset => &mut self.dataset,
        }
    }

    /// Whether checks of both folders have succeeded that were requested at this time or later.
    pub fn succeeded_since(&self, time: Millis) -> bool {
        [self.output, self.dataset].iter().all(|check| check.succeeded_since(time))
    }
}

/// The limits of a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rules {
    /// Clips a video; `None` if their number depends on its length.
    pub clips: Option<usize>,
    /// A worker that has an order and reports nothing for longer is killed.
    pub stall_timeout: Millis,
    /// A video that is in progress for longer has failed.
    pub wall_limit: Millis,
}

/// A device to work on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Slot {
    /// As `--devices` names it.
    pub device: String,
    /// How many videos may be in flight in its worker.
    pub capacity: usize,
    /// Clips in one pass of the model.
    pub batch: usize,
}

/// The videos of a run and their status before it.
#[derive(Clone, Debug, Default)]
pub struct Work {
    /// Sorted by name.
    pub files: Arc<[VideoFile]>,
    /// One for each file.
    pub videos: TiVec<VideoId, Video>,
    /// The queued videos in the order in which they are handed out.
    pub order: Vec<VideoId>,
}

impl Work {
    /// The videos that have their feature.
    pub fn done(&self) -> impl Iterator<Item = &VideoName> {
        let done = self.files.iter().zip(&self.videos).filter(|(_, video)| matches!(video.status, Status::Done { .. }));
        done.map(|(file, _)| &file.name)
    }
}

/// A whole run.
#[derive(Clone, Debug)]
pub struct State {
    /// Those of the scan sorted by name, then what came later.
    pub files: Files,
    /// One for each file.
    pub videos: TiVec<VideoId, Video>,
    /// One for each entry of `--devices`.
    pub workers: TiVec<WorkerId, Worker>,
    /// The phase of a run.
    pub phase: Phase,
    /// When a user paused the workers.
    pub paused: Option<Millis>,
    /// How long this run was paused, without the current pause.
    pub paused_for: Millis,
    /// Nothing is handed out, because of a folder.
    pub hold: Option<Hold>,
    /// The checks of the folders.
    pub checks: Checks,
    /// The limits of the run.
    pub rules: Rules,
    /// Only videos that are granted may be handed out, because other engines take part.
    pub claims: bool,
    /// Incremented with every change of a video.
    pub revision: u64,
    pub(super) counts: Counts,
    /// Bytes of the files of unfinished videos.
    pub(super) bytes_left: u64,
    pub(super) changed: Vec<VideoId>,
    pub(super) queue: Queue,
    /// Orders that wait for the journal, and since when, the oldest first.
    pub(super) unreleased: VecDeque<(JobId, Millis)>,
    /// Videos in a row that could not be read because their folder is gone.
    pub(super) without_folder: Vec<VideoId>,
    pub(super) kills: Kills,
    pub(super) next_job: JobId,
    pub(super) last_tick: Millis,
}

impl State {
    /// The first `most` videos that count as unreadable, with reasons.
    pub fn unreadable(&self, most: usize) -> Vec<String> {
        let reason = |video: &Video| match &video.status {
            Status::Failed { failure, unreadable: true, .. } => Some(failure.line()),
            _ => None,
        };
        self.videos.iter().filter_map(reason).take(most).collect()
    }

    /// A run over `work` on one worker for each of `slots`.
    pub fn new(work: Work, slots: Vec<Slot>, rules: Rules) -> Self {
        let (mut counts, mut bytes_left) = (Counts::default(), 0);
        let mut work = work;
        for (video, file) in work.videos.iter_mut().zip(work.files.iter()) {
            count(&mut counts, &video.status, true);
            if video.status.is_unfinished() {
                video.bytes = file.stamp.size;
                bytes_left += video.bytes;
            }
        }
        let mut queue = Queue::default();
        for id in work.order {
            if let Some(video) = work.videos.get(id) {
                queue.push_back(id, video.lane());
            }
        }
        let worker = |slot: Slot| Worker {
            device: slot.device,
            detail: None,
            status: WorkerStatus::Starting,
            incarnation: Incarnation::default(),
            in_flight: vec![],
            capacity: slot.capacity.max(1),
            batch: slot.batch.max(1),
            consecutive_faults: 0,
            heard: 0,
            kill_reason: None,
            spawned: 0,
            killed: None,
            unreported: false,
            done: 0,
            clips: 0,
            restarts: 0,
        };
        Self {
            files: Files::new(work.files),
            videos: work.videos,
            workers: slots.into_iter().map(worker).collect(),
            phase: Phase::Running,
            paused: None,
            paused_for: 0,
            hold: None,
            checks: Checks::default(),
            rules,
            claims: false,
            revision: 0,
            counts,
            bytes_left,
            changed: vec![],
            queue,
            unreleased: VecDeque::new(),
            without_folder: vec![],
            kills: Kills::default(),
            next_job: 0,
            last_tick: 0,
        }
    }

    /// Whether the run waits for the dataset folder.
    pub fn waits_for_dataset(&self) -> bool {
        self.hold.as_ref().is_some_and(|hold| hold.folder == Folder::Dataset)
    }

    /// Whether no worker runs and none will be restarted.
    pub fn is_over(&self) -> bool {
        self.workers.iter().all(|worker| worker.status.is_gone())
    }

    /// The last process of a worker; an earlier one where the worker does not exist.
    pub fn process(&self, worker: WorkerId) -> WorkerProcess {
        let incarnation = self.workers.get(worker).map(|worker| worker.incarnation).unwrap_or_default();
        WorkerProcess { worker, incarnation }
    }

    /// Whether a process is the last one of its worker.
    pub fn is_current(&self, process: WorkerProcess) -> bool {
        self.workers.get(process.worker).is_some_and(|worker| worker.incarnation == process.incarnation)
    }

    /// Starts no worker, because there is nothing to do.
    pub fn end_run(&mut self) {
        self.workers.iter_mut().for_each(|worker| worker.status = WorkerStatus::Left);
    }

    /// Videos by status. The counts are maintained incrementally.
    pub fn counts(&self) -> Counts {
        self.counts
    }

    /// The same as [`State::counts`], counted anew, for tests.
    pub fn recount(&self) -> Counts {
        let mut counts = Counts::default();
        self.videos.iter().for_each(|video| count(&mut counts, &video.status, true));
        counts
    }

    /// The name of a video, `Class/file`.
    pub fn name(&self, id: VideoId) -> &str {
        self.files.get(id).map_or("?", |file| file.name.as_str())
    }

    /// The files that exist.
    pub fn present(&self) -> impl Iterator<Item = &VideoFile> {
        let there = self.files.iter().zip(&self.videos).filter(|(_, video)| video.status != Status::Gone);
        there.map(|(file, _)| file)
    }

    /// Clips computed in this run, those of videos in progress included.
    pub fn clips_done(&self) -> usize {
        self.workers.iter().map(Worker::all_clips).sum()
    }

    /// Bytes of the files that are still to be processed.
    pub fn bytes_left(&self) -> u64 {
        self.bytes_left.saturating_sub(self.workers.iter().map(Worker::bytes_in_flight).sum())
    }

    /// Why the run ended before its work was done, unless a user stopped it.
    pub fn blocked(&self) -> Option<&str> {
        match &self.phase {
            Phase::Finishing { because } => because.as_deref(),
            _ => None,
        }
    }

    /// Videos whose status has changed since the last call; one may be named several times.
    pub fn take_changed(&mut self) -> Vec<VideoId> {
        std::mem::take(&mut self.changed)
    }

    /// Waits until a user starts a run.
    pub fn wait(&mut self) {
        self.end_run();
        self.phase = Phase::Waiting;
    }

    /// The results of the run that has ended are those of an earlier run for the next one.
    pub(super) fn count_as_earlier(&mut self) {
        for video in &mut self.videos {
            count(&mut self.counts, &video.status, false);
            video.status.count_as_earlier();
            count(&mut self.counts, &video.status, true);
        }
    }

    /// Gives a video a status. A queued video goes to the end of its lane; any other status takes it out of the queue.
    pub(super) fn set(&mut self, id: VideoId, status: Status) {
        let Some(video) = self.videos.get_mut(id) else { return };
        video.feature |= matches!(status, Status::Done { .. } | Status::Stale);
        video.damaged &= !matches!(status, Status::Done { .. } | Status::Gone);
        let status = match status {
            Status::Running(_) | Status::Gone | Status::Excluded { .. } => status,
            status if video.excluded => Status::Excluded { before: Box::new(status) },
            status => status,
        };
        count(&mut self.counts, &video.status, false);
        count(&mut self.counts, &status, true);
        if video.status.is_unfinished() {
            self.bytes_left -= video.bytes;
        }
        if status.is_unfinished() {
            video.bytes = self.files.get(id).map_or(0, |file| file.stamp.size);
            self.bytes_left += video.bytes;
        }
        video.granted &= status.is_unfinished();
        match status {
            Status::Queued if !self.claims || video.granted => self.queue.push_back(id, video.lane()),
            _ => self.queue.remove(id),
        }
        video.status = status;
        self.touch(id);
    }

    /// Queues a video before all others of its lane.
    pub(super) fn queue_first(&mut self, id: VideoId) {
        self.set(id, Status::Queued);
        let may = |video: &&Video| video.status == Status::Queued && (!self.claims || video.granted);
        if let Some(video) = self.videos.get(id).filter(may) {
            self.queue.push_front(id, video.lane());
        }
    }

    /// Moves the videos whose retry delay is over to the lane in which they are handed out.
    pub(super) fn end_backoff(&mut self, now: Millis) {
        while let Some(id) = self.queue.pop_due(now) {
            if let Some(video) = self.videos.get_mut(id) {
                video.retry_at = 0;
                self.queue.push_back(id, video.lane());
            }
        }
    }

    /// Notes that a video has changed.
    pub(super) fn touch(&mut self, id: VideoId) {
        self.revision += 1;
        self.changed.push(id);
    }

    /// Adds a video. The caller sets its status.
    pub(super) fn append(&mut self, file: VideoFile) -> VideoId {
        self.videos.push(Video::new(Status::Gone));
        self.files.push(file)
    }
}
