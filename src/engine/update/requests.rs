//! Requests of users about single videos, and changes of their files.

use reeldeck_common::error::{ErrorKind, Failure};
use reeldeck_common::video::VideoName;

use super::Step;
use crate::dataset::scan::VideoFile;
use crate::engine::event::{Effect, Notice};
use crate::engine::state::{Phase, Status, VideoId};

impl Step<'_> {
    /// Queues videos before all others, and starts a run if there is none. An engine that waits starts one only if no other
    /// video would be extracted with them, or if all of them are queued already, because then the request can only mean a run.
    pub(super) fn again(&mut self, videos: &[VideoId], may: impl Fn(&Status) -> bool) {
        let queued = self.state.counts.queued;
        let (mut again, mut already) = (0, 0);
        for id in videos.iter().rev() {
            let Some(video) = self.state.videos.get_mut(*id) else { continue };
            already += usize::from(video.status == Status::Queued);
            if may(&video.status) {
                (video.attempts, video.requeues) = (0, 0);
                (video.suspect, video.retry_at) = (false, 0);
                self.state.queue_first(*id);
                again += 1;
            }
        }
        if again > 0 {
            self.notify(Notice::Requeued(again));
        }
        if again == 0 && already > 0 && self.state.is_over() {
            videos.iter().rev().for_each(|id| self.move_to_front(*id));
            return self.start();
        }
        // Videos that were queued because their file changed count as requested, too.
        if again > 0 && (self.state.phase != Phase::Waiting || queued <= already) {
            self.start();
        }
    }

    fn move_to_front(&mut self, id: VideoId) {
        if self.state.videos.get(id).is_some_and(|video| video.status == Status::Queued) {
            self.state.queue_first(id);
        }
    }

    /// Starts a run over the unfinished videos, unless there is one.
    pub(super) fn start(&mut self) {
        if self.state.is_over() && self.state.counts.queued > 0 {
            self.state.phase = Phase::Running;
            self.resume();
        }
    }

    pub(super) fn run_ended(&mut self) {
        if self.state.is_over() {
            self.state.phase = Phase::Waiting;
            self.state.count_as_earlier();
        }
    }

    /// Excludes or includes videos. A video in flight is finished first.
    pub(super) fn exclude(&mut self, videos: &[VideoId], undo: bool) {
        for id in videos {
            let Some(video) = self.state.videos.get_mut(*id) else { continue };
            if video.excluded != undo {
                continue;
            }
            video.excluded = !undo;
            match video.status.clone() {
                Status::Excluded { before } => self.state.set(*id, *before),
                Status::Running(_) | Status::Gone => {}
                status => self.state.set(*id, status),
            }
        }
    }

    /// A file is new or has changed.
    pub(super) fn seen(&mut self, file: VideoFile, status: Status, excluded: bool) {
        let stamp = file.stamp;
        let id = match self.state.files.find(file.name.as_str()) {
            Some(id) => id,
            None => self.state.append(file),
        };
        let same = self.state.files.get(id).is_some_and(|known| known.stamp == stamp);
        if !same {
            self.state.files.restamp(id, stamp);
        }
        let Some(video) = self.state.videos.get_mut(id) else { return };
        if !same {
            video.recorded = 0;
        }
        let standing = video.status.clone();
        match &standing {
            // Its result may be of either version.
            Status::Running(_) => {
                video.recheck |= !same;
                return self.state.touch(id);
            }
            Status::Gone => video.excluded = excluded,
            _ if same && !video.recheck => return,
            _ => {}
        }
        video.recheck = false;
        video.feature = false;
        (video.attempts, video.requeues) = (0, 0);
        let status = match (&standing, status) {
            // It still counts as done by this run.
            (Status::Done { resumed: false, .. }, Status::Done { degraded, .. }) => {
                Status::Done { degraded, resumed: false }
            }
            (Status::Failed { before: false, .. }, Status::Failed { failure, unreadable, .. }) => {
                Status::Failed { failure, before: false, unreadable }
            }
            (Status::LeftOut, Status::Queued) => return self.state.touch(id),
            // It keeps its place in the queue.
            (Status::Queued, Status::Queued) => return self.state.touch(id),
            (_, status) => status,
        };
        self.state.set(id, status);
    }

    /// Videos may be handed out. Those that may have crashed another engine run alone.
    pub(super) fn granted(&mut self, videos: &[VideoId], suspects: &[VideoId]) {
        for id in suspects {
            if let Some(video) = self.state.videos.get_mut(*id) {
                video.suspect = true;
            }
        }
        self.state.grant(videos, true);
    }

    /// Another engine has settled a video. A video in progress is finished nevertheless.
    pub(super) fn settled_elsewhere(&mut self, id: VideoId, status: Status) {
        if self.state.videos.get(id).is_some_and(|video| video.status == Status::Queued) {
            self.state.set(id, status);
        }
    }

    /// Other engines retry failed videos. An engine that waits shows them as queued until it learns their results.
    pub(super) fn retried_elsewhere(&mut self, videos: &[VideoId]) {
        if self.state.phase != Phase::Waiting {
            return;
        }
        for id in videos {
            let Some(video) = self.state.videos.get_mut(*id) else { continue };
            if matches!(video.status, Status::Failed { .. }) {
                (video.attempts, video.requeues) = (0, 0);
                (video.suspect, video.retry_at) = (false, 0);
                self.state.queue_first(*id);
            }
        }
    }

    /// A file was removed.
    pub(super) fn vanished(&mut self, name: &VideoName) {
        let Some(id) = self.state.files.find(name.as_str()) else { return };
        let Some(video) = self.state.videos.get_mut(id) else { return };
        match video.status {
            Status::Running(_) => video.recheck = true,
            Status::Gone => {}
            _ => {
                video.recheck = false;
                self.state.set(id, Status::Gone);
            }
        }
    }

    /// An export could not use the feature of a video that was done. Each video is queued again once: a disk that damages what
    /// it stores must not cause an endless run.
    pub(super) fn export_missed(&mut self, id: VideoId, status: Status, damaged: bool) {
        let Some(video) = self.state.videos.get_mut(id) else { return };
        let was_done = match &video.status {
            Status::Excluded { before } => matches!(**before, Status::Done { .. }),
            status => matches!(status, Status::Done { .. }),
        };
        // The file may have changed in the meantime, and the export may have been wrong.
        if !was_done || matches!(status, Status::Done { .. }) {
            return;
        }
        let status = match status {
            Status::Queued if video.missed => {
                let text = "its feature was damaged, gone or of another version of the file again after the video was \
                            extracted again; check the disk of the output folder, and that all engines read the same files";
                Status::Failed {
                    failure: Box::new(Failure::new(ErrorKind::Io, text)),
                    before: false,
                    unreadable: false,
                }
            }
            status => status,
        };
        (video.damaged, video.feature, video.missed) = (damaged, damaged, true);
        (video.attempts, video.requeues) = (0, 0);
        self.state.set(id, status);
    }

    /// Looks at a finished video again whose file changed while it was in flight.
    pub(super) fn recheck(&mut self, id: VideoId) {
        let ended = |status: &Status| !matches!(status, Status::Queued | Status::Running(_));
        if self.state.videos.get(id).is_some_and(|video| video.recheck && ended(&video.status)) {
            self.effects.push(Effect::LookAt(id));
        }
    }
}
