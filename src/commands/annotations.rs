//! `reeldeck annotations`: what a trainer reads besides the features, from the manifest and the true frame counts.

use std::io::IsTerminal;
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use reeldeck_common::atomic::Owner;

use crate::config::{Settings, Verbosity};
use crate::dataset::manifest::Kind;
use crate::dataset::scan::scan;
use crate::dataset::shown;
use crate::errln;
use crate::error::{Exit, ExitError};
use crate::export::annotations::{self, ESTIMATED, FILES};
use crate::outln;

/// Writes the annotations in `annotations` in the output folder. Ends with [`Exit::Incomplete`] while any number of frames
/// is an estimate.
///
/// # Errors
/// Folders that cannot be used, no manifest, one that cannot be read or has no durations, and files that cannot be
/// written; the old ones are still there then.
pub fn run_annotations(settings: &Settings) -> anyhow::Result<Exit> {
    settings.check_folders()?;
    let manifest = super::needed_manifest(settings)?;
    if manifest.kind == Kind::List {
        let path = shown(&manifest.path);
        let message = format!(
            "annotations need the official annotation file, and {path} is a plain list, without durations and segments; \
             name the annotation file with --manifest"
        );
        return Err(ExitError::new(Exit::Usage, message).into());
    }
    let scan = scan(&settings.root, &settings.extensions)?;
    let folder = settings.out.join("annotations");
    if settings.dry_run {
        outln!("would write the annotations of {} videos to {}", manifest.len(), shown(&folder));
        return Ok(Exit::Done);
    }
    let mut progress = Progress::new(settings, manifest.len());
    let written = annotations::write(
        &folder,
        &settings.out,
        &manifest,
        &scan.videos,
        &super::probe::known(settings, &scan.videos),
        &Owner::this_process(),
        &mut || progress.step(),
    );
    progress.finish();
    let written = written?;
    if settings.verbosity > Verbosity::Quiet {
        let [train, val, test] = written.videos;
        let [train_file, val_file, test_file] = FILES;
        outln!("wrote {} videos to {}:", written.total(), shown(&folder));
        outln!("  {train_file} {train}, {val_file} {val}, {test_file} {test}");
        outln!("frames: {} from features, {} from probes", written.from_features, written.from_probes);
    }
    if written.estimated() > 0 {
        outln!(
            "estimated as duration x 30: {} ({} without a file, {} not extracted or not usable); {ESTIMATED} names them",
            written.estimated(),
            written.without_file,
            written.without_count
        );
    }
    Ok(if written.estimated() == 0 { Exit::Done } else { Exit::Incomplete })
}

/// A bar on a terminal, else a line now and then.
struct Progress {
    bar: Option<ProgressBar>,
    interval: Option<Duration>,
    last: Instant,
    done: usize,
    of: usize,
}

impl Progress {
    fn new(settings: &Settings, of: usize) -> Self {
        let quiet = settings.verbosity == Verbosity::Quiet;
        let bar = (std::io::stderr().is_terminal() && !quiet).then(|| {
            let bar = ProgressBar::with_draw_target(Some(of as u64), ProgressDrawTarget::stderr_with_hz(4));
            let style = ProgressStyle::with_template("{wide_bar} {pos}/{len} videos, {per_sec}, ETA {eta}");
            bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()));
            bar
        });
        let interval = (!quiet).then_some(settings.plain_interval);
        Self { bar, interval, last: Instant::now(), done: 0, of }
    }

    fn step(&mut self) {
        self.done += 1;
        if let Some(bar) = &self.bar {
            bar.inc(1);
        } else if self.interval.is_some_and(|interval| self.last.elapsed() >= interval) {
            self.last = Instant::now();
            errln!("{}/{} videos", self.done, self.of);
        }
    }

    fn finish(&self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }
}
