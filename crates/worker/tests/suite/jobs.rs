//! Tests with healthy videos: determinism, duplicate clips, outputs, and the location of features.

use std::fs;
use std::path::{Path, PathBuf};

use reeldeck_common::feature::{Feature, Header};
use reeldeck_common::protocol::{Init, Nvdec};
use reeldeck_common::recipe::{Output, Precision};
use reeldeck_model::network::{HEAD_BIAS, HEAD_WEIGHT};
use reeldeck_model::seeded;

use crate::harness::{Worker, complete_files, init, job, sized_recipe, tiny_recipe, video};

/// Lengths for all kinds of clips: shorter than a clip's span, barely longer, and long; not in order of length.
const LENGTHS: [u64; 6] = [150, 1, 57, 30, 90, 61];

fn videos(folder: &Path) -> Vec<PathBuf> {
    let name = |(seed, frames): (usize, &u64)| {
        let path = folder.join(format!("videos/{frames}.mp4"));
        video(&path, *frames, seed as u32);
        path
    };
    LENGTHS.iter().enumerate().map(name).collect()
}

/// Extracts all videos in one worker at once, and reads the feature files.
fn features(init: &Init, videos: &[PathBuf], out: &Path) -> Vec<Vec<u8>> {
    let mut worker = Worker::start(init);
    let feature = |number: usize| out.join(format!("{number}.safetensors"));
    for (number, path) in videos.iter().enumerate() {
        worker.send(&job(number as u64, path, &feature(number)));
    }
    for (number, frames) in LENGTHS.into_iter().enumerate() {
        let report = worker.expect_done(number as u64);
        assert_eq!((report.frames.output, report.clips), (frames, 4));
        assert_eq!(report.clips_computed, if frames <= 57 { 1 } else { 4 }, "{frames} frames");
    }
    assert_eq!(worker.finish().messages, []);
    assert_eq!(complete_files(out).len(), videos.len());
    (0..videos.len()).map(|number| fs::read(feature(number)).unwrap()).collect()
}

#[test]
fn features_do_not_depend_on_the_number_of_decoders() {
    let folder = tempfile::tempdir().unwrap();
    let videos = videos(folder.path());
    let init = init(tiny_recipe());
    let first = features(&init, &videos, &folder.path().join("first"));
    for (run, (decoders, prefetch_frames)) in [(2, 16), (1, 1), (3, 1), (1, 100), (3, 100)].into_iter().enumerate() {
        let init = Init { decoders, prefetch_frames, ..init.clone() };
        let again = features(&init, &videos, &folder.path().join(run.to_string()));
        assert!(first == again, "{decoders} decoders, {prefetch_frames} frames ahead");
    }
}

/// No machine has a GPU with this number.
#[test]
fn without_nvdec_the_cpu_decodes_and_logs_one_warning() {
    let folder = tempfile::tempdir().unwrap();
    let videos = videos(folder.path());
    let init = init(tiny_recipe());
    let plain = features(&init, &videos, &folder.path().join("plain"));
    let wanted = Init { nvdec: Some(Nvdec { gpu: 100_000, streams: 2, is_default: false }), decoders: 3, ..init };
    let out = folder.path().join("nvdec");
    let mut worker = Worker::start(&wanted);
    for (number, path) in videos.iter().enumerate() {
        worker.send(&job(number as u64, path, &out.join(number.to_string())));
    }
    for (number, plain) in plain.into_iter().enumerate() {
        let report = worker.expect_done(number as u64);
        assert!(!report.nvdec && !report.plain_pass, "{report:?}");
        assert!(plain == fs::read(out.join(number.to_string())).unwrap(), "{number}");
    }
    let said = worker.finish().stderr;
    assert_eq!(said.matches("no NVDEC, the CPU decodes instead").count(), 1, "{said}");
}

#[test]
fn a_feature_does_not_depend_on_earlier_videos() {
    let folder = tempfile::tempdir().unwrap();
    let videos = videos(folder.path());
    let init = init(tiny_recipe());
    let together = features(&init, &videos, &folder.path().join("together"));
    let alone = folder.path().join("alone.safetensors");
    let mut worker = Worker::start(&init);
    worker.send(&job(0, &videos[4], &alone));
    worker.expect_done(0);
    worker.finish();
    assert!(together[4] == fs::read(alone).unwrap());
}

#[test]
fn duplicate_clips_are_computed_once() {
    let folder = tempfile::tempdir().unwrap();
    let (path, feature) = (folder.path().join("short.mp4"), folder.path().join("short.safetensors"));
    video(&path, 58, 3);
    let mut worker = Worker::start(&init(tiny_recipe()));
    worker.send(&job(0, &path, &feature));
    let report = worker.expect_done(0);
    // 58 frames are one more than the span of a clip, so the four clips begin at frames 0, 0, 1 and 1.
    assert_eq!((report.clips, report.clips_computed, report.plain_pass), (4, 2, false));
    worker.finish();
    let logits = &Feature::read(&feature).unwrap().tensors["logits"];
    let rows: Vec<&[f32]> = logits.data.chunks_exact(logits.shape[1]).collect();
    assert_eq!(logits.shape, [4, 5]);
    assert!(rows[0] == rows[1] && rows[2] == rows[3] && rows[0] != rows[2]);
}

#[test]
fn pooled_outputs_are_consistent_with_the_logits() {
    let folder = tempfile::tempdir().unwrap();
    let (path, feature) = (folder.path().join("v.mp4"), folder.path().join("v.safetensors"));
    video(&path, 70, 3);
    let mut recipe = tiny_recipe();
    recipe.outputs = vec![Output::Logits, Output::Pooled];
    let mut worker = Worker::start(&init(recipe.clone()));
    worker.send(&job(0, &path, &feature));
    worker.expect_done(0);
    worker.finish();
    assert!(Header::read(&feature).unwrap().satisfies(&recipe));
    let feature = Feature::read(&feature).unwrap();
    let (logits, pooled) = (&feature.tensors["logits"], &feature.tensors["pooled"]);
    assert_eq!((logits.shape, pooled.shape), ([4, 5], [4, 128]));
    let weights = seeded::weights(&*reeldeck_model::family(&recipe.model).unwrap());
    let (matrix, bias) = (weights.get(HEAD_WEIGHT).unwrap(), weights.get(HEAD_BIAS).unwrap());
    for (logits, pooled) in logits.data.chunks_exact(5).zip(pooled.data.chunks_exact(128)) {
        for (class, (logit, row)) in logits.iter().zip(matrix.data.chunks_exact(128)).enumerate() {
            let sum: f32 = row.iter().zip(pooled).map(|(w, x)| w * x).sum();
            assert!((logit - sum - bias.data[class]).abs() < 1e-4);
        }
    }
}

#[test]
fn a_feature_has_its_provenance_and_its_class_folder_is_created() {
    let folder = tempfile::tempdir().unwrap();
    let (path, feature) = (folder.path().join("v.mp4"), folder.path().join("a set/a class/v.mp4.safetensors"));
    fs::create_dir(folder.path().join("a set")).unwrap();
    video(&path, 30, 3);
    let mut recipe = tiny_recipe();
    recipe.precision = Precision::Bf16;
    let init = init(recipe);
    let mut worker = Worker::start(&init);
    worker.send(&job(0, &path, &feature));
    worker.expect_done(0);
    worker.finish();
    let provenance = Header::read(&feature).unwrap().provenance;
    assert_eq!(
        (&provenance.recipe, &provenance.set, &provenance.checkpoint),
        (&init.recipe, &init.set, &init.checkpoint_id)
    );
    assert_eq!((provenance.video.as_str(), provenance.frames.output), ("Class/v.mp4", 30));
    assert_eq!((provenance.size, provenance.fps), ([96, 80], [30, 1]));
    assert_eq!((provenance.precision, provenance.device.as_str()), (Precision::Bf16, "cpu"));
    assert_eq!(provenance.source.size, fs::metadata(path).unwrap().len());
}

/// Both algorithms of a convolution are right, but their last digits differ. So the file decides, not the speed of the moment.
#[test]
fn the_file_of_measurements_decides_about_the_bytes_of_features() {
    let folder = tempfile::tempdir().unwrap();
    let (path, file) = (folder.path().join("v.mp4"), folder.path().join("cache/convolutions.json"));
    video(&path, 60, 1);
    // Large enough for some layers to be measured.
    let init = Init { algorithms: Some(file.clone()), threads: 2, ..init(sized_recipe(2, 128, 32)) };
    let run = |name: &str| {
        let feature = folder.path().join(name);
        let mut worker = Worker::start(&init);
        worker.send(&job(1, &path, &feature));
        let words = worker.expect_done(1).convolutions.unwrap();
        worker.finish();
        let provenance = Header::read(&feature).unwrap().provenance;
        assert_eq!(provenance.convolutions.as_deref(), Some(&*words));
        (words, Feature::read(&feature).unwrap().tensors["logits"].data.clone())
    };
    let (words, measured) = run("measured");
    let text = fs::read_to_string(&file).unwrap();
    assert_eq!(run("again"), (words, measured));
    assert_eq!(fs::read_to_string(&file).unwrap(), text, "measured again");

    fs::write(&file, text.replace("\"winograd\"", "\"direct\"")).unwrap();
    let (words, direct) = run("direct");
    assert_eq!(&*words, "direct");
    fs::write(&file, text.replace("\"direct\"", "\"winograd\"")).unwrap();
    let (words, winograd) = run("winograd");
    assert!(words.starts_with("Winograd F(4,3) in "), "{words}");
    let most = direct.iter().zip(&winograd).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
    assert!(most > 0.0 && most < 1e-4, "{most:e}");
}

/// A speed that was measured before decides, so that the test does not depend on the processor.
#[test]
fn a_precision_that_is_slower_than_fp32_is_warned_about() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("cache/convolutions.json");
    let mut init = Init { algorithms: Some(file.clone()), threads: 1, ..init(sized_recipe(2, 32, 4)) };
    init.recipe.precision = Precision::Bf16;
    let warnings = || {
        let mut worker = Worker::start(&init);
        let warnings = std::mem::take(&mut worker.warnings);
        worker.finish();
        warnings
    };
    warnings();
    let speeds = file.with_file_name("precisions.json");
    let mut measured: serde_json::Value = serde_json::from_slice(&fs::read(&speeds).unwrap()).unwrap();
    let mut set = |speed: f64| {
        let machine = measured.as_object_mut().unwrap().values_mut().next().unwrap();
        for value in machine.as_object_mut().unwrap().values_mut() {
            assert!(value.as_f64().unwrap() > 0.0);
            *value = speed.into();
        }
        fs::write(&speeds, measured.to_string()).unwrap();
    };
    set(0.5);
    let [warning] = &*warnings() else { panic!() };
    assert!(warning.starts_with("bf16 is slower than fp32 on this processor, at 0.50 times its speed"), "{warning}");
    set(1.5);
    assert!(warnings().is_empty());
}
