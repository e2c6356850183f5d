//! Starts worker processes and passes their messages to the engine.

use std::io;
use std::sync::mpsc::{self, Sender};

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
    /// The limit of its address space in MiB; `None` if it has none.
    pub(crate) memory_mib: Option<u64>,
}

/// What a worker process does.
#[derive(Debug)]
pub(crate) enum WorkerMessage {
    /// It sent a message.
    Message(FromWorker),
    /// It has ended. This is the last one.
    Gone(End),
}

/// How a worker process has ended.
#[derive(Clone, Debug)]
pub(crate) struct End {
    /// As a sentence.
    pub how: String,
    /// Another process or the kernel has killed it with SIGKILL.
    pub was_killed: bool,
    /// It reached the limit of CPU time of the session.
    pub reached_cpu_limit: bool,
}

/// A thread that starts the processes of one worker, because the disk of the program may not respond. The kernel ends the
/// processes when this value is dropped and the thread ends.
#[derive(Debug)]
pub(crate) struct Starter(Sender<WorkerProcess>);

impl Starter {
    /// The messages and the end of each process go to `heard`, and its standard error goes to the log. `on_start` gets each
    /// process, or why the program cannot be started.
    ///
    /// # Errors
    /// When the thread cannot be started.
    pub(crate) fn new(
        launch: Launch,
        heard: UnboundedSender<(WorkerProcess, WorkerMessage)>,
        on_start: impl Fn(WorkerProcess, io::Result<Process>) + Send + 'static,
    ) -> io::Result<Self> {
        let (sender, requests) = mpsc::channel();
        reeldeck_common::thread::spawn("starter", move || {
            requests.iter().for_each(|id| on_start(id, start(id, &launch, heard.clone())));
        })?;
        Ok(Self(sender))
    }

    /// Requests the next process.
    pub(crate) fn start(&self, id: WorkerProcess) {
        // The thread ends only after this value.
        let _ = self.0.send(id);
    }
}

fn start(
    id: WorkerProcess,
    launch: &Launch,
    heard: UnboundedSender<(WorkerProcess, WorkerMessage)>,
) -> io::Result<Process> {
    let device = launch.device.clone();
    let memory_mib = launch.memory_mib;
    let mut lacked_memory = false;
    let mut error = None;
    let started = Process::start(&launch.program, move |event| {
        let event = match event {
            Event::Message(message) => WorkerMessage::Message(message),
            Event::Stderr(line) => {
                lacked_memory |= says_no_memory(&line);
                tracing::debug!(device, "{device} says: {line}");
                error = line.strip_prefix("error: ").map(str::to_owned).or(error.take());
                return;
            }
            Event::Exited(exit) => {
                let how = ended(&exit.to_string(), lacked_memory, memory_mib, error.take());
                WorkerMessage::Gone(End {
                    how,
                    was_killed: exit.was_killed(),
                    reached_cpu_limit: exit.reached_cpu_limit(),
                })
            }
        };
        let _ = heard.send((id, event));
    });
    let path = launch.program.path.display();
    started.map_err(|error| io::Error::new(error.kind(), format!("failed to start {path}: {error}")))
}

/// Whether a line of a process says that it could not allocate memory: as Rust, C++, glibc, or libtorch say it.
fn says_no_memory(line: &str) -> bool {
    let line = line.to_lowercase();
    ["memory allocation of", "bad_alloc", "cannot allocate memory", "can't allocate memory", "out of memory"]
        .iter()
        .any(|words| line.contains(words))
}

/// How a worker ended, as a sentence. `memory_mib` is its memory limit, `error` the last error that it printed.
fn ended(exit: &str, lacked_memory: bool, memory_mib: Option<u64>, error: Option<String>) -> String {
    match (lacked_memory, memory_mib) {
        (false, _) => match error {
            Some(error) => format!("the worker {exit}: {error}"),
            None => format!("the worker {exit}"),
        },
        (true, Some(mib)) => format!(
            "the worker reached its memory limit and {exit}: it may use {mib} MiB; raise memory_mib under [limits] to give it \
             more"
        ),
        (true, None) => format!(
            "the worker could not allocate memory and {exit}: end other programs, or raise the limit that was set with \
             `ulimit -v`"
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_worker_that_ran_out_of_memory_is_reported_with_its_limit() {
        for line in [
            "memory allocation of 8388608 bytes failed",
            "terminate called after throwing an instance of 'std::bad_alloc'",
            "OSError: Cannot allocate memory (os error 12)",
        ] {
            assert!(says_no_memory(line), "{line}");
        }
        assert!(!says_no_memory("job 3: A/memory.mp4"));
        let exit = "was killed by signal 6 (SIGABRT)";
        assert_eq!(ended(exit, false, Some(4096), None), "the worker was killed by signal 6 (SIGABRT)");
        let said = ended("exited with code 1", false, None, Some("no CUDA".into()));
        assert_eq!(said, "the worker exited with code 1: no CUDA");
        let limited = ended(exit, true, Some(4096), Some("no room".into()));
        assert!(limited.contains("memory limit") && limited.contains("4096 MiB; raise memory_mib under [limits]"));
        assert!(ended(exit, true, None, None).contains("ulimit -v"));
    }
}
