//! `reeldeck attach`: follows a run in lines of text, from any machine. Leaving does not end the run.

use std::io;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::Context;
use reeldeck_common::layout::Layout;

use super::run_progress::RunProgress;
use crate::client::overview::{self, Engine, Joint, Part};
use crate::client::{Client, ClientError, Overview};
use crate::config::{Settings, Verbosity};
use crate::engine::publish::RunObserver;
use crate::error::{Exit, ExitError};
use crate::out::{self, errln};
use crate::protocol::event::{Event, Line};
use crate::protocol::holder::host;
use crate::protocol::snapshot::{Phase, Snapshot};
use crate::protocol::summary::RunSummary;
use crate::protocol::{FromEngine, last_run};

/// How often the files of the engines are read.
const LOOK: Duration = Duration::from_secs(2);

/// The interval of progress events without an engine on this host, in seconds.
const PROGRESS_S: f64 = 10.0;

/// Prints progress until the run ends, the user leaves, or the reader of the output is gone. Returns the exit of the run. Without
/// an engine on this host, follows the files of the engines on other hosts.
///
/// # Errors
/// When there is no run, and when the connection breaks.
pub(crate) fn run_attach(settings: &Settings) -> anyhow::Result<Exit> {
    match Client::find(settings) {
        Ok(client) => follow_engine(settings, client),
        Err(ClientError::OtherHost { .. }) => follow_files(settings),
        Err(error) => Err(ExitError::from(error).into()),
    }
}

/// Whether someone reads the output. A reader such as `head` closes the pipe.
fn is_read(settings: &Settings) -> bool {
    if settings.json { out::is_read(io::stdout()) } else { out::is_read(io::stderr()) }
}

fn follow_engine(settings: &Settings, mut client: Client) -> anyhow::Result<Exit> {
    let (pid, set) = (client.welcome().pid, client.welcome().set.clone());
    if settings.verbosity > Verbosity::Quiet {
        errln!("following process {pid}, features {set}; Ctrl-C leaves it running, `reeldeck stop` ends it");
    }
    let others = Others::follow(settings, pid, &set)?;
    let earlier = last_end(settings);
    let mut progress = RunProgress::new(settings.verbosity, settings.plain_interval);
    let snapshot = client.snapshot()?;
    let (whole, suffix) = others.join(&snapshot);
    progress.set_suffix(suffix);
    progress.begin_at(&whole);
    client.subscribe()?;
    let mut exit = snapshot.ended;
    while exit.is_none() {
        if !is_read(settings) {
            return Ok(Exit::Done);
        }
        match client.follow() {
            Ok(FromEngine::Event { line }) => {
                if let Event::RunEnded { exit: code, .. } = &line.event {
                    exit = Some(*code);
                }
                let text: Arc<str> = line.text().into();
                if settings.json {
                    out::raw(text.as_bytes());
                }
                progress.event(&line, &text);
            }
            // The event `run-ended` may have been missed.
            Ok(FromEngine::Snapshot { snapshot, .. }) => {
                let (whole, suffix) = others.join(&snapshot);
                progress.set_suffix(suffix);
                progress.snapshot(&whole);
                exit = snapshot.ended;
            }
            // Missed events are in the log, and the next snapshot has the current state.
            Ok(_) => {}
            // The engine did not wait for this command, which was suspended, or did not read for long.
            Err(ClientError::Ended) if last_end(settings) != earlier => {
                return Ok(
                    last_run(settings).map_or(Exit::Internal, |last| report_end(&mut progress, settings.json, last))
                );
            }
            Err(error) => return Err(error.into()),
        }
    }
    progress.finish();
    Ok(exit.and_then(|code| Exit::of_code(code.into())).unwrap_or(Exit::Internal))
}

/// The other engines of a feature set.
struct Others(Arc<Mutex<Vec<Engine>>>);

impl Others {
    /// Follows the files of the engines beside the one with this process id.
    fn follow(settings: &Settings, pid: u32, set: &str) -> anyhow::Result<Self> {
        let (others, set) = (Arc::new(Mutex::new(vec![])), set.to_owned());
        let told = Arc::downgrade(&others);
        overview::follow(&settings.out, LOOK, move |overview| {
            let Some(others) = told.upgrade() else { return false };
            let mut engines = overview.engines;
            engines.retain(|engine| {
                let is_own = engine.is_here() && engine.holder.pid == pid;
                engine.held && engine.set.as_ref() == Some(&set) && !is_own
            });
            *others.lock().unwrap_or_else(PoisonError::into_inner) = engines;
            true
        })
        .context("failed to follow the other engines")?;
        Ok(Self(others))
    }

    /// The run of all engines, and what is to be said about their number.
    fn join(&self, own: &Snapshot) -> (Snapshot, String) {
        let others = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let host = host();
        // The end of the own engine ends the command.
        if others.is_empty() || own.ended.is_some() {
            return (own.clone(), String::new());
        }
        let own = Part { host: &host, silent: false, snapshot: own };
        let joint = Joint::of([own].into_iter().chain(others.iter().filter_map(Engine::part)));
        let suffix = suffix(&joint);
        (joint.snapshot, suffix)
    }
}

fn suffix(joint: &Joint) -> String {
    if joint.engines > 1 { format!(" ({})", joint.in_words()) } else { String::new() }
}

/// Follows the files of the engines until all runs have ended. Returns the exit of the last one.
fn follow_files(settings: &Settings) -> anyhow::Result<Exit> {
    let before = last_end(settings);
    let (sender, looks) = std::sync::mpsc::channel();
    overview::follow(&settings.out, LOOK, move |overview| sender.send(overview).is_ok())
        .context("failed to follow the engines")?;
    let mut follower = Follower {
        progress: RunProgress::new(settings.verbosity, settings.plain_interval),
        json: settings.json,
        was_open: false,
        set: None,
        next_event: 0.0,
    };
    loop {
        if !is_read(settings) {
            return Ok(Exit::Done);
        }
        match looks.recv_timeout(LOOK) {
            Ok(overview) if !follower.show(&overview, settings.verbosity) => break,
            // The file system does not answer.
            Ok(_) | Err(std::sync::mpsc::RecvTimeoutError::Timeout) => {}
            Err(std::sync::mpsc::RecvTimeoutError::Disconnected) => break,
        }
    }
    let Some(last) = last_run(settings).filter(|last| !follower.was_open || Some(last.ended) != before) else {
        let message = "the engines have ended without a summary; `reeldeck --batch` resumes the run";
        return Err(ExitError::new(Exit::Internal, message).into());
    };
    Ok(report_end(&mut follower.progress, settings.json, last))
}

/// The last run of the output folder.
fn last_run(settings: &Settings) -> Option<RunSummary> {
    last_run::read(&Layout::new(&settings.out, "").private())
}

fn last_end(settings: &Settings) -> Option<jiff::Timestamp> {
    last_run(settings).map(|last| last.ended)
}

/// Shows how a run has ended by its summary. Returns its exit.
fn report_end(progress: &mut RunProgress, json: bool, last: RunSummary) -> Exit {
    let (elapsed_s, counts, clips_done) = (last.seconds, last.counts, last.clips.max(1));
    progress.set_suffix(String::new());
    progress.snapshot(&Snapshot { phase: Phase::Idle, elapsed_s, counts, clips_done, ..Snapshot::default() });
    if json {
        let (exit, counts, seconds, reason) = (last.exit, last.counts, last.seconds, last.reason);
        out::raw(Line::now(Event::RunEnded { exit, counts, seconds, reason }).text().as_bytes());
    }
    Exit::of_code(last.exit.into()).unwrap_or(Exit::Internal)
}

/// Shows what the files of the engines say.
struct Follower {
    progress: RunProgress,
    json: bool,
    /// A run was seen.
    was_open: bool,
    /// The feature set that is followed.
    set: Option<String>,
    /// When the next progress event is due, in seconds of the run.
    next_event: f64,
}

impl Follower {
    /// False when no run is active any more.
    fn show(&mut self, overview: &Overview, verbosity: Verbosity) -> bool {
        let sets = overview.sets();
        let is_open = |set: &&String| overview.joint(set).open > 0;
        let Some(set) = self.set.clone().or_else(|| sets.iter().find(is_open).or(sets.first()).cloned()) else {
            return overview.held().next().is_some();
        };
        let joint = overview.joint(&set);
        // Engines that wait for a user may begin a run.
        let is_over = joint.open == 0 && (self.was_open || joint.snapshot.phase == Phase::Idle);
        if joint.engines == 0 || is_over {
            return false;
        }
        self.was_open |= joint.open > 0;
        self.progress.set_suffix(suffix(&joint));
        if self.set.is_none() {
            if verbosity > Verbosity::Quiet {
                errln!(
                    "following {}, features {set}; Ctrl-C leaves it running, `reeldeck stop` ends it",
                    joint.in_words()
                );
            }
            self.progress.begin_at(&joint.snapshot);
            self.set = Some(set);
        } else {
            self.progress.snapshot(&joint.snapshot);
        }
        if self.json && joint.snapshot.elapsed_s >= self.next_event {
            self.next_event = joint.snapshot.elapsed_s + PROGRESS_S;
            let Snapshot { counts, clips_per_s, eta_s, .. } = joint.snapshot;
            out::raw(Line::now(Event::Progress { counts, clips_per_s, eta_s }).text().as_bytes());
        }
        true
    }
}
