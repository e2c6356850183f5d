//! All decisions of the engine: an event changes the state and returns effects. Pure and synchronous, without I/O and clock.
//! This file starts, pauses and kills workers. `assign` distributes videos, `failure_policy` handles failures, `folders` holds
//! the run.

use reeldeck_common::protocol::{JobId, Report};

use super::event::{Effect, Event, Notice};
use super::state::{
    Assignment, KillReason, Millis, Phase, Progress, State, Status, WorkerId, WorkerProcess, WorkerStatus,
};
use crate::protocol::snapshot::Folder;

mod assign;
mod failure_policy;
mod folders;
mod memory;
mod read_failures;
mod requests;

/// Ticks come every quarter of a second. A longer gap means that the engine was suspended or the machine slept.
const MAX_TICK_GAP: Millis = 5_000;

/// Handles one event at `now` and returns what must be done. Events of an earlier process have no effect.
pub fn update(state: &mut State, event: Event, now: Millis) -> Vec<Effect> {
    if event.process().is_some_and(|process| !state.is_current(process)) {
        return vec![];
    }
    let mut step = Step { state, now, effects: vec![] };
    step.note_report(&event);
    match event {
        Event::EngineStarted => step.spawn_all(),
        Event::Ready(process, detail, load_ms) => step.ready(process.worker, detail, load_ms),
        Event::LittleMemory(process, free, most) => step.little_memory(process.worker, free, most),
        Event::Warning(process, text) => step.notify(Notice::WorkerWarns(process.worker, text)),
        Event::Fatal(process, failure) => step.lose(process.worker, failure.line()),
        Event::Progress(process, job, progress) => step.progress(process.worker, job, progress),
        Event::Done(process, job, report) => step.done(process.worker, job, report),
        Event::Failed(process, job, failure, source) => step.failed(process.worker, job, failure, source),
        Event::ReadFailed(process, job, cause, failure) => step.read_failed(process.worker, job, cause, failure),
        Event::Unreported(process, job, report) => {
            step.unreported(process.worker, job, report);
            // Nothing is assigned before `Gone`: this worker has exited, but its status does not show that yet.
            return step.effects;
        }
        Event::Killed(process, shortage) => {
            step.killed(process.worker, shortage);
            return step.effects;
        }
        Event::Gone(process, how) => step.gone(process.worker, how),
        Event::Released(process, job) => step.released(process, job),
        Event::CannotWrite(why) => step.hold(Folder::Output, why),
        Event::DatasetGone(why) => step.dataset_gone(why),
        Event::DatasetBack => step.dataset_back(),
        Event::StillHeld(folder, reason) => step.still_held(folder, reason),
        Event::OutputBack(lost) => step.output_back(&lost),
        Event::Pause => step.pause(),
        Event::Resume => step.resume(),
        Event::Interrupt => step.interrupt(),
        Event::Abort => step.abort(),
        Event::Retry(videos) => step.again(&videos, |status| matches!(status, Status::Failed { .. })),
        Event::RetriedElsewhere(videos) => step.retried_elsewhere(&videos),
        Event::Redo(videos) => {
            step.again(&videos, |status| matches!(status, Status::Done { .. } | Status::Stale | Status::Failed { .. }))
        }
        Event::Exclude(videos, undo) => step.exclude(&videos, undo),
        Event::StartRun => step.start(),
        Event::RunEnded => step.run_ended(),
        Event::Seen(file, status, excluded) => step.seen(file, status, excluded),
        Event::Vanished(name) => step.vanished(&name),
        Event::ExportMissed(video, status, damaged) => step.export_missed(video, status, damaged),
        Event::Granted(videos, suspects) => step.granted(&videos, &suspects),
        Event::Revoked(videos) => step.state.grant(&videos, false),
        Event::SettledElsewhere(video, status) => step.settled_elsewhere(video, status),
        Event::Block(reason) => step.block(reason),
        Event::Tick => step.tick(),
    }
    step.begin_all();
    step.state.end_backoff(now);
    step.assign_all();
    step.release_idle_workers();
    step.revive();
    step.effects
}

struct Step<'s> {
    state: &'s mut State,
    now: Millis,
    effects: Vec<Effect>,
}

impl Step<'_> {
    fn notify(&mut self, notice: Notice) {
        self.effects.push(Effect::Notify(notice));
    }

    /// Any report of a worker resets its stall clock.
    fn note_report(&mut self, event: &Event) {
        let (Event::Ready(process, ..)
        | Event::Progress(process, ..)
        | Event::Done(process, ..)
        | Event::Failed(process, ..)
        | Event::ReadFailed(process, ..)) = event
        else {
            return;
        };
        if let Some(worker) = self.state.workers.get_mut(process.worker) {
            worker.heard = self.now;
        }
    }

    fn spawn_all(&mut self) {
        for worker in self.state.workers.keys() {
            self.spawn(worker);
        }
    }

    fn spawn(&mut self, id: WorkerId) {
        let Some(worker) = self.state.workers.get_mut(id) else { return };
        worker.status = WorkerStatus::Starting;
        worker.heard = self.now;
        (worker.kill_reason, worker.killed, worker.unreported) = (None, None, false);
        worker.spawned = self.now;
        worker.incarnation.0 += 1;
        let process = self.state.process(id);
        self.effects.push(Effect::Spawn(process));
        if self.state.paused.is_some() {
            self.effects.push(Effect::Freeze(id));
        }
    }

    fn ready(&mut self, id: WorkerId, detail: String, load_ms: u64) {
        if let Some(worker) = self.state.workers.get_mut(id).filter(|w| w.status == WorkerStatus::Starting) {
            worker.status = WorkerStatus::Ready;
            worker.detail = Some(detail);
            self.notify(Notice::WorkerReady(id, load_ms));
        }
    }

    /// Lowers the clips in a pass for a GPU with little free memory.
    fn little_memory(&mut self, id: WorkerId, free: u64, most: usize) {
        if let Some(worker) = self.state.workers.get_mut(id).filter(|worker| worker.batch > most) {
            worker.batch = most;
            let free = free as f64 / f64::from(1 << 30);
            let text = format!(
                "its GPU has {free:.1} GiB of free memory, so it computes {most} clips at a time; batch under [worker] sets another \
                 number"
            );
            self.notify(Notice::WorkerWarns(id, text));
        }
    }

    fn progress(&mut self, id: WorkerId, job: JobId, progress: Progress) {
        let Some(worker) = self.state.workers.get_mut(id) else { return };
        let Some(place) =
            worker.in_flight.iter().position(|assignment| assignment.job == job && assignment.released.is_some())
        else {
            return;
        };
        if place > 0 {
            // It was decoded sooner than the videos before it.
            let assignment = worker.in_flight.remove(place);
            worker.in_flight.iter_mut().for_each(|assignment| assignment.begun = None);
            worker.in_flight.insert(0, assignment);
        }
        let waits = worker.in_flight.get(1).filter(|_| place > 0).map(|assignment| assignment.video);
        if let Some(assignment) = worker.in_flight.first_mut() {
            let most = progress.of.unwrap_or(0);
            assignment.progress = Progress { clips: progress.clips.min(most), ..progress };
        }
        waits.into_iter().for_each(|video| self.state.touch(video));
    }

    fn done(&mut self, id: WorkerId, job: JobId, report: Report) {
        let Some(assignment) = self.take(id, job) else { return };
        if let Some(worker) = self.state.workers.get_mut(id) {
            worker.consecutive_faults = 0;
            worker.done += 1;
            worker.clips += report.clips;
        }
        if let Some(video) = self.state.videos.get_mut(assignment.video) {
            video.suspect = false;
            video.recorded = 0;
        }
        self.state.without_folder.clear();
        self.state.kills.clear();
        self.state.set(assignment.video, Status::Done { degraded: report.frames.is_damaged(), resumed: false });
        self.effects.push(Effect::Forget(assignment.video));
        self.notify(Notice::Done(id, assignment.video, report));
        self.recheck(assignment.video);
    }

    fn unreported(&mut self, id: WorkerId, job: JobId, report: Report) {
        self.done(id, job, report);
        if let Some(worker) = self.state.workers.get_mut(id) {
            worker.unreported = true;
        }
    }

    /// Starts the clocks of an assignment that its worker has received.
    fn released(&mut self, process: WorkerProcess, job: JobId) {
        self.state.unreleased.retain(|(unreleased, _)| *unreleased != job);
        self.hold_while_silent();
        let Some(worker) = self.state.workers.get_mut(process.worker) else { return };
        let idle = !worker.has_orders();
        let Some(assignment) = worker.in_flight.iter_mut().find(|assignment| assignment.job == job) else { return };
        assignment.released = Some(self.now);
        if idle {
            worker.heard = self.now;
        }
    }

    /// Starts the clock of the first video in flight of each worker, unless its assignment waits for the journal.
    fn begin_all(&mut self) {
        let mut begun = vec![];
        for (id, worker) in self.state.workers.iter_mut_enumerated() {
            let first = worker.in_flight.first_mut().filter(|assignment| assignment.released.is_some());
            let Some(first) = first else { continue };
            if first.begun.is_none() {
                first.begun = Some(self.now);
                begun.push(first.video);
            }
            if !std::mem::replace(&mut first.is_published, true) {
                self.effects.push(Effect::Notify(Notice::Started(id, first.video)));
            }
        }
        begun.into_iter().for_each(|video| self.state.touch(video));
    }

    /// Removes a job that a worker has answered. None for a job that it does not have.
    fn take(&mut self, id: WorkerId, job: JobId) -> Option<Assignment> {
        let worker = self.state.workers.get_mut(id)?;
        let place =
            worker.in_flight.iter().position(|assignment| assignment.job == job && assignment.released.is_some())?;
        Some(worker.in_flight.remove(place))
    }

    fn tick(&mut self) {
        let gap = self.now.saturating_sub(self.state.last_tick);
        self.state.last_tick = self.now;
        if gap > MAX_TICK_GAP {
            self.forgive(gap);
        }
        if self.state.paused.is_none() {
            self.end_the_slow();
        }
        self.hold_while_silent();
        self.check_if_due();
    }

    /// Moves all clocks forward by a time in which workers could not work or report.
    fn forgive(&mut self, time: Millis) {
        self.state.unreleased.iter_mut().for_each(|(_, since)| *since += time);
        for asked in [&mut self.state.checks.output.asked, &mut self.state.checks.dataset.asked] {
            *asked = asked.map(|asked| asked + time);
        }
        for worker in &mut self.state.workers {
            worker.heard += time;
            for assignment in &mut worker.in_flight {
                assignment.begun = assignment.begun.map(|begun| begun + time);
            }
        }
    }

    /// Kills workers that exceed the stall timeout or the wall limit. `Gone` decides what follows.
    ///
    /// A worker may be silent because a disk does not respond, and then no video is at fault: after half of the timeout the
    /// folders are checked, and a worker is killed only if both checks succeed.
    fn end_the_slow(&mut self) {
        if self.is_waiting_for_disk() {
            return;
        }
        let rules = self.state.rules;
        let mut check_since = None;
        for (id, worker) in self.state.workers.iter_mut_enumerated() {
            if worker.status.is_gone() || worker.kill_reason.is_some() {
                continue;
            }
            let busy = worker.status != WorkerStatus::Ready || worker.has_orders();
            let silent_for = if busy { self.now.saturating_sub(worker.heard) } else { 0 };
            let half = rules.stall_timeout / 2;
            let checked = self.state.checks.succeeded_since(worker.heard + half);
            let begun = worker.in_flight.first().and_then(|assignment| assignment.begun);
            if silent_for > rules.stall_timeout && checked {
                worker.kill_reason = Some(KillReason::Silent);
            } else if begun.is_some_and(|begun| self.now.saturating_sub(begun) > rules.wall_limit) {
                worker.kill_reason = Some(KillReason::Overdue);
            } else {
                if silent_for > half && !checked {
                    check_since = check_since.max(Some(worker.heard + half));
                }
                continue;
            }
            self.effects.push(Effect::Kill(id));
        }
        if let Some(since) = check_since {
            for folder in [Folder::Output, Folder::Dataset] {
                if !self.state.checks.of(folder).succeeded_since(since) {
                    self.check(folder);
                }
            }
        }
    }

    /// Gives a worker up; its videos go to the others.
    fn lose(&mut self, id: WorkerId, reason: String) {
        let Some(worker) = self.state.workers.get_mut(id) else { return };
        let in_flight = std::mem::take(&mut worker.in_flight);
        worker.status = WorkerStatus::Lost { reason: reason.clone() };
        self.requeue_first(&in_flight, &reason);
        self.effects.push(Effect::Kill(id));
        self.notify(Notice::WorkerLost(id, reason.clone()));
        let all_lost = self.state.workers.iter().all(|w| matches!(w.status, WorkerStatus::Lost { .. }));
        if all_lost {
            self.block(format!("all devices are disabled; the last one failed because of this: {reason}"));
        }
    }

    fn block(&mut self, why: String) {
        if self.state.phase == Phase::Running {
            self.state.phase = Phase::Finishing { because: Some(why.clone()) };
            self.notify(Notice::Blocked(why));
        }
    }

    fn pause(&mut self) {
        if self.state.phase != Phase::Running || self.state.paused.is_some() || self.state.is_over() {
            return;
        }
        self.state.paused = Some(self.now);
        self.each_alive(Effect::Freeze);
        self.notify(Notice::Paused);
    }

    fn resume(&mut self) {
        if let Some(since) = self.state.paused.take() {
            let pause = self.now.saturating_sub(since);
            self.state.paused_for += pause;
            self.forgive(pause);
            self.each_alive(Effect::Thaw);
            self.notify(Notice::Resumed);
        }
    }

    fn each_alive(&mut self, effect: impl Fn(WorkerId) -> Effect) {
        let alive = self.state.workers.iter_enumerated().filter(|(_, worker)| !worker.status.is_gone());
        self.effects.extend(alive.map(|(id, _)| effect(id)));
    }

    fn interrupt(&mut self) {
        match self.state.phase {
            Phase::Running => {
                self.resume();
                self.state.phase = Phase::Finishing { because: None };
                self.notify(Notice::Finishing);
            }
            Phase::Finishing { .. } => self.abort(),
            Phase::Aborting | Phase::Waiting => {}
        }
    }

    fn abort(&mut self) {
        if !matches!(self.state.phase, Phase::Aborting | Phase::Waiting) {
            self.state.phase = Phase::Aborting;
            self.notify(Notice::Aborting);
            self.each_alive(Effect::Kill);
        }
    }

    /// Starts the workers again when videos are queued after all have exited.
    fn revive(&mut self) {
        if self.state.phase == Phase::Running && self.state.counts.queued > 0 && self.state.is_over() {
            self.state.workers.iter_mut().for_each(|worker| worker.consecutive_faults = 0);
            self.spawn_all();
        }
    }
}
