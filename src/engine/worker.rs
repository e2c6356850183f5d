//! A worker process: starts it, exchanges JSON lines with it, and watches it until it exits.

use std::collections::VecDeque;
use std::ffi::OsString;
use std::io;
use std::path::PathBuf;
use std::process::{ExitStatus, Stdio};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use reeldeck_common::protocol::{self, FromWorker, MAX_LINE, ToWorker};
use rustix::process::{Pid, Signal, kill_process_group};
use tokio::io::{AsyncBufRead, AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::process::{Child, Command};
use tokio::sync::{mpsc, oneshot};

use super::state::WorkerProcess;

/// Lines of standard error kept for a failure file.
const STDERR_LINES: usize = 20;
const STDERR_LINE: usize = 400;

/// How long a worker that has closed its output may take to exit.
const LEAVING: Duration = Duration::from_secs(5);

/// How to start a worker.
#[derive(Clone, Debug)]
pub struct Launch {
    /// Its device, for the log.
    pub device: String,
    /// The program and its arguments.
    pub program: PathBuf,
    /// Set for the process, over its inherited environment.
    pub environment: Vec<(OsString, OsString)>,
}

/// An event of a worker process.
#[derive(Debug)]
pub enum Heard {
    /// A message.
    Message(FromWorker),
    /// It has exited or sent an invalid message; with a description. The last event.
    Gone(String),
}

/// A running worker process. Dropping it kills the process.
pub struct Process {
    input: Option<mpsc::UnboundedSender<String>>,
    kill: Option<oneshot::Sender<()>>,
    group: Option<Pid>,
    stderr: Arc<Mutex<VecDeque<String>>>,
}

impl Process {
    /// Starts a worker. Its events go to `heard` with `id`. Call from a thread that lives as long as the engine: the kernel
    /// kills the worker when the thread that started it exits.
    ///
    /// # Errors
    /// When the program cannot be started.
    pub fn start(
        id: WorkerProcess,
        launch: &Launch,
        heard: mpsc::UnboundedSender<(WorkerProcess, Heard)>,
    ) -> io::Result<Self> {
        let mut command = Command::new(&launch.program);
        // The worker asks for this too, but not before its libraries are loaded, which may take seconds.
        // SAFETY: between fork and exec this makes one system call; it allocates nothing and takes no lock.
        unsafe { command.pre_exec(reeldeck_process::confine::die_with_parent) };
        let mut child = command
            .envs(launch.environment.iter().map(|(key, value)| (key, value)))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            // A process group of its own, so that Ctrl-C at the terminal reaches the engine only.
            .process_group(0)
            .kill_on_drop(true)
            .spawn()?;
        let group = child.id().and_then(|pid| Pid::from_raw(pid as i32));
        let (input, mut lines) = mpsc::unbounded_channel::<String>();
        if let Some(mut stdin) = child.stdin.take() {
            tokio::spawn(async move {
                while let Some(line) = lines.recv().await {
                    // A worker that has closed its input is exiting, which is an event of its own.
                    if stdin.write_all(line.as_bytes()).await.is_err() {
                        return;
                    }
                }
            });
        }
        let stderr = Arc::new(Mutex::new(VecDeque::new()));
        let device = launch.device.clone();
        let errors =
            child.stderr.take().map(|pipe| tokio::spawn(keep_last(BufReader::new(pipe), Arc::clone(&stderr), device)));
        let (kill, killed) = oneshot::channel();
        tokio::spawn(async move {
            // The engine must learn of the exit also when this task panics, or it would wait for ever.
            let followed = tokio::spawn(follow(id, child, killed, heard.clone())).await;
            let how = followed.unwrap_or_else(|error| format!("its supervision failed: {error}"));
            if let Some(errors) = errors {
                // The last lines explain the exit. The wait is bounded because a grandchild may hold the pipe open.
                let _ = tokio::time::timeout(Duration::from_millis(500), errors).await;
            }
            let _ = heard.send((id, Heard::Gone(how)));
        });
        Ok(Self { input: Some(input), kill: Some(kill), group, stderr })
    }

    /// Sends a message. Where the worker has exited, the message is dropped; its exit is an event of its own.
    pub fn send(&self, message: &ToWorker) {
        if let (Some(input), Ok(line)) = (&self.input, protocol::line(message)) {
            let _ = input.send(line);
        }
    }

    /// Returns a function that sends a message.
    pub fn sending(&self, message: &ToWorker) -> impl FnOnce() + Send + use<> {
        let (input, line) = (self.input.clone(), protocol::line(message));
        move || {
            if let (Some(input), Ok(line)) = (input, line) {
                let _ = input.send(line);
            }
        }
    }

    /// Its process id, while it runs.
    pub fn pid(&self) -> Option<u32> {
        self.group.and_then(|group| u32::try_from(group.as_raw_nonzero().get()).ok())
    }

    /// Suspends the process and its children.
    pub fn freeze(&self) {
        self.signal(Signal::STOP);
    }

    /// Resumes the process and its children.
    pub fn thaw(&self) {
        self.signal(Signal::CONT);
    }

    fn signal(&self, signal: Signal) {
        if let Some(group) = self.group {
            // The process may have just exited.
            let _ = kill_process_group(group, signal);
        }
    }

    /// Kills the process.
    pub fn kill(&mut self) {
        self.input = None;
        if let Some(kill) = self.kill.take() {
            let _ = kill.send(());
        }
    }

    /// The last lines of standard error.
    pub fn stderr(&self) -> Vec<String> {
        self.stderr.lock().unwrap_or_else(PoisonError::into_inner).iter().cloned().collect()
    }
}

/// Passes messages on until the process exits. Returns a description of the exit.
async fn follow(
    id: WorkerProcess,
    mut child: Child,
    mut killed: oneshot::Receiver<()>,
    heard: mpsc::UnboundedSender<(WorkerProcess, Heard)>,
) -> String {
    let Some(stdout) = child.stdout.take() else { return "it has no standard output".into() };
    let mut reader = BufReader::new(stdout);
    let mut end = None;
    while end.is_none() {
        tokio::select! {
            line = next_line(&mut reader) => match line.map(|line| serde_json::from_slice::<FromWorker>(&line)) {
                Some(Ok(message)) => drop(heard.send((id, Heard::Message(message)))),
                Some(Err(error)) => end = Some(format!("it said what no worker says ({error})")),
                // A process that has closed its output is exiting. If it does not, it is killed.
                None => match tokio::time::timeout(LEAVING, child.wait()).await {
                    Ok(Ok(status)) => return in_words(status),
                    _ => end = Some("it closed its output and stayed".into()),
                },
            },
            _ = &mut killed => end = Some("it was ended by the engine".into()),
        }
    }
    // It may have exited in the meantime.
    let _ = child.kill().await;
    end.unwrap_or_default()
}

/// One line without its end; none at the end of the stream, or where a line is longer than `MAX_LINE`.
async fn next_line(reader: &mut (impl AsyncBufRead + Unpin)) -> Option<Vec<u8>> {
    let mut line = vec![];
    let read = reader.take(MAX_LINE as u64).read_until(b'\n', &mut line).await.ok()?;
    (read > 0 && line.pop() == Some(b'\n')).then_some(line)
}

async fn keep_last(mut pipe: impl AsyncBufRead + Unpin, lines: Arc<Mutex<VecDeque<String>>>, device: String) {
    let mut line = vec![];
    while let Ok(1..) = (&mut pipe).take(1 << 16).read_until(b'\n', &mut line).await {
        let text: String = String::from_utf8_lossy(&line).trim_end().chars().take(STDERR_LINE).collect();
        line.clear();
        tracing::debug!(device, "{device} says: {text}");
        let mut lines = lines.lock().unwrap_or_else(PoisonError::into_inner);
        if lines.len() == STDERR_LINES {
            lines.pop_front();
        }
        lines.push_back(text);
    }
}

fn in_words(status: ExitStatus) -> String {
    use std::os::unix::process::ExitStatusExt;
    match (status.code(), status.signal()) {
        (Some(0), _) => "the worker left".into(),
        (Some(code), _) => format!("the worker ended with exit code {code}"),
        (None, Some(9)) => "the worker was killed (signal 9); where nobody did it, the host had no memory left".into(),
        (None, Some(signal)) => format!("the worker was ended by signal {signal}"),
        (None, None) => "the worker ended".into(),
    }
}
