//! What this process may use of the machine: cores and memory, as the kernel and the scheduler of the job limit them. Several
//! processes of one Slurm step share what the step has on this node.

mod group;

use std::fmt;
use std::path::{Path, PathBuf};

use indicatif::BinaryBytes;

pub(crate) use group::Groups;

/// What sets the amount of memory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Source {
    /// The machine itself.
    Machine,
    /// A control group, by its folder.
    Group(PathBuf),
    /// The job requested so much (`--mem`, `--mem-per-cpu`). Slurm may end it beyond that.
    Request,
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Machine => f.write_str("the memory of this machine"),
            Self::Group(folder) => write!(f, "the limit of the control group {}", folder.display()),
            Self::Request => f.write_str("the memory that the Slurm job has requested"),
        }
    }
}

/// The memory for this process and its children.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Memory {
    /// In bytes.
    pub total: u64,
    /// Bytes that are free now.
    pub free: u64,
    /// What sets `total`.
    pub source: Source,
    /// Processes of the same step on this node, which share it.
    pub shared_by: u64,
}

impl Memory {
    /// That of this process; `None` where the kernel does not report any.
    pub(crate) fn of_this_process() -> Option<Self> {
        let mut system = sysinfo::System::new().ok()?;
        system.refresh_memory();
        let machine = (system.total_memory(), system.available_memory());
        Some(Self::within(machine, &Groups::of_this_process(), &Step::of_this_process()))
    }

    fn within((total, free): (u64, u64), groups: &Groups, step: &Step) -> Self {
        let mut memory = Self { total, free, source: Source::Machine, shared_by: step.tasks };
        if let Some(limit) = groups.limit().filter(|limit| limit.bytes < total) {
            (memory.total, memory.source) = (limit.bytes, Source::Group(limit.group));
        }
        if let Some(requested) = step.memory.filter(|requested| *requested < memory.total) {
            (memory.total, memory.source) = (requested, Source::Request);
        }
        memory.free = free.min(groups.free().unwrap_or(u64::MAX)).min(memory.total);
        memory
    }

    /// The part of this process: total and free bytes.
    pub(crate) fn share(&self) -> (u64, u64) {
        (self.total / self.shared_by, self.free / self.shared_by)
    }
}

impl fmt::Display for Memory {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} free of {}: {}", BinaryBytes(self.free), BinaryBytes(self.total), self.source)?;
        if self.shared_by > 1 { write!(f, ", shared by {} processes", self.shared_by) } else { Ok(()) }
    }
}

/// The number of cores that this process may use.
pub(crate) fn cores() -> usize {
    // The standard library respects the affinity and the quota of the control group.
    let allowed = std::thread::available_parallelism().map_or(1, usize::from);
    Step::of_this_process().cores.map_or(allowed, |cores| cores.clamp(1, allowed))
}

/// How many processes the kernel has killed on this machine for lack of memory since it started.
pub(crate) fn kills_on_machine() -> Option<u64> {
    group::value(Path::new("/proc/vmstat"), "oom_kill")
}

/// What a Slurm job gives to this process on this node.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Step {
    /// Processes of the step on this node, this one included.
    tasks: u64,
    cores: Option<usize>,
    /// Bytes for all processes of the job on this node.
    memory: Option<u64>,
}

impl Step {
    fn of_this_process() -> Self {
        Self::of(|name| std::env::var(name).ok())
    }

    fn of(variable: impl Fn(&str) -> Option<String>) -> Self {
        let none = Self { tasks: 1, cores: None, memory: None };
        if variable("SLURM_JOB_ID").is_none() {
            return none;
        }
        let number = |name: &str| variable(name)?.trim().parse::<u64>().ok().filter(|number| *number > 0);
        let node = variable("SLURM_NODEID").and_then(|node| node.parse().ok()).unwrap_or(0);
        // A batch script also has the variables of its tasks, although it is a single process.
        let in_step = number("SLURM_STEP_NUM_TASKS").is_some();
        let tasks = variable("SLURM_STEP_TASKS_PER_NODE").filter(|_| in_step);
        let tasks = tasks.and_then(|list| of_node(&list, node)).unwrap_or(1).max(1);
        let on_node = number("SLURM_CPUS_ON_NODE");
        let cores = match in_step {
            true => number("SLURM_CPUS_PER_TASK").or(on_node.map(|cores| cores.div_ceil(tasks))),
            false => on_node,
        };
        let per_core = || Some(number("SLURM_MEM_PER_CPU")? * on_node?);
        let memory = number("SLURM_MEM_PER_NODE").or_else(per_core).map(|mib| mib << 20);
        Self { tasks, cores: cores.and_then(|cores| usize::try_from(cores).ok()), memory }
    }
}

/// The entry of a node in a list such as `4(x2),1`.
fn of_node(list: &str, node: usize) -> Option<u64> {
    let entry = |entry: &str| {
        let (count, times) = match entry.split_once("(x") {
            Some((count, times)) => (count, times.trim_end_matches(')').parse().ok()?),
            None => (entry, 1),
        };
        Some(std::iter::repeat_n(count.trim().parse().ok()?, times))
    };
    list.split(',').map_while(entry).flatten().nth(node)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn step(variables: &[(&str, &str)]) -> Step {
        Step::of(|name| variables.iter().find(|(key, _)| *key == name).map(|(_, value)| (*value).to_owned()))
    }

    #[test]
    fn processes_of_a_step_share_its_cores_and_memory() {
        assert_eq!(step(&[("SLURM_CPUS_ON_NODE", "8")]), Step { tasks: 1, cores: None, memory: None });
        let job = [("SLURM_JOB_ID", "7"), ("SLURM_CPUS_ON_NODE", "8"), ("SLURM_MEM_PER_NODE", "4096")];
        let batch = step(&[&job[..], &[("SLURM_CPUS_PER_TASK", "2"), ("SLURM_TASKS_PER_NODE", "4")]].concat());
        assert_eq!(
            batch,
            Step { tasks: 1, cores: Some(8), memory: Some(4 << 30) },
            "a batch script has the whole node"
        );
        let four = [("SLURM_STEP_NUM_TASKS", "9"), ("SLURM_STEP_TASKS_PER_NODE", "4(x2),1")];
        for (node, tasks, cores) in [("0", 4, 2), ("1", 4, 2), ("2", 1, 8)] {
            let found = step(&[&job[..], &four, &[("SLURM_NODEID", node)]].concat());
            assert_eq!((found.tasks, found.cores), (tasks, Some(cores)), "node {node}");
        }
        let per_core = [("SLURM_JOB_ID", "7"), ("SLURM_CPUS_ON_NODE", "2"), ("SLURM_MEM_PER_CPU", "100")];
        assert_eq!(step(&per_core).memory, Some(200 << 20));
        let all = step(&[("SLURM_JOB_ID", "7"), ("SLURM_MEM_PER_NODE", "0")]);
        assert_eq!(all.memory, None, "--mem=0 requests all memory of the node");
    }

    #[test]
    fn the_smallest_of_machine_group_and_request_counts() {
        let of = |request: Option<u64>| {
            let step = Step { tasks: 2, cores: None, memory: request };
            Memory::within((1000, 900), &Groups::default(), &step)
        };
        assert_eq!((of(None).total, of(None).source, of(None).share()), (1000, Source::Machine, (500, 450)));
        assert_eq!((of(Some(600)).total, of(Some(600)).free, of(Some(600)).source), (600, 600, Source::Request));
        assert_eq!(of(Some(2000)).source, Source::Machine);
    }
}
