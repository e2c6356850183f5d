//! Starts an engine, performs its runs and exports, and in the background waits for clients.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use anyhow::Context;
use reeldeck_common::atomic::Owner;
use reeldeck_common::layout::Layout;
use reeldeck_common::probe::Level;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

use crate::config::Settings;
use crate::dataset::scan::Scan;
use crate::engine::background_tasks::Exported;
use crate::engine::checkpoint::ChosenWeights;
use crate::engine::control::{ClientRequest, Request};
use crate::engine::files::Files;
use crate::engine::incremental::{IncrementalExport, IncrementalExportHandle};
use crate::engine::inspector::InspectRequest;
use crate::engine::log;
use crate::engine::publish::RunObserver;
use crate::engine::registration::ReportObserver;
use crate::engine::run::Engine;
use crate::engine::server::Server;
use crate::engine::state::{Phase, State, Status};
use crate::engine::{setup, work};
use crate::error::{Exit, ExitError};
use crate::export::incremental::Incremental;
use crate::out::{count, errln};
use crate::protocol::event::{Event, Line, Started};
use crate::protocol::holder::host;
use crate::protocol::snapshot::Counts;
use crate::signals::{StopSignal, StopSignals};
use reeldeck_claims::Turn;

mod gaps;
mod requeue;
mod start;

pub(crate) use gaps::DatasetMismatch;
use start::{Prepared, Registered, ServerHandles};

/// How many unreadable files are named at the end of a run.
const MAX_NAMED: usize = 5;

const TOOL: &str = concat!("reeldeck ", env!("CARGO_PKG_VERSION"));

/// The options of a session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Options {
    /// Export at the end of a run.
    pub export: bool,
    /// Stay for clients after a run.
    pub background: bool,
    /// Begin a run only when a client orders it. The dataset may still be empty.
    pub wait: bool,
}

/// Shows the course of a session to people.
pub(crate) trait Reporter: Send + Sync {
    /// The dataset folder was scanned.
    ///
    /// # Errors
    /// When the dataset has no videos.
    fn scanned(&self, scan: &Scan) -> anyhow::Result<()>;
    /// The first run is about to begin.
    fn prepared(&self, session: &Session, counts: &Counts);
    /// The export at the end of a run is done.
    fn exported(&self, session: &Session, exported: &Exported);
    /// A run has ended by itself; `refused` files of the dataset folder were refused. `unreadable`: the first videos that count
    /// as unreadable, with reasons.
    fn ended(&self, session: &Session, counts: &Counts, refused: usize, gaps: &DatasetMismatch, unreadable: &[String]);
}

/// An engine from its start to its end.
pub(crate) struct Session {
    /// The settings of all its runs.
    pub settings: Settings,
    /// The options.
    pub options: Options,
    /// The output folder.
    pub layout: Layout,
    /// The weights.
    pub checkpoint: ChosenWeights,
    owner: Owner,
    reporter: Box<dyn Reporter>,
}

impl Session {
    /// A session over the dataset and the output folder of these settings.
    pub(crate) fn new(
        settings: Settings,
        options: Options,
        checkpoint: ChosenWeights,
        reporter: Box<dyn Reporter>,
    ) -> Self {
        let layout = Layout::new(&settings.out, &settings.recipe.set_name(&checkpoint.id.digest));
        let owner = Owner::engine();
        Self { settings, options, layout, checkpoint, owner, reporter }
    }

    /// The counts with which a run would begin, and the number of refused files, and what it would lack. Writes nothing.
    ///
    /// # Errors
    /// When the dataset folder or the output folder cannot be read, or the reporter refuses the scan.
    pub(crate) fn preview(&self) -> anyhow::Result<(Counts, usize, DatasetMismatch)> {
        let scan = self.scan()?;
        let gaps = DatasetMismatch::find(&self.settings, &self.layout, &scan, self.options.wait)?;
        let refused = scan.refused.len();
        let work = work::find(&self.settings, &self.layout, scan.videos.into())?;
        let counts = State::new(work, vec![], setup::rules(&self.settings)).counts();
        self.reporter.prepared(self, &counts);
        Ok((counts, refused, gaps))
    }

    /// Runs until there is nothing more to do, and in the background until no client follows any more. `observers` follow
    /// the runs.
    ///
    /// # Errors
    /// When a run cannot begin or continue. Videos that fail only change the exit code.
    pub(crate) fn run(self, observers: Vec<Box<dyn RunObserver>>) -> anyhow::Result<Exit> {
        let registered = self.register()?;
        let private = self.layout.private();
        let registration = registered.registration.clone();
        log::start(&private, &registration.log_name()).context("failed to open the log")?;
        let handles = self.serve(&registration);
        let mut observers = observers;
        observers.push(Box::new(ReportObserver::new(registration.clone(), self.layout.set())));
        // The engine must run on this thread: the kernel ends workers with the thread that has started them.
        let runtime = crate::runtime::start().context("failed to start")?;
        let exit = runtime.block_on(Arc::new(self).go(registered, handles, observers));
        // Blocking tasks, such as reads of a disk that hangs, must not keep the program running.
        runtime.shutdown_background();
        registration.end();
        exit
    }

    async fn go(
        self: Arc<Self>,
        registered: Registered,
        handles: ServerHandles,
        mut observers: Vec<Box<dyn RunObserver>>,
    ) -> anyhow::Result<Exit> {
        let ServerHandles { server, mut clients, inspect, inspect_requests } = handles;
        let mut signals = StopSignals::catch_for_run().context("failed to catch signals")?;
        let starting = server.as_ref().map(Server::starting_sink);
        let followers = server.as_ref().map(Server::followers).unwrap_or_default();
        let preparing = {
            let (job, followers) = (Arc::clone(&self), Arc::clone(&followers));
            tokio::task::spawn_blocking(move || {
                job.prepare(registered, &followers, &|step, held_by| {
                    starting.iter().for_each(|publish| publish(step, held_by));
                })
            })
        };
        let prepared = until_prepared(preparing, &mut signals, &mut clients).await;
        let Ok(Some(prepared)) = prepared else {
            let ended = prepared.map(|_| interrupted());
            if let Some(mut server) = server {
                tell_end(&mut server, &ended);
            }
            return ended;
        };
        let Prepared { plan, state, table, inspector, live: exporter, gaps } = prepared;
        let settings = &self.settings;
        self.reporter.prepared(&self, &state.counts());
        let waits = self.options.wait;
        if let Some(exporter) = &exporter {
            let files = state.files.iter().zip(state.videos.iter());
            let done = files.filter(|(_, video)| matches!(video.status, Status::Done { .. }));
            exporter.catch_up(done.map(|(file, _)| &file.name));
        }
        let live = exporter.as_ref().map(IncrementalExport::handle);
        observers.extend(exporter.map(|exporter| Box::new(exporter) as Box<dyn RunObserver>));
        let sink = server.map(|server| {
            server.set_table(table);
            let sink = server.inspection_sink();
            observers.push(Box::new(server));
            sink
        });
        if waits {
            let _ = inspect.send(InspectRequest::LookAtAll(state.files.clone(), Level::Quick));
        }
        let mut engine = Engine::new(plan, state, observers, inspect).context("failed to start the engine")?;
        let inspector_thread = sink.and_then(|sink| start::inspect(&engine, inspector, inspect_requests, sink));
        let mut first = true;
        let watched = Arc::clone(&followers);
        if let Err(error) = engine.measure(move || watched.load(Ordering::Relaxed) > 0) {
            errln!("note: failed to start measuring the devices: {error}");
        }
        let followers = || followers.load(Ordering::Relaxed);
        let mut linger = Duration::from_secs(settings.engine.linger_s);
        let mut ended = Ok(Exit::Done);
        let mut wanted = !waits;
        loop {
            if !wanted && !engine.wait_for_more(&mut signals, &mut clients, linger, followers).await {
                break;
            }
            wanted = false;
            if waits || std::mem::take(&mut first) {
                engine.tell(self.started(&engine));
            }
            engine.run(&mut signals, &mut clients).await;
            let Some(end) = self.end(&mut engine, live.clone(), &gaps, &mut signals, &mut clients).await else {
                wanted = true;
                continue;
            };
            ended = end;
            engine.leave_claims().await;
            // After a stop, an engine without followers ends at once.
            let stopped = engine.state().phase != Phase::Running;
            linger = Duration::from_secs(if stopped { 0 } else { settings.engine.linger_s });
            if !self.options.background {
                break;
            }
            if waits {
                engine.end_run();
            }
        }
        drop(inspector_thread);
        let requeue = engine.requeue();
        let finished = exit(&engine.state().counts(), engine.refused(), &gaps);
        let finished = (!self.options.export).then_some(finished);
        let unwritten = engine.finish(&mut signals).await;
        if unwritten > 0 {
            errln!(
                "failed to record {}; the next run retries these videos",
                count(unwritten, "failed attempt", "failed attempts")
            );
        }
        match ended {
            Ok(Exit::Interrupted) => {
                let exit = tokio::task::spawn_blocking(move || requeue::queue_again(requeue, finished)).await;
                Ok(exit.unwrap_or(Exit::Interrupted))
            }
            ended => ended,
        }
    }

    /// The exporter of finished videos, if configured.
    fn live(&self, files: &Files) -> anyhow::Result<Option<IncrementalExport>> {
        let formats = &self.settings.live;
        if formats.is_empty() {
            return Ok(None);
        }
        let mut live = Incremental::new(&self.layout, &self.settings.recipe, formats, &self.owner)?;
        live.name_videos(files.iter().map(|file| &file.name));
        Ok(Some(IncrementalExport::start(self.layout.clone(), live).context("failed to start the live export")?))
    }

    fn started(&self, engine: &Engine) -> Event {
        Event::RunStarted(Box::new(Started {
            tool: TOOL.into(),
            host: host(),
            pid: std::process::id(),
            root: self.settings.root.clone(),
            out: self.settings.out.clone(),
            set: self.layout.set().to_owned(),
            weights: self.checkpoint.id.name.clone(),
            devices: engine.state().workers.iter().map(|worker| worker.device.clone()).collect(),
            counts: engine.state().counts(),
        }))
    }

    /// Ends a run: the export, the summary, the exit code. `None` if a client has started another run meanwhile.
    async fn end(
        &self,
        engine: &mut Engine,
        live: Option<IncrementalExportHandle>,
        gaps: &DatasetMismatch,
        signals: &mut StopSignals,
        clients: &mut mpsc::UnboundedReceiver<ClientRequest>,
    ) -> Option<anyhow::Result<Exit>> {
        let result = self.outcome(engine, live, gaps, signals, clients).await.transpose()?;
        let exit = match &result {
            Ok(exit) => *exit,
            Err(error) => crate::error::exit_of(error),
        };
        let reason = result.as_ref().err().map(|error| format!("{error:#}"));
        engine.end(exit.code(), reason);
        Some(result)
    }

    async fn outcome(
        &self,
        engine: &mut Engine,
        live: Option<IncrementalExportHandle>,
        gaps: &DatasetMismatch,
        signals: &mut StopSignals,
        clients: &mut mpsc::UnboundedReceiver<ClientRequest>,
    ) -> anyhow::Result<Option<Exit>> {
        let state = engine.state();
        if let Some(why) = state.blocked() {
            return Err(ExitError::new(
                Exit::Internal,
                format!("the run cannot continue: {why}; fix that and run the same command again to resume"),
            )
            .into());
        }
        if state.phase != Phase::Running {
            return Ok(Some(interrupted()));
        }
        let unexported = match live {
            Some(live) => engine.attend(move || live.finish_pending(), signals, clients).await?,
            None => Some(0),
        };
        let Some(mut missed) = unexported else { return Ok(Some(interrupted())) };
        if !engine.restore_list(signals, clients).await? {
            return Ok(Some(interrupted()));
        }
        let formats = self.final_formats();
        // A run that a client has started exports only what is new.
        let is_due = !formats.is_empty() && (!self.options.wait || engine.has_new());
        let unreadable = engine.unreadable().filter(|_| is_due);
        let wanted = is_due && unreadable.is_none();
        if let Some(unreadable) = unreadable {
            errln!(
                "nothing was exported, because videos may be missing: {unreadable}, then run the same command again"
            );
        }
        let Some(turn) = engine.take_turn(wanted, signals, clients).await else { return Ok(None) };
        let exports = wanted && engine.state().counts().done > 0 && engine.exports_after(turn, &formats).await;
        if exports {
            let done = engine.done();
            let exported = engine.export_at_end(&formats, signals, clients).await;
            if let Ok(Some(exported)) = &exported {
                missed = exported.missed;
                self.reporter.exported(self, exported);
            }
            // Videos that were done during the export must be exported too, and damaged features are extracted again.
            if !engine.state().is_over() || engine.done() > done {
                engine.turn_over(None);
                if let Err(error) = exported {
                    engine.tell(Event::ExportFailed { reason: format!("{error:#}") });
                }
                return Ok(None);
            }
            let exported = exported.inspect_err(|_| engine.turn_over(None))?;
            if exported.is_none() {
                engine.turn_over(None);
                return Ok(Some(interrupted()));
            }
        }
        if turn == Turn::Mine {
            engine.turn_over(Some(exports));
        }
        let (counts, refused) = (engine.state().counts(), engine.refused());
        self.reporter.ended(self, &counts, refused, gaps, &engine.state().unreadable(MAX_NAMED));
        Ok(Some(if missed > 0 { Exit::Incomplete } else { exit(&counts, refused, gaps) }))
    }
}

/// The exit code of a run that has ended by itself.
pub(crate) fn exit(counts: &Counts, refused: usize, gaps: &DatasetMismatch) -> Exit {
    if counts.failed + counts.stale + refused + gaps.missing.len() > 0 { Exit::Incomplete } else { Exit::Done }
}

/// Answers clients until the first run is prepared. `None` if the user ends the engine before that.
async fn until_prepared(
    mut preparing: JoinHandle<anyhow::Result<Prepared>>,
    signals: &mut StopSignals,
    clients: &mut mpsc::UnboundedReceiver<ClientRequest>,
) -> anyhow::Result<Option<Prepared>> {
    loop {
        tokio::select! {
            biased;
            // A notice of the time limit is ignored: the engine asks for the limit when it runs.
            signal = signals.received() => if signal != StopSignal::Notice { return Ok(None) },
            Some(ClientRequest { request, reply }) = clients.recv() => match request {
                Request::Stop { .. } | Request::Leave => {
                    let _ = reply.send(Ok("the engine was starting and exits".into()));
                    return Ok(None);
                }
                _ => drop(reply.send(Err("the engine is still starting; try again in a moment".into()))),
            },
            prepared = &mut preparing => return prepared.context("the start was cut short").flatten().map(Some),
        }
    }
}

/// Tells clients that the engine ends before its first run, and why.
fn tell_end(server: &mut Server, ended: &anyhow::Result<Exit>) {
    let reason = ended.as_ref().err().map(|error| format!("{error:#}"));
    let exit = ended.as_ref().map_or_else(crate::error::exit_of, |exit| *exit).code();
    let blocked = reason.clone().map(|reason| Event::Blocked { reason });
    let ended = Event::RunEnded { exit, counts: Counts::default(), seconds: 0.0, reason };
    for event in blocked.into_iter().chain([ended]) {
        let line = Line::now(event);
        let text = line.text().into();
        server.event(&line, &text);
    }
}

fn interrupted() -> Exit {
    errln!("interrupted; run the same command again to resume");
    Exit::Interrupted
}
