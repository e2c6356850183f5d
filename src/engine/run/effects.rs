//! Carries out the effects of `update`.

use std::sync::Arc;

use jiff::SignedDuration;
use reeldeck_common::error::{ErrorKind, Failure};
use reeldeck_common::failure::Attempt;
use reeldeck_common::protocol::ToWorker;
use reeldeck_common::video::VideoName;
use reeldeck_process::Process;

use super::{Engine, Event, Incoming, JournalEntry, Millis, WorkerProcess, publish};
use crate::engine::event::{Effect, Notice};
use crate::engine::journal_writer::Record;
use crate::engine::worker;

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
            Effect::Kill(worker) => self.processes.get_mut(&worker)?.kill(),
            Effect::Freeze(worker) => self.processes.get(&worker)?.freeze(),
            Effect::Thaw(worker) => self.processes.get(&worker)?.thaw(),
            Effect::Record { video, worker, since, failure, source } => {
                let at =
                    |ms: Millis| self.started.1 + SignedDuration::from_millis(i64::try_from(ms).unwrap_or(i64::MAX));
                let attempt = Attempt {
                    started: at(since),
                    ended: at(self.now()),
                    device: self.state.workers.get(worker).map(|w| w.device.clone()).unwrap_or_default(),
                    failure,
                    stderr: self.processes.get(&worker).map(Process::stderr).unwrap_or_default(),
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
        }
        let event = publish::event(&self.state, notice);
        self.tell(event);
    }

    fn spawn(&mut self, id: WorkerProcess) -> Option<Event> {
        let number = id.worker;
        let (launch, init) = (self.plan.launches.get(number.0)?, self.plan.inits.get(number.0)?);
        let started = worker::start(id, launch, self.worker_sender.clone())
            .and_then(|process| process.send(&ToWorker::Init(Box::new(init.clone()))).map(|()| process));
        match started {
            Ok(process) => {
                if let Some(monitor) = &self.monitor {
                    monitor.set_pid(number.0, Some(process.pid()));
                }
                self.processes.insert(number, process);
                None
            }
            Err(error) => {
                let text = format!("failed to start {}: {error}", launch.program.path.display());
                Some(Event::Fatal(id, Failure::new(ErrorKind::Device, text)))
            }
        }
    }
}
