//! `reeldeck status`: prints the state of the current runs of the output folder, or how the last one ended.

use std::time::Duration;

use anyhow::Context;
use reeldeck_common::json;
use reeldeck_common::layout::Layout;
use reeldeck_common::video::printable;
use serde::Serialize;

use super::run_progress::{clock, status as status_line};
use crate::client::{self, Client};
use crate::config::Settings;
use crate::dataset::shown;
use crate::error::Exit;
use crate::out::{self, count, outln, rate};
use crate::protocol::holder::Holder;
use crate::protocol::last_run;
use crate::protocol::snapshot::{Counts, Phase, Snapshot};
use crate::protocol::summary::RunSummary;

/// One run in the output of `--json`.
#[derive(Serialize)]
struct Run {
    #[serde(flatten)]
    holder: Holder,
    /// `None` if the run cannot be asked.
    snapshot: Option<Snapshot>,
    /// Why it cannot be asked.
    problem: Option<String>,
}

/// The output of `--json`.
#[derive(Serialize)]
struct Report {
    schema: u32,
    running: bool,
    runs: Vec<Run>,
    /// The last run that has ended; empty if there was none.
    last_runs: Vec<RunSummary>,
}

/// Prints a paragraph for each run, or one JSON object. Returns [`Exit::Done`] with and without a run.
///
/// # Errors
/// When the locks cannot be read, or the object cannot be written.
pub(crate) fn run_status(settings: &Settings) -> anyhow::Result<Exit> {
    let mut runs = vec![];
    for holder in client::runs(&settings.out)? {
        let asked = Client::connect(&settings.out, &holder).and_then(|mut client| client.snapshot());
        let (snapshot, problem) = match asked {
            Ok(snapshot) => (Some(snapshot), None),
            Err(error) => (None, Some(format!("{:#}", anyhow::Error::from(error)))),
        };
        runs.push(Run { holder, snapshot, problem });
    }
    let last_runs: Vec<_> = last_run::read(&Layout::new(&settings.out, "").private()).into_iter().collect();
    if settings.json {
        let report = Report { schema: 1, running: !runs.is_empty(), runs, last_runs };
        out::document(format!("{}\n", json::to_string(&report)?).as_bytes()).context("failed to print the state")?;
        return Ok(Exit::Done);
    }
    if runs.is_empty() {
        outln!("No run is using {}.", shown(&settings.out));
        last_runs.iter().for_each(|summary| outln!("{}", last_in_words(summary)));
    }
    for run in runs {
        outln!("{}", in_words(&run));
        if let Some(last) = run.snapshot.as_ref().and_then(|snapshot| snapshot.last_run.as_deref()) {
            outln!("{}", last_in_words(last));
        }
    }
    Ok(Exit::Done)
}

/// How a run ended: what is done, what failed and why, where the results are, and the next step.
fn last_in_words(run: &RunSummary) -> String {
    let took = clock(Duration::from_secs_f64(run.seconds.max(0.0)));
    let mut text = format!("Last run: {}, {} in {took}", run.ended.strftime("%F %T UTC"), run.ending.word());
    if let Some(reason) = &run.reason {
        text.push_str(&format!(": {}", printable(reason)));
    }
    let Counts { done, failed, stale, left_out, excluded, .. } = run.counts;
    let more = [
        (failed, "failed"),
        (run.counts.unfinished(), "left"),
        (stale, "stale"),
        (left_out, "left out"),
        (excluded, "excluded"),
        (run.refused, "refused"),
    ];
    let more: String = more.iter().filter(|(n, _)| *n > 0).map(|(n, what)| format!(", {n} {what}")).collect();
    text.push_str(&format!("\n  {done} of {} done ({} in this run){more}", run.counts.videos, run.done()));
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

fn in_words(run: &Run) -> String {
    let Holder { host, pid, started, .. } = &run.holder;
    let mut text = format!("host {host}, process {pid}, since {}", started.strftime("%F %T UTC"));
    if let Some(problem) = &run.problem {
        text.push_str(&format!("\n  {}", printable(problem)));
    }
    let Some(snapshot) = &run.snapshot else { return text };
    text.push_str(&format!("\n  {}", status_line(snapshot)));
    let is_active = !matches!(snapshot.phase, Phase::Waiting | Phase::Idle);
    for device in snapshot.devices.iter().filter(|_| is_active) {
        text.push_str(&format!("\n  {:8} {:8}", device.device, device.status));
        let running: Vec<String> =
            device.in_flight.iter().map(|video| format!("{} {}", printable(&video.video), video.progress())).collect();
        match &device.detail {
            Some(reason) if device.status == "lost" => text.push_str(&format!(" {}", printable(reason))),
            _ => text.push_str(&format!(" {}", running.join(", "))),
        }
    }
    text.lines().map(str::trim_end).collect::<Vec<_>>().join("\n")
}
