//! Starts worker processes and passes their messages to the engine.

use std::io;

use reeldeck_common::protocol::FromWorker;
use reeldeck_process::{Event, Process, Program};
use tokio::sync::mpsc::UnboundedSender;

use super::state::WorkerProcess;

/// How to start a worker.
#[derive(Clone, Debug)]
pub(crate) struct Launch {
    /// Its device, for the log.
    pub device: String,
    /// The program and its environment.
    pub program: Program,
}

/// What a worker process does.
#[derive(Debug)]
pub(crate) enum WorkerMessage {
    /// It sent a message.
    Message(FromWorker),
    /// It has ended: how, as a sentence. This is the last one.
    Gone(String),
}

/// Starts a worker. Its messages and its end go to `heard` with `id`, and its standard error goes to the log. Call this from
/// the thread that lives as long as the engine: the kernel ends the worker when the thread that started it ends.
///
/// # Errors
/// When the program cannot be started.
pub(crate) fn start(
    id: WorkerProcess,
    launch: &Launch,
    heard: UnboundedSender<(WorkerProcess, WorkerMessage)>,
) -> io::Result<Process> {
    let device = launch.device.clone();
    Process::start(&launch.program, move |event| {
        let event = match event {
            Event::Message(message) => WorkerMessage::Message(message),
            Event::Stderr(line) => {
                tracing::debug!(device, "{device} says: {line}");
                return;
            }
            Event::Exited(exit) => WorkerMessage::Gone(format!("the worker {exit}")),
        };
        let _ = heard.send((id, event));
    })
}
