//! Which worker gets which video next, and when a worker is told to exit.

use super::Step;
use crate::engine::event::{Effect, News};
use crate::engine::state::{Hand, Phase, Status, VideoId, WorkerId, WorkerStatus};

impl Step<'_> {
    pub(super) fn hand_out(&mut self) {
        if self.state.phase != Phase::Running || self.state.paused.is_some() || self.state.hold.is_some() {
            return;
        }
        // Round by round, so that no device gets a second video while another has none.
        let mut given = true;
        while given {
            given = false;
            for id in 0..self.state.workers.len() {
                given |= self.hand_one_to(id);
            }
        }
    }

    /// Suspects come after all other videos: one that takes the machine down again then costs no other video its turn.
    fn hand_one_to(&mut self, id: WorkerId) -> bool {
        let ready = self.state.workers.iter().filter(|w| w.status == WorkerStatus::Ready).count();
        let Some(worker) = self.state.workers.get_mut(id) else { return false };
        if worker.status != WorkerStatus::Ready || worker.ending.is_some() || worker.is_isolated() {
            return false;
        }
        let (held, capacity) = (worker.in_hand.len(), worker.capacity);
        if held >= capacity {
            return false;
        }
        // The last place is for decoding ahead. Near the end a video is better off with the worker that is free first.
        if held > 0 && held + 1 == capacity && self.state.queue.normal_len() < ready {
            return false;
        }
        if let Some(video) = self.state.queue.pop_normal() {
            self.hand(id, video, false);
        } else if held == 0
            && let Some(video) = self.state.queue.pop_suspect()
        {
            self.hand(id, video, true);
        } else {
            return false;
        }
        true
    }

    fn hand(&mut self, id: WorkerId, video: VideoId, alone: bool) {
        let Some(worker) = self.state.workers.get_mut(id) else { return };
        let job = self.state.next_job;
        self.state.next_job += 1;
        worker.in_hand.push(Hand { video, job, alone, clips: 0, given: self.now, released: None, begun: None });
        let batch = worker.batch;
        self.state.set(video, Status::Running(id));
        self.tell(News::Started(id, video));
        self.state.unreleased.push_back((job, self.now));
        self.effects.push(Effect::Extract { worker: id, job, video, batch });
    }

    /// Queues videos again in their order, before all others of their lanes.
    pub(super) fn give_back(&mut self, hands: &[Hand], why: &str) {
        for hand in hands.iter().rev() {
            self.state.queue_first(hand.video);
            self.tell(News::Returned(hand.video, why.to_owned()));
        }
    }

    /// Tells workers to exit that are idle and will get no video.
    pub(super) fn dismiss(&mut self) {
        // A video that is in flight elsewhere may fail and be retried by this worker.
        let nobody_works = self.state.workers.iter().all(|w| w.in_hand.is_empty());
        // During a hold, attempts may wait to be recorded.
        let over = self.state.phase != Phase::Running
            || (self.state.queue.is_empty() && nobody_works && self.state.hold.is_none());
        for (id, worker) in self.state.workers.iter_mut().enumerate() {
            let idle = worker.in_hand.is_empty()
                && matches!(worker.status, WorkerStatus::Ready | WorkerStatus::Starting)
                && worker.ending.is_none();
            if over && idle {
                worker.status = WorkerStatus::Leaving;
                worker.heard = self.now;
                self.effects.push(Effect::Finish(id));
            }
        }
    }
}
