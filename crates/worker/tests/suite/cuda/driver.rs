//! What a worker learns from the driver before it loads the model.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use reeldeck_common::error::ErrorKind;
use reeldeck_common::protocol::{FoundGpu, FromWorker, Init};
use reeldeck_common::recipe::Precision;

use super::worker;
use crate::harness::{init, tiny_recipe};

/// A folder with a fake driver, and a search path that begins with it.
fn driver() -> (tempfile::TempDir, String) {
    let folder = tempfile::tempdir().unwrap();
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/suite/cuda/fake_driver.c");
    let library = folder.path().join("libcuda.so.1");
    let compiled = Command::new("cc").args(["-w", "-shared", "-fPIC", "-o"]).args([&library, &source]).status();
    assert!(compiled.unwrap().success());
    let others = std::env::var("LD_LIBRARY_PATH").unwrap_or_default();
    let path = format!("{}:{others}", folder.path().display());
    (folder, path)
}

fn on_gpu(precision: Precision) -> Init {
    let mut recipe = tiny_recipe();
    recipe.precision = precision;
    Init { device: "cuda:1".into(), ..init(recipe) }
}

#[test]
fn the_worker_reports_its_gpu_before_it_is_ready() {
    let (_folder, path) = driver();
    let mut worker = worker(&on_gpu(Precision::Fp32), &[("LD_LIBRARY_PATH", &path), ("FAKE_FREE_MIB", "7168")]);
    worker.expect_ready();
    assert_eq!(
        worker.gpu,
        Some(FoundGpu {
            pci: Some("0000:29:00.0".into()),
            uuid: Some("01234567-89ab-cdef-0123-000000000029".into()),
            free: Some(7 << 30)
        })
    );
    worker.finish();
}

/// After a start without a screen, the driver has to start a setuid program, which loads its kernel module.
#[test]
fn the_worker_gives_up_its_privileges_after_the_driver_has_started() {
    let (folder, path) = driver();
    let status = folder.path().join("status");
    let environment = [("LD_LIBRARY_PATH", path.as_str()), ("FAKE_STATUS", status.to_str().unwrap())];
    let mut worker = worker(&on_gpu(Precision::Fp32), &environment);
    worker.expect_ready();
    let given_up = |path: &Path| fs::read_to_string(path).unwrap().contains("NoNewPrivs:\t1");
    assert!(!given_up(&status), "while the driver starts");
    assert!(given_up(&Path::new("/proc").join(worker.id().to_string()).join("status")), "before the first video");
    worker.finish();
}

#[test]
fn a_gpu_without_the_arithmetic_of_the_precision_is_refused_before_the_model_is_loaded() {
    let (folder, path) = driver();
    // Nothing is loaded: a checkpoint that is missing would be the first error of that.
    let missing = reeldeck_common::protocol::CheckpointSource::File(PathBuf::from("/nonexistent/weights.pth"));
    for (capability, precision, is_refused) in [
        ("75", Precision::Bf16, true),
        ("75", Precision::Tf32, true),
        ("75", Precision::Fp16, false),
        ("75", Precision::Fp32, false),
        ("80", Precision::Bf16, false),
        ("89", Precision::Tf32, false),
    ] {
        let init = Init { checkpoint: missing.clone(), ..on_gpu(precision) };
        let mut worker = worker(&init, &[("LD_LIBRARY_PATH", &path), ("FAKE_CAPABILITY", capability)]);
        let Some(FromWorker::Fatal { failure }) = worker.next() else { panic!() };
        let text = failure.line();
        if is_refused {
            assert_eq!(failure.kind, ErrorKind::Device, "{text}");
            assert!(text.contains("Fake GPU has compute capability 7.5") && text.contains("fp16"), "{text}");
        } else {
            assert!(text.contains("weights.pth"), "{capability} {precision:?}: {text}");
        }
    }
    // Without any driver, nothing is known and nothing refused.
    fs::remove_file(folder.path().join("libcuda.so.1")).unwrap();
    let init = Init { checkpoint: missing, ..on_gpu(Precision::Bf16) };
    let mut worker = worker(&init, &[("LD_LIBRARY_PATH", &path)]);
    let Some(FromWorker::Fatal { failure }) = worker.next() else { panic!() };
    assert!(failure.line().contains("weights.pth"), "{failure:?}");
}
