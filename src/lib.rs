//! reeldeck: a folder of untrimmed videos to verified features for temporal action localization.

#![cfg_attr(test, allow(clippy::unwrap_used, clippy::expect_used))]
#![deny(clippy::print_stdout, clippy::print_stderr)]
// `pub(crate)` by default, so that the compiler reports dead code.
#![warn(unreachable_pub)]

mod allocation;
mod batch;
mod cli;
mod client;
mod commands;
mod config;
mod dataset;
mod discovery;
mod doctor;
mod engine;
mod error;
mod export;
mod fetch;
mod format;
mod launch;
mod monitor;
mod out;
mod parallel;
mod progress;
mod protocol;
mod runtime;
mod signals;
mod slurm;
mod tui;
mod tune;
mod verify;

/// What the tests in `tests/` and the examples use. This is not a stable interface.
#[doc(hidden)]
pub mod internals {
    pub mod cli {
        pub use crate::cli::Cli;
    }
    pub mod client {
        pub use crate::client::{Client, ClientError, runs};
    }
    pub mod config {
        pub use crate::config::{Config, Device, DeviceList, NvdecUse, Overrides, Settings, Verbosity};
    }
    pub mod dataset {
        pub use crate::dataset::probe::cache::Cache;
        pub use crate::dataset::probe::{Ended, Outcome, ProbeError, Request, Setup, probe};
        pub use crate::dataset::scan::{FolderLayout, Scan, ScanRules, VideoFile, scan};
        pub use crate::dataset::video_list::LabelStyle;
    }
    pub mod engine {
        pub use crate::engine::event::{Effect, Event, Notice, ReadFailure};
        pub use crate::engine::state::{
            HoldUntil, KillReason, Phase, Progress, Rules, Shortage, Slot, State, Status, Video, VideoId, Work,
            WorkerId, WorkerProcess, WorkerStatus,
        };
        pub use crate::engine::update::update;
    }
    /// What the fuzz targets call. Each function panics if what it reads contradicts itself.
    pub mod fuzz {
        use std::path::Path;

        use reeldeck_common::source::SourceStamp;
        use reeldeck_common::video::VideoName;

        use crate::dataset::manifest::{Manifest, ManifestError};
        use crate::dataset::probe::cache::{Cache, of_entries};
        use crate::dataset::scan::VideoFile;
        use crate::dataset::video_list::{parse_list, write_lines};
        use crate::protocol::{FromEngine, ToEngine};

        /// Reads a manifest twice, as `annotations` does.
        pub fn manifest(path: &Path) {
            let Ok(manifest) = Manifest::read(path, "v_") else { return };
            let mut entries = 0;
            let each: Result<(), ManifestError> = manifest.each(|_| {
                entries += 1;
                Ok(())
            });
            assert!(each.is_ok() && entries == manifest.len(), "the second reading differs");
        }

        /// Reads a cache of probes from the file `path`, stores what it knows, and reads it again. The bytes are the cache, and then
        /// its entries.
        pub fn probe_cache(path: &Path, bytes: &[u8]) {
            let Ok(name) = VideoName::new("A/v.mp4") else { return };
            let videos = [VideoFile { name, stamp: SourceStamp { size: 9, mtime_ns: 7 } }];
            for cache in [bytes, &of_entries(bytes)] {
                assert!(std::fs::write(path, cache).is_ok(), "{} cannot be written", path.display());
                let Ok(mut cache) = Cache::open(path, &videos, true) else { continue };
                let known = cache.verdicts(&videos);
                known.iter().for_each(|(video, probed)| cache.store(video, probed));
                let again = Cache::open(path, &videos, false).map(|cache| cache.verdicts(&videos));
                assert!(again.is_ok_and(|again| again == known), "the second reading differs");
            }
        }

        /// Reads a message of a client, writes it and reads it again. Reads the same bytes as a message of an engine.
        pub fn message(bytes: &[u8]) {
            if let Ok(message) = serde_json::from_slice::<ToEngine>(bytes) {
                let text = serde_json::to_string(&message).unwrap_or_default();
                assert!(
                    serde_json::from_str::<ToEngine>(&text).is_ok_and(|again| again == message),
                    "the message is read back differently"
                );
            }
            let _ = serde_json::from_slice::<FromEngine>(bytes);
        }

        /// Reads a list, writes it and reads it again.
        pub fn list(bytes: &[u8]) {
            let Ok(entries) = parse_list(bytes) else { return };
            let mut lines = vec![];
            assert!(write_lines(&mut lines, &entries).is_ok(), "a list in memory cannot be written");
            assert!(parse_list(&lines).is_ok_and(|again| again == entries), "the list is read back differently");
        }
    }
    pub mod error {
        pub use crate::error::ExitError;
    }
    pub mod export {
        pub use crate::export::incremental::Incremental;
        pub use crate::export::{export_lock, hdf5, npy, npz};
    }
    pub mod fetch {
        pub use crate::fetch::{Cache, Download, FetchError, Policy, get};
    }
    pub mod format {
        pub use crate::format::Format;
    }
    pub mod progress {
        pub use crate::progress::{Progress, Size};
    }
    pub mod protocol {
        pub use crate::protocol::{Command, FromEngine, ToEngine, VERSION, details, event, row, snapshot};
    }
}

use std::io::{Read, Write};
use std::path::Path;
use std::process::ExitCode;

use cli::{Cli, Command};
use config::{Overrides, Settings, Verbosity};
use error::{Exit, ExitError};
use protocol::Command as EngineCommand;
use reeldeck_common::video::is_escaped;
use reeldeck_process::confine;

/// The longest address of weights, in bytes.
const MAX_ADDRESS: u64 = 1 << 16;

/// Runs the program. Returns its exit code.
pub fn main() -> ExitCode {
    if let Err(limit) = confine::ensure_stack() {
        out::errln!(
            "error: the limit on the stack is {} KiB, and reeldeck needs at least 1024 KiB; raise it: ulimit -s 8192",
            limit >> 10
        );
        return Exit::Usage.into();
    }
    confine::fail_large_writes();
    // SAFETY: the program begins here; nothing has started a thread.
    unsafe {
        discovery::remove_relative_entries();
        // The standard library would give threads this stack, however small.
        std::env::remove_var("RUST_MIN_STACK");
    }
    run_and_report()
}

/// The rest of the program, with stack variables of its own.
#[inline(never)]
fn run_and_report() -> ExitCode {
    let cli = match Cli::read(std::env::args_os()) {
        Ok(cli) => cli,
        Err(error) => {
            let exit = Exit::of_code(error.exit_code()).unwrap_or(Exit::Usage);
            let text = error.render().to_string();
            if error.use_stderr() && is_escaped(&text) {
                // The message repeats arguments, which may come from file names.
                out::stderr(format_args!("{text}"));
            } else {
                out::note_failure(error.print().and_then(|()| std::io::stdout().flush()));
            }
            return end(exit);
        }
    };
    end(run(&cli).unwrap_or_else(|error| {
        out::stderr(format_args!("{}", error::text_of(&error)));
        error::exit_of(&error)
    }))
}

/// The exit code of the program. A command whose output cannot be written has not finished.
fn end(exit: Exit) -> ExitCode {
    let has_finished = matches!(exit, Exit::Done | Exit::Incomplete);
    match out::failure() {
        None => exit.into(),
        Some(error) => {
            out::errln!(
                "error: failed to write to standard output ({error}); the output is incomplete: make room, and run it again"
            );
            ExitCode::from(if has_finished { Exit::Internal } else { exit })
        }
    }
}

fn run(cli: &Cli) -> anyhow::Result<Exit> {
    let mut typed = cli.overrides();
    if let Some(Command::Engine(args)) = &cli.command
        && args.address_from_stdin
    {
        typed.checkpoint = Some(std::io::read_to_string(std::io::stdin().take(MAX_ADDRESS))?.into());
    }
    let checked = |current: &Path| {
        let settings = Settings::resolve(&typed, current)?;
        tui::check(&settings).map(|()| settings)
    };
    let settings = || anyhow::Ok(checked(&std::env::current_dir()?)?);
    match &cli.command {
        Some(Command::Init(args)) => {
            commands::init::run_init(&typed, args.folder.as_deref(), &std::env::current_dir()?)
        }
        Some(Command::Doctor(_)) => doctor::run_doctor(&typed, checked(&std::env::current_dir()?)),
        Some(Command::Fetch(_)) => commands::fetch::run_fetch(&settings()?),
        Some(Command::Completions { shell }) => commands::shell::run_completions(*shell),
        Some(Command::Man { dir }) => commands::shell::run_man(dir.as_deref()),
        Some(Command::Recipes) => commands::recipes::run_recipes(),
        Some(Command::Keys) => {
            tui::list_keys();
            Ok(Exit::Done)
        }
        Some(Command::Demo { dir }) => commands::demo::run_demo(dir),
        Some(Command::List(args)) => commands::list::run_list(&settings()?, args),
        Some(Command::Extract(args)) => run_job(&settings()?, &typed, false, args.detach),
        Some(Command::Engine(args)) => {
            let steps = engine::session::Options { export: !args.no_export, background: true, wait: args.wait };
            batch::run_batch(&settings()?, steps)
        }
        Some(Command::Attach(args)) => attach(settings()?, &typed, args),
        Some(Command::Status(_)) => commands::status::run_status(&settings()?),
        Some(Command::Stop(args)) => commands::control::run(&settings()?, EngineCommand::Stop { now: args.now }),
        Some(Command::Pause(_)) => commands::control::run(&settings()?, EngineCommand::Pause),
        Some(Command::Resume(_)) => commands::control::run(&settings()?, EngineCommand::Resume),
        Some(Command::Retry(cli::RetryArgs { list: Some(list), .. })) => commands::retry::run_list(&settings()?, list),
        Some(Command::Retry(args)) => {
            commands::control::run(&settings()?, EngineCommand::Retry { patterns: args.patterns.clone() })
        }
        Some(Command::Slurm(args)) => commands::slurm::run_slurm(&settings()?, &args.command),
        Some(Command::Scan(args)) => commands::scan::run_scan(&settings()?, args),
        Some(Command::Missing(args)) => commands::missing::run_missing(&settings()?, &args.watch),
        Some(Command::Annotations(_)) => commands::annotations::run_annotations(&settings()?),
        Some(Command::Export(args)) => commands::export::run_export(&settings()?, args),
        Some(Command::Verify(args)) => commands::verify::run_verify(&settings()?, args),
        Some(Command::Tune(args)) => tune::run_tune(&settings()?, args),
        Some(Command::SeededCheckpoint(args)) => commands::seeded::run_seeded(&settings()?, &args.path),
        None if cli.batch => run_job(&settings()?, &typed, true, cli.detach),
        None if on_terminal() => tui::open(&typed, &cli.tui),
        None => Err(ExitError::new(
            Exit::Usage,
            "the interface needs a terminal, and no command was given: `reeldeck --batch` lists, extracts and \
             exports; `reeldeck --help` shows everything",
        )
        .into()),
    }
}

/// Whether standard input and output are a terminal.
fn on_terminal() -> bool {
    use std::io::IsTerminal;
    std::io::stdin().is_terminal() && std::io::stdout().is_terminal()
}

fn attach(settings: Settings, typed: &Overrides, args: &cli::AttachArgs) -> anyhow::Result<Exit> {
    let wants_lines = args.plain || settings.json || settings.verbosity != Verbosity::Normal;
    let plain = wants_lines || !on_terminal();
    if plain {
        return commands::attach::run_attach(&settings);
    }
    match client::Client::find(&settings) {
        // The window needs an engine on this host.
        Err(client::ClientError::OtherHost { .. }) => commands::attach::run_attach(&settings),
        // Without a run, print the same error as without a terminal.
        found => {
            found.map_err(ExitError::from)?;
            tui::attach(settings, typed, &args.tui)
        }
    }
}

fn run_job(settings: &Settings, typed: &Overrides, export: bool, detach: bool) -> anyhow::Result<Exit> {
    match detach {
        true => batch::detach(settings, typed, export),
        false => {
            let options = engine::session::Options { export, background: false, wait: false };
            Ok(exit_of_job(settings, batch::run_batch(settings, options)?))
        }
    }
}

/// Set in the jobs of Slurm, PBS and LSF.
const JOBS: [&str; 3] = ["SLURM_JOB_ID", "PBS_JOBID", "LSB_JOBID"];

/// The exit code of a run. A job whose work is finished has succeeded, even if some videos failed: otherwise no job that depends
/// on it would start.
fn exit_of_job(settings: &Settings, exit: Exit) -> Exit {
    let is_job = JOBS.iter().any(|name| std::env::var_os(name).is_some());
    if exit == Exit::Incomplete && is_job && !settings.strict && !settings.dry_run {
        out::errln!("note: the exit code of this job is 0, because its work is finished; with --strict it is 3");
        return Exit::Done;
    }
    exit
}
