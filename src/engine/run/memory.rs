//! Why workers are killed with SIGKILL: looks at the kernel's counters and at the limit of the memory.

use indicatif::BinaryBytes;

use crate::allocation::{Groups, Memory, Source, kills_on_machine};
use crate::engine::state::Shortage;

/// The counters of the kernel at the last look.
#[derive(Debug)]
pub(super) struct MemoryWatch {
    kills: [Option<u64>; 2],
}

impl MemoryWatch {
    /// Counts from now on.
    pub(super) fn start() -> Self {
        Self { kills: kills() }
    }

    /// What is known when a process was killed.
    pub(super) fn look(&mut self) -> Shortage {
        let before = std::mem::replace(&mut self.kills, kills());
        let is_counted = before.iter().zip(&self.kills).any(|(before, now)| now > before);
        Shortage {
            is_counted,
            is_of_session: false,
            signal: "signal 9 (SIGKILL)",
            advice: advice(is_counted, Memory::of_this_process().as_ref()),
        }
    }
}

/// The same for a process that reached the limit of CPU time.
pub(super) fn cpu_limit() -> Shortage {
    let advice =
        "they reached the limit of CPU time of this session: raise the limit that `ulimit -t` shows, or remove it";
    Shortage { is_counted: true, is_of_session: true, signal: "signal 24 (SIGXCPU)", advice: advice.into() }
}

/// Those of the control group and of the machine. The processes that a scheduler ends for their memory are in neither.
fn kills() -> [Option<u64>; 2] {
    [Groups::of_this_process().kills(), kills_on_machine()]
}

fn advice(is_counted: bool, memory: Option<&Memory>) -> String {
    let cause = match is_counted {
        true => "the kernel counted that it killed processes because memory ran out",
        false => "the kernel and schedulers do that when memory runs out",
    };
    let fewer = "start fewer workers (--devices)";
    let Some(memory) = memory else { return format!("{cause}: {fewer}") };
    let Memory { total, source, .. } = memory;
    let shared = match memory.shared_by {
        1 => String::new(),
        processes => format!(", shared by {processes} processes of this step"),
    };
    let more = match source {
        Source::Machine => "end other programs, or ",
        Source::Group(_) | Source::Request => "request more memory for the job (Slurm: --mem), or ",
    };
    format!("{cause}: there are {} ({source}{shared}); {more}{fewer}", BinaryBytes(*total))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_advice_names_the_limit_and_the_next_step() {
        let of = |source| Memory { total: 1536 << 20, free: 0, source, shared_by: 1 };
        let group = advice(true, Some(&of(Source::Group("/sys/fs/cgroup/slurm/job_7".into()))));
        let says =
            "there are 1.50 GiB (the limit of the control group /sys/fs/cgroup/slurm/job_7); request more memory";
        assert!(group.contains(says) && group.contains("the kernel counted"), "{group}");
        assert!(advice(false, Some(&of(Source::Request))).contains("the memory that the Slurm job has requested"));
        let machine = advice(false, Some(&Memory { shared_by: 4, ..of(Source::Machine) }));
        assert!(machine.contains("shared by 4") && machine.contains("end other programs"), "{machine}");
        assert!(advice(false, None).contains("--devices"));
    }
}
