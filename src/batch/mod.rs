//! The headless front end: list, extract, export, with progress on standard error and an exit code that scripts can use.

mod progress;
mod start;

use anyhow::Context;
use reeldeck_contract::atomic::Owner;
use reeldeck_contract::layout::Layout;

use crate::commands;
use crate::commands::list::{refusals, summary};
use crate::config::{Settings, Verbosity};
use crate::dataset::scan::{Scan, scan};
use crate::dataset::video_list::{entries, write_list};
use crate::dataset::{names, shown};
use crate::engine::checkpoint::{self, Chosen};
use crate::engine::lock::{Lock, LockError};
use crate::engine::state::{Counts, Phase, State, Status, Video};
use crate::engine::{assess, run};
use crate::error::{Exit, Stop};
use crate::export::pickle;

/// Which parts of the main job are wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Steps {
    /// Write what a trainer reads when all is extracted.
    pub export: bool,
}

/// Does the main job from the dataset folder to the export.
///
/// # Errors
/// What keeps a run from beginning. Videos that fail are counted, named, and part of the exit code instead.
pub fn run_batch(settings: &Settings, steps: Steps) -> anyhow::Result<Exit> {
    settings.check_folders()?;
    let chosen = checkpoint::choose(settings.checkpoint.as_ref(), &settings.recipe)
        .map_err(|error| anyhow::Error::from(error).context(Stop::new(Exit::Usage, "no weights to work with")))?;
    let layout = Layout::new(&settings.out, &settings.recipe.set_name(&chosen.id.digest));
    let scan = scan(&settings.root, &settings.extensions)?;
    eprint!("{}", refusals(&scan.refused, settings.verbosity));
    if scan.videos.is_empty() {
        return Err(Stop::new(
            Exit::Empty,
            format!("no video found in {}; see `reeldeck list`", shown(&settings.root)),
        )
        .into());
    }
    if settings.dry_run {
        let state = state(settings, &layout, &scan)?;
        introduce(settings, &layout, &chosen, &scan, &state.counts());
        println!("would extract {} videos", state.counts().unfinished);
        return Ok(exit(&state, &scan));
    }
    let failed =
        || format!("failed to write to the output folder {}; check space and permissions", shown(&settings.out));
    let _lock = Lock::take(&layout.private()).map_err(|error| match error {
        held @ LockError::Held { .. } => {
            anyhow::Error::from(held).context(Stop::new(Exit::Locked, "the output folder is taken"))
        }
        error => anyhow::Error::from(error).context(failed()),
    })?;
    let owner = Owner::this_process();
    layout.prepare().with_context(failed)?;
    assess::sweep(&layout).with_context(failed)?;
    write_list(&layout.list(), &entries(&names(&scan.videos), settings.label_style), &owner).with_context(failed)?;
    let mut state = state(settings, &layout, &scan)?;
    introduce(settings, &layout, &chosen, &scan, &state.counts());
    if state.counts().unfinished > 0 {
        let plan = start::plan(settings, &layout, &chosen, &owner)?;
        let mut front = progress::Progress::new(settings);
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().context("failed to start")?;
        state = runtime.block_on(run::run(&plan, state, &mut front)).context("failed to catch signals")?;
        front.finish(&state);
        // Tasks that still hold pipes of workers that are gone must not keep the program.
        runtime.shutdown_background();
    }
    if let Some(why) = state.blocked() {
        return Err(Stop::new(
            Exit::Internal,
            format!("the run could not go on: {why}; run the same command again to go on"),
        )
        .into());
    }
    if state.phase != Phase::Running {
        eprintln!("interrupted; run the same command again to go on");
        return Ok(Exit::Interrupted);
    }
    let complete = settings.limit.is_none();
    if steps.export && complete && state.counts().done > 0 {
        let exported = pickle::export(&layout, &settings.recipe, &scan.videos, settings.label_style, &owner)?;
        commands::export::say(&exported, &layout, settings.verbosity);
    }
    conclude(settings, &layout, &chosen, &state);
    Ok(exit(&state, &scan))
}

/// What is there already decides what is to be done.
fn state(settings: &Settings, layout: &Layout, scan: &Scan) -> anyhow::Result<State> {
    let found = assess::assess(layout, &settings.recipe, &scan.videos)
        .with_context(|| format!("failed to look through {}", shown(layout.out())))?;
    let mut left = settings.limit.unwrap_or(usize::MAX);
    let mut to_do = || match left {
        0 => Status::LeftOut,
        _ => {
            left -= 1;
            Status::Queued
        }
    };
    let mut videos = vec![];
    for (video, found) in scan.videos.iter().zip(found) {
        let status = match found {
            assess::Found::Done { degraded } => Status::Done { degraded, resumed: true },
            assess::Found::Stale if settings.redo_stale => to_do(),
            assess::Found::Stale => Status::Stale,
            assess::Found::Failed(file) => match file.last() {
                Some(last) if !settings.retry_failed => Status::Failed { failure: last.failure.clone(), before: true },
                _ => to_do(),
            },
            assess::Found::Nothing => to_do(),
        };
        videos.push(Video { name: video.name.clone(), status, attempts: 0 });
    }
    let devices = start::devices(settings);
    let capacity = start::decoders(settings, &devices) + 1;
    let devices = devices.iter().map(ToString::to_string).collect();
    let stall_timeout = settings.worker.stall_timeout_s * 1000;
    Ok(State::new(videos, devices, capacity, settings.recipe.sampling.clips, stall_timeout))
}

fn introduce(settings: &Settings, layout: &Layout, chosen: &Chosen, scan: &Scan, counts: &Counts) {
    if let Some(note) = &chosen.note {
        eprintln!("note: {note}");
    }
    if settings.verbosity == Verbosity::Quiet {
        return;
    }
    eprint!("{}", summary(scan));
    eprintln!("features {}, weights {}", layout.set(), chosen.id.name);
    let Counts { done, failed, stale, unfinished, left_out, .. } = *counts;
    let more = [
        (failed, "failed before (--retry-failed)"),
        (stale, "stale (--redo-stale)"),
        (left_out, "left out by --limit"),
    ];
    eprintln!("{done} done before, {unfinished} to do{}", and_these(&more));
}

/// `, 2 failed, 1 stale`: what there is any of.
fn and_these(counted: &[(usize, &str)]) -> String {
    counted.iter().filter(|(n, _)| *n > 0).map(|(n, what)| format!(", {n} {what}")).collect()
}

fn conclude(settings: &Settings, layout: &Layout, chosen: &Chosen, state: &State) {
    let counts = state.counts();
    if settings.verbosity > Verbosity::Quiet {
        let meaningless = if chosen.id.meaningless { " (SEEDED WEIGHTS: the numbers mean nothing)" } else { "" };
        println!("features in {}{meaningless}", shown(&layout.features()));
        let Counts { done, degraded, resumed, failed, stale, left_out, .. } = counts;
        let more =
            [(degraded, "of them degraded"), (failed, "failed"), (stale, "stale"), (left_out, "left out by --limit")];
        println!("{done} done ({} now, {resumed} before){}", done - resumed, and_these(&more));
    }
    if counts.failed > 0 {
        let now = state.videos.iter().filter(|v| matches!(v.status, Status::Failed { before: false, .. })).count();
        eprintln!(
            "{} failed ({now} now); every attempt is in {}; --retry-failed tries them again",
            counts.failed,
            shown(&layout.failures())
        );
    }
}

fn exit(state: &State, scan: &Scan) -> Exit {
    let counts = state.counts();
    if counts.failed + counts.stale + scan.refused.len() > 0 { Exit::Incomplete } else { Exit::Done }
}
