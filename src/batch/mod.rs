//! The main job from the dataset folder to the export: in the foreground, as `--batch`, or as an engine in the background.

mod detach;
mod incremental;
mod json;
mod progress;
mod session;
mod sizes;
mod start;
mod work;

use std::sync::Arc;

use anyhow::Context;
use reeldeck_common::atomic::{Owner, Sweeper};
use reeldeck_common::layout::Layout;

use crate::commands::list::{hint, refusals, summary};
use crate::config::{Settings, Verbosity};
use crate::dataset::scan::{Scan, VideoFile, scan};
use crate::dataset::video_list::{entries, write_dataset_list};
use crate::dataset::{names, shown};
use crate::engine::checkpoint::{self, CheckpointError, Chosen};
use crate::engine::lock::{Lock, LockError};
use crate::engine::state::State;
use crate::engine::{assess, crash_recovery};
use crate::errln;
use crate::error::{Exit, ExitError};
use crate::out;
use crate::outln;
use crate::protocol::snapshot::Counts;

pub use detach::{detach, detach_waiting};
pub use progress::{Progress, status as status_line};

/// Which parts of the main job are wanted, and how.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Steps {
    /// Write what a trainer reads when all is extracted.
    pub export: bool,
    /// Stay for clients when the run is over, in a session of its own.
    pub background: bool,
    /// Begin nothing before a client says so; videos may still be to come.
    pub wait: bool,
}

/// What the user wants left alone, in words.
const EXCLUDED: &str = "excluded";

/// What is known before the run begins and does not change in it.
struct Job<'s> {
    settings: &'s Settings,
    steps: Steps,
    layout: Layout,
    chosen: Chosen,
    refused: usize,
    owner: Owner,
}

/// Does the main job.
///
/// # Errors
/// What keeps a run from beginning. Videos that fail are counted, named, and part of the exit code instead.
pub fn run_batch(settings: &Settings, steps: Steps) -> anyhow::Result<Exit> {
    if steps.background {
        // A leader of its group cannot leave it; it was started so that it need not.
        let _ = rustix::process::setsid();
    }
    // Inherited by all workers.
    reeldeck_process::confine::harden().context("failed to give up privileges")?;
    settings.check_folders()?;
    let chosen = weights(settings)?;
    let layout = Layout::new(&settings.out, &settings.recipe.set_name(&chosen.id.digest));
    let scan = scan(&settings.root, &settings.extensions)?;
    out::stderr(format_args!("{}", refusals(&scan.refused, settings.verbosity)));
    if scan.videos.is_empty() && !steps.wait {
        return Err(ExitError::new(
            Exit::Empty,
            format!(
                "no video found in {}; {}",
                shown(&settings.root),
                hint(&scan.refused, &settings.root).unwrap_or_else(|| "see `reeldeck list`".into())
            ),
        )
        .into());
    }
    let shard = settings.shard;
    let owner = Owner::engine(shard.index, shard.of);
    let text = if settings.verbosity > Verbosity::Quiet { summary(&scan) } else { String::new() };
    let Scan { videos, refused, .. } = scan;
    let files: Arc<[VideoFile]> = videos.into();
    let job = Job { settings, steps, layout, chosen, refused: refused.len(), owner };
    if settings.dry_run {
        let state = State::new(work::find(settings, &job.layout, files)?, vec![], start::rules(settings));
        job.introduce(&text, &state.counts());
        outln!("would extract {} videos", state.counts().unfinished());
        return Ok(job.exit(&state.counts()));
    }
    let lock = job.lock()?;
    let failed = || job.cannot_write();
    job.layout.prepare().with_context(failed)?;
    assess::sweep(&job.layout, &Sweeper::new(shard.index, shard.of)).with_context(failed)?;
    // One list for all machines.
    if shard.index == 0 && !files.is_empty() {
        let list = entries(&names(&files), settings.label_style);
        write_dataset_list(&job.layout.list(), &list, &job.owner).with_context(failed)?;
    }
    let mut work = work::find(settings, &job.layout, files)?;
    assess::forget_failures(&job.layout, work.done(shard)).with_context(failed)?;
    let suspects = crash_recovery::suspects(&job.layout.private(), shard).with_context(failed)?;
    work::mark_suspects(&mut work, &suspects);
    let devices = start::devices(settings);
    let state = State::new(work, start::slots(settings, &devices), start::rules(settings));
    job.introduce(&text, &state.counts());
    job.session(&lock, state)
}

/// Downloads the weights where that is asked for and has not been done.
fn bring(settings: &Settings) -> anyhow::Result<()> {
    if settings.dry_run { Ok(()) } else { checkpoint::bring(settings).map_err(no_weights) }
}

fn weights(settings: &Settings) -> anyhow::Result<Chosen> {
    bring(settings)?;
    checkpoint::choose(settings.checkpoint.as_ref(), &settings.recipe).map_err(no_weights)
}

fn no_weights(error: CheckpointError) -> anyhow::Error {
    anyhow::Error::from(error).context(ExitError::new(Exit::Usage, "no weights to work with"))
}

impl Job<'_> {
    fn lock(&self) -> anyhow::Result<Lock> {
        Lock::take(&self.layout.private(), self.settings.shard).map_err(|error| match error {
            held @ (LockError::Held { .. } | LockError::Overlap { .. }) => {
                anyhow::Error::from(held).context(ExitError::new(Exit::Locked, "the output folder is taken"))
            }
            error @ LockError::Io(_) => anyhow::Error::from(error).context(self.cannot_write()),
        })
    }

    fn cannot_write(&self) -> String {
        format!("failed to write to the output folder {}; check space and permissions", shown(&self.settings.out))
    }

    fn introduce(&self, text: &str, counts: &Counts) {
        let settings = self.settings;
        if let Some(note) = &self.chosen.note {
            errln!("note: {note}");
        }
        if settings.verbosity == Verbosity::Quiet {
            return;
        }
        out::stderr(format_args!("{text}"));
        if settings.shard_of_slurm {
            errln!("note: part {} of the Slurm array; --shard 0/1 takes all", settings.shard);
        }
        errln!("features {}, weights {}", self.layout.set(), self.chosen.id.name);
        let Counts { done, failed, stale, left_out, excluded, .. } = *counts;
        let more = [
            (failed, "failed before (--retry-failed)"),
            (stale, "stale (--redo-stale)"),
            (left_out, self.why_left_out()),
            (excluded, EXCLUDED),
        ];
        errln!("{done} done before, {} to do{}", counts.unfinished(), and_these(&more));
    }

    fn why_left_out(&self) -> &'static str {
        match (self.settings.shard.is_whole(), self.settings.limit) {
            (true, _) => "left out by --limit",
            (false, None) => "of other parts",
            (false, Some(_)) => "of other parts or left out by --limit",
        }
    }

    fn conclude(&self, state: &State) {
        let counts = state.counts();
        let settings = self.settings;
        if settings.verbosity > Verbosity::Quiet && !settings.json {
            let meaningless =
                if self.chosen.id.synthetic_weights { " (SEEDED WEIGHTS: the numbers mean nothing)" } else { "" };
            outln!("features in {}{meaningless}", shown(&self.layout.features()));
            let Counts { done, degraded, resumed, failed, stale, left_out, excluded, .. } = counts;
            let more = [
                (degraded, "of them degraded"),
                (failed, "failed"),
                (stale, "stale"),
                (left_out, self.why_left_out()),
                (excluded, EXCLUDED),
                (self.refused, "refused in the dataset folder (`reeldeck scan` says why)"),
            ];
            outln!("{done} done ({} now, {resumed} before){}", done - resumed, and_these(&more));
        }
        if counts.failed > 0 {
            let now = counts.failed - counts.failed_before;
            errln!(
                "{} failed ({now} now); every attempt is in {}; --retry-failed tries them again",
                counts.failed,
                shown(&self.layout.failures())
            );
        }
    }

    fn exit(&self, counts: &Counts) -> Exit {
        if counts.failed + counts.stale + self.refused > 0 { Exit::Incomplete } else { Exit::Done }
    }
}

/// `, 2 failed, 1 stale`: what there is any of.
fn and_these(counted: &[(usize, &str)]) -> String {
    counted.iter().filter(|(n, _)| *n > 0).map(|(n, what)| format!(", {n} {what}")).collect()
}
