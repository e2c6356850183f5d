//! `--watch`: updates a report as files appear, change and disappear.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use anyhow::Context;

use super::probe::{Checked, Checker, known};
use crate::cli::WatchArgs;
use crate::config::{Settings, Verbosity, WatchMode};
use crate::dataset::manifest::Manifest;
use crate::dataset::probe::{Ended, ProbeError};
use crate::dataset::report::{Change, Report, States};
use crate::dataset::scan::{Scan, VideoFile, scan};
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
    /// The number of videos that were still being written.
    pub arriving: usize,
}

impl Current<'_> {
    /// The report of this state.
    pub(crate) fn report(&self) -> Report<'_> {
        Report::new(self.manifest, &self.scan, &self.probes, self.settings.accepted())
    }

    /// Scans again and checks what has changed. Returns false, after a note, if that is not possible now.
    fn renew(&mut self) -> anyhow::Result<bool> {
        self.scan = match scan(&self.settings.root, &self.settings.scan) {
            Ok(scan) => scan,
            Err(error) => {
                errln!("note: {error}; the report stays as it was");
                return Ok(false);
            }
        };
        let Some(checker) = &mut self.checker else {
            self.probes = match known(self.settings, &self.scan.videos) {
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
        match checker.check(&unknown, &mut self.probes) {
            Ok(Checked { ended, arriving, .. }) => {
                self.arriving = arriving;
                Ok(ended == Ended::Complete)
            }
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

/// Starts to watch. Reports changes from now on, and differences from this scan.
///
/// # Errors
/// When the dataset folder cannot be watched.
pub(crate) fn begin(settings: &Settings, args: &WatchArgs, scan: &Scan) -> anyhow::Result<Watch> {
    let backend = match settings.watch.mode {
        _ if args.poll => Backend::Polling,
        WatchMode::Polling => Backend::Polling,
        WatchMode::Events => Backend::Events,
        // --watch overrides `mode = "off"`.
        WatchMode::Auto | WatchMode::Off => Backend::Auto,
    };
    let options = WatchOptions {
        settle: Duration::from_secs(settings.watch.settle_s),
        poll: Duration::from_secs(settings.watch.poll_s),
        backend,
        ..WatchOptions::new(settings.root.clone(), settings.scan.clone())
    };
    Watch::start(options, &scan.videos)
        .with_context(|| format!("failed to watch the dataset folder {}", shown(&settings.root)))
}

/// Receives the current state, its report, and the changes since the previous report.
pub(crate) type Tell<'t> = dyn FnMut(&Current<'_>, &Report<'_>, &[Change]) -> anyhow::Result<()> + 't;

/// Watches until `cancel` is set. Calls `tell` for each report that differs from the previous one.
///
/// # Errors
/// When `reeldeck-probe` stops working, and the errors of `tell`.
pub(crate) fn follow(
    current: &mut Current<'_>,
    mut watch: Watch,
    cancel: &AtomicBool,
    tell: &mut Tell<'_>,
) -> anyhow::Result<()> {
    let settle = Duration::from_secs(current.settings.watch.settle_s);
    if let Some(checker) = &mut current.checker {
        checker.settle(settle.min(Duration::from_secs(5)));
    }
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().context("failed to start")?;
    let mut next = |most: Duration| runtime.block_on(async { tokio::time::timeout(most, watch.next()).await });
    let quiet = current.settings.verbosity == Verbosity::Quiet;
    let poll_s = current.settings.watch.poll_s;
    let mut states = States::of(&current.report());
    let mut away = false;
    let note = |change: watch::Change, away: &mut bool| {
        use watch::Change::{Away, Back, Polling};
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
        // A video that was being written is checked again, even without a further change.
        let again = (current.arriving > 0).then(|| Instant::now() + settle.max(Duration::from_secs(1)));
        loop {
            if cancel.load(Ordering::Relaxed) {
                return Ok(());
            }
            match next(POLL_INTERVAL) {
                Ok(Some(change)) => {
                    note(change, &mut away);
                    break;
                }
                Ok(None) => anyhow::bail!("the watch of the dataset folder has ended; run it again"),
                Err(_) if again.is_some_and(|again| Instant::now() >= again) => break,
                Err(_) => {}
            }
        }
        let since = Instant::now();
        while since.elapsed() < MAX_DELAY
            && !cancel.load(Ordering::Relaxed)
            && let Ok(Some(change)) = next(QUIET_TIME)
        {
            note(change, &mut away);
        }
        if away || !current.renew()? {
            continue;
        }
        let report = current.report();
        let changes = states.renew(&report);
        if !changes.is_empty() {
            tell(current, &report, &changes)?;
        }
    }
}
