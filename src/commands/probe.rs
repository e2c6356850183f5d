//! `reeldeck scan --quick` and `--deep`: checks every video and prints a table of the results.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::PathBuf;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use reeldeck_common::layout::Layout;
use reeldeck_common::probe::{Level, Verdict};
use reeldeck_common::video::printable;

use crate::config::{Settings, Verbosity};
use crate::dataset::probe::cache::{self, Cache, CacheError};
use crate::dataset::probe::{Ended, Outcome, Request, Setup, probe};
use crate::dataset::scan::VideoFile;
use crate::dataset::shown;
use crate::dataset::state::Probes;
use crate::dataset::watch::network_of;
use crate::error::Exit;
use crate::out::{self, count};
use crate::progress::{Progress, Size};

use crate::discovery;
use crate::out::errln;

/// How many videos of each kind are named without `-v`.
const MAX_NAMED: usize = 20;

fn cache_of(settings: &Settings) -> PathBuf {
    Layout::new(&settings.out, "").private().join(cache::FOLDER)
}

/// Checks videos with `reeldeck-probe`.
pub(crate) struct Checker<'a> {
    settings: &'a Settings,
    setup: Setup,
    cache: Cache,
    level: Level,
    cancel: &'a AtomicBool,
}

/// The result of a check.
pub(crate) struct Checked {
    /// Whether all videos were checked.
    pub ended: Ended,
    tally: Tally,
}

impl<'a> Checker<'a> {
    /// Reads the results of earlier checks of these videos, which are sorted by name. Setting `cancel` ends a check early.
    ///
    /// # Errors
    /// When there are results that cannot be read.
    pub(crate) fn new(
        settings: &'a Settings,
        videos: &[VideoFile],
        level: Level,
        cancel: &'a AtomicBool,
    ) -> Result<Self, CacheError> {
        // Nothing is started if all results are known.
        // A watch reports files that have settled. Without it nothing is checked again later: a file that has just been copied is
        // complete, unless it changes now.
        let setup = Setup { settle: Duration::ZERO, ..Setup::new(PathBuf::new(), &settings.limits) };
        let setup = if network_of(&settings.root).is_some() { setup.far_away() } else { setup };
        let cache = Cache::open(&cache_of(settings), videos, !settings.dry_run)?;
        Ok(Self { settings, setup, cache, level, cancel })
    }

    /// Checks these videos, which are sorted by name, with progress on standard error. Adds the verdicts to `probes` and keeps
    /// them in the output folder, also those before a cancellation.
    ///
    /// # Errors
    /// When `reeldeck-probe` is missing or does not work, or the dataset folder stops responding.
    pub(crate) fn check(&mut self, videos: &[VideoFile], probes: &mut Probes) -> anyhow::Result<Checked> {
        let settings = self.settings;
        if self.setup.program.as_os_str().is_empty()
            && videos.iter().any(|video| self.cache.known(video, self.level).is_none())
        {
            self.setup.program = discovery::probe()?;
        }
        let request = Request { root: &settings.root, videos, level: self.level, limits: &settings.limits };
        let mut tally = Tally::default();
        let meter = settings.meter();
        meter.begin("checking", Size::Items(videos.len()));
        let ended = probe(request, &self.setup, &mut self.cache, self.cancel, &mut |index, outcome| {
            if let Some(video) = videos.get(index) {
                if let Outcome::Probed { probed, .. } = &outcome {
                    probes.insert(video.name.clone(), probed.clone());
                }
                let is_cached = matches!(outcome, Outcome::Probed { cached: true, .. });
                tally.take(video, outcome);
                meter.detail(&format!("{} not healthy", tally.unhealthy.values().map(Vec::len).sum::<usize>()));
                if is_cached { meter.skip() } else { meter.step(0) }
            }
        });
        meter.end();
        if let Some(error) = self.cache.trouble() {
            let path = cache_of(settings);
            errln!("note: failed to keep the results in {} ({error}); the next check repeats this one", shown(&path));
        }
        Ok(Checked { ended: ended?, tally })
    }

    /// Checks the videos and prints a table, and each video without a verdict with its reason.
    ///
    /// Returns [`Exit::Incomplete`] if a video could not be read. The report tells which verdicts are problems.
    ///
    /// # Errors
    /// As [`Checker::check`].
    pub(crate) fn check_all(&mut self, videos: &[VideoFile], probes: &mut Probes) -> anyhow::Result<Exit> {
        let Checked { ended, tally } = self.check(videos, probes)?;
        let mut text = String::new();
        if self.settings.verbosity > Verbosity::Quiet {
            text.push_str(&tally.table(self.level));
        }
        text.push_str(&tally.reasons(self.settings.verbosity));
        // With --json the report has the state of each video.
        if !self.settings.json {
            out::stdout(format_args!("{text}"));
        }
        if ended == Ended::Cancelled {
            errln!("interrupted; {} of {} videos are checked; run it again to continue", tally.all, videos.len());
            return Ok(Exit::Interrupted);
        }
        Ok(if tally.unhealthy.contains_key(&Kind::Unreadable) { Exit::Incomplete } else { Exit::Done })
    }
}

/// The kinds of results, in the order of the table.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Kind {
    Healthy,
    Damaged,
    Corrupt,
    OverLimit,
    Unreadable,
    Arriving,
}

impl Kind {
    fn name(self) -> &'static str {
        match self {
            Self::Healthy => "healthy",
            Self::Damaged => "damaged",
            Self::Corrupt => "corrupt",
            Self::OverLimit => "over limit",
            Self::Unreadable => "not read",
            Self::Arriving => "arriving",
        }
    }
}

/// The results so far. Healthy videos are only counted.
#[derive(Debug, Default)]
struct Tally {
    all: usize,
    cached: usize,
    counts: BTreeMap<Kind, usize>,
    /// Name and reason, by kind.
    unhealthy: BTreeMap<Kind, Vec<(String, String)>>,
}

impl Tally {
    fn take(&mut self, video: &VideoFile, outcome: Outcome) {
        self.all += 1;
        let (kind, reason) = match outcome {
            Outcome::Arriving => (Kind::Arriving, None),
            Outcome::Unreadable(why) => (Kind::Unreadable, Some(why)),
            Outcome::Probed { probed, cached } => {
                self.cached += usize::from(cached);
                let kind = match &probed.verdict {
                    Verdict::Healthy { .. } => Kind::Healthy,
                    Verdict::Damaged { .. } => Kind::Damaged,
                    Verdict::Corrupt { .. } => Kind::Corrupt,
                    Verdict::OverLimit { .. } => Kind::OverLimit,
                };
                (kind, probed.verdict.reason().map(str::to_owned))
            }
        };
        *self.counts.entry(kind).or_default() += 1;
        if let Some(reason) = reason {
            let line = (printable(video.name.as_str()), printable(&reason));
            self.unhealthy.entry(kind).or_default().push(line);
        }
    }

    fn table(&self, level: Level) -> String {
        let mut text = format!("{}, {} check", count(self.all, "video", "videos"), level.name());
        if self.cached > 0 {
            let _ = write!(text, ", {} known from earlier checks", self.cached);
        }
        text.push('\n');
        for (kind, count) in &self.counts {
            let note = if *kind == Kind::Arriving { "  still being written; run it again later" } else { "" };
            let _ = writeln!(text, "  {:<10} {count:>8}{note}", kind.name());
        }
        text
    }

    fn reasons(&self, verbosity: Verbosity) -> String {
        let most = if verbosity > Verbosity::Normal { usize::MAX } else { MAX_NAMED };
        let mut text = String::new();
        // The report has the other kinds.
        let stateless = |kind: &Kind| matches!(kind, Kind::Unreadable | Kind::Arriving);
        for (kind, videos) in self.unhealthy.iter().filter(|(kind, _)| stateless(kind)) {
            let mut videos: Vec<_> = videos.iter().collect();
            videos.sort();
            for (name, reason) in videos.iter().take(most) {
                let _ = writeln!(text, "{} {name}: {reason}", kind.name());
            }
            if videos.len() > most {
                let _ = writeln!(text, "{} more are {}; -v names them all", videos.len() - most, kind.name());
            }
        }
        text
    }
}
