//! A whole worker on a fake GPU: libtorch with a CUDA backend that the tests build. It computes on the host, and shows missing
//! waits, memory that is reused too early, and contexts on the wrong GPU.

mod driver;
mod graphs;
mod streams;
mod trial;

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::Command;

use reeldeck_common::error::ErrorKind;
use reeldeck_common::feature::Feature;
use reeldeck_common::protocol::{FromWorker, Init, ToWorker};

use crate::harness::{PROGRAM, Worker, init, job, tiny_recipe, video};

/// The folder of the fake libtorch_cuda.so. The first test builds it, which takes some ten seconds; the others wait.
fn library() -> PathBuf {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("fake_cuda");
    fs::create_dir_all(&folder).unwrap();
    let lock = File::create(folder.join("lock")).unwrap();
    lock.lock().unwrap();
    let sources = [("fake_cuda.cpp", include_str!("fake_cuda.cpp")), ("fake_graph.h", include_str!("fake_graph.h"))];
    let (copy, library) = (folder.join("fake_cuda.cpp"), folder.join("libtorch_cuda.so"));
    let is_built =
        sources.iter().all(|(name, source)| fs::read_to_string(folder.join(name)).is_ok_and(|built| built == *source));
    if library.exists() && is_built {
        return folder;
    }
    let _ = fs::remove_file(&library);
    sources.iter().for_each(|(name, source)| fs::write(folder.join(name), source).unwrap());
    let torch = std::env::var_os("LIBTORCH").map(PathBuf::from);
    let torch = torch.unwrap_or_else(|| Path::new(env!("CARGO_MANIFEST_DIR")).join("../../vendor/libtorch/torch"));
    let mut compiler = Command::new("g++");
    compiler.args(["-std=c++17", "-O1", "-w", "-shared", "-fPIC", "-I"]).arg(torch.join("include"));
    let compiled = compiler.arg("-o").args([&library, &copy]).output().unwrap();
    assert!(compiled.status.success(), "{}", String::from_utf8_lossy(&compiled.stderr));
    folder
}

/// A worker on a fake GPU.
fn worker(init: &Init, environment: &[(&str, &str)]) -> Worker {
    let library = library();
    let mut command = Command::new(PROGRAM);
    command.env("REELDECK_TORCH_LIB", library).envs(environment.iter().copied());
    let mut worker = Worker::over(&mut command);
    worker.send(&ToWorker::Init(Box::new(init.clone())));
    worker
}

/// Three videos: one that is shorter than a clip, and two of several groups of frames.
fn videos(folder: &Path) -> Vec<PathBuf> {
    let video = |(seed, frames): (u32, u64)| {
        let path = folder.join(format!("{frames}.mp4"));
        video(&path, frames, seed);
        path
    };
    [(1, 150), (2, 30), (3, 400)].into_iter().map(video).collect()
}

fn extract(worker: &mut Worker, videos: &[PathBuf], out: &Path) -> Vec<Feature> {
    let feature = |number: usize| out.join(format!("{number}.safetensors"));
    for (number, path) in videos.iter().enumerate() {
        worker.send(&job(number as u64, path, &feature(number)));
    }
    let read = |number: usize| {
        worker.expect_done(number as u64);
        Feature::read(&feature(number)).unwrap()
    };
    (0..videos.len()).map(read).collect()
}

/// The largest difference between two features. NaN counts as infinite.
fn difference(a: &Feature, b: &Feature) -> f32 {
    assert_eq!(a.tensors.keys().collect::<Vec<_>>(), b.tensors.keys().collect::<Vec<_>>());
    let numbers = a.tensors.iter().flat_map(|(name, matrix)| {
        assert_eq!(matrix.shape, b.tensors[name].shape);
        matrix.data.iter().zip(&b.tensors[name].data)
    });
    numbers.map(|(a, b)| (a - b).abs()).map(|d| if d.is_nan() { f32::INFINITY } else { d }).fold(0.0, f32::max)
}

/// What a worker on the CPU computes.
fn features_of_the_cpu(folder: &Path, videos: &[PathBuf]) -> Vec<Feature> {
    let mut by_cpu = Worker::start(&init(tiny_recipe()));
    let expected = extract(&mut by_cpu, videos, &folder.join("cpu"));
    by_cpu.finish();
    expected
}

/// Fails if a feature differs from the expected one by more than 1e-5.
fn assert_close(features: &[Feature], expected: &[Feature], what: &str) {
    for (feature, expected) in features.iter().zip(expected) {
        let difference = difference(feature, expected);
        assert!(difference <= 1e-5, "{what}: {difference}");
    }
}

/// How many features are wrong if the fake GPU ignores this step, as if the worker had forgotten it.
fn wrong_without(step: &str, on_gpu: &Init, folder: &Path, videos: &[PathBuf], expected: &[Feature]) -> usize {
    let mut worker = worker(on_gpu, &[("FAKE_CUDA_IGNORE", step)]);
    worker.expect_ready();
    let mut wrong = 0;
    for (number, (path, expected)) in videos.iter().zip(expected).enumerate() {
        let feature = folder.join(format!("{step}-{number}"));
        worker.send(&job(number as u64, path, &feature));
        match worker.next() {
            Some(FromWorker::Done { .. }) => {
                wrong += usize::from(difference(&Feature::read(&feature).unwrap(), expected) > 1e-3);
            }
            // Garbage may be numbers that are not finite.
            Some(FromWorker::Failed { .. }) => wrong += 1,
            other => panic!("{other:?}"),
        }
    }
    worker.finish();
    wrong
}

#[test]
fn features_equal_those_of_the_cpu_and_only_the_chosen_gpu_is_used() {
    let folder = tempfile::tempdir().unwrap();
    let videos = videos(folder.path());
    let on_cpu = init(tiny_recipe());
    let expected = features_of_the_cpu(folder.path(), &videos);
    for gpu in ["0", "1"] {
        let contexts = folder.path().join(format!("contexts-{gpu}"));
        let on_gpu = Init { device: format!("cuda:{gpu}"), ..on_cpu.clone() };
        let mut worker = worker(&on_gpu, &[("FAKE_CUDA_CONTEXTS", contexts.to_str().unwrap())]);
        worker.expect_ready();
        let features = extract(&mut worker, &videos, &folder.path().join(gpu));
        let ended = worker.finish();
        assert!(!ended.stderr.contains("a fused convolution is not used"), "{}", ended.stderr);
        for (feature, expected) in features.iter().zip(&expected) {
            assert_eq!(feature.provenance.device, "cuda");
            let difference = difference(feature, expected);
            assert!(difference <= 1e-5, "cuda:{gpu}, {}: {difference}", feature.provenance.video);
        }
        assert_eq!(fs::read_to_string(contexts).unwrap(), format!("{gpu}\n"), "a context on another GPU");
    }
}

#[test]
fn a_failed_allocation_fails_one_video_for_lack_of_memory() {
    let folder = tempfile::tempdir().unwrap();
    let videos = videos(folder.path());
    let on_gpu = Init { device: "cuda:1".into(), ..init(tiny_recipe()) };
    let (mut while_loading, mut while_working) = (0, 0);
    for allocation in [1, 100, 300, 500, 700, 1000, 1300, 1600, 2000] {
        let out = folder.path().join(allocation.to_string());
        let mut worker = worker(&on_gpu, &[("FAKE_CUDA_FAIL", &allocation.to_string())]);
        match worker.next() {
            Some(FromWorker::Ready { .. }) => {}
            Some(FromWorker::Fatal { failure }) => {
                assert_eq!(failure.kind, ErrorKind::OutOfMemory, "allocation {allocation}: {failure:?}");
                while_loading += 1;
                continue;
            }
            other => panic!("{other:?}"),
        }
        let mut failed = 0;
        for (number, path) in videos.iter().enumerate() {
            worker.send(&job(number as u64, path, &out.join(number.to_string())));
            match worker.next() {
                Some(FromWorker::Done { .. }) => {}
                Some(FromWorker::Failed { failure, .. }) => {
                    assert_eq!(failure.kind, ErrorKind::OutOfMemory, "allocation {allocation}: {failure:?}");
                    failed += 1;
                }
                other => panic!("{other:?}"),
            }
        }
        assert!(failed <= 1, "allocation {allocation}");
        while_working += failed;
        worker.finish();
    }
    assert!(while_loading > 0 && while_working > 0, "{while_loading} {while_working}");
}

#[test]
fn a_lost_device_is_a_fault_of_the_device() {
    let folder = tempfile::tempdir().unwrap();
    let videos = videos(folder.path());
    let on_gpu = Init { device: "cuda:0".into(), ..init(tiny_recipe()) };
    let mut lost = 0;
    for calls in [0, 300, 1000, 2000, 4000, 8000] {
        let mut worker = worker(&on_gpu, &[("FAKE_CUDA_LOSE", &calls.to_string())]);
        match worker.next() {
            Some(FromWorker::Ready { .. }) => {}
            Some(FromWorker::Fatal { failure }) => {
                assert_eq!(failure.kind, ErrorKind::Device, "{failure:?}");
                continue;
            }
            other => panic!("{other:?}"),
        }
        for (number, path) in videos.iter().enumerate() {
            worker.send(&job(number as u64, path, &folder.path().join(format!("{calls}-{number}"))));
            match worker.next() {
                Some(FromWorker::Done { .. }) => {}
                Some(FromWorker::Failed { failure, .. }) => {
                    assert_eq!(failure.kind, ErrorKind::Device, "{failure:?}");
                    lost += 1;
                }
                other => panic!("{other:?}"),
            }
        }
    }
    assert!(lost > 0);
}
