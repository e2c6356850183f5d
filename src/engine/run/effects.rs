//! Carries out the effects of `update`.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use reeldeck_common::clock;
use reeldeck_common::error::{ErrorKind, Failure};
use reeldeck_common::failure::Attempt;
use reeldeck_common::protocol::ToWorker;
use reeldeck_common::video::VideoName;
use reeldeck_process::Process;

use super::{Engine, Event, Incoming, JournalEntry, Millis, WorkerProcess, publish};
use crate::engine::event::{Effect, Notice};
use crate::engine::journal_writer::Record;
use crate::engine::state::WorkerStatus;
use crate::engine::worker::Starter;

impl Engine {
    /// Carries out an effect. Returns an event when that fails.
    pub(super) fn carry_out(&mut self, effect: Effect) -> Option<Event> {
        match effect {
            Effect::Spawn(process) => return self.spawn(process),
            Effect::Extract { worker, job, video, batch } => {
                let name = self.name(video)?;
                let (path, feature) = (name.under(&self.plan.root), self.plan.layout.feature(&name));
                let input = self.processes.get(&worker)?.input()?;
                let process = self.state.process(worker);
                match input.prepare(&ToWorker::Extract { job, video: name, path, feature, batch }) {
                    Ok(send) => {
                        let sender = self.sender.clone();
                        self.journal_writer.write(JournalEntry::Release(Box::new(move || {
                            // The event comes first, so that every report about the order comes after it.
                            let _ = sender.send(Incoming::Released(process, job));
                            send();
                        })));
                    }
                    Err(error) => {
                        let failure = Failure::from_error(ErrorKind::Internal, &error);
                        return Some(Event::Failed(process, job, failure, None));
                    }
                }
            }
            Effect::Finish(worker) => self.processes.get(&worker)?.send(&ToWorker::Finish).ok()?,
            Effect::Kill(worker) => match self.processes.get_mut(&worker) {
                Some(process) => process.kill(),
                // It is ended as soon as it has started.
                None => return Some(Event::Gone(self.state.process(worker), "the worker did not start".into())),
            },
            Effect::Freeze(worker) => self.processes.get(&worker)?.freeze(),
            Effect::Thaw(worker) => self.processes.get(&worker)?.thaw(),
            Effect::Record { video, worker, since, failure, source, retry } => {
                let at = |ms: Millis| clock::after(self.started.1, Duration::from_millis(ms));
                let attempt = Attempt {
                    started: at(since),
                    ended: at(self.now()),
                    device: self.state.workers.get(worker).map(|w| w.device.clone()).unwrap_or_default(),
                    failure,
                    stderr: self.processes.get(&worker).map(Process::stderr).unwrap_or_default(),
                    retry,
                };
                let video = self.name(video)?;
                let path = video.under(&self.plan.root);
                self.journal_writer.write(JournalEntry::Record(Box::new(Record { video, path, source, attempt })));
            }
            Effect::Forget(video) => {
                let name = self.name(video)?;
                self.journal_writer.write(JournalEntry::Forget(name));
            }
            Effect::LookAtOutput => {
                let (output, sender) = (self.plan.output.clone(), self.sender.clone());
                // A file system that does not respond must not block the engine.
                tokio::task::spawn_blocking(move || sender.send(Incoming::Looked(output.look())));
            }
            Effect::LookAtDataset(videos) => {
                let names: Vec<VideoName> = videos.into_iter().filter_map(|video| self.name(video)).collect();
                let (dataset, sender) = (Arc::clone(&self.plan.task_context.dataset), self.sender.clone());
                tokio::task::spawn_blocking(move || sender.send(Incoming::LookedAtDataset(dataset.look(&names))));
            }
            Effect::LookAt(video) => self.look_at(self.name(video)?),
            Effect::Notify(notice) => self.publish(notice),
        }
        None
    }

    fn publish(&mut self, notice: Notice) {
        if let Notice::Done(_, video, report) = &notice {
            let bytes = self.state.files.get(*video).map_or(0, |file| file.stamp.size);
            self.rate.report(report, bytes, self.state.rules.clips.is_some());
            self.stops.took(Duration::from_millis(report.decode_ms + report.model_ms + report.wait_ms));
        }
        let event = publish::event(&self.state, notice);
        self.tell(event);
    }

    /// Requests a process. `Incoming::Started` follows.
    fn spawn(&mut self, id: WorkerProcess) -> Option<Event> {
        // The process before it has ended.
        self.processes.remove(&id.worker);
        if !self.starters.contains_key(&id.worker) {
            let launch = self.plan.launches.get(id.worker.0)?.clone();
            let sender = self.sender.clone();
            let on_start = move |id, started| drop(sender.send(Incoming::Started(id, started)));
            match Starter::new(launch, self.worker_sender.clone(), on_start) {
                Ok(starter) => drop(self.starters.insert(id.worker, starter)),
                Err(error) => return Some(not_started(id, &error)),
            }
        }
        self.starters.get(&id.worker)?.start(id);
        None
    }

    /// Takes note of a process. What was decided while it started applies to it now.
    pub(super) fn started(&mut self, id: WorkerProcess, started: io::Result<Process>) {
        let Some(worker) = self.state.workers.get(id.worker) else { return };
        if !self.state.is_current(id) || worker.status.is_gone() {
            return;
        }
        let leaves = worker.status == WorkerStatus::Leaving;
        let Some(init) = self.plan.inits.get(id.worker.0) else { return };
        let started = started.and_then(|process| {
            process.send(&ToWorker::Init(Box::new(init.clone())))?;
            if leaves {
                process.send(&ToWorker::Finish)?;
            }
            Ok(process)
        });
        match started {
            Ok(process) => {
                if self.state.paused.is_some() {
                    process.freeze();
                }
                if let Some(monitor) = &self.monitor {
                    monitor.set_pid(id.worker.0, Some(process.pid()));
                }
                self.processes.insert(id.worker, process);
            }
            Err(error) => {
                self.handle(not_started(id, &error));
            }
        }
    }
}

fn not_started(id: WorkerProcess, error: &io::Error) -> Event {
    Event::Fatal(id, Failure::new(ErrorKind::Device, error.to_string()))
}
