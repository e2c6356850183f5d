//! The GPU check on a machine without a GPU: it reports that there is none, and parses the output of `nvidia-smi`.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Command, Output};

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// A folder with a fake `nvidia-smi`, to be first in PATH, and a `python3` whose PyTorch sees no GPU.
fn made_up(script: &str) -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    add(dir.path(), "nvidia-smi", script);
    add(dir.path(), "python3", &python(false));
    dir
}

fn add(dir: &Path, name: &str, script: &str) {
    let path = dir.join(name);
    fs::write(&path, format!("#!/bin/sh\n{script}\n")).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
}

/// A `python3` that is the next one in PATH, but for its PyTorch.
fn python(sees_gpu: bool) -> String {
    let code = i32::from(!sees_gpu);
    let real = "real=$(PATH=${PATH#*:} command -v python3)";
    format!("case \"$*\" in *torch.cuda*) exit {code} ;; esac\n{real}\nexec \"$real\" \"$@\"")
}

fn run(program: &Path, arguments: &[&str], first: &Path) -> Output {
    let path = format!("{}:{}", first.display(), std::env::var("PATH").unwrap());
    Command::new(program).args(arguments).current_dir(root()).env("PATH", path).output().unwrap()
}

fn check(arguments: &[&str], first: &Path) -> (Option<i32>, String) {
    let output = run(&root().join("scripts/gpu-check.sh"), arguments, first);
    let said = String::from_utf8_lossy(&output.stderr) + String::from_utf8_lossy(&output.stdout);
    (output.status.code(), said.into_owned())
}

const FAILS: &str = "echo 'NVIDIA-SMI has failed because it could not communicate with the NVIDIA driver.'; exit 9";

#[test]
fn without_a_gpu_it_says_so_and_does_nothing() {
    for (script, says) in [(FAILS, "could not communicate"), ("echo 'No devices were found'", "No devices were found")]
    {
        let dir = made_up(script);
        for arguments in [&[][..], &["--no-peer"], &["--devices", "cuda:1"], &["--devices=cuda:0", "--quick"]] {
            let (code, said) = check(arguments, dir.path());
            assert_eq!(code, Some(2), "{arguments:?}: {said}");
            assert!(said.contains("no GPU here: ") && said.contains(says), "{arguments:?}: {said}");
            assert!(said.contains("--devices cpu --quick"), "{said}");
        }
    }
}

#[test]
fn one_gpu_or_the_cpu_is_enough() {
    let (none, one) = (made_up(FAILS), made_up("echo 'GPU 0: NVIDIA H200 (UUID: GPU-0123)'"));
    for (arguments, first) in
        [(["--devices", "cpu", "--help"], none.path()), (["--devices", "cuda:0", "--help"], one.path())]
    {
        let (code, said) = check(&arguments, first);
        assert!(code == Some(0) && said.contains("usage: check.py"), "{said}");
    }
    // Some containers have no nvidia-smi.
    let torch = made_up("exit 127");
    add(torch.path(), "python3", &python(true));
    let (code, said) = check(&["--help"], torch.path());
    assert!(code == Some(0) && said.contains("usage: check.py"), "{said}");
    let (code, said) = check(&["--devices", "cuda:x"], one.path());
    assert!(code == Some(1) && said.contains("name one device"), "{said}");
}

#[test]
fn a_prepared_folder_is_checked_before_anything_else() {
    let (dir, folder) = (made_up(FAILS), tempfile::tempdir().unwrap());
    let (code, said) = check(&["--devices", "cpu", "--prebuilt", folder.path().to_str().unwrap()], dir.path());
    assert_eq!(code, Some(1), "{said}");
    assert!(said.contains("has no reeldeck, reeldeck-worker, reeldeck-probe"), "{said}");
    assert!(said.contains("scripts/gpu-check.sh --prepare DIR"), "{said}");
}

/// The scripts that a prepared folder has import only each other and the standard library.
#[test]
fn a_prepared_folder_has_all_scripts_that_it_needs() {
    let folder = tempfile::tempdir().unwrap();
    let prepare = fs::read_to_string(root().join("scripts/gpu/prepare.sh")).unwrap();
    let copies = prepare.lines().filter(|line| line.starts_with("cp ")).collect::<Vec<_>>().join("\n");
    let script = format!("mkdir -p \"$into\"/{{assets/recipes,scripts/gpu,scripts/bench}}\n{copies}");
    let copied = Command::new("bash").args(["-ec", &script]).env("into", folder.path()).current_dir(root()).status();
    assert!(copied.unwrap().success());
    let program = folder.path().join("scripts/gpu-check.sh");
    let (dir, folder) = (made_up(FAILS), folder.path().to_str().unwrap());
    let output = run(&program, &["--devices", "cpu", "--prebuilt", folder, "--help"], dir.path());
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let output = run(&program, &["--devices", "cpu", "--prebuilt", folder], dir.path());
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(said.contains("has no reeldeck, reeldeck-worker, reeldeck-probe"), "{said}");
}

/// A folder like a prepared one, whose `reeldeck` does everything at once, except that it never finishes a run.
fn prepared() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    let create = |name: &str| {
        let path = folder.path().join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        path
    };
    fs::write(create("bin/reeldeck-worker"), "").unwrap();
    fs::write(create("bin/reeldeck-probe"), "").unwrap();
    for video in ["256p_280_0", "360p_60_3", "360p_280_3", "720p_130_2", "360p_1800_3", "720p_900_3"] {
        fs::write(create(&format!("videos/v_{video}.mp4")), "").unwrap();
    }
    let recipe = "assets/recipes/slowonly-r50-8x8-k700.toml";
    fs::copy(root().join(recipe), create(recipe)).unwrap();
    let script = "case \"$1\" in seeded-checkpoint) echo > \"$2\" ;; --batch)\n\
                  echo '{\"event\": \"worker-ready\"}'\nexec sleep 1000 ;; esac";
    add(&folder.path().join("bin"), "reeldeck", script);
    fs::create_dir(folder.path().join("bin/examples")).unwrap();
    add(&folder.path().join("bin/examples"), "decode", "exec sleep 1000");
    let mut tar = Command::new("tar");
    assert!(tar.args(["-czf", "bin.tar.gz", "bin"]).current_dir(folder.path()).status().unwrap().success());
    fs::remove_dir_all(folder.path().join("bin")).unwrap();
    folder
}

#[test]
fn the_check_ends_in_time_and_says_what_is_missing() {
    let (dir, folder) = (made_up(FAILS), prepared());
    let (prebuilt, work) = (folder.path().to_str().unwrap(), folder.path().join("work"));
    let arguments = ["--devices", "cpu", "--prebuilt", prebuilt, "--torch", prebuilt, "--minutes", "0.05", "--work"];
    let (code, said) = check(&[&arguments[..], &[work.to_str().unwrap()]].concat(), dir.path());
    assert_eq!(code, Some(1), "{said}");
    for late in ["the features in fp32 on cpu", "decoding"] {
        assert!(said.contains(&format!("**NOT FINISHED** in time: {late}")), "{said}");
    }
    assert!(said.contains("A check failed, so nothing was measured"), "{said}");
    // A CPU takes long to compare, so few clips are enough.
    for (recipe, clips) in [("fp32", "\nclips = 100 "), ("fp32-compared", "\nclips = 4 ")] {
        let recipe = fs::read_to_string(work.join(format!("{recipe}.toml"))).unwrap();
        assert!(recipe.contains(clips), "{recipe}");
    }
}

/// A measurement that is stopped keeps what it has, and leaves time to the others.
#[test]
fn each_step_has_its_share_of_the_time() {
    let program = "\
import sys
from pathlib import Path
sys.path[:0] = ['scripts/gpu', 'scripts/bench']
from budget import Budget
from watch import run
print([Budget(None).left(), Budget(None).share(4)])
budget = Budget(1)
budget.left = lambda: 60.0
print([budget.share(steps) for steps in (1, 2, 4, 10)])
endless = \"echo '{}'; while echo '{\\\"event\\\": 1}'; do sleep 0.01; done\"
took = run(['sh', '-c', endless], lambda event: True, Path(sys.argv[1]), seconds=2)
print(took.stopped, len(took.events) > 1)
import contextlib, io, json
from types import SimpleNamespace
from bench import Bench
print(Budget(1).left() < 59)
times, speeds = [], {'clips_per_s': 1.0, 'tflops': 1.0, 'share': 1.0, 'torch': ''}
network = lambda words, environment, seconds: (times.append(seconds), speeds)[1]
plain = lambda command, environment, seconds: (times.append(seconds), json.dumps(speeds))[1]
programs = SimpleNamespace(network=network, run=plain)
stub = SimpleNamespace(gpu=None, peer=None, prebuilt=True, torch=Path('t'), device='cpu', checkpoint='c', found={'fed': {}}, programs=programs)
with contextlib.redirect_stdout(io.StringIO()):
    Bench.fed(stub, 'fp32', 10.0)
print(times[1] < times[0] < 10)
";
    let (dir, log) = (made_up(FAILS), tempfile::NamedTempFile::new().unwrap());
    let output = run(Path::new("python3"), &["-c", program, log.path().to_str().unwrap()], dir.path());
    let said = String::from_utf8(output.stdout).unwrap();
    let expected = "[None, None]\n[60.0, 60.0, 30.0, 12.0]\nTrue True\nTrue\nTrue\n";
    assert_eq!(said, expected, "{}", String::from_utf8_lossy(&output.stderr));
}

/// Means over the reported values. Values that a card or a driver does not report are left out.
#[test]
fn the_output_of_nvidia_smi_is_parsed() {
    let lines = [
        "50, 40, 300.5, 1000",
        "70, [N/A], 299.5, 3000",
        "Field \"utilization.decoder\" is not a valid field to query.",
        "",
    ];
    let script = lines.map(|line| format!("echo '{line}'")).join("\n");
    let dir = made_up(&format!("{script}\nexec >&-\nexec sleep 1000"));
    let program = "\
import json, sys
sys.path.insert(0, 'scripts/gpu')
from sampler import Sampler
with Sampler(0) as sampler:
    sampler.reader.join()
print(json.dumps(sampler.means()))
with Sampler(None) as sampler:
    pass
print(json.dumps(sampler.means()))
";
    let output = run(Path::new("python3"), &["-c", program], dir.path());
    let said = String::from_utf8(output.stdout).unwrap();
    let lines: Vec<serde_json::Value> = said.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let told = serde_json::json!({"gpu_percent": 60.0, "nvdec_percent": 40.0, "watts": 300.0, "memory_mib": 3000.0});
    let nothing = serde_json::json!({"gpu_percent": null, "nvdec_percent": null, "watts": null, "memory_mib": null});
    assert_eq!(lines, [told, nothing], "{}", String::from_utf8_lossy(&output.stderr));
}
