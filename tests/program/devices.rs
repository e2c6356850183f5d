//! `--devices all`: a worker counts the GPUs.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::process::Command;

use reeldeck_common::versions::LIBTORCH;
use serde_json::Value;

use crate::support::{Bench, Ran, fake_worker};

/// A dataset, a PyTorch for CUDA, and a worker that counts three GPUs, or those that CUDA_VISIBLE_DEVICES names. It
/// fails if it cannot get new privileges, which CUDA's driver may need to load a kernel module.
fn bench() -> (Bench, impl Fn(&[&str]) -> Command) {
    let bench = Bench::new(&[("A/v_1.mp4", "ok")]);
    let lib = bench.path("torch/lib");
    fs::create_dir_all(&lib).unwrap();
    fs::write(lib.join("libtorch_cuda.so"), "").unwrap();
    fs::write(bench.path("torch/version.py"), format!("__version__ = '{LIBTORCH}+cu130'\n")).unwrap();
    let torch = bench.path("torch");
    bench.configure(&format!("devices = \"all\"\n[cuda]\ntorch = {torch:?}\n[engine]\nlinger_s = 0\n"));
    let about =
        r#"{"version":"0","built_for":"2","library":null,"found":null,"threads":1,"onednn":true,"wrong":null,"cuda":"#;
    let script = format!(
        "#!/bin/sh\n\
         grep -q 'NoNewPrivs:.0' /proc/self/status || exit 7\n\
         [ \"$1\" = about ] || exec '{}'\n\
         [ \"$REELDECK_TORCH_LIB\" = '{}' ] || exit 9\n\
         case \"$CUDA_VISIBLE_DEVICES\" in\n\
         '') count=3;;\n 7) count=0;;\n GPU-*,GPU-*) count=2;;\n *) exit 8;;\n esac\n\
         echo '{about}{{\"Ok\":'$count'}}}}'\n",
        fake_worker().display(),
        lib.display()
    );
    fs::write(bench.path("script"), script).unwrap();
    fs::set_permissions(bench.path("script"), fs::Permissions::from_mode(0o755)).unwrap();
    // Copied by another process: a child of another test may inherit a file that this process has open for writing, and then
    // it cannot be executed.
    assert!(Command::new("cp").arg(bench.path("script")).arg(bench.path("worker")).status().unwrap().success());
    let (folder, worker) = (bench.dir.path().to_owned(), bench.path("worker"));
    let command = move |arguments: &[&str]| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_reeldeck"));
        command.current_dir(&folder).args(arguments);
        command.env("REELDECK_WORKER", &worker).env_remove("CUDA_VISIBLE_DEVICES");
        command
    };
    (bench, command)
}

/// The devices of a run.
fn devices(ran: &Ran) -> Value {
    assert_eq!(ran.code, 0, "{ran:?}");
    let lines = ran.stdout.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
    lines.into_iter().find(|event| event["event"] == "run-started").unwrap()["devices"].clone()
}

#[test]
fn devices_all_selects_the_devices_that_cuda_reports() {
    let (bench, command) = bench();
    let run = |visible: Option<&str>| {
        let _ = fs::remove_dir_all(bench.path("out"));
        let mut command = command(&["--batch", "--json"]);
        Ran::to_the_end(command.envs(visible.map(|visible| ("CUDA_VISIBLE_DEVICES", visible))))
    };
    assert_eq!(devices(&run(None)), serde_json::json!(["cuda:0", "cuda:1", "cuda:2"]));
    assert_eq!(devices(&run(Some("GPU-8932f937,GPU-7e4ad3b2"))), serde_json::json!(["cuda:0", "cuda:1"]));
    for none in ["", "-1", "NoDevFiles"] {
        let hidden = run(Some(none));
        assert_eq!(devices(&hidden), serde_json::json!(["cpu"]), "{none:?}");
        assert!(hidden.stderr.contains("note: CUDA_VISIBLE_DEVICES leaves no GPU to this process"), "{hidden:?}");
    }
    // A job that has a GPU must not compute on its processor for a hundred times as long.
    let lost = run(Some("7"));
    assert!(lost.code == 2 && lost.stderr.contains("CUDA_VISIBLE_DEVICES is 7"), "{lost:?}");
}

#[test]
fn doctor_reports_the_devices_of_the_job() {
    let (bench, command) = bench();
    let found = |visible: &str, list: &str| {
        bench.configure(&format!("devices = \"{list}\"\n[cuda]\ntorch = {:?}\n", bench.path("torch")));
        let ran = Ran::to_the_end(command(&["doctor", "--json"]).env("CUDA_VISIBLE_DEVICES", visible));
        let report: Value = serde_json::from_str(&ran.stdout).unwrap();
        let checks = report["checks"].as_array().unwrap().clone();
        let check =
            checks.into_iter().find(|check| check["area"] == "allocation" && check["name"] == "devices").unwrap();
        (check["state"].as_str().unwrap().to_owned(), check["found"].as_str().unwrap().to_owned())
    };
    assert_eq!(found("3", "all"), ("ok".into(), "3 (CUDA_VISIBLE_DEVICES)".into()));
    assert_eq!(found("", "all").0, "note");
    assert_eq!(found("MIG-1,MIG-2", "all").0, "warning");
    let (state, found) = found("3", "cuda:3");
    assert!(state == "missing" && found.contains("names cuda:3") && found.contains("leaves 1"), "{found}");
}

#[test]
fn a_worker_that_cannot_count_is_reported() {
    let (_bench, command) = bench();
    let ran = Ran::to_the_end(command(&["--batch", "--json"]).env("CUDA_VISIBLE_DEVICES", "GPU-broken"));
    assert_eq!(ran.code, 2, "{ran:?}");
    assert!(ran.stderr.contains("exited with code 8"), "{ran:?}");
}
