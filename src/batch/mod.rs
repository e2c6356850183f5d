//! The main job from the dataset folder to the export: in the foreground, as `--batch`, or as an engine in the background.

mod detach;
mod incremental;
mod json;
mod session;
mod sizes;
mod start;
mod work;

use std::sync::Arc;

use anyhow::Context;
use reeldeck_common::atomic::Owner;
use reeldeck_common::layout::Layout;

use crate::commands::list::{count, hint, refusals, summary};
use crate::config::{Settings, Verbosity};
use crate::dataset::scan::{VideoFile, scan};
use crate::dataset::shown;
use crate::engine::checkpoint::{self, CheckpointError, Chosen};
use crate::engine::lock::{Lock, LockError};
use crate::engine::state::State;
use crate::errln;
use crate::error::{Exit, ExitError};
use crate::out;
use crate::outln;
use crate::protocol::snapshot::Counts;

pub use detach::detach;

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

/// What is known before the engine starts and does not change while it lives.
struct Job {
    settings: Settings,
    steps: Steps,
    layout: Layout,
    chosen: Chosen,
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
    let owner = Owner::engine(settings.shard.index, settings.shard.of);
    let job = Job { settings: settings.clone(), steps, layout, chosen, owner };
    if settings.dry_run {
        return job.dry_run();
    }
    // A wrong --root must not create an output folder.
    if !steps.wait && !settings.out.exists() && scan(&settings.root, &settings.extensions)?.videos.is_empty() {
        job.scan()?;
    }
    job.session()
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

impl Job {
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

    /// Says what a run would do. Writes nothing.
    fn dry_run(&self) -> anyhow::Result<Exit> {
        let (files, refused) = self.scan()?;
        let work = work::find(&self.settings, &self.layout, files)?;
        let counts = State::new(work, vec![], start::rules(&self.settings)).counts();
        self.introduce(&counts);
        outln!("would extract {}", count(counts.unfinished(), "video", "videos"));
        Ok(exit(&counts, refused))
    }

    /// Looks through the dataset folder and says what is there: the videos, and the number of refused files.
    fn scan(&self) -> anyhow::Result<(Arc<[VideoFile]>, usize)> {
        let settings = &self.settings;
        let scan = scan(&settings.root, &settings.extensions)?;
        out::stderr(format_args!("{}", refusals(&scan.refused, settings.verbosity)));
        if scan.videos.is_empty() && !self.steps.wait {
            let hint = hint(&scan.refused, &settings.root).unwrap_or_else(|| "see `reeldeck list`".into());
            return Err(
                ExitError::new(Exit::Empty, format!("no video found in {}; {hint}", shown(&settings.root))).into()
            );
        }
        if settings.verbosity > Verbosity::Quiet {
            out::stderr(format_args!("{}", summary(&scan)));
        }
        Ok((scan.videos.into(), scan.refused.len()))
    }

    fn introduce(&self, counts: &Counts) {
        let settings = &self.settings;
        if let Some(note) = &self.chosen.note {
            errln!("note: {note}");
        }
        if settings.verbosity == Verbosity::Quiet {
            return;
        }
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

    fn conclude(&self, counts: Counts, refused: usize) {
        let settings = &self.settings;
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
                (refused, "refused in the dataset folder (`reeldeck scan` says why)"),
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
}

fn exit(counts: &Counts, refused: usize) -> Exit {
    if counts.failed + counts.stale + refused > 0 { Exit::Incomplete } else { Exit::Done }
}

/// `, 2 failed, 1 stale`: what there is any of.
fn and_these(counted: &[(usize, &str)]) -> String {
    counted.iter().filter(|(n, _)| *n > 0).map(|(n, what)| format!(", {n} {what}")).collect()
}
