//! `reeldeck status`: prints the run of an output folder with its engines on all machines, or how the last one ended.

use anyhow::Context;
use reeldeck_common::json;
use reeldeck_common::layout::Layout;
use reeldeck_common::video::printable;
use serde::Serialize;

use super::run_progress::status as status_line;
use crate::client::overview::{Engine, Joint};
use crate::client::{Client, Overview};
use crate::config::Settings;
use crate::dataset::shown;
use crate::error::Exit;
use crate::out::{self, count, duration, outln, rate};
use crate::protocol::holder::Holder;
use crate::protocol::last_run;
use crate::protocol::snapshot::{Counts, Phase, Snapshot};
use crate::protocol::summary::RunSummary;

/// The version of the output of `--json`.
const SCHEMA: u32 = 2;

/// An engine in the output of `--json`.
#[derive(Serialize)]
struct Run {
    #[serde(flatten)]
    holder: Holder,
    /// Seconds since its last heartbeat, if that is too long.
    silent_s: Option<u64>,
    /// What it answers on this host. On another host, its `report` says what is known.
    snapshot: Option<Snapshot>,
    /// Why it cannot be asked on this host.
    problem: Option<String>,
}

/// The run of the engines of a feature set, in the output of `--json`.
#[derive(Serialize)]
struct Whole {
    set: String,
    engines: usize,
    hosts: usize,
    silent: usize,
    phase: Phase,
    counts: Counts,
    clips_done: usize,
    clips_per_s: Option<f64>,
    videos_per_s: Option<f64>,
    eta_s: Option<u64>,
}

/// The output of `--json`.
#[derive(Serialize)]
struct Report {
    schema: u32,
    running: bool,
    sets: Vec<Whole>,
    runs: Vec<Run>,
    /// Engines that have ended unexpectedly, whose files are still there.
    lost: Vec<Run>,
    /// The last run that has ended; empty if there was none.
    last_runs: Vec<RunSummary>,
}

/// Prints the run and each of its engines, or one JSON object. Returns [`Exit::Done`] with and without a run.
///
/// # Errors
/// When the files of the engines cannot be read, or the object cannot be written.
pub(crate) fn run_status(settings: &Settings) -> anyhow::Result<Exit> {
    let mut overview = Overview::read(&settings.out)?;
    let problems = ask(settings, &mut overview);
    let last_runs: Vec<_> = last_run::read(&Layout::new(&settings.out, "").private()).into_iter().collect();
    if settings.json {
        let report = report(overview, problems, last_runs);
        out::document(format!("{}\n", json::to_string(&report)?).as_bytes()).context("failed to print the state")?;
        return Ok(Exit::Done);
    }
    if overview.held().next().is_none() {
        outln!("No run is using {}.", shown(&settings.out));
    } else {
        outln!("{}", in_words(&overview, &problems));
    }
    if !overview.engines.iter().any(Engine::is_open) {
        last_runs.iter().for_each(|summary| outln!("{}", last_in_words(summary)));
    }
    Ok(Exit::Done)
}

/// Asks the engines on this host for their state, which is newer than what their files say. Returns why some cannot be asked.
fn ask(settings: &Settings, overview: &mut Overview) -> Vec<Option<String>> {
    let mut problems = vec![];
    for engine in &mut overview.engines {
        let mut problem = None;
        if engine.held && engine.is_here() {
            let asked = Client::connect(&settings.out, &engine.holder);
            match asked.and_then(|mut client| Ok((client.snapshot()?, client.welcome().set.clone()))) {
                Ok((snapshot, set)) => {
                    (engine.snapshot, engine.set) = (Some(snapshot), Some(set));
                    (engine.silent, engine.more_devices) = (None, 0);
                }
                Err(error) => problem = Some(printable(&format!("{:#}", anyhow::Error::from(error)))),
            }
        }
        problems.push(problem);
    }
    problems
}

fn report(overview: Overview, problems: Vec<Option<String>>, last_runs: Vec<RunSummary>) -> Report {
    let whole = |set: String| {
        let Joint { engines, hosts, silent, snapshot, .. } = overview.joint(&set);
        let Snapshot { phase, counts, clips_done, clips_per_s, videos_per_s, eta_s, .. } = snapshot;
        Whole { set, engines, hosts, silent, phase, counts, clips_done, clips_per_s, videos_per_s, eta_s }
    };
    let sets = overview.sets().into_iter().map(whole).collect();
    let run = |(engine, problem): (Engine, Option<String>)| {
        let is_here = engine.is_here();
        let Engine { holder, held, silent, snapshot, .. } = engine;
        let silent_s = silent.map(|silent| silent.as_secs());
        let snapshot = snapshot.filter(|_| held && is_here && problem.is_none());
        (held, Run { holder, silent_s, snapshot, problem })
    };
    let all = overview.engines.into_iter().zip(problems).map(run);
    let (runs, lost): (Vec<_>, Vec<_>) = all.partition(|(held, _)| *held);
    let [runs, lost] = [runs, lost].map(|runs| runs.into_iter().map(|(_, run)| run).collect::<Vec<_>>());
    Report { schema: SCHEMA, running: !runs.is_empty(), sets, runs, lost, last_runs }
}

/// A line for the run as a whole, then each host with its engines and their devices.
fn in_words(overview: &Overview, problems: &[Option<String>]) -> String {
    let sets = overview.sets();
    let mut lines = vec![];
    for set in &sets {
        let joint = overview.joint(set);
        let features = if sets.len() > 1 { format!("features {set}: ") } else { String::new() };
        let engines = if joint.engines > 1 { format!(" ({})", joint.in_words()) } else { String::new() };
        lines.push(format!("{features}{}{engines}", status_line(&joint.snapshot)));
    }
    let is_alone = sets.len() == 1 && overview.held().count() == 1;
    let mut host = None;
    for (engine, problem) in overview.engines.iter().zip(problems) {
        if host != Some(&engine.holder.host) {
            host = Some(&engine.holder.host);
            lines.push(format!("host {}", engine.holder.host));
        }
        engine_in_words(engine, problem.as_deref(), is_alone, &mut lines);
    }
    lines.iter().map(|line| line.trim_end()).collect::<Vec<_>>().join("\n")
}

fn engine_in_words(engine: &Engine, problem: Option<&str>, is_alone: bool, lines: &mut Vec<String>) {
    let silence = match (engine.held, engine.silent) {
        (false, silent) => {
            let ago = silent
                .map_or_else(String::new, |silent| format!("; last heartbeat {} ago", duration(silent.as_secs_f64())));
            format!(", ended unexpectedly{ago}")
        }
        (true, Some(silent)) => format!(", silent for {}", duration(silent.as_secs_f64())),
        (true, None) => String::new(),
    };
    lines.push(format!("  {}{silence}", engine.holder.process_in_words()));
    if !engine.held {
        return;
    }
    lines.extend(problem.map(|problem| format!("    {problem}")));
    let Some(snapshot) = &engine.snapshot else {
        if problem.is_none() {
            lines.push(format!("    {} is too old to report its state", engine.holder.tool));
        }
        return;
    };
    // The first line says it.
    if !is_alone {
        lines.push(format!("    {}", status_line(snapshot)));
    }
    for device in snapshot.devices.iter().filter(|_| snapshot.is_active()) {
        let what = match &device.detail {
            Some(reason) if device.status == "lost" => printable(reason),
            _ => {
                let videos = device.in_flight.iter();
                videos
                    .map(|video| format!("{} {}", printable(&video.video), video.progress()))
                    .collect::<Vec<_>>()
                    .join(", ")
            }
        };
        lines.push(format!("    {:8} {:8} {what}", device.device, device.status));
    }
    if engine.more_devices > 0 {
        lines.push(format!("    and {}", count(engine.more_devices, "more device", "more devices")));
    }
}

/// How a run ended: what is done, what failed and why, where the results are, and the next step.
fn last_in_words(run: &RunSummary) -> String {
    let took = duration(run.seconds);
    let engines = if run.engines.len() > 1 { format!(" of {} engines", run.engines.len()) } else { String::new() };
    let mut text = format!("Last run{engines}: {}, {} in {took}", out::time(run.ended), run.ending.word());
    if let Some(reason) = &run.reason {
        text.push_str(&format!(": {}", printable(reason)));
    }
    text.push_str(&format!("\n  {}; {} done in this run", run.counts.in_words(), run.done()));
    if run.refused > 0 {
        text.push_str(&format!("\n  {} refused", count(run.refused, "file", "files")));
    }
    if run.clips > 0 {
        text.push_str(&format!("\n  {}, {}", count(run.clips, "clip", "clips"), rate(run.clips_per_s, "clips")));
    }
    for group in &run.failures {
        let example =
            if group.videos > 1 { format!(", such as {}", group.example) } else { format!(": {}", group.example) };
        text.push_str(&format!("\n  failed {}{}: {}", group.videos, printable(&example), printable(&group.reason)));
    }
    text.push_str(&format!("\n  features  {}", shown(&run.features)));
    for export in &run.exports {
        let missing =
            if export.missing > 0 { format!(", {} without a feature", export.missing) } else { String::new() };
        let videos = count(export.videos, "video", "videos");
        text.push_str(&format!("\n  exported  {} ({videos}{missing})", shown(&export.path)));
    }
    if let Some(next) = &run.next_step {
        text.push_str(&format!("\n  next: {}", printable(next)));
    }
    text
}
