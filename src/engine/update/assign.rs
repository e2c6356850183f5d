//! Which worker gets which video next, and when a worker is told to exit.

use super::Step;
use crate::engine::event::{Effect, Notice};
use crate::engine::state::{Assignment, Phase, Progress, Status, VideoId, Worker, WorkerId, WorkerStatus};

impl Step<'_> {
    pub(super) fn assign_all(&mut self) {
        if self.state.phase != Phase::Running || self.state.paused.is_some() || self.state.hold.is_some() {
            return;
        }
        // Round by round, so that no device gets a second video while another has none.
        let mut given = true;
        while given {
            given = false;
            for id in self.state.workers.keys() {
                given |= self.assign_one(id);
            }
        }
    }

    /// Suspects come after all other videos, because a suspect may take the machine down again.
    fn assign_one(&mut self, id: WorkerId) -> bool {
        let works = |w: &&Worker| matches!(w.status, WorkerStatus::Ready | WorkerStatus::Starting);
        let workers = self.state.workers.iter().filter(works).count();
        let Some(worker) = self.state.workers.get_mut(id) else { return false };
        if worker.status != WorkerStatus::Ready || worker.kill_reason.is_some() || worker.is_isolated() {
            return false;
        }
        let (held, capacity) = (worker.in_flight.len(), worker.capacity);
        if held >= capacity {
            return false;
        }
        // The last place is for decoding ahead. Near the end, a video waits for the worker that is free first.
        if held > 0 && held + 1 == capacity && self.state.queue.normal_len() < workers {
            return false;
        }
        if let Some(video) = self.state.queue.pop_normal() {
            self.assign(id, video, false);
        } else if held == 0
            && let Some(video) = self.state.queue.pop_suspect()
        {
            self.assign(id, video, true);
        } else {
            return false;
        }
        true
    }

    fn assign(&mut self, id: WorkerId, video: VideoId, alone: bool) {
        let bytes = self.state.files.get(video).map_or(0, |file| file.stamp.size);
        let Some(worker) = self.state.workers.get_mut(id) else { return };
        let job = self.state.next_job;
        self.state.next_job += 1;
        let (batch, progress, given) = (worker.batch, Progress::default(), self.now);
        let assignment = Assignment {
            video,
            job,
            alone,
            batch,
            progress,
            bytes,
            given,
            released: None,
            begun: None,
            is_published: false,
        };
        worker.in_flight.push(assignment);
        self.state.set(video, Status::Running(id));
        self.notify(Notice::Assigned(id, video));
        self.state.unreleased.push_back((job, self.now));
        self.effects.push(Effect::Extract { worker: id, job, video, batch });
    }

    /// Queues videos again in their order, before all others of their lanes.
    pub(super) fn requeue_first(&mut self, assignments: &[Assignment], why: &str) {
        for assignment in assignments.iter().rev() {
            self.state.queue_first(assignment.video);
            self.notify(Notice::Returned(assignment.video, why.to_owned()));
        }
    }

    /// Tells workers to exit that are idle and will get no video.
    pub(super) fn release_idle_workers(&mut self) {
        // A video that is in flight elsewhere may fail and be retried by this worker.
        let all_idle = self.state.workers.iter().all(|w| w.in_flight.is_empty());
        // During a hold, attempts may wait to be recorded.
        let over = self.state.phase != Phase::Running
            || (self.state.counts.queued == 0 && all_idle && self.state.hold.is_none());
        for (id, worker) in self.state.workers.iter_mut_enumerated() {
            let idle = worker.in_flight.is_empty()
                && matches!(worker.status, WorkerStatus::Ready | WorkerStatus::Starting)
                && worker.kill_reason.is_none();
            if over && idle {
                // A worker that loads the model reads no assignment, and may hang.
                let loads = worker.status == WorkerStatus::Starting;
                worker.status = WorkerStatus::Leaving;
                worker.heard = self.now;
                self.effects.push(if loads { Effect::Kill(id) } else { Effect::Finish(id) });
            }
        }
    }
}
