//! A Slurm of the test's own, from scripts/slurm.sh.

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};

use crate::support::{Bench, Ran, wait_for};
use reeldeck::internals::client::runs;

/// A dataset, and a cluster that can work on it.
pub struct Cluster {
    pub bench: Bench,
}

impl Cluster {
    /// Starts a cluster with so many nodes of eight cores. `None`, with a word about it, where Slurm is not installed.
    pub fn start(nodes: u32, videos: &[(&str, &str)]) -> Option<Self> {
        let installed = std::env::split_paths(&search_path()).any(|folder| folder.join("slurmctld").is_file());
        if !installed {
            eprintln!("SKIPPED: Slurm is not installed; `make setup-tests` installs it where it may");
            return None;
        }
        let bench = Bench::new(videos);
        bench.configure("[engine]\norder = \"list\"\nlinger_s = 1\n[batch]\nplain_interval_s = 1\n");
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("scripts/slurm.sh");
        let mut command = Command::new(script);
        // Its processes must not hold the pipes of the test.
        let (out, error) = (bench.path("slurm.out"), bench.path("slurm.err"));
        command.arg(bench.path("slurm")).arg(nodes.to_string()).env("PATH", search_path());
        command.stdout(fs::File::create(out).unwrap()).stderr(fs::File::create(&error).unwrap());
        let status = command.status().unwrap();
        let cluster = Self { bench };
        assert!(status.success(), "{}", fs::read_to_string(error).unwrap());
        Some(cluster)
    }

    fn within(&self, mut command: Command) -> Ran {
        Ran::to_the_end(command.env("SLURM_CONF", self.bench.path("slurm/slurm.conf")))
    }

    /// A command of reeldeck that succeeds. Returns its standard output.
    pub fn reeldeck(&self, arguments: &[&str]) -> String {
        let ran = self.within(self.bench.command(arguments));
        assert_eq!(ran.code, 0, "{arguments:?}: {ran:?}");
        ran.stdout
    }

    /// A program of Slurm that succeeds. Returns its standard output.
    pub fn slurm(&self, program: &str, arguments: &[&str]) -> String {
        let mut command = Command::new(program);
        command
            .args(arguments)
            .current_dir(self.bench.dir.path())
            .env("REELDECK_WORKER", crate::support::fake_worker());
        let ran = self.within(command);
        assert_eq!(ran.code, 0, "{program} {arguments:?}: {ran:?}");
        ran.stdout.trim().to_owned()
    }

    /// Writes the scripts and submits them. Returns the ids of the engines and of the export.
    pub fn submit(&self, engines: u32) -> (String, String) {
        self.submit_to("main", engines)
    }

    /// The same in another partition.
    pub fn submit_to(&self, partition: &str, engines: u32) -> (String, String) {
        self.reeldeck(&["slurm", "init", "--partition", partition, "--engines", &engines.to_string()]);
        let said = self.reeldeck(&["slurm", "submit"]);
        let mut ids = said.lines().map(|line| {
            let id = line.split("as job ").nth(1).unwrap_or_else(|| panic!("{said}"));
            id.chars().take_while(char::is_ascii_digit).collect::<String>()
        });
        (ids.next().unwrap(), ids.next().unwrap())
    }

    /// Submits a script of these lines. Returns the id of the job, whose log is `log("step", 0)`.
    pub fn job(&self, options: &[&str], lines: &str) -> String {
        let name = format!("{}.sbatch", fs::read_dir(self.bench.dir.path()).unwrap().count());
        let head = "#!/bin/bash\n#SBATCH --requeue --open-mode=append --output=reeldeck_step_0.log\n";
        fs::write(self.bench.path(&name), format!("{head}{lines}\n")).unwrap();
        self.slurm("sbatch", &[&["--parsable"], options, &[&name]].concat())
    }

    /// A field that `scontrol show job` prints, such as `JobState`.
    pub fn field(&self, job: &str, name: &str) -> String {
        let text = self.slurm("scontrol", &["show", "job", "--oneliner", job]);
        let value = text.split_whitespace().find_map(|word| word.strip_prefix(&format!("{name}=")));
        value.unwrap_or_else(|| panic!("{name}: {text}")).to_owned()
    }

    pub fn wait_for_state(&self, job: &str, state: &str) {
        wait_for(&format!("{job} is {state}"), || self.field(job, "JobState") == state);
    }

    /// Kills everything on the node of a job: its engine and the daemons.
    pub fn lose_node(&self, job: &str) {
        let node: usize = self.field(job, "BatchHost").trim_start_matches('n').parse().unwrap();
        let pids = fs::read_to_string(self.bench.path("slurm/pids")).unwrap();
        // The first one is the controller.
        let daemon = pids.split_whitespace().nth(node).unwrap().to_owned();
        let [engine] = &*runs(&self.bench.path("out")).unwrap() else { panic!("not one engine") };
        let engine = engine.pid.to_string();
        let stat = fs::read_to_string(format!("/proc/{engine}/stat")).unwrap();
        let step = stat.rsplit(") ").next().unwrap().split(' ').nth(1).unwrap().to_owned();
        assert!(Command::new("kill").args(["-9", &daemon, &step, &engine]).status().unwrap().success());
    }

    /// The log of a task so far.
    pub fn log(&self, job: &str, task: u32) -> String {
        fs::read_to_string(self.bench.path(&format!("reeldeck_{job}_{task}.log"))).unwrap_or_default()
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        let pids = fs::read_to_string(self.bench.path("slurm/pids")).unwrap_or_default();
        let pids: Vec<&str> = pids.split_whitespace().collect();
        // The daemons of the nodes end the processes of jobs that are left.
        let _ = Command::new("scancel")
            .args(["--user", "root", "--signal=KILL", "--full"])
            .env("SLURM_CONF", self.bench.path("slurm/slurm.conf"))
            .status();
        let _ = Command::new("kill").args(&pids).stderr(Stdio::null()).status();
    }
}

/// Daemons are outside of the search path of users.
fn search_path() -> std::ffi::OsString {
    let mut path = std::env::var_os("PATH").unwrap_or_default();
    path.push(":/usr/sbin");
    path
}
