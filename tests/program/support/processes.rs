//! Processes in `/proc`: found by a variable in their environment, observed, and killed.

use std::fs;

use rustix::process::{Pid, Signal, kill_process};

/// The environment variable that marks the processes of a test. Children inherit it.
pub const MARK: &str = "REELDECK_TEST_MARK";

/// A process that was alive when it was found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Process {
    /// The process ID.
    pub pid: u32,
    /// The file name of its program.
    pub program: String,
    /// Start time in ticks since boot. Distinguishes it from a later process with the same ID.
    started: u64,
}

/// All living processes with this mark. Zombies have no environment and are not found.
pub fn marked(mark: &str) -> Vec<Process> {
    let wanted = format!("{MARK}={mark}");
    let is_marked = |pid: &u32| {
        let environment = fs::read(format!("/proc/{pid}/environ")).unwrap_or_default();
        environment.split(|byte| *byte == 0).any(|variable| variable == wanted.as_bytes())
    };
    let pids = fs::read_dir("/proc").unwrap().flatten().filter_map(|entry| entry.file_name().to_str()?.parse().ok());
    pids.filter(is_marked).filter_map(Process::of).collect()
}

impl Process {
    /// The process with this ID, if it is alive.
    pub fn of(pid: u32) -> Option<Self> {
        let program = fs::read_link(format!("/proc/{pid}/exe")).ok()?;
        let started = stat(&pid.to_string())?.get(19)?.parse().ok()?;
        let program = program.file_name()?.to_string_lossy().into_owned();
        Some(Self { pid, program, started }).filter(Self::lives)
    }

    /// Whether it exists and is not a zombie.
    pub fn lives(&self) -> bool {
        let Some(stat) = stat(&self.pid.to_string()) else { return false };
        stat.first().is_some_and(|state| !matches!(state.as_str(), "Z" | "X" | "x"))
            && stat.get(19).is_some_and(|started| started.parse() == Ok(self.started))
    }

    /// The living children of a process.
    pub fn children(parent: u32) -> Vec<Self> {
        let pids =
            fs::read_dir("/proc").unwrap().flatten().filter_map(|entry| entry.file_name().to_str()?.parse().ok());
        let is_child = |pid: &u32| stat(&pid.to_string()).and_then(|stat| stat.get(1)?.parse().ok()) == Some(parent);
        pids.filter(is_child).filter_map(Self::of).collect()
    }

    /// Whether it is stopped, as by SIGSTOP.
    pub fn is_stopped(&self) -> bool {
        stat(&self.pid.to_string()).is_some_and(|stat| stat.first().is_some_and(|state| state == "T"))
    }

    /// Sends SIGKILL; false if it has already ended.
    pub fn kill(&self) -> bool {
        self.lives() && self.signal()
    }

    /// Sends SIGKILL without checking first whether it is alive, which is faster.
    pub fn signal(&self) -> bool {
        kill_process(Pid::from_raw(self.pid as i32).unwrap(), Signal::KILL).is_ok()
    }

    /// CPU time so far of all its threads, ended ones included, in seconds.
    pub fn cpu_s(&self) -> f64 {
        cpu_s(&self.pid.to_string())
    }

    /// CPU time so far of the threads with this name, in seconds.
    pub fn cpu_s_of(&self, thread: &str) -> f64 {
        let tasks = fs::read_dir(format!("/proc/{}/task", self.pid)).into_iter().flatten().flatten();
        let is_named = |path: &std::path::PathBuf| {
            fs::read_to_string(path.join("comm")).is_ok_and(|name| name.trim_end() == thread)
        };
        let paths = tasks.map(|task| task.path()).filter(is_named);
        paths.map(|path| cpu_s(path.strip_prefix("/proc").unwrap().to_str().unwrap())).sum()
    }

    /// Peak memory (VmHWM) in bytes; 0 if it has ended.
    pub fn peak(&self) -> u64 {
        let status = fs::read_to_string(format!("/proc/{}/status", self.pid)).unwrap_or_default();
        let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
        let kib = line.and_then(|line| line.split_whitespace().next()?.parse::<u64>().ok());
        kib.unwrap_or(0) * 1024
    }
}

/// User and system time of a process or thread, in seconds. `/proc` counts in hundredths of a second.
fn cpu_s(task: &str) -> f64 {
    let stat = stat(task).unwrap_or_default();
    let ticks = |field: usize| stat.get(field).and_then(|text| text.parse::<u64>().ok()).unwrap_or(0);
    (ticks(11) + ticks(12)) as f64 / 100.0
}

/// The fields of `/proc/<task>/stat` from the state on. The name before it may contain spaces.
fn stat(task: &str) -> Option<Vec<String>> {
    let text = fs::read_to_string(format!("/proc/{task}/stat")).ok()?;
    Some(text.rsplit_once(')')?.1.split_whitespace().map(str::to_owned).collect())
}
