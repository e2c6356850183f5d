//! The batch scripts that `reeldeck slurm init` writes.

use std::path::Path;

use super::cluster::Nodes;

/// The longest time that is requested without a limit of the partition, in seconds.
const DAY: u64 = 24 * 3600;

/// Seconds before the time limit at which an engine is told to finish its videos.
const NOTICE_S: u64 = 180;

/// The most cores for an engine that computes on the CPU, and for one that only decodes for a GPU.
const MAX_CORES: [u64; 2] = [16, 12];

/// The logs of the engines, with Slurm's patterns for the names of job, array and task.
pub(crate) const ENGINE_LOG: &str = "%x_%A_%a.log";

/// The log of the export.
pub(crate) const EXPORT_LOG: &str = "%x_%j.log";

/// What the scripts are written for.
pub(crate) struct Request<'r> {
    /// The nodes that the engines run on.
    pub nodes: &'r Nodes,
    /// The number of engines; `None`: as many as fit on the nodes, at most 8.
    pub tasks: Option<u32>,
    /// Each engine gets a GPU.
    pub gpu: bool,
    /// This program.
    pub program: &'r Path,
    /// The configuration.
    pub config: &'r Path,
    /// The dataset folder, for a comment.
    pub root: &'r Path,
}

impl Request<'_> {
    fn cores(&self) -> u64 {
        let share = if self.gpu { self.nodes.cores / self.nodes.gpus.max(1) } else { self.nodes.cores };
        share.clamp(1, MAX_CORES[usize::from(self.gpu)])
    }

    /// The share of a node's memory that belongs to the cores, reduced by a tenth, because Slurm may reserve some.
    fn memory_mib(&self) -> u64 {
        let share = self.nodes.memory_mib * self.cores() / self.nodes.cores.max(1);
        (share * 9 / 10).clamp(1024, 64 << 10)
    }

    fn seconds(&self) -> u64 {
        self.nodes.limit.map_or(DAY, |limit| limit.as_secs().clamp(60, DAY))
    }

    fn tasks(&self) -> u64 {
        let on_node = if self.gpu { self.nodes.gpus.max(1) } else { (self.nodes.cores / self.cores()).max(1) };
        self.tasks.map_or_else(|| (self.nodes.count * on_node).clamp(1, 8), u64::from)
    }

    /// The script of the engines.
    pub(crate) fn engines(&self) -> String {
        let Self { nodes, gpu, program, config, root, .. } = self;
        let (gres, devices) = match gpu {
            true => ("#SBATCH --gres=gpu:1              # the GPU of an engine\n", " --devices all"),
            false => ("", ""),
        };
        // At least half of the time is for work.
        let notice = NOTICE_S.min(self.seconds() / 2);
        format!(
            "#!/bin/bash\n\
             # Extracts the features of {root}. `reeldeck slurm submit` submits this script and the export.\n\
             #\n\
             # Each task of the array is an engine. Lines below are options of sbatch; `man sbatch` explains them.\n\
             #SBATCH --job-name=reeldeck\n\
             #SBATCH --partition={partition}\n\
             #SBATCH --array=0-{last}                # the engines; 0-99%8 would run eight of a hundred at a time\n\
             {gres}\
             #SBATCH --cpus-per-task={cores}\n\
             #SBATCH --mem={memory}M\n\
             #SBATCH --time={time}\n\
             # An engine that has videos left near the end of its time finishes those in progress, and has its task queued again.\n\
             #SBATCH --signal=B:USR1@{notice}\n\
             # Slurm may queue a preempted task, or one of a lost node, again.\n\
             #SBATCH --requeue\n\
             # A task that starts again adds to its log.\n\
             #SBATCH --open-mode=append\n\
             #SBATCH --output={ENGINE_LOG}\n\
             \n\
             # exec replaces this shell by the engine, so that Slurm's signals reach it. Videos that fail do not make the task\n\
             # fail; --strict changes that.\n\
             exec {program} extract --config {config}{devices}\n",
            root = one_line(root),
            partition = nodes.partition,
            last = self.tasks() - 1,
            cores = self.cores(),
            memory = self.memory_mib(),
            time = clock(self.seconds()),
            program = quoted(program),
            config = quoted(config),
        )
    }

    /// The script of the export, which follows the engines.
    pub(crate) fn export(&self) -> String {
        format!(
            "#!/bin/bash\n\
             # Exports the features when the engines of reeldeck have ended. It extracts nothing.\n\
             #SBATCH --job-name=reeldeck-export\n\
             #SBATCH --partition={partition}\n\
             #SBATCH --cpus-per-task=2\n\
             #SBATCH --mem={memory}M\n\
             #SBATCH --time={time}\n\
             #SBATCH --open-mode=append\n\
             #SBATCH --output={EXPORT_LOG}\n\
             \n\
             # With exit code 3, some videos have no feature, and the log names them. The end of the line makes the job succeed then.\n\
             {program} export --config {config} || [ $? -eq 3 ]\n",
            partition = self.nodes.partition,
            memory = self.nodes.memory_mib.clamp(1024, 8192) * 9 / 10,
            time = clock(self.seconds().min(4 * 3600)),
            program = quoted(self.program),
            config = quoted(self.config),
        )
    }
}

/// `D-HH:MM:SS`, as sbatch takes it.
fn clock(seconds: u64) -> String {
    let (days, rest) = (seconds / 86_400, seconds % 86_400);
    format!("{days}-{:02}:{:02}:{:02}", rest / 3600, rest / 60 % 60, rest % 60)
}

/// A word for a shell.
fn quoted(path: &Path) -> String {
    format!("'{}'", path.to_string_lossy().replace('\'', "'\\''"))
}

/// A path for a comment.
fn one_line(path: &Path) -> String {
    reeldeck_common::video::printable(&path.to_string_lossy())
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::super::options::line_of_clusters;
    use super::*;

    fn nodes(gpus: u64, limit: Option<u64>) -> Nodes {
        Nodes {
            partition: "p".into(),
            is_default: true,
            is_up: true,
            limit: limit.map(Duration::from_secs),
            count: 3,
            cores: 64,
            memory_mib: 256_000,
            gpus,
        }
    }

    fn script(nodes: &Nodes, tasks: Option<u32>) -> String {
        let path = Path::new;
        let (program, config) = (path("/opt/it's here/reeldeck"), path("/home/me/config.toml"));
        Request { nodes, tasks, gpu: nodes.gpus > 0, program, config, root: path("/data/a\nb") }.engines()
    }

    #[test]
    fn requests_follow_the_nodes() {
        let with_gpus = script(&nodes(4, Some(7 * DAY)), None);
        for line in [
            "--array=0-7 ",
            "--gres=gpu:1 ",
            "--cpus-per-task=12\n",
            "--mem=43200M\n",
            "--time=1-00:00:00\n",
            "--signal=B:USR1@180\n",
        ] {
            assert!(with_gpus.contains(&format!("#SBATCH {line}")), "{line}: {with_gpus}");
        }
        assert!(
            with_gpus.ends_with(
                "exec '/opt/it'\\''s here/reeldeck' extract --config '/home/me/config.toml' --devices all\n"
            )
        );
        let short = script(&nodes(0, Some(120)), Some(2));
        for line in ["--array=0-1 ", "--cpus-per-task=16\n", "--time=0-00:02:00\n", "--signal=B:USR1@60\n"] {
            assert!(short.contains(&format!("#SBATCH {line}")), "{line}: {short}");
        }
        assert!(!short.contains("--gres") && !short.contains("--devices"), "{short}");
    }

    #[test]
    fn the_scripts_choose_no_cluster() {
        assert_eq!(line_of_clusters(&script(&nodes(4, None), None)), None);
    }

    #[test]
    fn a_name_with_a_line_break_adds_no_line() {
        let text = script(&nodes(0, None), None);
        assert!(
            text.lines().all(|line| line.is_empty() || line.starts_with('#') || line.starts_with("exec ")),
            "{text}"
        );
    }
}
