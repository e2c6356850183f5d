//! An engine from its first run to its end: socket, fronts, runs, exports, and in the background the wait for clients.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use anyhow::Context;
use reeldeck_common::probe::Level;
use tokio::sync::mpsc;

use super::incremental::IncrementalExport;
use super::json::Json;
use super::{Job, Progress, start};
use crate::commands;
use crate::engine::control::Asked;
use crate::engine::inspector::{InspectRequest, Inspector};
use crate::engine::lock::{self, Lock};
use crate::engine::log::Log;
use crate::engine::publish::Front;
use crate::engine::run::Engine;
use crate::engine::server::details::read_class_names;
use crate::engine::server::{Backstage, Server};
use crate::engine::signals::Signals;
use crate::engine::state::{Phase, State};
use crate::errln;
use crate::error::{Exit, ExitError};
use crate::export::incremental::Incremental;
use crate::format::Format;
use crate::protocol::event::{Event, Started};
use crate::protocol::{VERSION, Welcome};

const TOOL: &str = concat!("reeldeck ", env!("CARGO_PKG_VERSION"));

impl Job<'_> {
    /// Runs until there is nothing more to do, and for the background nobody who may want more.
    pub(super) fn session(&self, lock: &Lock, mut state: State) -> anyhow::Result<Exit> {
        if self.steps.wait {
            state.wait();
        } else if state.counts().unfinished() == 0 {
            state.rest();
        }
        // One thread for the engine, this one: workers end with the thread that has started them.
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().context("failed to start")?;
        let exit = runtime.block_on(self.go(lock, state));
        // Tasks that still hold pipes of workers that are gone must not keep the program.
        runtime.shutdown_background();
        exit
    }

    async fn go(&self, lock: &Lock, state: State) -> anyhow::Result<Exit> {
        let settings = self.settings;
        let mut signals = Signals::catch().context("failed to catch signals")?;
        let log = Log::open(&self.layout.private(), &format!("{}-of-{}", settings.shard.index, settings.shard.of))
            .context("failed to open the log")?;
        let (orders, mut clients) = mpsc::unbounded_channel();
        let mut fronts: Vec<Box<dyn Front>> = vec![];
        if settings.json {
            fronts.push(Box::new(Json::new()));
        }
        if !self.steps.background {
            fronts.push(Box::new(Progress::new(settings.verbosity, settings.plain_interval)));
        }
        if let Some(live) = self.live()? {
            fronts.push(Box::new(live));
        }
        let (inspector, asked) = std::sync::mpsc::channel();
        let followers = Arc::new(AtomicUsize::new(0));
        let mut followers = followers;
        let mut surveying = None;
        match self.serve(&state, orders, lock, inspector.clone()) {
            Ok(server) => {
                followers = server.followers();
                let plan = start::inspector(settings, &self.layout, state.files.clone());
                surveying = Inspector::start(plan, asked, server.feed(), log.clone())
                    .inspect_err(|error| errln!("note: what the dataset is like is not found out: {error}"))
                    .ok();
                fronts.push(Box::new(server));
            }
            // The run itself needs no clients.
            Err(error) => errln!("note: no client can follow this run: {error}"),
        }
        let waits = self.steps.wait;
        let plan = start::plan(settings, &self.layout, &self.chosen, &self.owner, lock, waits)?;
        if waits {
            let _ = inspector.send(InspectRequest::LookAtAll(state.files.clone(), Level::Quick));
        }
        let mut engine = Engine::new(plan, state, log, fronts, inspector).context("failed to start the engine")?;
        let mut first = true;
        let watched = Arc::clone(&followers);
        if let Err(error) = engine.measure(move || watched.load(Ordering::Relaxed) > 0) {
            errln!("note: the machine is not measured: {error}");
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
            let Some(end) = self.end(&mut engine, &mut signals, &mut clients).await else {
                wanted = true;
                continue;
            };
            ended = end;
            // Who has stopped the run wants no more of it, unless somebody is looking on.
            let stopped = engine.state().phase != Phase::Running;
            linger = Duration::from_secs(if stopped { 0 } else { settings.engine.linger_s });
            if !self.steps.background {
                break;
            }
            if waits {
                engine.rest();
            }
        }
        drop(surveying);
        let unwritten = engine.finish();
        if unwritten > 0 {
            errln!("{unwritten} failed attempts could not be recorded; those videos are simply tried again");
        }
        ended
    }

    /// What is exported as the run goes, if anything. The record of such an export has one writer.
    fn live(&self) -> anyhow::Result<Option<IncrementalExport>> {
        let formats = &self.settings.live;
        if formats.is_empty() {
            return Ok(None);
        }
        if !self.settings.shard.is_whole() {
            errln!("note: a part exports nothing on the way; `reeldeck export` does it when all parts are done");
            return Ok(None);
        }
        let live = Incremental::new(&self.layout, &self.settings.recipe, formats, &self.owner)?;
        Ok(Some(IncrementalExport::start(self.layout.clone(), live).context("failed to start the live export")?))
    }

    fn serve(
        &self,
        state: &State,
        orders: mpsc::UnboundedSender<Asked>,
        lock: &Lock,
        inspector: std::sync::mpsc::Sender<InspectRequest>,
    ) -> std::io::Result<Server> {
        let welcome = Welcome {
            version: VERSION,
            tool: TOOL.into(),
            pid: std::process::id(),
            root: self.settings.root.clone(),
            out: self.settings.out.clone(),
            set: self.layout.set().to_owned(),
            shard: self.settings.shard.to_string(),
            dataset: self.settings.root.file_name().map(|n| n.to_string_lossy().into_owned()).unwrap_or_default(),
            checkpoint: self.chosen.id.name.clone(),
            meaningless: self.chosen.id.synthetic_weights,
            manifest: self.settings.manifest.clone(),
        };
        let shard = self.settings.shard;
        let backstage = Backstage {
            root: self.settings.root.clone(),
            layout: self.layout.clone(),
            log: self.layout.private().join("log").join(format!("{}-of-{}.log", shard.index, shard.of)),
            class_names: self.class_names(),
            inspector,
        };
        let server = Server::start(state, welcome, backstage, orders)?;
        lock.tell_socket(server.socket())?;
        Ok(server)
    }

    /// The names of the network's classes. Without them a run is as good.
    fn class_names(&self) -> Vec<String> {
        let read = self.settings.class_names.as_deref().map(read_class_names).transpose();
        read.unwrap_or_else(|error| {
            errln!("note: {error:#}; classes are shown as numbers");
            None
        })
        .unwrap_or_default()
    }

    fn started(&self, engine: &Engine) -> Event {
        Event::RunStarted(Box::new(Started {
            tool: TOOL.into(),
            host: lock::host(),
            pid: std::process::id(),
            root: self.settings.root.clone(),
            out: self.settings.out.clone(),
            set: self.layout.set().to_owned(),
            weights: self.chosen.id.name.clone(),
            shard: self.settings.shard.to_string(),
            devices: engine.state().workers.iter().map(|worker| worker.device.clone()).collect(),
            counts: engine.state().counts(),
        }))
    }

    /// What follows a run: the export, a summary, the exit code. `None` where a client has begun another run meanwhile.
    async fn end(
        &self,
        engine: &mut Engine,
        signals: &mut Signals,
        clients: &mut mpsc::UnboundedReceiver<Asked>,
    ) -> Option<anyhow::Result<Exit>> {
        let result = self.outcome(engine, signals, clients).await.transpose()?;
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
        signals: &mut Signals,
        clients: &mut mpsc::UnboundedReceiver<Asked>,
    ) -> anyhow::Result<Option<Exit>> {
        let state = engine.state();
        if let Some(why) = state.blocked() {
            return Err(ExitError::new(
                Exit::Internal,
                format!(
                    "the run could not go on: {why}; once that is put right, the same command goes on where it was"
                ),
            )
            .into());
        }
        if state.phase != Phase::Running {
            return Ok(Some(interrupted()));
        }
        let wanted = self.steps.export && self.settings.limit.is_none() && self.settings.shard.is_whole();
        if self.steps.wait {
            if wanted && engine.has_new() {
                // An event says what came of it; the next run need not wait for that.
                let _ = engine.export(vec![Format::Pkl]);
            }
            return Ok(Some(self.exit(&engine.state().counts())));
        }
        if wanted && state.counts().done > 0 {
            let done = engine.done();
            let exported = engine.export_at_end(&[Format::Pkl], signals, clients).await;
            // What was done meanwhile belongs to it too.
            if !engine.state().is_over() || engine.done() > done {
                if let Err(error) = exported {
                    engine.tell(Event::ExportFailed { reason: format!("{error:#}") });
                }
                return Ok(None);
            }
            let Some(exported) = exported? else { return Ok(Some(interrupted())) };
            if !self.settings.json {
                exported.iter().for_each(|it| commands::export::say(it, &self.layout, self.settings.verbosity));
            }
        }
        self.conclude(engine.state());
        Ok(Some(self.exit(&engine.state().counts())))
    }
}

fn interrupted() -> Exit {
    errln!("interrupted; run the same command again to go on");
    Exit::Interrupted
}
