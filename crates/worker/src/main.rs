//! reeldeck-worker: one process bound to one device. Reads jobs as JSON lines, turns videos into feature files, reports.

#![cfg_attr(test, allow(clippy::unwrap_used, clippy::expect_used))]

mod about;
mod board;
mod crops;
mod decode;
mod extract;
mod gpu;
mod jobs;
mod memory;
mod process;
mod report;
mod seeded;
mod split;
mod write;

use std::process::ExitCode;

use anyhow::{Context, Result, bail};
use reeldeck_common::error::{ErrorKind, Failure};
use reeldeck_common::pinned::LIBTORCH;
use reeldeck_common::protocol::{FromWorker, Init, ToWorker, VERSION};
use reeldeck_model::device;
use reeldeck_process::confine;

use crate::report::Reporter;

fn main() -> ExitCode {
    device::keep_memory();
    let hardened = confine::harden().context("failed to give up privileges and core dumps");
    let mut arguments = std::env::args_os().skip(1);
    let result = hardened.and_then(|()| match arguments.next() {
        None => serve(),
        Some(word) if word == "about" => about::print(),
        Some(word) if word == "crops" => crops::print(&arguments.collect::<Vec<_>>()),
        Some(word) if word == "write-seeded-checkpoint" => seeded::write(&arguments.collect::<Vec<_>>()),
        Some(word) if word == "--version" => {
            println!("reeldeck-worker {} (libtorch {})", env!("CARGO_PKG_VERSION"), LIBTORCH);
            Ok(())
        }
        Some(word) => Err(anyhow::anyhow!(
            "reeldeck-worker is started by reeldeck and takes no argument {word:?}; run `reeldeck --help`"
        )),
    });
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

/// Takes the first message, loads the model, and works until the input ends.
fn serve() -> Result<()> {
    confine::die_with_parent().context("failed to tie the worker's life to its engine's")?;
    let reporter = Reporter::take_stdout().context("failed to set up standard output")?;
    let mut lines = jobs::lines();
    let init = match lines.next().transpose()? {
        Some(ToWorker::Init(init)) => *init,
        Some(other) => bail!("expected an init message, got {other:?}"),
        None => return Ok(()),
    };
    if init.version != VERSION {
        let text = format!("engine speaks protocol {}, worker {VERSION}: install both from one release", init.version);
        reporter.send(&FromWorker::Fatal { failure: Failure::new(ErrorKind::Internal, text) })?;
        return Ok(());
    }
    match start(&init, &reporter) {
        Ok(extractor) => extractor.run(jobs::start(lines, &init).context("failed to start the decode threads")?),
        Err(failure) => reporter.send(&FromWorker::Fatal { failure }),
    }
}

fn start(init: &Init, reporter: &Reporter) -> Result<extract::Extractor, Failure> {
    let started = std::time::Instant::now();
    // Nothing below is made for a recipe that makes no sense.
    init.recipe.check().map_err(|message| Failure::new(ErrorKind::Internal, format!("a bad recipe: {message}")))?;
    memory::prepare(init);
    if init.device == "cpu" && init.threads > 0 {
        reeldeck_model::tch::set_num_threads(i32::try_from(init.threads).unwrap_or(i32::MAX));
    }
    let extractor =
        extract::Extractor::new(init, reporter.clone()).map_err(|error| Failure::from_error(error.kind(), &error))?;
    memory::limit(init)?;
    let device = match init.device.as_str() {
        "cpu" => format!("CPU, {} threads", reeldeck_model::tch::get_num_threads()),
        other => other.to_owned(),
    };
    let load_ms = started.elapsed().as_millis() as u64;
    let ready = FromWorker::Ready { version: VERSION, device, load_ms };
    reporter.send(&ready).map_err(|e| Failure::new(ErrorKind::Internal, e.to_string()))?;
    Ok(extractor)
}
