//! The engine's one place of decision: an event changes the state and gives what is to be done. Pure and synchronous.

use reeldeck_contract::error::{ErrorKind, Failure};
use reeldeck_contract::protocol::JobId;
use reeldeck_contract::source::SourceStamp;

use super::state::{Effect, Event, Millis, News, Phase, State, Status, VideoId, WorkerId, WorkerStatus};

/// Ends of one worker, with no video to blame, after which its device is given up.
const MOST_MISHAPS: u32 = 3;

/// How long to wait before the next attempt after `attempts` charged ones that ended so; `None`: never again.
pub fn retry_after(kind: ErrorKind, attempts: u32) -> Option<Millis> {
    let (most, wait) = match kind {
        // Network file systems hiccup: wait 2 s, then 8 s.
        ErrorKind::Io => (3, 2_000 << (2 * attempts.saturating_sub(1).min(4))),
        ErrorKind::OutOfMemory => (2, 5_000),
        ErrorKind::WorkerCrashed | ErrorKind::WorkerHung | ErrorKind::Device => (2, 0),
        ErrorKind::Interrupted => (u32::MAX, 0),
        ErrorKind::Corrupt
        | ErrorKind::Limit
        | ErrorKind::Missing
        | ErrorKind::DiskFull
        | ErrorKind::Output
        | ErrorKind::Internal => {
            return None;
        }
    };
    (attempts < most).then_some(wait)
}

/// Takes one event at `now` and says what is to be done.
pub fn update(state: &mut State, event: Event, now: Millis) -> Vec<Effect> {
    let mut step = Step { state, now, effects: vec![] };
    step.listen(&event);
    match event {
        Event::Begin => {
            for worker in 0..step.state.workers.len() {
                step.effects.push(Effect::Spawn(worker));
            }
        }
        Event::Ready(worker) => step.ready(worker),
        Event::Fatal(worker, failure) => step.lose(worker, failure.line()),
        Event::Progress(worker, job, clips) => step.progress(worker, job, clips),
        Event::Done(worker, job, report) => {
            if let Some(video) = step.take(worker, job) {
                step.state.clips_finished += report.clips;
                step.set(video, Status::Done { degraded: report.frames.is_damaged(), resumed: false });
                step.effects.extend([Effect::Forget(video), Effect::Tell(News::Done(video, report))]);
            }
        }
        Event::Failed(worker, job, failure, source) => step.failed(worker, job, failure, source),
        Event::Gone(worker, how) => step.gone(worker, how),
        Event::CannotWrite(why) => step.block(why),
        Event::Interrupt => step.interrupt(),
        Event::Tick => step.end_the_silent(),
    }
    step.wake();
    step.hand_out();
    step.dismiss();
    step.effects
}

struct Step<'s> {
    state: &'s mut State,
    now: Millis,
    effects: Vec<Effect>,
}

impl Step<'_> {
    fn set(&mut self, video: VideoId, status: Status) {
        if let Some(video) = self.state.videos.get_mut(video) {
            video.status = status;
        }
    }

    /// Whatever a worker says shows that it lives.
    fn listen(&mut self, event: &Event) {
        let (Event::Ready(id) | Event::Progress(id, ..) | Event::Done(id, ..) | Event::Failed(id, ..)) = event else {
            return;
        };
        if let Some(worker) = self.state.workers.get_mut(*id) {
            worker.heard = self.now;
        }
    }

    /// Ends workers that have something to do and have said nothing for too long. What follows is decided when they are gone.
    fn end_the_silent(&mut self) {
        for (id, worker) in self.state.workers.iter_mut().enumerate() {
            let busy =
                matches!(worker.status, WorkerStatus::Starting | WorkerStatus::Leaving) || !worker.in_hand.is_empty();
            let running = !matches!(worker.status, WorkerStatus::Left | WorkerStatus::Lost { .. });
            if busy && running && !worker.hung && self.now.saturating_sub(worker.heard) > self.state.stall_timeout {
                worker.hung = true;
                self.effects.push(Effect::Kill(id));
            }
        }
    }

    fn ready(&mut self, id: WorkerId) {
        self.state.ready_since.get_or_insert(self.now);
        if let Some(worker) = self.state.workers.get_mut(id).filter(|w| w.status == WorkerStatus::Starting) {
            worker.status = WorkerStatus::Ready;
            self.effects.push(Effect::Tell(News::WorkerReady(id)));
        }
    }

    /// The video of a job in a worker's hands. `None` for a job it does not have: told twice, or never given.
    fn find(&self, id: WorkerId, job: JobId) -> Option<VideoId> {
        let is_job = |video: &VideoId| {
            let status = self.state.videos.get(*video).map(|v| &v.status);
            matches!(status, Some(Status::Running { job: running, .. }) if *running == job)
        };
        self.state.workers.get(id)?.in_hand.iter().copied().find(is_job)
    }

    fn progress(&mut self, id: WorkerId, job: JobId, done: usize) {
        let video = self.find(id, job).and_then(|video| self.state.videos.get_mut(video));
        if let Some(Status::Running { clips, .. }) = video.map(|v| &mut v.status) {
            *clips = done;
        }
    }

    /// Takes the video of a job out of a worker's hands.
    fn take(&mut self, id: WorkerId, job: JobId) -> Option<VideoId> {
        let video = self.find(id, job)?;
        let worker = self.state.workers.get_mut(id)?;
        worker.mishaps = 0;
        worker.alone = false;
        worker.in_hand.retain(|other| *other != video);
        Some(video)
    }

    fn failed(&mut self, id: WorkerId, job: JobId, failure: Failure, source: Option<SourceStamp>) {
        let Some(video) = self.take(id, job) else { return };
        if failure.kind == ErrorKind::DiskFull {
            // Not the video's fault, and no failure file could be written anyway.
            self.give_back(&[video]);
            self.block(failure.line());
            return;
        }
        self.charge(video, id, failure, source);
    }

    /// Counts an attempt against a video, and decides whether there is another.
    fn charge(&mut self, id: VideoId, worker: WorkerId, failure: Failure, source: Option<SourceStamp>) {
        let Some(video) = self.state.videos.get_mut(id) else { return };
        let since = if let Status::Running { since, .. } = video.status { since } else { self.now };
        video.attempts += 1;
        let again = retry_after(failure.kind, video.attempts);
        video.status = match again {
            Some(_) => Status::Queued,
            None => Status::Failed { failure: failure.clone(), before: false },
        };
        match again {
            Some(0) => self.state.suspects.push_back(id),
            Some(wait) => drop(self.state.later.insert((self.now + wait, id))),
            None => {}
        }
        self.effects.push(Effect::Tell(News::Failed(id, failure.clone(), again.is_none())));
        self.effects.push(Effect::Record { video: id, worker, since, failure, source });
    }

    fn gone(&mut self, id: WorkerId, how: String) {
        let Some(worker) = self.state.workers.get_mut(id) else { return };
        let in_hand = std::mem::take(&mut worker.in_hand);
        worker.alone = false;
        worker.heard = self.now;
        let (how, kind) = match std::mem::take(&mut worker.hung) {
            true => (format!("no sign of life for {} s", self.state.stall_timeout / 1000), ErrorKind::WorkerHung),
            false => (how, ErrorKind::WorkerCrashed),
        };
        match worker.status {
            WorkerStatus::Lost { .. } | WorkerStatus::Left => return,
            WorkerStatus::Leaving if in_hand.is_empty() => {
                worker.status = WorkerStatus::Left;
                return;
            }
            _ => {}
        }
        if in_hand.is_empty() {
            worker.mishaps += 1;
        }
        let (mishaps, aborting) = (worker.mishaps, self.state.phase == Phase::Aborting);
        match in_hand.as_slice() {
            _ if aborting => self.give_back(&in_hand),
            // With one video in hand it is clear which one it was.
            [video] => self.charge(*video, id, Failure::new(kind, how.clone()), None),
            // With several it is not: each is tried alone, and nobody is charged.
            several => {
                for video in several {
                    self.set(*video, Status::Queued);
                    self.state.suspects.push_back(*video);
                }
            }
        }
        if aborting || matches!(self.state.phase, Phase::Finishing { .. }) {
            self.set_worker(id, WorkerStatus::Left);
        } else if mishaps >= MOST_MISHAPS {
            self.lose(id, how);
        } else {
            self.set_worker(id, WorkerStatus::Starting);
            self.effects.extend([Effect::Tell(News::WorkerRestarts(id, how)), Effect::Spawn(id)]);
        }
    }

    fn set_worker(&mut self, id: WorkerId, status: WorkerStatus) {
        if let Some(worker) = self.state.workers.get_mut(id) {
            worker.status = status;
        }
    }

    fn give_back(&mut self, videos: &[VideoId]) {
        for video in videos {
            self.set(*video, Status::Queued);
            self.state.waiting.push_front(*video);
        }
    }

    /// Gives a device up; what it had in hand goes to the others.
    fn lose(&mut self, id: WorkerId, reason: String) {
        let Some(worker) = self.state.workers.get_mut(id) else { return };
        let in_hand = std::mem::take(&mut worker.in_hand);
        worker.status = WorkerStatus::Lost { reason: reason.clone() };
        self.give_back(&in_hand);
        self.effects.extend([Effect::Kill(id), Effect::Tell(News::WorkerLost(id, reason))]);
        let all_lost = self.state.workers.iter().all(|w| matches!(w.status, WorkerStatus::Lost { .. }));
        if all_lost {
            self.block("no device can be used".into());
        }
    }

    fn block(&mut self, why: String) {
        if self.state.phase == Phase::Running {
            self.state.phase = Phase::Finishing { because: Some(why.clone()) };
            self.effects.push(Effect::Tell(News::Blocked(why)));
        }
    }

    fn interrupt(&mut self) {
        match self.state.phase {
            Phase::Running => {
                self.state.phase = Phase::Finishing { because: None };
                self.effects.push(Effect::Tell(News::Finishing));
            }
            Phase::Finishing { .. } => {
                self.state.phase = Phase::Aborting;
                self.effects.push(Effect::Tell(News::Aborting));
                for (id, worker) in self.state.workers.iter().enumerate() {
                    if !matches!(worker.status, WorkerStatus::Left | WorkerStatus::Lost { .. }) {
                        self.effects.push(Effect::Kill(id));
                    }
                }
            }
            Phase::Aborting => {}
        }
    }

    /// Videos whose time to be tried again has come.
    fn wake(&mut self) {
        while let Some((due, video)) = self.state.later.first().copied().filter(|(due, _)| *due <= self.now) {
            self.state.later.remove(&(due, video));
            self.state.waiting.push_back(video);
        }
    }

    fn hand_out(&mut self) {
        if self.state.phase != Phase::Running {
            return;
        }
        // Round by round, so that no device gets a second video while another has none.
        loop {
            let mut given = false;
            for id in 0..self.state.workers.len() {
                given |= self.hand_one_to(id);
            }
            if !given {
                return;
            }
        }
    }

    fn hand_one_to(&mut self, id: WorkerId) -> bool {
        let Some(worker) = self.state.workers.get_mut(id) else { return false };
        if worker.status != WorkerStatus::Ready || worker.alone || worker.in_hand.len() >= worker.capacity {
            return false;
        }
        let suspect = if worker.in_hand.is_empty() { self.state.suspects.pop_front() } else { None };
        worker.alone = suspect.is_some();
        // A suspect waits for a worker that has nothing else in hand; until then no new work hides it.
        let next = match suspect {
            None if !self.state.suspects.is_empty() && !worker.in_hand.is_empty() => None,
            None => self.state.waiting.pop_front(),
            suspect => suspect,
        };
        let Some(video) = next else { return false };
        if worker.in_hand.is_empty() {
            worker.heard = self.now;
        }
        worker.in_hand.push(video);
        let job = self.state.next_job;
        self.state.next_job += 1;
        self.set(video, Status::Running { worker: id, job, clips: 0, since: self.now });
        self.effects.push(Effect::Extract(id, job, video));
        true
    }

    /// Sends workers home that have nothing to do and will get nothing.
    fn dismiss(&mut self) {
        let nothing_left =
            self.state.waiting.is_empty() && self.state.suspects.is_empty() && self.state.later.is_empty();
        // While another worker has something in hand, it may still fail and come back to be tried by this one.
        let nobody_works = self.state.workers.iter().all(|w| w.in_hand.is_empty());
        let over = self.state.phase != Phase::Running || (nothing_left && nobody_works);
        for (id, worker) in self.state.workers.iter_mut().enumerate() {
            if over
                && worker.in_hand.is_empty()
                && matches!(worker.status, WorkerStatus::Ready | WorkerStatus::Starting)
            {
                worker.status = WorkerStatus::Leaving;
                worker.heard = self.now;
                self.effects.push(Effect::Finish(id));
            }
        }
    }
}
