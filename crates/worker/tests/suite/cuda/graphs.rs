//! CUDA graphs on the fake GPU: captured passes give the same features, and show what the worker would do wrong.

use std::fs;
use std::path::Path;

use reeldeck_common::protocol::{Init, ToWorker};
use reeldeck_common::recipe::{Model, Recipe, SlowFast, VideoMae};

use super::{assert_close, difference, extract, features_of_the_cpu, library, videos, worker, wrong_without};
use crate::harness::{init, job, tiny_recipe};

fn with_graphs(recipe: Recipe) -> Init {
    Init { device: "cuda:1".into(), graphs: true, ..init(recipe) }
}

/// How often the fake GPU did this with graphs.
fn count(log: &Path, what: &str) -> usize {
    fs::read_to_string(log).unwrap_or_default().lines().filter(|line| *line == what).count()
}

#[test]
fn features_by_graphs_equal_those_of_ordinary_passes_and_of_the_cpu() {
    let folder = tempfile::tempdir().unwrap();
    let videos = videos(folder.path());
    let slowfast =
        SlowFast { depth: 50, tau: 4, alpha: 4, beta_inv: 4, fusion_kernel: 5, base_channels: 8, classes: Some(5) };
    let videomae =
        VideoMae { patch: 16, width: 48, depth: 2, heads: 4, mlp_ratio: 4.0, frames: 8, tubelet: 2, classes: Some(5) };
    let models = [tiny_recipe().model, Model::Slowfast(slowfast), Model::Videomae(videomae)];
    for (number, model) in models.into_iter().enumerate() {
        let by_cpu = init(Recipe { model, ..tiny_recipe() });
        let ordinary = Init { device: "cuda:1".into(), ..by_cpu.clone() };
        let by_graphs = Init { graphs: true, ..ordinary.clone() };
        let mut features = vec![];
        for (at, init) in [by_cpu, ordinary, by_graphs].iter().enumerate() {
            let out = folder.path().join(format!("{number}-{at}"));
            let log = out.with_extension("graphs");
            let mut worker = worker(init, &[("FAKE_CUDA_GRAPHS", log.to_str().unwrap())]);
            worker.expect_ready();
            features.push(extract(&mut worker, &videos, &out));
            let ended = worker.finish();
            assert!(!ended.stderr.contains("graphs"), "{}", ended.stderr);
            let [captures, replays] = ["capture", "replay"].map(|what| count(&log, what));
            if init.graphs {
                assert!((2..=6).contains(&captures) && replays > captures, "{captures} {replays}");
            } else {
                assert_eq!([captures, replays], [0, 0]);
            }
        }
        for ((expected, ordinary), captured) in features[0].iter().zip(&features[1]).zip(&features[2]) {
            assert_eq!(difference(captured, ordinary), 0.0, "model {number}");
            let difference = difference(captured, expected);
            assert!(difference <= 1e-5, "model {number}: {difference}");
        }
    }
}

/// The fake GPU ignores one step of the worker at a time, as if the worker had forgotten it.
#[test]
fn a_buffer_that_is_not_static_or_a_forgotten_wait_gives_wrong_numbers() {
    let folder = tempfile::tempdir().unwrap();
    let videos = videos(folder.path());
    let expected = features_of_the_cpu(folder.path(), &videos);
    for step in ["static", "away", "capture"] {
        let wrong = wrong_without(step, &with_graphs(tiny_recipe()), folder.path(), &videos, &expected);
        assert!(wrong > 0, "{step} may be forgotten without any effect");
    }
}

#[test]
fn after_a_capture_that_fails_all_passes_are_ordinary() {
    let folder = tempfile::tempdir().unwrap();
    let videos = videos(folder.path());
    let expected = features_of_the_cpu(folder.path(), &videos);
    // The first capture, a later one, and one after which libtorch's allocator frees no memory of two streams.
    for (fault, says) in [
        ("1", "a text about captures"),
        ("100", "a text about captures"),
        ("invalid", "due to a previous error during capture"),
    ] {
        let log = folder.path().join(format!("graphs-{fault}"));
        let environment = [("FAKE_CUDA_GRAPH", fault), ("FAKE_CUDA_GRAPHS", log.to_str().unwrap())];
        let mut worker = worker(&with_graphs(tiny_recipe()), &environment);
        worker.expect_ready();
        let features = extract(&mut worker, &videos, &folder.path().join(fault));
        let ended = worker.finish();
        let told = ended.stderr.matches("CUDA graphs are not used any more").count();
        assert!(told == 1 && ended.stderr.contains(says), "{fault}: {}", ended.stderr);
        assert_eq!(count(&log, "free"), count(&log, "capture") + usize::from(fault == "invalid"), "{fault}");
        assert_close(&features, &expected, fault);
    }
}

/// With a libtorch that lacks them.
#[test]
fn graphs_are_looked_for_only_if_they_are_switched_on() {
    let folder = tempfile::tempdir().unwrap();
    let videos = videos(folder.path());
    let mut bytes = fs::read(library().join("libtorch_cuda.so")).unwrap();
    let (name, other) = (b"_ZN2at4cuda9CUDAGraph", b"_ZN2at4cuda9CUDAGrape");
    for at in 0..bytes.len() - name.len() {
        if bytes[at..].starts_with(name) {
            bytes[at..at + name.len()].copy_from_slice(other);
        }
    }
    fs::write(folder.path().join("libtorch_cuda.so"), bytes).unwrap();
    for graphs in [false, true] {
        let init = Init { graphs, ..with_graphs(tiny_recipe()) };
        let mut worker = worker(&init, &[("REELDECK_TORCH_LIB", folder.path().to_str().unwrap())]);
        worker.expect_ready();
        extract(&mut worker, &videos[..1], &folder.path().join(graphs.to_string()));
        let ended = worker.finish();
        for says in ["CUDA graphs are not used", "libtorch_cuda.so lacks _ZN2at4cuda9CUDAGraphC1Eb"] {
            assert_eq!(ended.stderr.contains(says), graphs, "{}", ended.stderr);
        }
    }
}

#[test]
fn a_smaller_batch_frees_the_graphs_of_the_old_sizes() {
    let folder = tempfile::tempdir().unwrap();
    let videos = videos(folder.path());
    let log = folder.path().join("graphs");
    let mut worker = worker(&with_graphs(tiny_recipe()), &[("FAKE_CUDA_GRAPHS", log.to_str().unwrap())]);
    worker.expect_ready();
    let mut seen = vec![];
    for (number, size) in [20, 20, 10, 5].into_iter().enumerate() {
        let ToWorker::Extract { job, video, path, feature, .. } =
            job(number as u64, &videos[0], &folder.path().join(number.to_string()))
        else {
            panic!()
        };
        worker.send(&ToWorker::Extract { job, video, path, feature, batch: size });
        worker.expect_done(number as u64);
        seen.push(["capture", "free"].map(|what| count(&log, what)));
    }
    worker.finish();
    let [first, again, smaller, smallest] = seen[..] else { panic!("{seen:?}") };
    assert!(first[0] > 0 && first[1] == 0 && again == first, "{seen:?}");
    assert!(smaller[0] > first[0] && smaller[1] == first[0], "{seen:?}");
    assert!(smallest[0] > smaller[0] && smallest[1] == smaller[0], "{seen:?}");
}
