//! `--watch`: updates a report as files appear, change and disappear.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use anyhow::Context;
use reeldeck_common::source::SourceStamp;
use reeldeck_common::video::VideoName;

use super::probe::{Checked, Checker};
use crate::cli::WatchArgs;
use crate::config::{Settings, Verbosity, WatchMode};
use crate::dataset::manifest::Manifest;
use crate::dataset::probe::{Ended, ProbeError, is_arriving, known};
use crate::dataset::report::{Change, Report, States};
use crate::dataset::scan::{Scan, ScanError, ScanRules, VideoFile, scan};
use crate::dataset::shown;
use crate::dataset::state::Probes;
use crate::dataset::watch::{self, Backend, Watch, WatchOptions};
use crate::out::errln;

/// The interval of checks for cancellation.
const POLL_INTERVAL: Duration = Duration::from_millis(100);
/// A report waits until there was no change for so long …
const QUIET_TIME: Duration = Duration::from_millis(500);
/// … but not longer than this after the first change.
const MAX_DELAY: Duration = Duration::from_secs(5);

/// The current state of the dataset.
pub(crate) struct Current<'a> {
    /// The settings of the command.
    pub settings: &'a Settings,
    /// What should be in the dataset folder.
    pub manifest: Option<&'a Manifest>,
    /// What is in the dataset folder.
    pub scan: Scan,
    /// The results of checks.
    pub probes: Probes,
    /// Checks new videos, with `--quick` or `--deep`.
    pub checker: Option<Checker<'a>>,
}

/// A watch, and what it has reported so far.
pub(crate) struct Watched {
    watch: Watch,
    rules: ScanRules,
    /// The videos that count, in the version that counts. Others are still being written.
    settled: HashMap<VideoName, SourceStamp>,
}

impl Watched {
    fn take(&mut self, change: &watch::Change) {
        match change {
            watch::Change::Settled(file) => drop(self.settled.insert(file.name.clone(), file.stamp)),
            watch::Change::Gone(name) => drop(self.settled.remove(name)),
            _ => {}
        }
    }

    /// Scans again. Of a file that is being written it has the last complete version, if there was one.
    fn scan(&self, settings: &Settings) -> Result<Scan, ScanError> {
        let mut scan = scan(&settings.root, &self.rules)?;
        scan.videos.retain_mut(|video| match self.settled.get(&video.name) {
            Some(stamp) => {
                video.stamp = *stamp;
                true
            }
            None => false,
        });
        Ok(scan)
    }
}

impl Current<'_> {
    /// The report of this state.
    pub(crate) fn report(&self) -> Report<'_> {
        Report::new(self.manifest, &self.scan, &self.probes, self.settings.accepted())
    }

    /// Scans again and checks what has changed. Returns false if that is not possible now, after a note, or was interrupted.
    fn renew(&mut self, watched: &Watched) -> anyhow::Result<bool> {
        self.scan = match watched.scan(self.settings) {
            Ok(scan) => scan,
            Err(error) => {
                errln!("note: {error}; the report stays as it was");
                return Ok(false);
            }
        };
        let Some(checker) = &mut self.checker else {
            self.probes = match known(&self.settings.out, &self.scan.videos) {
                Ok(probes) => probes,
                Err(error) => {
                    errln!("note: {:#}; the report stays as it was", anyhow::Error::from(error));
                    return Ok(false);
                }
            };
            return Ok(true);
        };
        let is_known =
            |video: &&VideoFile| self.probes.get(&video.name).is_some_and(|probed| probed.source == video.stamp);
        let unknown: Vec<_> = self.scan.videos.iter().filter(|video| !is_known(video)).cloned().collect();
        if unknown.is_empty() {
            return Ok(true);
        }
        match checker.check(&unknown, &mut self.probes) {
            Ok(Checked { ended, .. }) => Ok(ended == Ended::Complete),
            Err(error)
                if matches!(error.downcast_ref(), Some(ProbeError::Silent { .. } | ProbeError::Killed { .. })) =>
            {
                errln!("note: {error}");
                Ok(true)
            }
            Err(error) => Err(error),
        }
    }
}

/// Starts to watch. Reports changes from now on, and differences from this scan, of which it removes the files that may still
/// be written.
///
/// # Errors
/// When the dataset folder cannot be watched.
pub(crate) fn begin(settings: &Settings, args: &WatchArgs, scan: &mut Scan) -> anyhow::Result<Watched> {
    let backend = match settings.watch.mode {
        _ if args.poll => Backend::Polling,
        WatchMode::Polling => Backend::Polling,
        WatchMode::Events => Backend::Events,
        // --watch overrides `mode = "off"`.
        WatchMode::Auto | WatchMode::Off => Backend::Auto,
    };
    let settle = Duration::from_secs(settings.watch.settle_s);
    scan.videos.retain(|video| !is_arriving(video.stamp, settle));
    // The layout stays while the watch runs.
    let rules = ScanRules { layout: scan.layout.unwrap_or(settings.scan.layout), ..settings.scan.clone() };
    let options = WatchOptions {
        settle,
        poll: Duration::from_secs(settings.watch.poll_s),
        backend,
        ..WatchOptions::new(settings.root.clone(), rules.clone())
    };
    let watch = Watch::start(options, &scan.videos)
        .with_context(|| format!("failed to watch the dataset folder {}", shown(&settings.root)))?;
    let settled = scan.videos.iter().map(|video| (video.name.clone(), video.stamp)).collect();
    Ok(Watched { watch, rules, settled })
}

/// Receives the current state, its report, and the changes since the previous report.
pub(crate) type Tell<'t> = dyn FnMut(&Current<'_>, &Report<'_>, &[Change]) -> anyhow::Result<()> + 't;

/// Watches until `cancel` is set, then scans once more. Calls `tell` for each report that differs from the previous one. Returns
/// whether the last report is up to date: the folder could be scanned, and all videos were checked.
///
/// # Errors
/// When `reeldeck-probe` stops working, and the errors of `tell`.
pub(crate) fn follow(
    current: &mut Current<'_>,
    mut watched: Watched,
    cancel: &AtomicBool,
    tell: &mut Tell<'_>,
) -> anyhow::Result<bool> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().context("failed to start")?;
    let next = |watched: &mut Watched, most: Duration| {
        runtime.block_on(async { tokio::time::timeout(most, watched.watch.next()).await })
    };
    let quiet = current.settings.verbosity == Verbosity::Quiet;
    let poll_s = current.settings.watch.poll_s;
    let mut states = States::of(&current.report());
    let mut away = false;
    let note = |watched: &mut Watched, change: watch::Change, away: &mut bool| {
        use watch::Change::{Away, Back, Polling};
        watched.take(&change);
        match change {
            Away(why) => {
                *away = true;
                errln!("note: the dataset folder cannot be read ({why}); the report stays as it was until it is back");
            }
            Back => {
                *away = false;
                errln!("note: the dataset folder is back");
            }
            Polling(why) if !quiet => errln!("note: the folder is scanned every {poll_s} s: {why}"),
            _ => {}
        }
    };
    loop {
        let ends = loop {
            if cancel.load(Ordering::Relaxed) {
                break true;
            }
            match next(&mut watched, POLL_INTERVAL) {
                Ok(Some(change)) => {
                    note(&mut watched, change, &mut away);
                    break false;
                }
                Ok(None) => anyhow::bail!("the watch of the dataset folder has ended; run it again"),
                Err(_) => {}
            }
        };
        let since = Instant::now();
        while since.elapsed() < MAX_DELAY
            && !cancel.load(Ordering::Relaxed)
            && let Ok(Some(change)) = next(&mut watched, QUIET_TIME)
        {
            note(&mut watched, change, &mut away);
        }
        let renewed = !away && current.renew(&watched)?;
        if renewed || ends {
            let report = current.report();
            let changes = states.renew(&report);
            if !changes.is_empty() {
                tell(current, &report, &changes)?;
            }
        }
        if ends {
            return Ok(renewed);
        }
    }
}
