//! Videos that cannot be read because the dataset folder or their own folder is gone: they wait, and none is charged.

use reeldeck_common::error::Failure;
use reeldeck_common::protocol::JobId;

use super::Step;
use crate::engine::event::{Notice, ReadFailure};
use crate::engine::state::{Assignment, Millis, Status, WorkerId};
use crate::protocol::snapshot::Folder;

/// If the folders of this many videos in a row are gone, a disk is gone. A single folder may have been removed.
const MAX_WITHOUT_FOLDER: usize = 3;

/// The delay of the next attempt at a video whose folder is gone, or whose file was gone for a moment.
const RETRY: Millis = 2_000;

impl Step<'_> {
    pub(super) fn read_failed(&mut self, id: WorkerId, job: JobId, cause: ReadFailure, failure: Failure) {
        let Some(assignment) = self.take(id, job) else { return };
        if let Some(worker) = self.state.workers.get_mut(id) {
            // The device works.
            worker.consecutive_faults = 0;
        }
        let video = assignment.video;
        match cause {
            ReadFailure::DatasetGone(reason) => {
                self.requeue_first(&[assignment], &reason);
                self.hold(Folder::Dataset, reason);
            }
            ReadFailure::FolderGone(reason) => {
                if !self.state.without_folder.contains(&video) {
                    self.state.without_folder.push(video);
                }
                if self.state.without_folder.len() >= MAX_WITHOUT_FOLDER {
                    self.requeue_first(&[assignment], &reason);
                    self.hold(Folder::Dataset, reason);
                } else {
                    self.retry_unread(&assignment, id, reason, failure);
                }
            }
            ReadFailure::FileBack => self.retry_unread(&assignment, id, failure.line(), failure),
        }
    }

    /// Queues a video again without charging it, unless that was done several times.
    fn retry_unread(&mut self, assignment: &Assignment, worker: WorkerId, why: String, failure: Failure) {
        if !self.may_requeue(assignment) {
            return self.charge(assignment, worker, failure, None);
        }
        if let Some(video) = self.state.videos.get_mut(assignment.video) {
            video.retry_at = self.now + RETRY;
        }
        self.state.set(assignment.video, Status::Queued);
        self.notify(Notice::Returned(assignment.video, why));
    }
}
