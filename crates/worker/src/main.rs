//! reeldeck-worker: a process bound to one device. It receives jobs as JSON lines, turns videos into feature files, and reports
//! the results.

#![cfg_attr(test, allow(clippy::unwrap_used, clippy::expect_used))]

mod about;
mod decode;
mod decode_queue;
mod decoder_choice;
mod extract;
mod gpu;
mod jobs;
mod logging;
mod memory;
mod precision;
mod process;
mod report;
mod seeded;
mod threads;
mod write;

use std::process::ExitCode;
use std::time::Instant;

use anyhow::{Context, Result, bail};
use reeldeck_common::error::{ErrorKind, Failure};
use reeldeck_common::protocol::{FromWorker, Init, ToWorker, VERSION};
use reeldeck_common::versions::LIBTORCH;
use reeldeck_model::{device, driver};
use reeldeck_process::confine;
use tracing::{info, warn};

use crate::extract::Extractor;
use crate::jobs::{JobQueue, OtherVersion};
use crate::report::Reporter;
use crate::write::Writer;

fn main() -> ExitCode {
    device::keep_memory();
    logging::init();
    // Only a worker on a GPU has this.
    if std::env::var_os("REELDECK_TORCH_LIB").is_some() {
        driver::start();
    }
    let hardened = confine::harden().context("failed to give up privileges and core dumps");
    let mut arguments = std::env::args_os().skip(1);
    let result = hardened.and_then(|()| match arguments.next() {
        None => serve(),
        Some(word) if word == "about" => about::run(arguments.any(|word| word == "speeds")),
        Some(word) if word == "write-seeded-checkpoint" => seeded::run(&arguments.collect::<Vec<_>>()),
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

/// Receives the first message, loads the model, and extracts videos until the input ends.
fn serve() -> Result<()> {
    confine::die_with_parent().context("failed to tie the worker's life to its engine's")?;
    let reporter = Reporter::take_stdout().context("failed to set up standard output")?;
    let mut messages = jobs::messages();
    let first = match messages.next().transpose() {
        Ok(Some(ToWorker::Init(init))) if init.version != VERSION => Err(OtherVersion(init.version).into()),
        first => first,
    };
    let init = match first {
        Ok(Some(ToWorker::Init(init))) => *init,
        Ok(Some(other)) => bail!("expected an init message, got {other:?}"),
        Ok(None) => return Ok(()),
        Err(error) if error.is::<OtherVersion>() => {
            let failure = Failure::new(ErrorKind::Internal, error.to_string());
            return reporter.send(&FromWorker::Fatal { failure });
        }
        Err(error) => return Err(error),
    };
    match start(&init, messages, &reporter) {
        Ok((extractor, jobs, writer)) => {
            extractor.run(jobs, writer)?;
            // Decode threads may still be ending, with a decoder of the GPU.
            process::exit(0);
        }
        Err(failure) => reporter.send(&FromWorker::Fatal { failure }),
    }
}

/// Loads the model, starts all threads, and tells the engine that the worker is ready.
fn start(
    init: &Init,
    messages: impl Iterator<Item = Result<ToWorker>> + Send + 'static,
    reporter: &Reporter,
) -> Result<(Extractor, JobQueue, Writer), Failure> {
    let started = Instant::now();
    init.recipe.check().map_err(|message| Failure::new(ErrorKind::Internal, format!("a bad recipe: {message}")))?;
    memory::prepare(init);
    if init.device == "cpu" && init.threads > 0 {
        reeldeck_model::tch::set_num_threads(i32::try_from(init.threads).unwrap_or(i32::MAX));
    }
    let extractor =
        Extractor::new(init, reporter.clone()).map_err(|error| Failure::from_error(error.kind(), &error))?;
    memory::limit(init)?;
    let writer = extractor.start_writer()?;
    let jobs = jobs::start(messages, init, extractor.target())?;
    let device = match init.device.as_str() {
        "cpu" => match reeldeck_model::tch::get_num_threads() {
            1 => "CPU, 1 thread".into(),
            threads => format!("CPU, {threads} threads"),
        },
        other => other.to_owned(),
    };
    if let Some(text) = precision::slower(init) {
        warn!("{text}");
        let told = reporter.send(&FromWorker::Warning { text });
        told.map_err(|error| Failure::new(ErrorKind::Internal, error.to_string()))?;
    }
    let load_ms = started.elapsed().as_millis() as u64;
    info!(device, load_ms, "ready");
    let ready = FromWorker::Ready { version: VERSION, device, load_ms };
    reporter.send(&ready).map_err(|error| Failure::new(ErrorKind::Internal, error.to_string()))?;
    Ok((extractor, jobs, writer))
}
