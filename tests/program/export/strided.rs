//! Exports of features whose number of rows depends on the length of the video.

use reeldeck::internals::export::{npy, npz};
use reeldeck_common::feature::Feature;
use reeldeck_common::recipe::Output;
use reeldeck_pickle::results::read_results;

use super::{bits, csv};
use crate::support::hdf5;
use crate::support::made::{Set, recipe};

/// Windows of 57 frames at a stride of 4.
fn set(more: &str) -> Set {
    Set::with_recipe(&recipe().replace("clips = 4", &format!("stride = 4{more}")))
}

/// Gives a feature the rows of a video with this many frames.
fn lasting(set: &Set, frames: u64, resampled: Option<u64>) -> impl FnOnce(&mut Feature) {
    let rows = set.recipe.sampling.rows(resampled.unwrap_or(frames));
    move |feature| {
        (feature.provenance.frames.output, feature.provenance.frames.expected) = (frames, frames);
        (feature.provenance.resampled, feature.provenance.fps) = (resampled, [30, 1]);
        for matrix in feature.tensors.values_mut() {
            matrix.shape[0] = rows;
            matrix.data = (0..rows * matrix.shape[1]).map(|at| (at as f32).sqrt()).collect();
        }
    }
}

const VIDEOS: [(&str, u64, usize); 3] = [("A/v_a.mp4", 57, 1), ("A/v_b.mp4", 98, 11), ("B/v_c.mp4", 298, 61)];

#[test]
fn every_format_holds_videos_with_different_numbers_of_rows() {
    let set = set("");
    for (video, frames, _) in VIDEOS {
        set.video(video);
        set.feature(video, lasting(&set, frames, None));
    }
    set.run(&["export", "--format", "pkl,csv,npy,npz,h5"]).expect(0, &["exported 3 videos"]);
    let results = read_results(&set.bytes("result.pkl")).unwrap();
    for ((video, frames, rows), result) in VIDEOS.into_iter().zip(results) {
        let mut feature = set.made(video);
        lasting(&set, frames, None)(&mut feature);
        let logits = &feature.tensors[Output::Logits.name()];
        assert_eq!(logits.shape, [rows, 5]);
        let id = &video[2..5];
        assert_eq!((result.shape, result.scores), (vec![rows, 5], logits.data.clone()), "{video}");
        let (_, numbers) = csv(&String::from_utf8(set.bytes(&format!("csv/{id}.csv"))).unwrap());
        assert_eq!(bits(&numbers), bits(logits));
        assert_eq!(bits(&npy::read(&set.bytes(&format!("npy/{id}.npy"))).unwrap()), bits(logits));
        assert_eq!(bits(&npz::read(&set.bytes(&format!("npz/{id}.npz"))).unwrap()), bits(logits));
        assert_eq!(bits(&hdf5::dataset(&set.bytes("h5/features.hdf5"), id)), bits(logits));
    }
    let dataset = set.json("npy/dataset.json");
    assert_eq!(dataset["files"]["shape"], serde_json::json!([null, 5]));
    let clips = serde_json::json!({"count": null, "length": 8, "interval": 8, "span": 57, "stride": 4, "offset": 28.5});
    assert_eq!(dataset["clips"], clips);
    let rows: Vec<_> = dataset["videos"].as_array().unwrap().iter().map(|video| video["rows"].as_u64()).collect();
    assert_eq!(rows, [Some(1), Some(11), Some(61)]);
    assert!(!set.exported("csv/mmaction2_bmn.py").exists(), "BMN needs as many rows of every video");
}

#[test]
fn the_snippets_say_which_row_belongs_to_which_time() {
    for (more, own_fps, opentad_fps, actionformer_fps) in
        [("", None, "fps=-1", "default_fps: ~,"), ("\nfps = 15", Some(149), "fps=15", "default_fps: 15,")]
    {
        let set = set(more);
        set.video("A/v_a.mp4");
        set.feature("A/v_a.mp4", lasting(&set, 298, own_fps));
        set.run(&["export", "--format", "npy"]).expect(0, &["exported 1 video"]);
        let text = |name: &str| String::from_utf8(set.bytes(&format!("npy/{name}"))).unwrap();
        let opentad = text("opentad.py");
        let expected = format!("dict(feature_stride=4, sample_stride=1, offset_frames=28, {opentad_fps})");
        assert!(opentad.contains(&expected) && opentad.contains("prefix=\"v_\""), "{opentad}");
        let actionformer = text("actionformer.yaml");
        for line in ["feat_stride: 4,", "num_frames: 57,", actionformer_fps, "file_prefix: v_,", "input_dim: 5,"] {
            assert!(actionformer.contains(line), "{line} is missing in {actionformer}");
        }
        for name in ["opentad.py", "opentad_annotations.py", "actionformer.yaml", "actionformer.py"] {
            let text = text(name);
            assert!(!["{SET}", "{D}", "{PREFIX}", "{FPS}", "{STRIDE}"].iter().any(|key| text.contains(key)), "{text}");
        }
    }
}

#[test]
fn float16_halves_npy_and_nothing_else() {
    let set = set("");
    set.video("A/v_a.mp4");
    set.feature("A/v_a.mp4", lasting(&set, 298, None));
    set.run(&["export", "--format", "npy", "--float16"]).expect(0, &["npy-f16"]);
    assert_eq!(set.bytes("npy-f16/v_a.npy").len(), 128 + 61 * 5 * 2);
    assert_eq!(set.json("npy-f16/dataset.json")["files"]["dtype"], "float16");
    let half = npy::read(&set.bytes("npy-f16/v_a.npy")).unwrap();
    let whole = set.made("A/v_a.mp4");
    assert_eq!((half.shape, half.data[4]), ([61, 5], 2.0), "{whole:?}");
    set.run(&["export", "--format", "csv", "--float16"]).expect(2, &["--float16 applies only to npy"]);
    set.video("A/v_large.mp4");
    set.feature("A/v_large.mp4", |feature| {
        lasting(&set, 298, None)(feature);
        feature.tensors.values_mut().for_each(|matrix| matrix.data[1] = 65_520.0);
    });
    set.run(&["export", "--format", "npy", "--float16"])
        .expect(3, &["A/v_large.mp4: its numbers exceed 65504", "without --float16"]);
    assert!(!set.exported("npy-f16/v_large.npy").exists());
}

#[test]
fn verify_names_the_stride_that_explains_other_rows() {
    let set = set("");
    set.video("A/v_a.mp4");
    set.feature("A/v_a.mp4", lasting(&set, 298, None));
    set.run(&["export", "--format", "npy"]).expect(0, &[]);
    let theirs = set.at("theirs");
    std::fs::create_dir(&theirs).unwrap();
    for (rows, says) in [
        (16, "theirs has 16 rows, ours 61: floor((298 frames - 57) / stride 4) + 1; stride 16 gives theirs"),
        (200, "no stride gives theirs"),
    ] {
        let matrix = reeldeck_common::feature::Matrix { shape: [rows, 5], data: vec![0.5; rows * 5] };
        let mut bytes = vec![];
        npy::write(&matrix, Default::default(), &mut bytes);
        std::fs::write(theirs.join("v_a.npy"), bytes).unwrap();
        set.run(&["verify", "--against", theirs.to_str().unwrap()]).expect(3, &[says]);
    }
}
