//! Handing out: which worker gets which video next, and when a worker may go home.

use std::collections::VecDeque;

use super::Step;
use crate::engine::event::{Effect, News};
use crate::engine::state::{Hand, Phase, Status, Video, VideoId, WorkerId, WorkerStatus};

/// The next of a queue. One that was left alone, or has gone, or was done by other means, is still in there and passed over.
fn next_of(queue: &mut VecDeque<VideoId>, videos: &[Video]) -> Option<VideoId> {
    std::iter::from_fn(|| queue.pop_front()).find(|id| videos.get(*id).is_some_and(|v| v.status == Status::Queued))
}

impl Step<'_> {
    /// Videos whose time to be tried again has come.
    pub(super) fn wake(&mut self) {
        while let Some((due, video)) = self.state.later.first().copied().filter(|(due, _)| *due <= self.now) {
            self.state.later.remove(&(due, video));
            self.state.waiting.push_back(video);
        }
    }

    pub(super) fn hand_out(&mut self) {
        if self.state.phase != Phase::Running || self.state.paused.is_some() || self.state.hold.is_some() {
            return;
        }
        if let Some(outcast) = self.state.outcast_runs {
            if matches!(self.state.videos.get(outcast).map(|v| &v.status), Some(Status::Running(_))) {
                return;
            }
            self.state.outcast_runs = None;
        }
        // Round by round, so that no device gets a second video while another has none.
        let mut given = true;
        while given {
            given = false;
            for id in 0..self.state.workers.len() {
                given |= self.hand_one_to(id);
            }
        }
        self.hand_out_an_outcast();
    }

    fn hand_one_to(&mut self, id: WorkerId) -> bool {
        let ready = self.state.workers.iter().filter(|w| w.status == WorkerStatus::Ready).count();
        let Some(worker) = self.state.workers.get_mut(id) else { return false };
        if worker.status != WorkerStatus::Ready || worker.ending.is_some() || worker.alone {
            return false;
        }
        let (held, capacity) = (worker.in_hand.len(), worker.capacity);
        if held >= capacity {
            return false;
        }
        let suspect = if held == 0 { next_of(&mut self.state.suspects, &self.state.videos) } else { None };
        let next = match suspect {
            // A suspect waits for a worker that has nothing else in hand; until then no new work hides it.
            None if !self.state.suspects.is_empty() && held > 0 => None,
            // The last place is for decoding ahead. Near the end a video is better off with whoever is free first.
            None if held > 0 && held + 1 == capacity && self.state.waiting.len() < ready => None,
            None => next_of(&mut self.state.waiting, &self.state.videos),
            suspect => suspect,
        };
        let Some(video) = next else { return false };
        self.hand(id, video, suspect.is_some());
        true
    }

    /// When all else is done: one that may have brought the host down, with nothing beside it.
    fn hand_out_an_outcast(&mut self) {
        if !self.is_nothing_queued() || self.state.workers.iter().any(|w| !w.in_hand.is_empty()) {
            return;
        }
        let free = |w: &crate::engine::state::Worker| w.status == WorkerStatus::Ready && w.ending.is_none();
        let Some(id) = self.state.workers.iter().position(free) else { return };
        if let Some(video) = next_of(&mut self.state.outcasts, &self.state.videos) {
            self.state.outcast_runs = Some(video);
            self.hand(id, video, true);
        }
    }

    fn hand(&mut self, id: WorkerId, video: VideoId, alone: bool) {
        let Some(worker) = self.state.workers.get_mut(id) else { return };
        let job = self.state.next_job;
        self.state.next_job += 1;
        let mut begun = None;
        if worker.in_hand.is_empty() {
            // Only now is there something to hear of.
            worker.heard = self.now;
            begun = Some(self.now);
        }
        worker.alone = alone;
        worker.in_hand.push(Hand { video, job, clips: 0, given: self.now, begun });
        let batch = worker.batch;
        self.state.set(video, Status::Running(id));
        self.tell(News::Started(id, video));
        self.effects.push(Effect::Extract { worker: id, job, video, batch });
    }

    /// Puts videos back to where they came from, the first first.
    pub(super) fn give_back(&mut self, hands: &[Hand], why: &str) {
        for hand in hands.iter().rev() {
            self.state.set(hand.video, Status::Queued);
            self.state.waiting.push_front(hand.video);
            self.tell(News::Returned(hand.video, why.to_owned()));
        }
    }

    fn is_nothing_queued(&self) -> bool {
        self.state.waiting.is_empty() && self.state.suspects.is_empty() && self.state.later.is_empty()
    }

    /// Sends workers home that have nothing to do and will get nothing.
    pub(super) fn dismiss(&mut self) {
        let nothing_left = self.is_nothing_queued() && self.state.outcasts.is_empty();
        // While another worker has something in hand, it may still fail and come back to be tried by this one.
        let nobody_works = self.state.workers.iter().all(|w| w.in_hand.is_empty());
        // What could not be recorded for want of a disk is still to be recorded.
        let over = self.state.phase != Phase::Running || (nothing_left && nobody_works && self.state.hold.is_none());
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
