//! The streams of a GPU: what has to wait for what, and what has to wait for nothing.

use std::fs::{self, File};
use std::path::Path;
use std::process::Command;
use std::thread::sleep;
use std::time::{Duration, Instant};

use reeldeck_common::protocol::Init;

use super::{extract, features_of_the_cpu, videos, worker, wrong_without};
use crate::harness::{init, job, tiny_recipe};

/// The fake GPU ignores one step of the worker at a time, as if the worker had forgotten it. The results must show that. Otherwise
/// the other tests would not notice a worker that forgets it.
#[test]
fn a_forgotten_wait_gives_wrong_numbers() {
    let folder = tempfile::tempdir().unwrap();
    let videos = videos(folder.path());
    let expected = features_of_the_cpu(folder.path(), &videos);
    let on_gpu = Init { device: "cuda:1".into(), ..init(tiny_recipe()) };
    for step in ["block", "query", "record_stream", "record_event"] {
        let wrong = wrong_without(step, &on_gpu, folder.path(), &videos, &expected);
        assert!(wrong > 0, "{step} may be forgotten without any effect");
    }
}

/// Waits until this many calls of fsync wait.
fn await_calls(folder: &Path, count: usize) {
    let calls = || fs::read_dir(folder).unwrap().flatten().filter(|e| e.file_name() != "gate").count();
    let deadline = Instant::now() + Duration::from_secs(120);
    while calls() < count {
        assert!(Instant::now() < deadline, "only {} features are being completed", calls());
        sleep(Duration::from_millis(10));
    }
}

#[test]
fn four_features_may_wait_for_the_disk_at_a_time() {
    let folder = tempfile::tempdir().unwrap();
    let hold = folder.path().join("hold");
    fs::create_dir(&hold).unwrap();
    assert!(Command::new("mkfifo").arg(hold.join("gate")).status().unwrap().success());
    let library = hold.with_file_name("hold_fsync.so");
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/suite/cuda/hold_fsync.c");
    let compiled = Command::new("cc").args(["-shared", "-fPIC", "-o"]).args([&library, &source]).status().unwrap();
    assert!(compiled.success());
    let videos = videos(folder.path());
    let on_gpu = Init { device: "cuda:0".into(), ..init(tiny_recipe()) };
    let environment = [("LD_PRELOAD", library.to_str().unwrap()), ("HOLD", hold.to_str().unwrap())];
    let mut worker = worker(&on_gpu, &environment);
    worker.expect_ready();
    let jobs = 6;
    for number in 0..jobs {
        let path = &videos[number as usize % videos.len()];
        worker.send(&job(number, path, &folder.path().join(number.to_string())));
    }
    await_calls(&hold, 4);
    let _gate = File::options().write(true).open(hold.join("gate")).unwrap();
    for number in 0..jobs {
        worker.expect_done(number);
    }
    worker.finish();
}

/// The nice values of the threads with this name.
fn nice_of(process: u32, name: &str) -> Vec<i32> {
    let threads = fs::read_dir(format!("/proc/{process}/task")).unwrap().flatten();
    let stats = threads.filter_map(|thread| fs::read_to_string(thread.path().join("stat")).ok());
    let named = stats.filter(|stat| stat.contains(&format!("({name})")));
    // The 19th field. The second one ends with a bracket.
    named.map(|stat| stat.rsplit(')').next().unwrap().split_whitespace().nth(16).unwrap().parse().unwrap()).collect()
}

#[test]
fn decode_threads_give_way_to_the_model_on_a_gpu() {
    let folder = tempfile::tempdir().unwrap();
    let videos = videos(folder.path());
    let on_cpu = init(tiny_recipe());
    let on_gpu = Init { device: "cuda:0".into(), ..on_cpu.clone() };
    for (init, lower) in [(on_cpu, 0), (on_gpu, 5)] {
        let mut worker = worker(&init, &[]);
        worker.expect_ready();
        // As many videos as decode threads at a time, so that each of them has started its work.
        let mut number = 0;
        let decoders = loop {
            extract(&mut worker, &videos, &folder.path().join(number.to_string()));
            let found = nice_of(worker.id(), "decode");
            if found.len() == 2 && found[0] == found[1] {
                break found;
            }
            number += 1;
            assert!(number < 100, "{found:?}");
        };
        let model = nice_of(worker.id(), "reeldeck-worker");
        assert_eq!(decoders, [model[0] + lower; 2]);
        worker.finish();
    }
}
