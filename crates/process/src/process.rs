//! A child process that exchanges JSON lines with this one.

use std::ffi::OsString;
use std::io::{self, BufReader, Write};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, ExitStatus, Stdio};
use std::sync::mpsc::{self, Receiver, Sender};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use reeldeck_common::protocol::{self, MAX_LINE};
use rustix::io::Errno;
use rustix::process::{Pid, Signal, WaitId, WaitIdOptions, kill_process_group, waitid};
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::confine;
use crate::exit::Exit;
use crate::lines::{LineError, LineReader};
use crate::stderr::Stderr;

/// How long a process may run after it has closed its standard output, and how long its output may stay open after it has
/// exited.
const EXIT_GRACE: Duration = Duration::from_secs(5);

/// A program to start.
#[derive(Clone, Debug)]
pub struct Program {
    /// The executable.
    pub path: PathBuf,
    /// Its arguments.
    pub arguments: Vec<OsString>,
    /// Variables that are set in addition to the inherited environment.
    pub environment: Vec<(OsString, OsString)>,
}

impl Program {
    /// A program without arguments and with the inherited environment.
    pub fn new(path: &Path) -> Self {
        Self { path: path.to_owned(), arguments: vec![], environment: vec![] }
    }
}

/// What a process does, in order: a line of standard error that was written before a message is reported before it. `M` is
/// the type of its messages.
#[derive(Debug)]
pub enum Event<M> {
    /// It wrote a message to its standard output.
    Message(M),
    /// It wrote a line to its standard error. Control characters are escaped, and a long line is cut.
    Stderr(String),
    /// It has ended. This is the last event.
    Exited(Exit),
}

/// A running child process, the leader of its own process group. It receives and sends JSON lines.
///
/// It ignores the signals that ask a program to stop, because schedulers send them to every process of a job. Dropping this
/// value kills the group. The kernel kills the process when the thread that started it ends.
#[derive(Debug)]
pub struct Process {
    group: Arc<Group>,
    input: Option<Input>,
    stderr: Arc<Mutex<Stderr>>,
}

/// The standard input of a process. Messages are queued, so sending never blocks.
#[derive(Clone, Debug)]
pub struct Input(Sender<String>);

impl Input {
    /// Sends a message as one line. A process that does not read its input any more reports that by its end.
    ///
    /// # Errors
    /// When the message has no JSON form: a path in it is not UTF-8.
    pub fn send(&self, message: &impl Serialize) -> io::Result<()> {
        self.prepare(message)?();
        Ok(())
    }

    /// Returns a function that sends a message.
    ///
    /// # Errors
    /// As [`send`](Self::send).
    pub fn prepare<M: Serialize>(&self, message: &M) -> io::Result<impl FnOnce() + Send + use<M>> {
        let (sender, line) = (self.0.clone(), protocol::line(message)?);
        Ok(move || drop(sender.send(line)))
    }
}

impl Process {
    /// Starts a program. A background thread calls `on_event` for each event; the calls do not overlap. Start it from a
    /// thread that lives as long as the process should.
    ///
    /// A message that is not a valid `M`, or a line longer than [`MAX_LINE`], ends the process.
    ///
    /// # Errors
    /// When the program cannot be started, or the threads that serve it cannot.
    pub fn start<M: DeserializeOwned + 'static>(
        program: &Program,
        on_event: impl FnMut(Event<M>) + Send + 'static,
    ) -> io::Result<Self> {
        let mut command = Command::new(&program.path);
        command
            .args(&program.arguments)
            .envs(program.environment.iter().map(|(key, value)| (key, value)))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            // Ctrl-C at the terminal must reach only this process.
            .process_group(0);
        // The program may ask for this too, but only once its libraries are loaded, which may take seconds.
        // SAFETY: between fork and exec these make system calls only; they allocate nothing and take no lock.
        unsafe { command.pre_exec(|| confine::ignore_stop_signals().and_then(|()| confine::die_with_parent())) };
        let mut child = command.spawn()?;
        let served = serve(&mut child, on_event);
        if served.is_err() {
            let _ = child.kill();
            let _ = child.wait();
        }
        let (process, supervise) = served?;
        supervise.send(child).map_err(|_| io::Error::other("its supervisor ended early"))?;
        Ok(process)
    }

    /// Starts a program whose events are received from a channel.
    ///
    /// # Errors
    /// As [`start`](Self::start).
    pub fn start_with_channel<M>(program: &Program) -> io::Result<(Self, Receiver<Event<M>>)>
    where
        M: DeserializeOwned + Send + 'static,
    {
        let (sender, events) = mpsc::channel();
        let process = Self::start(program, move |event| drop(sender.send(event)))?;
        Ok((process, events))
    }

    /// The process id, which is also the id of its group.
    pub fn pid(&self) -> u32 {
        self.group.id.as_raw_nonzero().get().unsigned_abs()
    }

    /// Sends a message. After [`kill`](Self::kill) it is dropped.
    ///
    /// # Errors
    /// As [`Input::send`].
    pub fn send(&self, message: &impl Serialize) -> io::Result<()> {
        self.input.as_ref().map_or(Ok(()), |input| input.send(message))
    }

    /// Its standard input, for sending from another place; `None` after [`kill`](Self::kill).
    pub fn input(&self) -> Option<Input> {
        self.input.clone()
    }

    /// The last lines of its standard error, oldest first.
    pub fn stderr(&self) -> Vec<String> {
        lock(&self.stderr).last_lines()
    }

    /// Suspends the process and everything that it has started in its group.
    pub fn freeze(&self) {
        self.group.signal(Signal::STOP);
    }

    /// Resumes a frozen process.
    pub fn thaw(&self) {
        self.group.signal(Signal::CONT);
    }

    /// Kills the process and everything that it has started in its group, frozen or not. [`Event::Exited`] follows once the
    /// process is gone, which may take long while it waits for a disk that hangs.
    pub fn kill(&mut self) {
        self.input = None;
        self.group.end("was stopped by reeldeck".into());
    }

    /// Waits until the process has ended. False when it still runs after `limit`.
    pub fn wait(&self, limit: Duration) -> bool {
        let group = &self.group;
        let waited = group.ended.wait_timeout_while(lock(&group.state), limit, |state| !state.has_exited);
        waited.unwrap_or_else(PoisonError::into_inner).0.has_exited
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.kill();
    }
}

/// The process group, whose id stays valid until its leader is reaped.
#[derive(Debug)]
struct Group {
    id: Pid,
    state: Mutex<State>,
    ended: Condvar,
}

#[derive(Debug, Default)]
struct State {
    has_exited: bool,
    /// Why this side ended the process.
    reason: Option<String>,
}

impl Group {
    fn signal(&self, signal: Signal) {
        let state = lock(&self.state);
        // Afterwards the id may belong to another group.
        if !state.has_exited {
            let _ = kill_process_group(self.id, signal);
        }
    }

    /// Kills the group. The first reason counts.
    fn end(&self, reason: String) {
        lock(&self.state).reason.get_or_insert(reason);
        self.signal(Signal::KILL);
    }

    /// Waits until the leader has exited, kills what is left of the group, and reaps the leader.
    fn reap(&self, mut child: Child) -> Option<ExitStatus> {
        // The leader stays a zombie, so that the group's id cannot be used again before the group is killed.
        let options = WaitIdOptions::EXITED | WaitIdOptions::NOWAIT;
        while matches!(waitid(WaitId::Pid(self.id), options), Err(Errno::INTR)) {}
        self.signal(Signal::KILL);
        let mut state = lock(&self.state);
        let status = child.wait().ok();
        state.has_exited = true;
        self.ended.notify_all();
        status
    }
}

/// Starts the threads that serve a process. The supervisor waits for the child to be sent to it.
fn serve<M: DeserializeOwned + 'static>(
    child: &mut Child,
    on_event: impl FnMut(Event<M>) + Send + 'static,
) -> io::Result<(Process, Sender<Child>)> {
    let missing = || io::Error::other("it has no standard input, output or error");
    let id = i32::try_from(child.id()).ok().and_then(Pid::from_raw).ok_or_else(missing)?;
    let stdin = child.stdin.take().ok_or_else(missing)?;
    let stdout = child.stdout.take().ok_or_else(missing)?;
    let stderr = child.stderr.take().ok_or_else(missing)?;

    let group = Arc::new(Group { id, state: Mutex::default(), ended: Condvar::new() });
    let (stderr, stderr_pipe) = Stderr::new(stderr)?;
    let stderr = Arc::new(Mutex::new(stderr));
    // `None` after the last event.
    let emit = Arc::new(Mutex::new(Some(on_event)));
    let (input, queue) = mpsc::channel();
    // Disconnected when the thread that owns the other end is done.
    let (stdout_open, stdout_closed) = mpsc::channel::<()>();
    let (stderr_open, stderr_closed) = mpsc::channel::<()>();
    let (supervise, supervised) = mpsc::channel::<Child>();

    spawn("stdin", move || write_lines(stdin, &queue))?;
    spawn("stdout", {
        let (group, emit, stderr) = (Arc::clone(&group), Arc::clone(&emit), Arc::clone(&stderr));
        move || {
            let _open = stdout_open;
            read_messages(stdout, &group, |message| {
                // The other thread may not have seen yet what was written before the message.
                lock(&stderr).read_available(|line| emit_to(&emit, Event::Stderr(line)));
                emit_to(&emit, Event::Message(message));
            });
        }
    })?;
    spawn("stderr", {
        let (stderr, emit) = (Arc::clone(&stderr), Arc::clone(&emit));
        move || {
            let _open = stderr_open;
            while stderr_pipe.wait() && lock(&stderr).read_available(|line| emit_to(&emit, Event::Stderr(line))) {}
        }
    })?;
    spawn("supervisor", {
        let group = Arc::clone(&group);
        move || {
            let Ok(child) = supervised.recv() else { return };
            let status = group.reap(child);
            // What the process has written is read before its end is reported. A process of another group may hold the
            // pipes open for longer.
            let deadline = Instant::now() + EXIT_GRACE;
            for closed in [stdout_closed, stderr_closed] {
                let _ = closed.recv_timeout(deadline.saturating_duration_since(Instant::now()));
            }
            // Only now: a process may end before its last line turns out to be invalid.
            let reason = lock(&group.state).reason.clone();
            if let Some(mut emit) = lock(&emit).take() {
                emit(Event::Exited(Exit { reason, status }));
            }
        }
    })?;
    Ok((Process { group, input: Some(Input(input)), stderr }, supervise))
}

fn spawn(name: &str, work: impl FnOnce() + Send + 'static) -> io::Result<()> {
    reeldeck_common::thread::spawn(name, work).map(drop)
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn emit_to<M>(emit: &Mutex<Option<impl FnMut(Event<M>)>>, event: Event<M>) {
    if let Some(emit) = lock(emit).as_mut() {
        emit(event);
    }
}

/// Writes queued lines until there is no sender any more. Then it closes the pipe.
fn write_lines(mut stdin: ChildStdin, queue: &Receiver<String>) {
    for line in queue {
        if stdin.write_all(line.as_bytes()).is_err() {
            return;
        }
    }
}

/// Reads messages until the output is closed. A process that sends anything else, or does not exit then, is killed.
fn read_messages<M: DeserializeOwned>(stdout: ChildStdout, group: &Group, mut each: impl FnMut(M)) {
    let mut reader = LineReader::new(BufReader::new(stdout), MAX_LINE);
    let invalid = loop {
        match reader.next_message() {
            Ok(Some(message)) => each(message),
            // The exit code says more than an incomplete line.
            Ok(None) | Err(LineError::Incomplete) => {
                let state = lock(&group.state);
                let waited = group.ended.wait_timeout_while(state, EXIT_GRACE, |state| !state.has_exited);
                let has_exited = waited.unwrap_or_else(PoisonError::into_inner).0.has_exited;
                if has_exited {
                    return;
                }
                break format!("closed its output but did not exit within {} s", EXIT_GRACE.as_secs());
            }
            Err(error) => break format!("broke the protocol: {error}"),
        }
    };
    group.end(invalid);
}
