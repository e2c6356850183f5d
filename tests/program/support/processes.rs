//! Processes as `/proc` shows them: found by a mark in their environment, watched, and ended.

use std::fs;

use rustix::process::{Pid, Signal, kill_process};

/// The variable that marks a test's processes: children inherit it, also those that nobody tells us of.
pub const MARK: &str = "REELDECK_TEST_MARK";

/// A process that was there when it was looked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Process {
    /// Its number.
    pub pid: u32,
    /// Its program's file name.
    pub program: String,
    /// In ticks since the machine began: tells it from a later process of the same number.
    started: u64,
}

/// All that live and bear this mark. Those that are dead and not yet buried have no environment any more.
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
    /// The process of this number, if it lives.
    pub fn of(pid: u32) -> Option<Self> {
        let program = fs::read_link(format!("/proc/{pid}/exe")).ok()?;
        let started = stat(&pid.to_string())?.get(19)?.parse().ok()?;
        let program = program.file_name()?.to_string_lossy().into_owned();
        Some(Self { pid, program, started }).filter(Self::lives)
    }

    /// It is there and not dead.
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

    /// It is stopped, as by SIGSTOP.
    pub fn is_stopped(&self) -> bool {
        stat(&self.pid.to_string()).is_some_and(|stat| stat.first().is_some_and(|state| state == "T"))
    }

    /// Ends it with signal 9; false where it was gone by itself.
    pub fn kill(&self) -> bool {
        self.lives() && self.signal()
    }

    /// Sends signal 9 without looking first whether it lives, where every microsecond counts.
    pub fn signal(&self) -> bool {
        kill_process(Pid::from_raw(self.pid as i32).unwrap(), Signal::KILL).is_ok()
    }

    /// CPU time of all its threads so far, those that have ended included, in seconds.
    pub fn cpu_s(&self) -> f64 {
        cpu_s(&self.pid.to_string())
    }

    /// CPU time so far of the threads of this name, in seconds.
    pub fn cpu_s_of(&self, thread: &str) -> f64 {
        let tasks = fs::read_dir(format!("/proc/{}/task", self.pid)).into_iter().flatten().flatten();
        let is_named = |path: &std::path::PathBuf| {
            fs::read_to_string(path.join("comm")).is_ok_and(|name| name.trim_end() == thread)
        };
        let paths = tasks.map(|task| task.path()).filter(is_named);
        paths.map(|path| cpu_s(path.strip_prefix("/proc").unwrap().to_str().unwrap())).sum()
    }

    /// The most memory that it has had so far, in bytes; 0 where it is gone.
    pub fn peak(&self) -> u64 {
        let status = fs::read_to_string(format!("/proc/{}/status", self.pid)).unwrap_or_default();
        let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
        let kib = line.and_then(|line| line.split_whitespace().next()?.parse::<u64>().ok());
        kib.unwrap_or(0) * 1024
    }
}

/// User and system time of a process or thread, in seconds. The kernel counts hundredths for user space on every
/// architecture that we know.
fn cpu_s(task: &str) -> f64 {
    let stat = stat(task).unwrap_or_default();
    let ticks = |field: usize| stat.get(field).and_then(|text| text.parse::<u64>().ok()).unwrap_or(0);
    (ticks(11) + ticks(12)) as f64 / 100.0
}

/// The fields of `/proc/<task>/stat` from the state on: those before may hold spaces.
fn stat(task: &str) -> Option<Vec<String>> {
    let text = fs::read_to_string(format!("/proc/{task}/stat")).ok()?;
    Some(text.rsplit_once(')')?.1.split_whitespace().map(str::to_owned).collect())
}
