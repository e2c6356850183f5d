//! `reeldeck status`: prints the state of the runs that hold the output folder.

use anyhow::Context;
use reeldeck_common::video::printable;
use serde::Serialize;

use super::run_progress::status as status_line;
use crate::client::{self, Client};
use crate::config::Settings;
use crate::dataset::shard::Shard;
use crate::dataset::shown;
use crate::error::Exit;
use crate::out::{self, outln};
use crate::protocol::holder::Holder;
use crate::protocol::snapshot::Snapshot;

/// One run in the output of `--json`.
#[derive(Serialize)]
struct Run {
    shard: String,
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
}

/// Prints a paragraph for each run, or one JSON object. Returns [`Exit::Done`] with and without a run.
///
/// # Errors
/// When the locks cannot be read, or the object cannot be written.
pub(crate) fn run_status(settings: &Settings) -> anyhow::Result<Exit> {
    let mut runs = vec![];
    for (shard, holder) in client::runs(&settings.out)? {
        if !settings.shard.is_whole() && shard != settings.shard {
            continue;
        }
        let asked = Client::connect(&settings.out, shard, &holder).and_then(|mut client| client.snapshot());
        let (snapshot, problem) = match asked {
            Ok(snapshot) => (Some(snapshot), None),
            Err(error) => (None, Some(format!("{:#}", anyhow::Error::from(error)))),
        };
        runs.push(Run { shard: shard.to_string(), holder, snapshot, problem });
    }
    if settings.json {
        let report = Report { schema: 1, running: !runs.is_empty(), runs };
        out::document(format!("{}\n", serde_json::to_string(&report)?).as_bytes())
            .context("failed to print the state")?;
        return Ok(Exit::Done);
    }
    if runs.is_empty() {
        outln!("no run holds {}", shown(&settings.out));
    }
    for run in runs {
        outln!("{}", in_words(&run));
    }
    Ok(Exit::Done)
}

fn in_words(run: &Run) -> String {
    let Holder { host, pid, started, .. } = &run.holder;
    let part = if run.shard == Shard::WHOLE.to_string() { String::new() } else { format!("part {}, ", run.shard) };
    let mut text = format!("{part}host {host}, process {pid}, since {}", started.strftime("%F %T UTC"));
    if let Some(problem) = &run.problem {
        text.push_str(&format!("\n  {}", printable(problem)));
    }
    let Some(snapshot) = &run.snapshot else { return text };
    text.push_str(&format!("\n  {}", status_line(snapshot)));
    for device in &snapshot.devices {
        text.push_str(&format!("\n  {:8} {:8}", device.device, device.status));
        let hands: Vec<String> = device
            .in_flight
            .iter()
            .map(|hand| format!("{} {}/{}", printable(&hand.video), hand.clips, snapshot.clips_per_video))
            .collect();
        match &device.detail {
            Some(reason) if device.status == "lost" => text.push_str(&format!(" {}", printable(reason))),
            _ => text.push_str(&format!(" {}", hands.join(", "))),
        }
    }
    text.lines().map(str::trim_end).collect::<Vec<_>>().join("\n")
}
