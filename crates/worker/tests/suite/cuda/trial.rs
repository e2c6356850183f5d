//! What a worker does about a GPU that computes something else than the CPU, or fails for a reason that is not known.

use std::path::Path;

use reeldeck_common::error::ErrorKind;
use reeldeck_common::feature::Feature;
use reeldeck_common::protocol::{FromWorker, Init, ToWorker};
use reeldeck_common::recipe::{Model, Precision, Recipe, SlowFast, VideoMae};

use super::{assert_close, difference, extract, features_of_the_cpu, videos, worker};
use crate::harness::{init, job, tiny_recipe};

/// What the fake GPU says about failures of a kind that the worker does not know.
const UNKNOWN: &str = "a text that no version has had so far";

fn on_gpu() -> Init {
    Init { device: "cuda:1".into(), ..init(tiny_recipe()) }
}

/// As the engine orders it: with the default number of clips in a pass.
fn in_large_passes(number: u64, path: &Path, feature: &Path) -> ToWorker {
    let ToWorker::Extract { job, video, path, feature, .. } = job(number, path, feature) else { panic!() };
    ToWorker::Extract { job, video, path, feature, batch: 20 }
}

#[test]
fn all_families_of_networks_have_the_arithmetic_of_the_precision() {
    let folder = tempfile::tempdir().unwrap();
    let videos = videos(folder.path());
    let slowfast =
        SlowFast { depth: 50, tau: 4, alpha: 4, beta_inv: 4, fusion_kernel: 5, base_channels: 8, classes: Some(5) };
    let videomae =
        VideoMae { patch: 16, width: 48, depth: 2, heads: 4, mlp_ratio: 4.0, frames: 8, tubelet: 2, classes: Some(5) };
    for (name, model) in [("slowfast", Model::Slowfast(slowfast)), ("videomae", Model::Videomae(videomae))] {
        let by_cpu = init(Recipe { model, ..tiny_recipe() });
        let by_gpu = Init { device: "cuda:1".into(), ..by_cpu.clone() };
        let mut in_tf32 = by_gpu.clone();
        in_tf32.recipe.precision = Precision::Tf32;
        let features = [by_cpu, by_gpu, in_tf32].map(|init| {
            let mut worker = worker(&init, &[]);
            worker.expect_ready();
            let features = extract(
                &mut worker,
                &videos,
                &folder.path().join(format!("{name}-{}-{:?}", init.device, init.recipe.precision)),
            );
            worker.finish();
            features
        });
        for ((expected, exact), shortened) in features[0].iter().zip(&features[1]).zip(&features[2]) {
            let differences = [exact, shortened].map(|feature| difference(feature, expected));
            assert!(differences[0] <= 1e-5, "{name}: {differences:?}");
            assert!((1e-4..0.1).contains(&differences[1]), "{name} in TF32: {differences:?}");
        }
    }
}

#[test]
fn fused_convolutions_that_fail_or_are_wrong_are_replaced() {
    let folder = tempfile::tempdir().unwrap();
    let videos = videos(folder.path());
    let expected = features_of_the_cpu(folder.path(), &videos);
    // The first clip runs 49 of them; the others fail in the middle of a video.
    for (fault, says) in [
        ("stem", "unable to find an engine"),
        ("wrong", "its results are off by"),
        ("summand", "its results are off by NaN"),
        ("1", UNKNOWN),
        ("60", UNKNOWN),
    ] {
        let mut worker = worker(&on_gpu(), &[("FAKE_CUDA_FUSED", fault)]);
        worker.expect_ready();
        let features = extract(&mut worker, &videos, &folder.path().join(fault));
        let ended = worker.finish();
        assert!(ended.stderr.contains("a fused convolution is not used"), "{fault}: {}", ended.stderr);
        assert!(ended.stderr.contains(says), "{fault}: {}", ended.stderr);
        assert_close(&features, &expected, fault);
    }
}

#[test]
fn a_pass_that_fails_for_an_unknown_reason_is_run_again_in_halves() {
    let folder = tempfile::tempdir().unwrap();
    let videos = videos(folder.path());
    let expected = features_of_the_cpu(folder.path(), &videos);
    // Groups of 32 frames, and 5 clips of 8 frames.
    let mut halving = worker(&on_gpu(), &[("FAKE_CUDA_ROWS", "24")]);
    halving.expect_ready();
    for (number, (path, expected)) in videos.iter().zip(&expected).enumerate() {
        let feature = folder.path().join(format!("half-{number}"));
        halving.send(&in_large_passes(number as u64, path, &feature));
        halving.expect_done(number as u64);
        let difference = difference(&Feature::read(&feature).unwrap(), expected);
        assert!(difference <= 1e-5, "{number}: {difference}");
    }
    let ended = halving.finish();
    assert!(ended.stderr.contains("works with half the frames") && ended.stderr.contains(UNKNOWN), "{}", ended.stderr);
    // Halves are too large, too.
    let mut failing = worker(&on_gpu(), &[("FAKE_CUDA_ROWS", "8")]);
    failing.expect_ready();
    failing.send(&in_large_passes(7, &videos[0], &folder.path().join("failed")));
    let failure = failing.expect_failed(7);
    assert!(failure.kind == ErrorKind::Internal && failure.line().contains(UNKNOWN), "{failure:?}");
    failing.finish();
}

#[test]
fn a_gpu_that_shortens_products_is_refused_for_fp32() {
    for precision in [Precision::Fp32, Precision::Tf32] {
        let mut init = on_gpu();
        init.recipe.precision = precision;
        let mut worker = worker(&init, &[("FAKE_CUDA_TF32", "1")]);
        match (precision, worker.next()) {
            (Precision::Tf32, Some(FromWorker::Ready { .. })) => drop(worker.finish()),
            (Precision::Fp32, Some(FromWorker::Fatal { failure })) => {
                assert_eq!(failure.kind, ErrorKind::Device, "{failure:?}");
                let text = failure.line();
                assert!(text.contains("the network on Cuda(1) is off by") && text.contains("TF32"), "{text}");
            }
            other => panic!("{other:?}"),
        }
    }
}
