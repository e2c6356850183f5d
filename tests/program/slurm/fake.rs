//! `reeldeck slurm` with programs that stand for Slurm's and write down how they are called.

use std::ffi::OsStr;
use std::fs::{self, Permissions};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Command, Stdio};

use crate::support::{Bench, Ran, wait_for};

/// The scripts are in the folder `work`.
struct Fake {
    bench: Bench,
}

impl Fake {
    /// Programs that succeed, and an output folder for which the engines 12 and the export 13 were submitted.
    fn new() -> Self {
        let fake = Self { bench: Bench::new(&[("A/v_1.mp4", "ok")]) };
        fs::create_dir(fake.bench.path("bin")).unwrap();
        for (program, lines) in [
            ("sbatch", "case \"$*\" in *export*) echo 13 ;; *) echo 12 ;; esac"),
            ("scancel", ""),
            ("scontrol", ""),
            ("sinfo", "echo 'main*|up|1-00:00:00|2|8|16000|(null)'"),
            ("squeue", "echo \"$3|PENDING||1:00|None\""),
        ] {
            fake.program(program, lines);
        }
        for name in ["reeldeck.sbatch", "reeldeck-export.sbatch"] {
            fs::write(fake.bench.path(name), "#!/bin/sh\n").unwrap();
        }
        fs::create_dir_all(fake.bench.path("out/.reeldeck")).unwrap();
        fake.record(r#"["12"]"#, "\"13\"");
        fake
    }

    fn program(&self, name: &str, lines: &str) {
        let (path, calls) = (self.bench.path("bin").join(name), self.bench.path("calls"));
        let text = format!("#!/bin/sh\necho {name} \"$*\" >> '{0}'\nenv >> '{0}.env'\n{lines}\n", calls.display());
        fs::write(&path, text).unwrap();
        fs::set_permissions(&path, Permissions::from_mode(0o755)).unwrap();
    }

    fn record(&self, engines: &str, export: &str) {
        let script = fs::canonicalize(self.bench.path("reeldeck.sbatch")).unwrap();
        let text = format!("{{\"script\":{script:?},\"engines\":{engines},\"export\":{export}}}");
        fs::write(self.bench.path("out/.reeldeck/slurm.json"), text).unwrap();
    }

    fn recorded(&self) -> String {
        fs::read_to_string(self.bench.path("out/.reeldeck/slurm.json")).unwrap()
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = self.bench.command(&["slurm"]);
        let mut path = self.bench.path("bin").into_os_string();
        path.push(":");
        path.push(std::env::var_os("PATH").unwrap());
        command.args(arguments).env("PATH", path);
        command
    }

    fn run(&self, arguments: &[&str]) -> Ran {
        Ran::to_the_end(&mut self.command(arguments))
    }

    /// The calls of a program so far.
    fn calls(&self, program: &str) -> Vec<String> {
        let text = fs::read_to_string(self.bench.path("calls")).unwrap_or_default();
        text.lines().filter(|line| line.split(' ').next() == Some(program)).map(str::to_owned).collect()
    }
}

#[test]
fn scancel_is_called_with_ids_only() {
    for arguments in [&["stop"][..], &["stop", "--now"]] {
        let fake = Fake::new();
        fake.record(r#"["12"]"#, "null");
        let ran = fake.run(arguments);
        assert_eq!(ran.code, 0, "{ran:?}");
        let calls = fake.calls("scancel");
        assert!(!calls.is_empty() && calls.iter().all(|call| call.ends_with(" -- 12")), "{calls:?}");
    }
}

#[test]
fn variables_that_select_jobs_do_not_reach_slurm() {
    let fake = Fake::new();
    let removed = ["SCANCEL_USER", "SQUEUE_PARTITION", "SQUEUE_USERS", "SINFO_PARTITION", "SCONTROL_ALL"];
    let removed = [&removed[..], &["SLURM_CLUSTERS", "SBATCH_CLUSTERS", "SBATCH_WAIT", "SLURM_TIME_FORMAT"]].concat();
    let kept = ["SLURM_CONF", "SBATCH_ACCOUNT", "SBATCH_PARTITION"];
    for arguments in [&["init", "--script", "new"][..], &["stop"], &["status"], &["add", "1"]] {
        let mut command = fake.command(arguments);
        command.envs(removed.iter().chain(&kept).map(|name| (name, "other")));
        Ran::to_the_end(&mut command);
    }
    for program in ["sinfo", "squeue", "scancel", "sbatch", "scontrol"] {
        assert!(!fake.calls(program).is_empty(), "{program}");
    }
    let environment = fs::read_to_string(fake.bench.path("calls.env")).unwrap();
    let has = |name: &str| environment.lines().any(|line| line.starts_with(&format!("{name}=")));
    removed.iter().for_each(|name| assert!(!has(name), "{name}"));
    kept.iter().for_each(|name| assert!(has(name), "{name}"));
}

#[test]
fn a_record_with_other_things_than_numbers_starts_nothing() {
    for (engines, export) in [(r#"["--me"]"#, "null"), (r#"["12"]"#, "\"--user=root\""), (r#"["1 2"]"#, "null")] {
        let fake = Fake::new();
        fake.record(engines, export);
        for arguments in [&["stop"][..], &["status"], &["submit"], &["add", "1"]] {
            let ran = fake.run(arguments);
            assert!(ran.code != 0 && ran.stderr.contains("slurm.json; remove it"), "{ran:?}");
        }
        assert!(!fake.bench.path("calls").exists(), "{engines} {export}");
    }
}

#[test]
fn engines_are_added_only_from_a_script_that_others_cannot_change() {
    let fake = Fake::new();
    for file in ["reeldeck.sbatch", "reeldeck-export.sbatch", "out/.reeldeck/slurm.json"] {
        fs::set_permissions(fake.bench.path(file), Permissions::from_mode(0o666)).unwrap();
        let ran = fake.run(&["add", "1"]);
        assert!(ran.code != 0 && ran.stderr.contains("chmod go-w"), "{file}: {ran:?}");
        fs::set_permissions(fake.bench.path(file), Permissions::from_mode(0o644)).unwrap();
    }
    assert!(fake.calls("sbatch").is_empty());
    assert_eq!(fake.run(&["add", "1"]).code, 0);
}

#[test]
fn stop_fails_if_scancel_fails_for_another_reason_than_the_end_of_a_job() {
    for (said, fails) in [("Invalid job id specified", false), ("Access/permission denied", true)] {
        let fake = Fake::new();
        fake.program("scancel", &format!("echo 'scancel: error: Kill job error on job id 12: {said}' >&2; exit 1"));
        for arguments in [&["stop"][..], &["stop", "--now"]] {
            let ran = fake.run(arguments);
            assert_eq!(
                (ran.code != 0, ran.stderr.contains(said), ran.stdout.is_empty()),
                (fails, fails, fails),
                "{ran:?}"
            );
        }
    }
}

#[test]
fn an_unknown_answer_of_squeue_is_an_error() {
    for answer in ["12 PENDING", "slurm is being updated|a|b|c|d", "12||n|0:01|None"] {
        let fake = Fake::new();
        fake.program("squeue", &format!("echo '{answer}'"));
        for arguments in [&["status"][..], &["submit"], &["stop"]] {
            let ran = fake.run(arguments);
            assert!(ran.code != 0 && ran.stderr.contains("unknown form"), "{answer}: {ran:?}");
        }
        assert!(fake.calls("sbatch").is_empty() && fake.recorded().contains("\"12\""));
    }
}

#[test]
fn init_writes_both_scripts_or_none() {
    let fake = Fake::new();
    fs::write(fake.bench.path("x-export"), "mine").unwrap();
    let ran = fake.run(&["init", "--script", "x"]);
    assert!(ran.code == 2 && ran.stderr.contains("x-export exists"), "{ran:?}");
    assert!(!fake.bench.path("x").exists());
    // A limit on the size of files, in blocks of at most 1 KiB: the first script is larger.
    let init = fake.command(&["init", "--script", "sub/y"]);
    fs::create_dir(fake.bench.path("sub")).unwrap();
    let mut limited = Command::new("sh");
    limited.args(["-c", "ulimit -f 1; exec \"$@\"", "sh"]).arg(init.get_program()).args(init.get_args());
    limited.envs(init.get_envs().filter_map(|(name, value)| Some((name, value?)))).current_dir(fake.bench.dir.path());
    let ran = Ran::to_the_end(&mut limited);
    assert!(ran.code != 0 && ran.stderr.contains("failed to write sub/y"), "{ran:?}");
    assert_eq!(fs::read_dir(fake.bench.path("sub")).unwrap().count(), 0);
}

#[test]
fn an_export_that_cannot_be_changed_is_kept() {
    let fake = Fake::new();
    fake.program("scontrol", "echo 'slurm_update error: Unable to contact slurm controller' >&2; exit 1");
    let ran = fake.run(&["add", "2"]);
    assert!(ran.code != 0 && ran.stderr.contains("the export, job 13, does not wait for the new engines"), "{ran:?}");
    assert_eq!(fake.calls("sbatch").len(), 1, "no second export");
    assert!(fake.recorded().contains(r#""engines":["12","12"],"export":"13""#), "{}", fake.recorded());
    fake.program("scontrol", "echo 'Job has already finished for job 13' >&2; exit 1");
    assert_eq!(fake.run(&["add", "2"]).code, 0);
    assert_eq!(fake.calls("sbatch").len(), 3, "the export had ended");
}

#[test]
fn of_two_submissions_at_once_one_submits() {
    let fake = Fake::new();
    fs::remove_file(fake.bench.path("out/.reeldeck/slurm.json")).unwrap();
    let go = fake.bench.path("go");
    let wait = format!("while [ ! -e '{}' ]; do sleep 0.01; done", go.display());
    fake.program("sbatch", &format!("{wait}\ncase \"$*\" in *export*) echo 13 ;; *) echo 12 ;; esac"));
    let start = || fake.command(&["submit"]).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    let mut first = start();
    wait_for("the first submits", || fake.calls("sbatch").len() == 1);
    let mut second = start();
    let out = fs::canonicalize(fake.bench.path("out")).unwrap();
    let is_open = |file: std::io::Result<fs::DirEntry>| fs::read_link(file.unwrap().path()).is_ok_and(|to| to == out);
    wait_for("the second submits, or is at the lock", || {
        let open = fs::read_dir(format!("/proc/{}/fd", second.id())).into_iter().flatten().any(is_open);
        open || fake.calls("sbatch").len() == 2
    });
    fs::write(go, "").unwrap();
    assert_eq!([first.wait().unwrap().code(), second.wait().unwrap().code()], [Some(0), Some(2)]);
    assert_eq!(fake.calls("sbatch").len(), 2, "the engines and the export");
}

#[test]
fn patterns_in_the_name_of_a_folder_are_escaped() {
    let fake = Fake::new();
    let folder = fs::canonicalize(fake.bench.dir.path()).unwrap().join("100%A");
    fs::create_dir(&folder).unwrap();
    for name in ["reeldeck.sbatch", "reeldeck-export.sbatch"] {
        fs::write(folder.join(name), "#!/bin/sh\n").unwrap();
    }
    fs::remove_file(fake.bench.path("out/.reeldeck/slurm.json")).unwrap();
    assert_eq!(fake.run(&["submit", "100%A/reeldeck.sbatch"]).code, 0);
    let calls = fake.calls("sbatch");
    for (call, log) in calls.iter().zip(["%x_%A_%a.log", "%x_%j.log"]) {
        let folder = folder.to_str().unwrap();
        let options = format!("--chdir={folder} --output={}/{log} ", folder.replace('%', "%%"));
        assert!(call.contains(&options), "{call}");
    }
    assert_eq!(calls.len(), 2);
}

#[test]
fn a_folder_whose_name_is_not_text_is_refused() {
    let fake = Fake::new();
    let folder = fake.bench.path("").join(OsStr::from_bytes(b"a\xff"));
    fs::create_dir(&folder).unwrap();
    fs::write(folder.join("reeldeck.sbatch"), "#!/bin/sh\n").unwrap();
    for (command, script) in [("submit", "reeldeck.sbatch"), ("init", "new.sbatch")] {
        let mut command = fake.command(&[command]);
        if script.starts_with("new") {
            command.arg("--script");
        }
        let ran = Ran::to_the_end(command.arg(folder.join(Path::new(script))));
        assert!(ran.code == 2 && ran.stderr.contains("a\\xff") && ran.stderr.contains("not UTF-8"), "{ran:?}");
    }
    assert!(fake.calls("sbatch").is_empty());
    assert_eq!(fs::read_dir(folder).unwrap().count(), 1);
}

#[test]
fn scripts_for_other_clusters_are_refused() {
    let refused = |fake: &Fake, arguments: &[&str], script: &str| {
        let ran = fake.run(arguments);
        assert!(ran.code == 2 && ran.stderr.contains(&format!("{script}, line 2: --clusters")), "{ran:?}");
        assert!(fake.calls("sbatch").is_empty());
    };
    for script in ["reeldeck.sbatch", "reeldeck-export.sbatch"] {
        let fake = Fake::new();
        fs::write(fake.bench.path(script), "#!/bin/sh\n#SBATCH -M far\n").unwrap();
        refused(&fake, &["add", "2"], script);
        fs::remove_file(fake.bench.path("out/.reeldeck/slurm.json")).unwrap();
        refused(&fake, &["submit"], script);
    }
}
