//! Processor and memory use of the machine, or of its control group, and of single processes.

use sysinfo::{Pid, ProcessRefreshKind, ProcessesToUpdate, System};

use crate::allocation::Memory;
use crate::protocol::snapshot::Machine;

/// What a process uses.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Used {
    /// Resident memory, in bytes.
    pub memory: u64,
    /// Percent of all cores together; none at the first measurement.
    pub busy_percent: Option<f32>,
}

/// Measures the machine.
pub(super) struct Host {
    system: Option<System>,
    cores: usize,
    /// Usage is a difference, so the first measurement has none.
    looked: bool,
    seen: Vec<Option<u32>>,
}

impl Host {
    /// Nothing is measured yet.
    pub(super) fn new() -> Self {
        let cores = crate::allocation::cores();
        Self { system: System::new().ok(), cores, looked: false, seen: vec![] }
    }

    /// Measures the machine and returns the use of each of these processes.
    pub(super) fn measure(&mut self, pids: &[Option<u32>]) -> Vec<Option<Used>> {
        let Some(system) = &mut self.system else { return vec![None; pids.len()] };
        system.refresh_memory();
        system.refresh_cpu_usage();
        let known: Vec<Pid> = pids.iter().flatten().map(|pid| Pid::from_u32(*pid)).collect();
        let kind = ProcessRefreshKind::nothing().with_memory().with_cpu();
        system.refresh_processes_specifics(ProcessesToUpdate::Some(&known), true, kind);
        let before = std::mem::replace(&mut self.seen, pids.to_vec());
        let cores = self.cores as f32;
        let used = |pid: &Option<u32>| {
            let process = system.process(Pid::from_u32((*pid)?))?;
            let busy = before.contains(pid).then(|| (process.cpu_usage() / cores).min(100.0));
            Some(Used { memory: process.memory(), busy_percent: busy })
        };
        pids.iter().map(used).collect()
    }

    /// The machine at the last measurement.
    pub(super) fn machine(&mut self) -> Machine {
        let looked = std::mem::replace(&mut self.looked, true);
        let Some(system) = &self.system else { return Machine { cores: self.cores, ..Machine::default() } };
        let (mut total, mut used) = (system.total_memory(), system.used_memory());
        if let Some(memory) = Memory::of_this_process().filter(|memory| memory.total < total) {
            (total, used) = (memory.total, memory.total.saturating_sub(memory.free));
        }
        Machine {
            cores: self.cores,
            cpu_percent: looked.then(|| system.global_cpu_usage()),
            memory: (total > 0).then_some([used, total]),
            disk: None,
            disk_needed: None,
        }
    }
}
