//! Requests of clients. The state machine answers some; others are background tasks, answered when they are done.

use std::collections::BTreeSet;
use std::time::Duration;

use super::claims::passed_on;
use super::{
    ClientRequest, Engine, Event, ExportSummary, Format, Incoming, Phase, PublishedEvent, Reply, Request, Status,
    TaskResult, VideoFile,
};
use crate::dataset::scan::as_they_are;
use crate::dataset::shown_bytes;
use crate::engine::background_tasks::{Cancel, ExportReply, Exported, TaskContext};
use crate::engine::inspector::InspectRequest;
use crate::engine::state::VideoId;
use crate::engine::work;
use crate::export::Outcome;
use crate::out::count;
use reeldeck_common::probe::Level;
use reeldeck_common::video::VideoName;

/// How long an export waits until failures are recorded, because their disk may not respond.
const RECORD_TIMEOUT: Duration = Duration::from_secs(10);

impl Engine {
    pub(super) fn answer(&mut self, asked: ClientRequest) {
        let (Request::Redo(videos) | Request::Retry(videos)) = &asked.request else { return self.answer_now(asked) };
        // First it is made sure that no output is lost.
        let names: Vec<VideoName> = videos.iter().filter_map(|id| self.name(*id)).collect();
        self.run_in_background(move |task| {
            TaskResult::MayRedo(asked, work::removes(&task.layout, &task.recipe, &names))
        });
    }

    fn answer_now(&mut self, asked: ClientRequest) {
        let ClientRequest { request, reply: client } = asked;
        let reply = Reply { command: request.in_words(), client };
        let (told, was_over) = (self.told, self.state.is_over());
        self.pass_on(&request);
        if let Some(message) = self.passed_on_only(&request) {
            self.show();
            return self.reply(reply, Ok(message));
        }
        self.leaves |= self.state.is_over() && matches!(request, Request::Stop { .. } | Request::Leave);
        let message = match request {
            Request::Pause => {
                self.pause(true);
                match self.state.paused {
                    Some(_) => Ok("paused".to_owned()),
                    None if self.state.is_over() => self.only_others("nothing to pause: no run is active"),
                    None => self.only_others("nothing to pause: the run is ending"),
                }
            }
            Request::Resume if self.state.paused.is_none() => self.only_others("this engine is not paused"),
            Request::Resume => {
                self.pause(false);
                Ok("resumed".into())
            }
            Request::Stop { .. } if self.state.is_over() && !self.run_concludes => {
                Ok("no run is active; the engine exits".into())
            }
            Request::Stop { now: true } => {
                self.handle(Event::Abort);
                Ok("stopping now".into())
            }
            Request::Stop { now: false } => {
                self.finish_up();
                Ok("finishing the videos in progress".into())
            }
            Request::Leave if self.state.is_over() => {
                if self.run_concludes {
                    self.finish_up();
                }
                Ok("no run is active; the engine exits".into())
            }
            Request::Leave => Err("a run is active; stop it first".into()),
            Request::Retry(videos) => self.again(Event::Retry(videos)),
            Request::Redo(videos) => self.again(Event::Redo(videos)),
            Request::Start => self.start(),
            Request::Exclude { videos, undo } => return self.exclude(videos, undo, reply),
            Request::Rescan => return self.rescan(reply),
            Request::Check { deep } => {
                let level = if deep { Level::Deep } else { Level::Quick };
                let _ = self.inspector.send(InspectRequest::LookAtAll(self.there(), level));
                Ok(format!(
                    "{} check of {} started",
                    level.name(),
                    count(self.state.counts().videos, "video", "videos")
                ))
            }
            Request::WriteList => {
                let names = self.state.present().map(|file| file.name.clone()).collect();
                return self.task(reply, move |task_context| task_context.write_list(names));
            }
            Request::WriteMissing => return self.task(reply, |task_context| task_context.write_missing()),
            Request::Export(formats) => self.export(formats),
        };
        // A snapshot that is requested after the answer must show its result.
        self.show();
        let starts_run = was_over && !self.state.is_over();
        if message.is_ok() && (starts_run || self.told > told) {
            // Another event says what was done.
            let _ = reply.client.send(message);
        } else {
            self.reply(reply, message);
        }
    }

    /// The answer to a request that changes nothing in this engine, for this reason. Other engines may follow it.
    fn only_others(&self, reason: &str) -> Result<String, String> {
        match self.partners {
            0 => Err(reason.to_owned()),
            partners => Ok(format!("{reason}; {}", passed_on(partners))),
        }
    }

    /// Answers a request, and publishes it with its result.
    fn reply(&mut self, reply: Reply, result: Result<String, String>) {
        let Reply { command, client } = reply;
        let (done, message) = match &result {
            Ok(message) => (true, message.clone()),
            Err(message) => (false, message.clone()),
        };
        self.tell(PublishedEvent::Command { command, done, message });
        // The client may have disconnected.
        let _ = client.send(result);
    }

    /// Hands out no more videos. Unlike a second interrupt, a repeated request does not drop the videos in progress.
    pub(super) fn finish_up(&mut self) {
        if self.state.phase == Phase::Running {
            self.handle(Event::Interrupt);
        }
    }

    fn start(&mut self) -> Result<String, String> {
        if let Some(needs) = &self.plan.needs {
            return Err(needs.clone());
        }
        if !self.state.is_over() {
            // A retry may have started it.
            return Ok("the run is active".into());
        }
        let to_do = self.state.counts().queued;
        if to_do == 0 {
            return Err("nothing left to extract".into());
        }
        self.handle(Event::StartRun);
        Ok(format!("{} queued", count(to_do, "video", "videos")))
    }

    fn again(&mut self, event: Event) -> Result<String, String> {
        if let Some(needs) = &self.plan.needs {
            return Err(needs.clone());
        }
        let (before, was_over) = (self.state.counts().unfinished(), self.state.is_over());
        self.handle(event);
        let again = self.state.counts().unfinished().saturating_sub(before);
        let has_started = was_over && !self.state.is_over();
        Ok(match again {
            0 if has_started => format!("run started: {} queued", count(before, "video", "videos")),
            0 => "nothing to retry: each of these videos is queued, in progress or excluded".into(),
            _ => {
                let waits = self.state.phase == Phase::Waiting;
                let next = if waits { "; start the run to extract what is queued" } else { "" };
                format!("{} queued again{next}", count(again, "video", "videos"))
            }
        })
    }

    /// Runs a background task and answers with its result.
    fn task(&mut self, reply: Reply, work: impl FnOnce(&TaskContext) -> anyhow::Result<String> + Send + 'static) {
        self.run_in_background(move |task_context| {
            let done = work(task_context).map_err(|error| format!("{error:#}"));
            TaskResult::Answer(reply, done)
        });
    }

    pub(super) fn run_in_background(&mut self, work: impl FnOnce(&TaskContext) -> TaskResult + Send + 'static) {
        self.background_tasks += 1;
        let (task_context, sender) = (self.plan.task_context.clone(), self.sender.clone());
        tokio::task::spawn_blocking(move || sender.send(Incoming::Finished(work(&task_context))));
    }

    fn exclude(&mut self, videos: Vec<VideoId>, undo: bool, reply: Reply) {
        let names: Vec<VideoName> = videos.iter().filter_map(|id| self.name(*id)).collect();
        let engine = self.plan.engine.clone();
        // The list is written before it takes effect, so that an engine that is killed does not forget it.
        self.run_in_background(move |task_context| {
            let written = task_context.exclude(&names, undo, engine).map_err(|error| format!("{error:#}"));
            TaskResult::Excluded { reply, videos, names, undo, written }
        });
    }

    /// Starts an export in the background. An event reports its result.
    ///
    /// # Errors
    /// While another export is running, and while a part of the dataset folder cannot be read.
    pub(super) fn export(&mut self, formats: Vec<Format>) -> Result<String, String> {
        if self.exporting.is_some() {
            return Err("an export is already running".into());
        }
        if let Some(unreadable) = self.unreadable() {
            return Err(format!("an export would lack videos: {unreadable}, and scan the folder again"));
        }
        let text = format!("exporting {}", formats.iter().map(|format| format.name()).collect::<Vec<_>>().join(", "));
        self.begin_export(formats, None);
        Ok(text)
    }

    /// Starts an export while no other is running.
    pub(super) fn begin_export(&mut self, formats: Vec<Format>, reply: Option<ExportReply>) {
        let cancel = Cancel::default();
        self.exporting = Some(cancel.clone());
        let videos: Vec<VideoFile> = self.state.present().cloned().collect();
        // An export names the failures that are recorded.
        let (written, recorded) = std::sync::mpsc::channel();
        self.journal_writer.run(move || {
            let _ = written.send(());
        });
        self.run_in_background(move |task_context| {
            let _ = recorded.recv_timeout(RECORD_TIMEOUT);
            TaskResult::Exported { done: task_context.export(videos, &formats, &cancel), reply }
        });
        self.show();
    }

    /// The videos that are done and missing from an export.
    fn missed(&self, outcomes: &[Outcome]) -> BTreeSet<VideoId> {
        let is_done = |status: &Status| matches!(status, Status::Done { .. });
        let counts_as_done = |id: &VideoId| match self.state.videos.get(*id).map(|video| &video.status) {
            Some(Status::Excluded { before }) => is_done(before),
            status => status.is_some_and(is_done),
        };
        let missing = outcomes.iter().flat_map(|outcome| &outcome.missing);
        missing.filter_map(|(name, _)| self.state.files.find(name.as_str())).filter(counts_as_done).collect()
    }

    pub(super) fn name(&self, video: VideoId) -> Option<VideoName> {
        Some(self.state.files.get(video)?.name.clone())
    }

    /// Looks again at what the output folder holds of the videos that an export missed, before its result is passed on.
    fn look_at_missed(&mut self, outcomes: Vec<Outcome>, reply: Option<ExportReply>) {
        let file = |id: VideoId| Some((id, self.state.files.get(id)?.clone()));
        let missed: Vec<(VideoId, VideoFile)> = self.missed(&outcomes).into_iter().filter_map(file).collect();
        self.run_in_background(move |task_context| {
            let (ids, files): (Vec<_>, Vec<_>) = missed.into_iter().unzip();
            // An export reads the videos as they are now, so a feature may be that of an earlier version of its video.
            let files = as_they_are(&task_context.root, files);
            let found = ids.into_iter().zip(files.iter().map(|file| task_context.found(file))).collect();
            TaskResult::Missed { found, outcomes, reply }
        });
    }

    pub(super) fn finished(&mut self, task: TaskResult) {
        self.background_tasks -= 1;
        match task {
            TaskResult::LastRun(last) => self.last_run = last.or(self.last_run.take()),
            TaskResult::Answer(reply, done) => self.reply(reply, done),
            TaskResult::MayRedo(asked, None) => self.answer_now(asked),
            TaskResult::MayRedo(ClientRequest { request, reply: client }, Some(why)) => {
                self.reply(Reply { command: request.in_words(), client }, Err(why));
            }
            TaskResult::Excluded { reply, undo, written: Ok(()), videos, names } => {
                self.dataset.exclude(names.clone(), undo);
                let all = videos.len();
                let is_running =
                    |id: &&VideoId| matches!(self.state.videos.get(**id).map(|v| &v.status), Some(Status::Running(_)));
                let running = videos.iter().filter(is_running).count();
                self.handle(Event::Exclude(videos, undo));
                self.show();
                let videos = |n: usize| match &names[..] {
                    [only] => shown_bytes(only.as_str().as_bytes()),
                    _ => count(n, "video", "videos"),
                };
                let message = match running {
                    _ if undo => format!("included {} again", videos(all)),
                    0 => format!("excluded {}", videos(all)),
                    _ if running == all => format!("{} will be excluded when done", videos(all)),
                    _ => format!("excluded {}; {running} more when done", videos(all - running)),
                };
                self.reply(reply, Ok(message));
            }
            TaskResult::Excluded { reply, written: Err(why), .. } => self.reply(reply, Err(why)),
            TaskResult::Exported { done, reply } => {
                self.exporting = None;
                for outcome in done.iter().flatten() {
                    let path = outcome.spec.folder(&self.plan.layout);
                    let (videos, missing) = (outcome.videos, outcome.missing.len());
                    self.exported(ExportSummary { path: outcome.spec.result(&self.plan.layout), videos, missing });
                    self.tell(PublishedEvent::Exported { videos, missing, path });
                }
                match (done, reply) {
                    (Ok(outcomes), reply) => self.look_at_missed(outcomes, reply),
                    (Err(error), Some(reply)) => drop(reply.send(Err(error))),
                    (Err(error), None) => self.tell(PublishedEvent::ExportFailed { reason: format!("{error:#}") }),
                }
                self.show();
            }
            TaskResult::Missed { found, outcomes, reply } => {
                let ids: Vec<VideoId> = found.iter().map(|(id, _)| *id).collect();
                for (id, found) in found {
                    self.take(Incoming::Missed(id, found));
                }
                let now = |of: fn(&Status) -> bool| {
                    ids.iter().filter(|id| self.state.videos.get(**id).is_some_and(|video| of(&video.status))).count()
                };
                let stale = now(|status| *status == Status::Stale);
                let again = now(|status| matches!(status, Status::Queued | Status::Running(_)));
                reply.map(|reply| reply.send(Ok(Exported { outcomes, missed: ids.len(), stale, again })));
            }
        }
    }
}
