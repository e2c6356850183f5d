//! The start of a session: registers the engine, opens the socket and prepares the first run.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use anyhow::Context;
use reeldeck_common::atomic::Sweeper;
use reeldeck_common::recipe::Output;
use reeldeck_common::video::VideoName;
use tokio::sync::mpsc;

use super::{DatasetMismatch, Session, TOOL};
use crate::config::Settings;
use crate::dataset::manifest::id_of;
use crate::dataset::scan::{Scan, VideoFile, scan};
use crate::dataset::video_list::{entries, write_dataset_list};
use crate::dataset::{names, shown};
use crate::engine::claims::{self, Claims, ClaimsContext, ClaimsEvent, ClaimsRequest};
use crate::engine::control::ClientRequest;
use crate::engine::incremental::IncrementalExport;
use crate::engine::inspector::{self, InspectRequest, Inspection, Inspector};
use crate::engine::log;
use crate::engine::other_files::OtherFiles;
use crate::engine::plan::Plan;
use crate::engine::registration::Registration;
use crate::engine::run::Engine;
use crate::engine::server::Server;
use crate::engine::server::class_names::class_names;
use crate::engine::server::details::Context as ServerContext;
use crate::engine::server::table::Table;
use crate::engine::state::State;
use crate::engine::{assess, crash_recovery, excluded, setup, work};
use crate::error::{Exit, ExitError};
use crate::format::Format;
use crate::out::errln;
use crate::protocol::engine_report::EngineReport;
use crate::protocol::holder::{self, holders};
use crate::protocol::snapshot::Folder;
use crate::protocol::{VERSION, Welcome};

/// How often a missing dataset folder is looked for.
const LOOK_INTERVAL: Duration = Duration::from_secs(2);

/// What an engine needs to begin its first run.
pub(super) struct Prepared {
    pub(super) plan: Plan,
    pub(super) state: State,
    pub(super) table: Table,
    pub(super) inspector: inspector::Plan,
    /// The exporter of finished videos, if one is configured.
    pub(super) live: Option<IncrementalExport>,
    pub(super) gaps: DatasetMismatch,
}

/// Starts checking videos. What the checks find goes to the engine and to `sink`.
pub(super) fn inspect(
    engine: &Engine,
    plan: inspector::Plan,
    requests: std::sync::mpsc::Receiver<InspectRequest>,
    sink: impl Fn(Inspection) + Send + 'static,
) -> Option<Inspector> {
    let to_engine = engine.inspection_sink();
    let sink = move |found| {
        to_engine(&found);
        sink(found);
    };
    Inspector::start(plan, requests, sink)
        .inspect_err(|error| errln!("note: failed to start checking the videos: {error}"))
        .ok()
}

/// The server and the channels that connect it with the engine.
pub(super) struct ServerHandles {
    pub(super) server: Option<Server>,
    pub(super) clients: mpsc::UnboundedReceiver<ClientRequest>,
    pub(super) inspect: std::sync::mpsc::Sender<InspectRequest>,
    pub(super) inspect_requests: std::sync::mpsc::Receiver<InspectRequest>,
}

/// The engine in the output folder, and its claims.
pub(super) struct Registered {
    pub(super) registration: Registration,
    claims: Claims,
    news: mpsc::UnboundedReceiver<ClaimsEvent>,
}

fn failed(path: &Path) -> String {
    format!("failed to use {}; check space and permissions", shown(path))
}

impl Session {
    /// Registers the engine, and starts its claims. An engine that waits takes part only in its runs.
    pub(super) fn register(&self) -> anyhow::Result<Registered> {
        let registration = Registration::new(&self.layout.private()).map_err(ExitError::from)?;
        registration.report(EngineReport::starting(self.layout.set()));
        let context = ClaimsContext {
            layout: self.layout.clone(),
            recipe: self.settings.recipe.clone(),
            policy: work::policy(&self.settings),
            registration: registration.clone(),
        };
        let (claims, news) =
            claims::start(context, self.options.wait).context("failed to share videos with other engines")?;
        Ok(Registered { registration, claims, news })
    }

    /// Scans the dataset folder.
    pub(super) fn scan(&self) -> anyhow::Result<Scan> {
        let scan = scan(&self.settings.root, &self.settings.scan)?;
        self.reporter.scanned(&scan)?;
        Ok(scan)
    }

    /// Prepares the first run: reads the disk and asks other programs, which may take long. Called on a thread of its own,
    /// while clients are answered.
    pub(super) fn prepare(
        &self,
        registered: Registered,
        followers: &AtomicUsize,
        publish: &dyn Fn(&str, Option<Folder>),
    ) -> anyhow::Result<Prepared> {
        let (settings, layout) = (&self.settings, &self.layout);
        let begin = |step| publish(step, None);
        let Registered { registration, claims, news } = registered;
        if self.options.wait {
            self.wait_for_dataset(followers, publish)?;
        }
        begin("scanning the dataset folder");
        let scan = self.scan()?;
        let others = Arc::new(OtherFiles::of(&scan, &settings.out));
        begin("reading the output folder");
        let gaps = DatasetMismatch::find(settings, layout, &scan, self.options.wait)?;
        // The existing list may have the videos of a folder that cannot be read now.
        let is_list_whole = scan.unreadable(&settings.out).is_none();
        let files: Arc<[VideoFile]> = scan.videos.into();
        let private = layout.private();
        let folders = match self.checkpoint.needs {
            // Without weights there is no feature set.
            Some(_) => vec![private.clone()],
            None => layout.folders().to_vec(),
        };
        for folder in folders {
            std::fs::create_dir_all(&folder).with_context(|| failed(&folder))?;
        }
        let engines = || failed(&holder::folder(&private));
        let is_alone = registration.is_alone(&private).with_context(engines)?;
        assess::sweep(layout, &Sweeper::of_engine(is_alone)).with_context(|| failed(layout.out()))?;
        if !self.options.wait {
            // This comes before the results are read, because other engines keep their records from now on.
            claims.tell(ClaimsRequest::Join);
        }
        if !files.is_empty() && is_list_whole {
            let list = entries(&names(&files), settings.label_style);
            write_dataset_list(&layout.list(), &list, &self.owner).with_context(|| failed(&layout.list()))?;
        }
        let mut work = work::find(settings, layout, files)?;
        if !self.options.wait {
            let is_known = |name: &VideoName| {
                let listed =
                    || id_of(name.file(), &settings.prefix).is_some_and(|id| gaps.missing.iter().any(|m| m == id));
                !is_list_whole
                    || work.files.binary_search_by(|file| file.name.cmp(name)).is_ok()
                    || gaps.without_video.contains(name)
                    || listed()
            };
            let note = excluded::unknown(&private, is_known)?;
            note.iter().for_each(|note| errln!("note: {note}"));
        }
        assess::forget_failures(layout, work.done()).with_context(|| failed(&layout.failures()))?;
        let running: Vec<String> = holders(&private)
            .with_context(engines)?
            .into_iter()
            .filter(|seen| seen.held)
            .filter_map(|seen| Some(seen.holder?.id))
            .collect();
        let suspects =
            crash_recovery::suspects(&private, &running).with_context(|| failed(&crash_recovery::folder(&private)))?;
        work::mark_suspects(&mut work, &suspects);
        begin("finding the devices");
        let devices = setup::devices(settings)?;
        let items = work::items(&work);
        let mut state = State::new(work, setup::slots(settings, &devices), setup::rules(settings));
        state.claim_videos();
        claims.tell(ClaimsRequest::Videos(state.files.clone(), items));
        if self.options.wait {
            state.wait();
        } else if state.counts().unfinished() == 0 {
            state.end_run();
        }
        let plan = setup::plan(
            settings,
            layout,
            &self.checkpoint,
            &self.owner,
            &registration,
            claims,
            news,
            &devices,
            state.files.base(),
            self.options.wait,
            Arc::clone(&others),
        )?;
        let inspector = setup::inspector(settings, layout, state.files.clone());
        let mut table = Table::of(&state, settings.accepted());
        table.set_others(others);
        let live = self.live(&state.files)?;
        Ok(Prepared { plan, table, state, inspector, live, gaps })
    }

    /// The formats of the export at the end of a run: none of a part of the dataset, and no `result.pkl` without logits.
    pub(super) fn final_formats(&self) -> Vec<Format> {
        let Settings { limit, recipe, live, .. } = &self.settings;
        if !self.options.export || limit.is_some() {
            return vec![];
        }
        let has_logits = recipe.outputs.contains(&Output::Logits);
        has_logits.then_some(Format::Pkl).into_iter().chain(live.iter().copied()).collect()
    }

    /// Waits while the dataset folder is not there, as long as a window is open. Nothing is written meanwhile.
    fn wait_for_dataset(&self, followers: &AtomicUsize, publish: &dyn Fn(&str, Option<Folder>)) -> anyhow::Result<()> {
        let linger = Duration::from_secs(self.settings.engine.linger_s);
        let mut alone_since = Instant::now();
        while let Some(reason) = self.settings.missing_root() {
            publish(&reason, Some(Folder::Dataset));
            if followers.load(Ordering::Relaxed) > 0 {
                alone_since = Instant::now();
            } else if alone_since.elapsed() >= linger {
                return Err(ExitError::new(Exit::Usage, reason).into());
            }
            std::thread::sleep(LOOK_INTERVAL);
        }
        Ok(self.settings.check_folders()?)
    }

    /// Opens the socket and writes its path to the file of the engine. A run does not need it, so a failure is only a note.
    pub(super) fn serve(&self, registration: &Registration) -> ServerHandles {
        let (orders, clients) = mpsc::unbounded_channel();
        let (inspect, inspect_requests) = std::sync::mpsc::channel();
        let server = self
            .start_server(orders, registration, inspect.clone())
            .inspect_err(|error| errln!("note: no client can follow this run: {error}"))
            .ok();
        ServerHandles { server, clients, inspect, inspect_requests }
    }

    fn start_server(
        &self,
        orders: mpsc::UnboundedSender<ClientRequest>,
        registration: &Registration,
        inspector: std::sync::mpsc::Sender<InspectRequest>,
    ) -> std::io::Result<Server> {
        let welcome = Welcome {
            version: VERSION,
            tool: TOOL.into(),
            pid: std::process::id(),
            root: self.settings.root.clone(),
            out: self.settings.out.clone(),
            set: self.layout.set().to_owned(),
            dataset: self.settings.root.file_name().map(|n| n.to_string_lossy().into_owned()).unwrap_or_default(),
            checkpoint: self.checkpoint.id.name.clone(),
            synthetic_weights: self.checkpoint.id.synthetic_weights,
            manifest: self.settings.manifest.clone(),
            settings: self.settings.digest(),
            exports_result: self.final_formats().contains(&Format::Pkl),
        };
        let context = ServerContext {
            root: self.settings.root.clone(),
            layout: self.layout.clone(),
            log_file: log::path(&self.layout.private(), &registration.log_name()),
            class_names: class_names(self.settings.class_names.as_deref(), &self.settings.recipe).unwrap_or_else(
                |error| {
                    // A run does not need them.
                    errln!("note: {error:#}; classes are shown as numbers");
                    vec![]
                },
            ),
            inspector,
        };
        let server = Server::start(welcome, context, orders)?;
        registration.tell_socket(server.socket())?;
        Ok(server)
    }
}
