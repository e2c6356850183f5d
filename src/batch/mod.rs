//! The main job, from the dataset folder to the export: its flags and its text. The engine does the work.

mod background;
mod detach;
mod json;

use anyhow::Context;
use reeldeck_common::recipe::Output;
use reeldeck_process::confine;

use crate::commands;
use crate::commands::list::{hint, incomplete, refusals, summary};
use crate::commands::run_progress::RunProgress;
use crate::config::{Settings, Verbosity};
use crate::dataset::scan::{Scan, scan};
use crate::dataset::shown;
use crate::engine::background_tasks::Exported;
use crate::engine::checkpoint::{self, CheckpointError, ChosenWeights};
use crate::engine::publish::RunObserver;
use crate::engine::session::{self, DatasetMismatch, Options, Reporter, Session};
use crate::error::{Exit, ExitError};
use crate::out::outln;
use crate::out::{self, errln};
use crate::protocol::snapshot::Counts;
use background::Background;
use json::Json;

pub(crate) use detach::detach;

/// How many missing videos are named without `-v`.
const MAX_NAMED: usize = 5;

/// The name of excluded videos in summaries.
const EXCLUDED: &str = "excluded";

/// Does the main job.
///
/// # Errors
/// When a run cannot begin or continue. Videos that fail only change the exit code.
pub(crate) fn run_batch(settings: &Settings, options: Options) -> anyhow::Result<Exit> {
    if options.background {
        // Fails only for the leader of a process group, which the launcher avoids.
        let _ = rustix::process::setsid();
    }
    // Workers inherit it. A worker on a GPU gives up its privileges itself: CUDA's driver may have to start a setuid program first.
    let hardened = if settings.devices.is_cpu_only() { confine::harden() } else { confine::leave_no_dumps() };
    hardened.context("failed to give up privileges")?;
    settings.check_paths()?;
    match options.wait {
        true => settings.check_folders_or_wait()?,
        false => settings.check_folders()?,
    }
    check_export(settings, options)?;
    let checkpoint = match weights(settings) {
        // Scans, checks and lists need no weights.
        Err(error) if options.wait => ChosenWeights::none(error),
        weights => weights.map_err(no_weights)?,
    };
    let text = Text { settings: settings.clone(), wait: options.wait };
    // A wrong --root must not create an output folder.
    if !settings.dry_run && !options.wait && !settings.out.exists() {
        let scan = scan(&settings.root, &settings.scan)?;
        if scan.videos.is_empty() {
            text.scanned(&scan)?;
        }
    }
    let session = Session::new(settings.clone(), options, checkpoint, Box::new(text));
    if settings.dry_run {
        let (counts, refused, gaps) = session.preview()?;
        outln!("would extract {}", out::count(counts.unfinished(), "video", "videos"));
        say_gaps(settings, &gaps);
        return Ok(session::exit(&counts, refused, &gaps));
    }
    let mut observers: Vec<Box<dyn RunObserver>> = vec![];
    if settings.json {
        observers.push(Box::new(
            Background::start(Json::new())
                .context("failed to start a thread; raise the limit that `ulimit -u` shows")?,
        ));
    }
    if !options.background {
        let progress = RunProgress::new(settings.verbosity, settings.plain_interval);
        observers.push(Box::new(
            Background::start(progress).context("failed to start a thread; raise the limit that `ulimit -u` shows")?,
        ));
    }
    session.run(observers)
}

/// Refuses a recipe whose features the export at the end of the run could not use, before anything is extracted.
fn check_export(settings: &Settings, options: Options) -> Result<(), ExitError> {
    let recipe = &settings.recipe;
    // A run that is started in a window leaves the export out.
    if !options.export || options.wait || settings.limit.is_some() || recipe.outputs.contains(&Output::Logits) {
        return Ok(());
    }
    let stored: Vec<_> = recipe.outputs.iter().map(|output| output.name()).collect();
    let message = format!(
        "a run ends with an export to result.pkl, which holds logits, and the recipe {} stores only {}; add \"logits\" to \
         the outputs of the recipe, or use `reeldeck extract`, then `reeldeck export --format npy`",
        recipe.name,
        stored.join(", ")
    );
    Err(ExitError::new(Exit::Usage, message))
}

/// Downloads the weights if they are configured by a URL and not in the cache.
fn bring(settings: &Settings) -> anyhow::Result<()> {
    if settings.dry_run { Ok(()) } else { checkpoint::bring(settings).map_err(no_weights) }
}

fn weights(settings: &Settings) -> Result<ChosenWeights, CheckpointError> {
    match settings.dry_run {
        true => checkpoint::look(settings),
        false => checkpoint::obtain(settings),
    }
}

fn no_weights(error: CheckpointError) -> anyhow::Error {
    anyhow::Error::from(error).context(ExitError::new(Exit::Usage, "no weights"))
}

/// Prints the course of a session.
struct Text {
    settings: Settings,
    /// The dataset may be empty.
    wait: bool,
}

impl Reporter for Text {
    fn scanned(&self, scan: &Scan) -> anyhow::Result<()> {
        let settings = &self.settings;
        out::stderr(format_args!("{}", refusals(&scan.refused, settings.verbosity)));
        out::stderr(format_args!("{}", incomplete(scan, settings.verbosity)));
        if scan.videos.is_empty() && !self.wait {
            let hint = hint(&scan.refused, &settings.root).unwrap_or_else(|| "see `reeldeck list`".into());
            return Err(
                ExitError::new(Exit::Empty, format!("no video found in {}; {hint}", shown(&settings.root))).into()
            );
        }
        if settings.verbosity > Verbosity::Quiet {
            out::stderr(format_args!("{}", summary(scan)));
        }
        Ok(())
    }

    fn prepared(&self, session: &Session, counts: &Counts) {
        let settings = &self.settings;
        if let Some(note) = &session.checkpoint.note {
            errln!("note: {note}");
        }
        if settings.verbosity == Verbosity::Quiet {
            return;
        }
        match session.checkpoint.needs {
            Some(_) => errln!("no weights: videos can be scanned, checked and listed, and not extracted"),
            None => errln!("features {}, weights {}", session.layout.set(), session.checkpoint.id.name),
        }
        let Counts { done, failed, unreadable, stale, left_out, excluded, .. } = *counts;
        let more = [
            (failed - unreadable, "failed before (--retry-failed)"),
            (unreadable, "unreadable"),
            (stale, "stale (--redo-stale)"),
            (left_out, "left out by --limit"),
            (excluded, EXCLUDED),
        ];
        errln!("{done} done before, {} queued{}", counts.unfinished(), and_these(&more));
    }

    fn exported(&self, session: &Session, exported: &Exported) {
        let Exported { outcomes, missed, stale, again } = exported;
        let Settings { json, verbosity, .. } = self.settings;
        commands::export::say(outcomes, &session.layout, verbosity, json);
        if *missed > 0 {
            let are = if *missed == 1 { "is" } else { "are" };
            let next = match (again, stale) {
                (0, 0) => "check the disk of the output folder, and that all engines read the same files",
                (0, _) => "extract the changed videos again with --redo-stale",
                (_, 0) => "extracting damaged and missing features again",
                _ => "extracting damaged and missing features again; --redo-stale extracts the changed videos again",
            };
            errln!("{} with a feature {are} missing from the export; {next}", out::count(*missed, "video", "videos"));
        }
    }

    fn ended(&self, session: &Session, counts: &Counts, refused: usize, gaps: &DatasetMismatch, unreadable: &[String]) {
        let settings = &self.settings;
        if settings.verbosity > Verbosity::Quiet && !settings.json {
            let synthetic_weights = if session.checkpoint.id.synthetic_weights {
                " (seeded weights: the features are meaningless)"
            } else {
                ""
            };
            outln!("features in {}{synthetic_weights}", shown(&session.layout.features()));
            let Counts { done, degraded, resumed, failed, stale, left_out, excluded, .. } = *counts;
            let more = [
                (degraded, "of them degraded"),
                (failed - counts.unreadable, "failed"),
                (counts.unreadable, "unreadable"),
                (stale, "stale"),
                (counts.unfinished(), "to be extracted again"),
                (left_out, "left out by --limit"),
                (excluded, EXCLUDED),
                (refused, "refused in the dataset folder (`reeldeck scan` says why)"),
            ];
            outln!("{done} done ({} now, {resumed} before){}", done - resumed, and_these(&more));
        }
        let failed = counts.failed - counts.unreadable;
        if failed > 0 {
            let now = counts.failed - counts.failed_before;
            errln!(
                "{failed} failed ({now} now); every attempt is in {}; --retry-failed tries them again",
                shown(&session.layout.failures())
            );
        }
        if counts.unreadable > 0 {
            errln!(
                "{} cannot be judged, because the feature or the failure file cannot be read; repair the disk, or extract \
                 again with --retry-failed:",
                out::count(counts.unreadable, "video", "videos")
            );
            errln!("{}", out::first(unreadable, counts.unreadable, unreadable.len()));
        }
        say_gaps(settings, gaps);
    }
}

/// Prints the missing videos, and the features without a video.
fn say_gaps(settings: &Settings, DatasetMismatch { missing, without_video, .. }: &DatasetMismatch) {
    let most = if settings.verbosity > Verbosity::Normal { usize::MAX } else { MAX_NAMED };
    if !missing.is_empty() {
        errln!(
            "{} of the manifest {} not in the dataset folder; `reeldeck missing` writes lists to download or request them:",
            out::count(missing.len(), "video", "videos"),
            if missing.len() == 1 { "is" } else { "are" }
        );
        errln!("{}", out::first(missing, missing.len(), most));
    }
    commands::list::say_without_video(without_video, settings.verbosity);
}

/// The counts that are not zero, as `, 2 failed, 1 stale`.
fn and_these(counted: &[(usize, &str)]) -> String {
    counted.iter().filter(|(n, _)| *n > 0).map(|(n, what)| format!(", {n} {what}")).collect()
}
