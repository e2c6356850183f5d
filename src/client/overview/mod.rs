//! All engines of an output folder, as their files show them, and the run that they share.

use std::collections::{BTreeSet, HashMap};
use std::io;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use jiff::Timestamp;
use reeldeck_common::clock;
use reeldeck_common::layout::Layout;

use super::{ClientError, in_time};
use crate::out::count;
use crate::protocol::engine_report::EngineReport;
use crate::protocol::holder::{self, Holder, Seen};
use crate::protocol::snapshot::{Counts, Phase, Snapshot};

#[cfg(test)]
mod tests;

/// Up to so many engines write a heartbeat every ten seconds; more of them do it less often.
const ENGINES_PER_BEAT: usize = 24;

/// An engine is silent when two heartbeats and a half have not come.
pub(crate) const SILENT_AFTER: Duration = Duration::from_millis(reeldeck_claims::BEAT * 5 / 2);

/// An engine of an output folder.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Engine {
    /// What its file says.
    pub(crate) holder: Holder,
    /// It has not ended, as far as is known.
    pub(crate) held: bool,
    /// The time since its last heartbeat, if that is too long.
    pub(crate) silent: Option<Duration>,
    /// Its feature set, if it has said so.
    pub(crate) set: Option<String>,
    /// Its state: what its file says, or its socket if that was asked. None from an older version.
    pub(crate) snapshot: Option<Snapshot>,
    /// Devices that its file has no room for.
    pub(crate) more_devices: usize,
}

impl Engine {
    /// Whether its socket may be reached from here.
    pub(crate) fn is_here(&self) -> bool {
        self.holder.host == holder::host()
    }

    /// What it contributes to its run.
    pub(crate) fn part(&self) -> Option<Part<'_>> {
        let (host, silent) = (self.holder.host.as_str(), self.silent.is_some());
        Some(Part { host, silent, snapshot: self.snapshot.as_ref()? })
    }

    /// Whether it has yet to begin or to end its run.
    pub(crate) fn is_open(&self) -> bool {
        self.held && self.snapshot.as_ref().is_some_and(|snapshot| !snapshot.is_over())
    }

    /// Whether it takes part in a run.
    pub(crate) fn is_active(&self) -> bool {
        self.held && self.snapshot.as_ref().is_some_and(Snapshot::is_active)
    }
}

/// The engines of an output folder.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Overview {
    /// Engines on the same host are neighbours. The host whose engine started first comes first.
    pub(crate) engines: Vec<Engine>,
}

impl Overview {
    /// Reads the files of all engines.
    ///
    /// # Errors
    /// When they cannot be read, or not within ten seconds.
    pub(crate) fn read(out: &Path) -> Result<Self, ClientError> {
        let mut reader = Reader::new(out);
        in_time(out, move || reader.read())
    }

    /// The engines that have not ended.
    pub(crate) fn held(&self) -> impl Iterator<Item = &Engine> {
        self.engines.iter().filter(|engine| engine.held)
    }

    /// The feature sets that engines work on, in the order of their first engines. Engines of different sets share nothing.
    pub(crate) fn sets(&self) -> Vec<String> {
        let mut sets: Vec<String> = vec![];
        for set in self.held().filter_map(|engine| engine.set.as_ref()) {
            if !sets.contains(set) {
                sets.push(set.clone());
            }
        }
        sets
    }

    /// The run of the engines of one feature set.
    pub(crate) fn joint(&self, set: &str) -> Joint {
        Joint::of(self.held().filter(|engine| engine.set.as_deref() == Some(set)).filter_map(Engine::part))
    }
}

/// What one engine contributes to a run.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Part<'a> {
    /// Its host.
    pub(crate) host: &'a str,
    /// It has been silent for too long.
    pub(crate) silent: bool,
    /// Its state.
    pub(crate) snapshot: &'a Snapshot,
}

/// The run that engines share.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Joint {
    /// The engines that have not ended.
    pub(crate) engines: usize,
    /// Those that take part in the run.
    pub(crate) active: usize,
    /// Those that have yet to begin or to end it; at least the active ones.
    pub(crate) open: usize,
    /// Those that are silent.
    pub(crate) silent: usize,
    /// The hosts of all of them.
    pub(crate) hosts: usize,
    /// The run as a whole: the counts, the added rates and the one ETA.
    pub(crate) snapshot: Snapshot,
}

impl Joint {
    /// Adds engines up. Silent ones count as engines, but do not contribute rates.
    pub(crate) fn of<'a>(parts: impl IntoIterator<Item = Part<'a>>) -> Self {
        let parts: Vec<Part<'a>> = parts.into_iter().collect();
        let active: Vec<Part<'a>> = parts.iter().copied().filter(|part| part.snapshot.is_active()).collect();
        let working = || active.iter().filter(|part| !part.silent).map(|part| part.snapshot);
        let sum = |rate: fn(&Snapshot) -> Option<f64>| working().filter_map(rate).reduce(|a, b| a + b);
        let counts = counts(if active.is_empty() { &parts } else { &active });
        // Each engine expects to do all that is left by itself.
        let speed: f64 = working()
            .filter(|snapshot| snapshot.phase == Phase::Running)
            .filter_map(|snapshot| snapshot.eta_s.filter(|eta| *eta > 0))
            .map(|eta| 1.0 / eta as f64)
            .sum();
        let leading = parts.iter().map(|part| part.snapshot).min_by_key(|snapshot| rank(snapshot.phase));
        let snapshot = Snapshot {
            phase: leading.map_or(Phase::Waiting, |snapshot| snapshot.phase),
            reason: leading.and_then(|snapshot| snapshot.reason.clone()),
            held_by: leading.and_then(|snapshot| snapshot.held_by),
            exporting: parts.iter().any(|part| part.snapshot.exporting),
            elapsed_s: parts.iter().map(|part| part.snapshot.elapsed_s).fold(0.0, f64::max),
            counts,
            clips_per_video: parts.iter().map(|part| part.snapshot.clips_per_video).max().unwrap_or_default(),
            clips_done: parts.iter().map(|part| part.snapshot.clips_done).sum(),
            clips_per_s: sum(|snapshot| snapshot.clips_per_s),
            videos_per_s: sum(|snapshot| snapshot.videos_per_s),
            eta_s: (speed > 0.0 && counts.unfinished() > 0).then(|| (1.0 / speed).ceil() as u64),
            devices: parts.iter().flat_map(|part| part.snapshot.devices.iter().cloned()).collect(),
            ..Snapshot::default()
        };
        Self {
            engines: parts.len(),
            active: active.len(),
            open: parts.iter().filter(|part| !part.snapshot.is_over()).count(),
            silent: parts.iter().filter(|part| part.silent).count(),
            hosts: parts.iter().map(|part| part.host).collect::<BTreeSet<_>>().len(),
            snapshot,
        }
    }

    /// `3 engines on 2 hosts, 1 silent`.
    pub(crate) fn in_words(&self) -> String {
        let mut text = count(self.engines, "engine", "engines");
        if self.hosts > 1 {
            text.push_str(&format!(" on {} hosts", self.hosts));
        }
        if self.silent > 0 {
            text.push_str(&format!(", {} silent", self.silent));
        }
        text
    }
}

/// The phase of the lowest rank is that of the run.
fn rank(phase: Phase) -> u8 {
    match phase {
        Phase::Running => 0,
        Phase::Held => 1,
        Phase::Paused => 2,
        Phase::Finishing => 3,
        Phase::Stopping => 4,
        Phase::Starting => 5,
        Phase::Idle => 6,
        Phase::Waiting => 7,
    }
}

/// The videos by status. Engines learn late what others have done: the one that knows most is right. What was done before is
/// known best by the engine that started first.
fn counts(parts: &[Part<'_>]) -> Counts {
    let all = || parts.iter().map(|part| part.snapshot.counts);
    let Some(most) = all().max_by_key(|counts| counts.done + counts.failed) else { return Counts::default() };
    let running = parts.iter().filter(|part| !part.silent).map(|part| part.snapshot.counts.running).sum();
    let running = most.unfinished().min(running);
    Counts {
        resumed: all().map(|counts| counts.resumed).min().unwrap_or_default(),
        failed_before: all().map(|counts| counts.failed_before).min().unwrap_or_default(),
        running,
        queued: most.unfinished() - running,
        ..most
    }
}

/// Reads the files of engines again and again.
#[derive(Debug)]
pub(crate) struct Reader {
    private: PathBuf,
    /// The counter of each engine, the time when it was seen first, and how old its heartbeat was then.
    heard: HashMap<String, (u64, Instant, Duration)>,
}

impl Reader {
    pub(crate) fn new(out: &Path) -> Self {
        Self { private: Layout::new(out, "").private(), heard: HashMap::new() }
    }

    pub(crate) fn read(&mut self) -> io::Result<Overview> {
        Ok(self.overview(holder::holders(&self.private)?, Instant::now(), clock::now()))
    }

    fn overview(&mut self, seen: Vec<Seen>, now: Instant, wall: Timestamp) -> Overview {
        let held = seen.iter().filter(|seen| seen.held).count();
        let silent_after = SILENT_AFTER * held.div_ceil(ENGINES_PER_BEAT).clamp(1, 3) as u32;
        let mut ages = HashMap::new();
        let mut engines = vec![];
        for Seen { held, may_run, holder, .. } in seen {
            let Some(holder) = holder else { continue };
            // The clocks of machines differ. From the second look on, only the own clock counts.
            let heard = match self.heard.get(&holder.id) {
                Some(heard) if heard.0 == holder.counter => *heard,
                Some(_) => (holder.counter, now, Duration::ZERO),
                None => (holder.counter, now, holder.age(wall)),
            };
            let age = heard.2 + now.saturating_duration_since(heard.1);
            ages.insert(holder.id.clone(), heard);
            // A counter that changes shows that the engine runs, whatever its clock says.
            let held = held || may_run && heard.2.is_zero() && age < holder::DEAD_AFTER;
            engines.push(Engine {
                held,
                silent: (age >= silent_after).then_some(age),
                set: holder.report.as_ref().map(|report| report.set.clone()),
                snapshot: holder.report.as_ref().map(EngineReport::snapshot),
                more_devices: holder.report.as_ref().map_or(0, |report| report.more_devices),
                holder,
            });
        }
        self.heard = ages;
        let mut hosts: Vec<String> = vec![];
        for engine in &engines {
            if !hosts.contains(&engine.holder.host) {
                hosts.push(engine.holder.host.clone());
            }
        }
        engines.sort_by_key(|engine| hosts.iter().position(|host| *host == engine.holder.host));
        Overview { engines }
    }
}

/// Reads the files of all engines at this interval, on a thread of its own, until `tell` returns false. A file system that does
/// not answer only makes what was told last old.
///
/// # Errors
/// When the thread cannot be started.
pub(crate) fn follow(
    out: &Path,
    every: Duration,
    mut tell: impl FnMut(Overview) -> bool + Send + 'static,
) -> io::Result<()> {
    let mut reader = Reader::new(out);
    reeldeck_common::thread::spawn("engines", move || {
        loop {
            // A folder that cannot be read now is read the next time.
            if let Ok(overview) = reader.read()
                && !tell(overview)
            {
                return;
            }
            std::thread::sleep(every);
        }
    })
    .map(drop)
}
