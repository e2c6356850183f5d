//! Failures: whether the video, the device or the output folder is at fault, and whether there is another attempt.

use reeldeck_common::error::{ErrorKind, Failure};
use reeldeck_common::protocol::JobId;
use reeldeck_common::source::SourceStamp;

use super::Step;
use crate::engine::event::{Effect, Notice};
use crate::engine::state::{Assignment, KillReason, Millis, Phase, Status, WorkerId, WorkerStatus};
use crate::protocol::snapshot::Folder;

/// Consecutive exits and device faults of one worker after which it is given up.
const MAX_CONSECUTIVE_FAULTS: u32 = 3;

/// A video that was queued again this often because of the output folder or a device fails.
const MAX_REQUEUES: u32 = 5;

/// The delay of the next attempt after `attempts` charged ones, the last of which failed with this kind; none: no retry.
fn retry_after(kind: ErrorKind, attempts: u32) -> Option<Millis> {
    let (most, wait) = match kind {
        // Errors of network file systems may pass: 2 s, then 8 s.
        ErrorKind::Io => (3, 2_000 << (2 * attempts.saturating_sub(1).min(4))),
        // Other programs on the same device may free memory.
        ErrorKind::OutOfMemory => (3, 5_000),
        ErrorKind::WorkerCrashed | ErrorKind::WorkerHung => (2, 0),
        ErrorKind::Interrupted => (u32::MAX, 0),
        ErrorKind::Corrupt
        | ErrorKind::Limit
        | ErrorKind::Missing
        | ErrorKind::DiskFull
        | ErrorKind::Output
        | ErrorKind::Device
        | ErrorKind::Internal => return None,
    };
    (attempts < most).then_some(wait)
}

impl Step<'_> {
    pub(super) fn failed(&mut self, id: WorkerId, job: JobId, failure: Failure, source: Option<SourceStamp>) {
        let Some(assignment) = self.take(id, job) else { return };
        match failure.kind {
            ErrorKind::Interrupted => self.requeue_first(&[assignment], &failure.line()),
            ErrorKind::DiskFull | ErrorKind::Output => {
                // The video is not at fault, and no failure file could be written.
                if self.may_requeue(&assignment) {
                    self.requeue_first(&[assignment], &failure.line());
                    self.hold(Folder::Output, failure.line());
                } else {
                    self.charge(&assignment, id, failure, source);
                }
            }
            ErrorKind::Device => {
                // A process cannot recover from a fault of its device.
                let requeue = self.may_requeue(&assignment);
                if let Some(worker) = self.state.workers.get_mut(id) {
                    worker.consecutive_faults += 1;
                    worker.kill_reason = Some(KillReason::Broken);
                    self.effects.push(Effect::Kill(id));
                }
                if requeue {
                    self.requeue_first(&[assignment], &failure.line());
                } else {
                    self.charge(&assignment, id, failure, source);
                }
            }
            kind => {
                let mut is_late = false;
                if let Some(worker) = self.state.workers.get_mut(id) {
                    // The device works; the video is at fault.
                    worker.consecutive_faults = 0;
                    if kind == ErrorKind::OutOfMemory {
                        is_late = assignment.batch > worker.batch;
                        if !is_late && worker.batch > 1 {
                            worker.batch /= 2;
                            let batch = worker.batch;
                            self.notify(Notice::BatchHalved(id, batch));
                        }
                    }
                }
                // One shortage makes all videos in flight fail. The batch is halved once, for the first of them.
                if is_late && self.may_requeue(&assignment) {
                    self.requeue_first(&[assignment], &failure.line());
                } else {
                    self.charge(&assignment, id, failure, source);
                }
            }
        }
    }

    pub(super) fn may_requeue(&mut self, assignment: &Assignment) -> bool {
        let Some(video) = self.state.videos.get_mut(assignment.video) else { return false };
        video.requeues += 1;
        video.requeues < MAX_REQUEUES
    }

    /// Charges a video with an attempt, and decides whether there is another.
    pub(super) fn charge(
        &mut self,
        assignment: &Assignment,
        worker: WorkerId,
        failure: Failure,
        source: Option<SourceStamp>,
    ) {
        self.state.without_folder.clear();
        let Some(video) = self.state.videos.get_mut(assignment.video) else { return };
        video.attempts += 1;
        video.recorded += 1;
        let again = retry_after(failure.kind, video.attempts);
        video.suspect = again.is_some() && (video.suspect || failure.kind.is_crash());
        video.retry_at = again.filter(|wait| *wait > 0).map_or(0, |wait| self.now + wait);
        self.state.set(
            assignment.video,
            match again {
                Some(_) => Status::Queued,
                None => Status::Failed { failure: Box::new(failure.clone()), before: false, unreadable: false },
            },
        );
        self.notify(Notice::Failed(worker, assignment.video, failure.clone(), again));
        self.effects.push(Effect::Record {
            video: assignment.video,
            worker,
            // One that has failed before its turn has just begun.
            since: assignment.begun.unwrap_or(self.now),
            failure,
            source,
            retry: again.is_some(),
        });
        self.recheck(assignment.video);
    }

    pub(super) fn gone(&mut self, id: WorkerId, how: String) {
        let Some(worker) = self.state.workers.get_mut(id) else { return };
        // An assignment that waited for the journal never reached the worker.
        let (in_flight, unreleased): (Vec<Assignment>, Vec<Assignment>) =
            std::mem::take(&mut worker.in_flight).into_iter().partition(|assignment| assignment.released.is_some());
        let (kill_reason, unreported) = (worker.kill_reason.take(), worker.unreported);
        let shortage = worker.killed.take().filter(|_| kill_reason.is_none());
        worker.heard = self.now;
        match worker.status {
            WorkerStatus::Lost { .. } | WorkerStatus::Left => return,
            WorkerStatus::Leaving if in_flight.is_empty() && unreleased.is_empty() => {
                worker.status = WorkerStatus::Left;
                return;
            }
            _ => {}
        }
        let (how, kind) = match kill_reason {
            Some(KillReason::Silent) => {
                (format!("no message for {} s", self.state.rules.stall_timeout / 1000), ErrorKind::WorkerHung)
            }
            Some(KillReason::Overdue) => {
                let limit = self.state.rules.wall_limit / 1000;
                (format!("it kept the worker for more than {limit} s (limits.wall_s)"), ErrorKind::Limit)
            }
            Some(KillReason::Broken) => ("its device failed".into(), ErrorKind::Device),
            None => (how, ErrorKind::WorkerCrashed),
        };
        // A process that ends or hangs without a video: no video is at fault.
        if in_flight.is_empty() && matches!(kill_reason, None | Some(KillReason::Silent)) {
            worker.consecutive_faults += 1;
        }
        let consecutive_faults = worker.consecutive_faults;
        // A user has stopped the run, or a scheduler has signalled every process of the job: no video is at fault.
        let stopped = self.state.phase == Phase::Aborting
            || (self.state.phase == Phase::Finishing { because: None } && kill_reason.is_none());
        self.requeue_first(&unreleased, &how);
        match in_flight.as_slice() {
            // A process may fail in any way when its video is gone.
            assignments if self.state.waits_for_dataset() => self.requeue_first(assignments, &how),
            assignments if stopped || kill_reason == Some(KillReason::Broken) => self.requeue_first(assignments, &how),
            assignments if shortage.is_some() => {
                self.lacked_memory(id, assignments, &how, shortage.unwrap_or_default())
            }
            [first, others @ ..] if kill_reason == Some(KillReason::Overdue) => {
                self.requeue_first(others, &how);
                self.charge(first, id, Failure::new(kind, how.clone()), None);
            }
            // A single video in flight is at fault.
            [assignment] if !unreported => self.charge(assignment, id, Failure::new(kind, how.clone()), None),
            // Among several, the one at fault is unknown: each is retried alone, and none is charged.
            several => self.retry_alone(several, &how),
        }
        if matches!(self.state.phase, Phase::Aborting | Phase::Finishing { .. }) {
            if let Some(worker) = self.state.workers.get_mut(id) {
                worker.status = WorkerStatus::Left;
            }
        } else if consecutive_faults >= MAX_CONSECUTIVE_FAULTS {
            self.lose(id, how);
        } else {
            if let Some(worker) = self.state.workers.get_mut(id) {
                worker.restarts += 1;
            }
            self.notify(Notice::WorkerRestarts(id, how));
            self.spawn(id);
        }
    }

    /// Queues videos again, each alone in its worker, and charges none.
    pub(super) fn retry_alone(&mut self, assignments: &[Assignment], how: &str) {
        for assignment in assignments {
            if let Some(video) = self.state.videos.get_mut(assignment.video) {
                video.suspect = true;
            }
            self.state.set(assignment.video, Status::Queued);
            self.notify(Notice::Returned(assignment.video, how.to_owned()));
        }
    }
}
