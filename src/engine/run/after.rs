//! After a run: its export, and the wait for further requests of clients.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use anyhow::Context;
use tokio::sync::{mpsc, oneshot};

use reeldeck_claims::Turn;
use reeldeck_common::video::VideoName;

use super::{ClientRequest, Engine, Event, Format, Phase, Request, Status, StopSignals, ticks};
use crate::engine::background_tasks::Exported;
use crate::export::dataset;
use crate::out::errln;

impl Engine {
    /// Waits for a user to start the next run.
    pub(crate) fn end_run(&mut self) {
        self.handle(Event::RunEnded);
    }

    /// Whether this engine exports in these formats: it is its turn, or the exports of another engine, whose list of videos or
    /// formats was shorter, lack some.
    pub(crate) async fn exports_after(&self, turn: Turn, formats: &[Format]) -> bool {
        if turn != Turn::Done {
            return turn == Turn::Mine;
        }
        let done = self.state.videos.iter_enumerated().filter(|(_, video)| matches!(video.status, Status::Done { .. }));
        let done: Vec<VideoName> = done.filter_map(|(id, _)| self.name(id)).collect();
        let folder = |format: &Format| self.plan.task_context.spec(*format).folder(&self.plan.layout);
        let folders: Vec<PathBuf> = formats.iter().map(folder).collect();
        let lacks = move || folders.iter().any(|folder| dataset::lacks(folder, &done));
        let lacks = tokio::task::spawn_blocking(lacks).await.unwrap_or(true);
        let what = if lacks { "fewer videos or formats; this one exports again" } else { "the videos" };
        errln!("note: another engine has exported {what}");
        lacks
    }

    /// Waits for a task on another thread while clients are answered. None after a stop at once.
    ///
    /// # Errors
    /// When the task panics.
    pub(crate) async fn attend<T: Send + 'static>(
        &mut self,
        task: impl FnOnce() -> T + Send + 'static,
        signals: &mut StopSignals,
        clients: &mut mpsc::UnboundedReceiver<ClientRequest>,
    ) -> anyhow::Result<Option<T>> {
        let (mut task, mut ticks) = (tokio::task::spawn_blocking(task), ticks());
        self.run_concludes = true;
        let done = loop {
            tokio::select! {
                biased;
                signal = signals.received() => self.signalled(signal),
                Some(asked) = clients.recv() => self.answer(asked),
                done = &mut task => break done.context("a task was cut short").map(Some),
                Some(incoming) = self.incoming.recv() => self.take(incoming),
                _ = ticks.tick() => self.tick(),
            }
            if self.state.phase == Phase::Aborting {
                break Ok(None);
            }
        };
        self.run_concludes = false;
        done
    }

    /// Writes the list of videos again if it was removed during the run. Returns false after a stop at once.
    ///
    /// # Errors
    /// When it cannot be written.
    pub(crate) async fn restore_list(
        &mut self,
        signals: &mut StopSignals,
        clients: &mut mpsc::UnboundedReceiver<ClientRequest>,
    ) -> anyhow::Result<bool> {
        if self.unreadable().is_some() {
            return Ok(true);
        }
        let names: Vec<VideoName> = self.state.present().map(|file| file.name.clone()).collect();
        let context = self.plan.task_context.clone();
        let restored = self.attend(move || context.restore_list(names), signals, clients).await?;
        restored.transpose().map(|done| done.is_some())
    }

    /// Exports at the end of a run. Returns none where the export was stopped. Clients may start another run meanwhile.
    ///
    /// # Errors
    /// When the disk has too little space or writing fails.
    pub(crate) async fn export_at_end(
        &mut self,
        formats: &[Format],
        signals: &mut StopSignals,
        clients: &mut mpsc::UnboundedReceiver<ClientRequest>,
    ) -> anyhow::Result<Option<Exported>> {
        let (tell, mut told) = oneshot::channel();
        let (mut tell, mut ticks) = (Some(tell), ticks());
        self.run_concludes = true;
        let done = loop {
            // An export that a client has requested is finished first: two at a time would write the same files.
            if self.exporting.is_none()
                && let Some(tell) = tell.take()
            {
                self.begin_export(formats.to_vec(), Some(tell));
            }
            tokio::select! {
                biased;
                signal = signals.received() => self.signalled(signal),
                Some(asked) = clients.recv() => self.answer(asked),
                done = &mut told => break done.context("the export was cut short").flatten().map(Some),
                Some(incoming) = self.incoming.recv() => self.take(incoming),
                _ = ticks.tick() => self.tick(),
            }
            if self.state.phase == Phase::Aborting {
                break Ok(None);
            }
        };
        if let (Ok(None), Some(exporting)) = (&done, &self.exporting) {
            // The export stops at its next check, which is not waited for.
            exporting.now();
        }
        self.run_concludes = false;
        done
    }

    /// Waits while clients follow the engine, and for `linger` after the last one. Returns true when a client has started a
    /// run. Background tasks are finished first, except after a stop at once.
    pub(crate) async fn wait_for_more(
        &mut self,
        signals: &mut StopSignals,
        clients: &mut mpsc::UnboundedReceiver<ClientRequest>,
        linger: Duration,
        followers: impl Fn() -> usize,
    ) -> bool {
        let (mut alone_since, mut ticks) = (Instant::now(), ticks());
        loop {
            if self.leaves && !self.is_busy() {
                return false;
            }
            tokio::select! {
                biased;
                _ = signals.received() => return false,
                Some(asked) = clients.recv() => {
                    let now = self.others == 0 && matches!(asked.request, Request::Stop { now: true });
                    self.answer(asked);
                    if now {
                        return false;
                    }
                }
                Some(incoming) = self.incoming.recv() => self.take(incoming),
                _ = ticks.tick() => {
                    self.tick();
                    if followers() > 0 || self.is_busy() {
                        alone_since = Instant::now();
                    } else if alone_since.elapsed() >= linger {
                        return false;
                    }
                }
            }
            if !self.state.is_over() {
                return true;
            }
        }
    }

    /// Whether background tasks are running.
    fn is_busy(&self) -> bool {
        self.background_tasks > 0 && self.state.phase != Phase::Aborting
    }
}
