//! Compares results with those of the original code, which are in tests/golden. The videos are generated again here.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;

use md5::{Digest, Md5};
use reeldeck_common::feature::{CheckpointId, Feature};
use reeldeck_common::limits::Limits;
use reeldeck_common::protocol::CheckpointSource;
use reeldeck_common::recipe::{Model, Recipe, Transform};
use reeldeck_model::network::Network;
use reeldeck_model::plain::PlainModel;
use reeldeck_model::seeded;
use reeldeck_video::frames::{self, Extraction, Pass, Request, Sink};
use reeldeck_video::sampling::ClipPlan;
use reeldeck_video::synth::{self, Synth};
use reeldeck_video::{VideoError, full_decode};
use serde::Deserialize;
use tch::{Kind, Tensor};

use crate::harness::{PROGRAM, Worker, golden, init, job};

/// The largest accepted difference; at most 7e-6 was measured on the machine that computed the reference.
const TOLERANCE: f32 = 2e-4;

#[derive(Deserialize)]
struct Figures {
    recipe: String,
    videos: BTreeMap<String, Video>,
}

#[derive(Deserialize)]
struct Video {
    video: Synth,
    frames: u64,
    pictures_md5: String,
    indices_md5: String,
    clip_md5: Vec<String>,
    logits: Vec<Vec<f32>>,
}

fn figures() -> (Figures, Recipe) {
    let figures: Figures = serde_json::from_slice(&std::fs::read(golden("figures.json")).unwrap()).unwrap();
    let recipe = Recipe::find(golden(&figures.recipe).to_str().unwrap()).unwrap();
    assert_eq!(figures.videos.len(), 6);
    (figures, recipe)
}

fn hex(digest: Md5) -> String {
    digest.finalize().iter().map(|b| format!("{b:02x}")).collect()
}

/// Generates a video and checks that its decoded frames are those of the reference.
fn make(folder: &Path, name: &str, video: &Video) -> PathBuf {
    let path = folder.join(name);
    synth::write(&path, &video.video).unwrap();
    let (mut digest, mut frames) = (Md5::new(), 0);
    let mut each = |picture: full_decode::RgbFrame<'_>| {
        frames += 1;
        digest.update(picture.rgb);
        Ok(())
    };
    full_decode::for_each_frame(&path, &Limits::default(), &mut each).unwrap();
    let found = (frames, hex(digest));
    let wanted = (video.frames, video.pictures_md5.clone());
    assert_eq!(found, wanted, "{name}: drawing, encoder or decoder changed; this says nothing about the pipeline yet");
    path
}

#[derive(Default)]
struct Collect {
    plan: Option<ClipPlan>,
    frames: BTreeMap<u64, Vec<u8>>,
}

impl Sink for Collect {
    fn plan(&mut self, plan: ClipPlan) -> Result<(), VideoError> {
        *self = Self { plan: Some(plan), frames: BTreeMap::new() };
        Ok(())
    }

    fn frame(&mut self, index: u64, pixels: Vec<u8>) -> Result<(), VideoError> {
        self.frames.insert(index, pixels);
        Ok(())
    }
}

impl Collect {
    fn from(path: &Path, recipe: &Recipe) -> (Self, Extraction) {
        let (sampling, transform, damage) = (recipe.sampling, recipe.transform, recipe.damage);
        let request = Request { sampling, transform, damage, limits: Limits::default() };
        let mut collect = Self::default();
        let facts = frames::extract(path, &request, Pass::Best, &mut collect).unwrap();
        (collect, facts)
    }

    /// A clip in the layout of the original: channels × frames × height × width.
    fn clip(&self, indices: &[u64]) -> Vec<u8> {
        let plane = |channel: usize| {
            indices.iter().flat_map(move |index| self.frames[index].iter().skip(channel).step_by(3).copied())
        };
        (0..3).flat_map(plane).collect()
    }
}

/// Checks the frame indices, and the pixels byte by byte.
fn check_clips(name: &str, video: &Video, collect: &Collect, facts: &Extraction) {
    let plan = collect.plan.as_ref().unwrap();
    assert_eq!((facts.counts.output, facts.counts.concealed), (video.frames, 0), "{name}");
    let indices: Vec<String> = plan.clip_of().flat_map(|clip| plan.clip(clip)).map(|index| index.to_string()).collect();
    assert_eq!(hex(Md5::new_with_prefix(indices.join(","))), video.indices_md5, "{name}: indices");
    let frames: Vec<Vec<u64>> = plan.clone().into_clips().collect();
    let distinct: Vec<String> = frames.iter().map(|clip| hex(Md5::new_with_prefix(collect.clip(clip)))).collect();
    let clips: Vec<&String> = plan.clip_of().map(|clip| &distinct[clip]).collect();
    assert_eq!(clips, video.clip_md5.iter().collect::<Vec<_>>(), "{name}: pixels");
}

/// Compares rows with those of the original.
fn check_logits<'a>(name: &str, what: &str, rows: impl ExactSizeIterator<Item = &'a [f32]>, video: &Video) {
    assert_eq!(rows.len(), video.logits.len(), "{name}, {what}");
    let mut most = 0.0_f32;
    for (row, wanted) in rows.zip(&video.logits) {
        assert_eq!(row.len(), wanted.len(), "{name}, {what}");
        for (a, b) in row.iter().zip(wanted) {
            assert!(a.is_finite(), "{name}, {what}");
            most = most.max((a - b).abs());
        }
    }
    println!("{name}, {what}: at most {most:.1e} from the original");
    assert!(most <= TOLERANCE, "{name}, {what}: {most:e} from the original");
}

/// A worker with weights from a file that the worker wrote.
fn worker(folder: &Path, recipe: &Recipe) -> Worker {
    let weights = folder.join("small.pth");
    let written = Command::new(PROGRAM).arg("write-seeded-checkpoint").arg(golden("small.toml")).arg(&weights).status();
    assert!(written.unwrap().success());
    let mut init = init(recipe.clone());
    let digest = reeldeck_common::digest::sha256(&std::fs::read(&weights).unwrap());
    init.checkpoint_id = CheckpointId { name: "small.pth".into(), digest, synthetic_weights: true };
    init.checkpoint = CheckpointSource::File(weights);
    Worker::start(&init)
}

fn normalised(clip: &[u8], length: usize, transform: &Transform) -> Tensor {
    let side = transform.output().0 as i64;
    let pixels = Tensor::from_data_size(clip, &[1, 3, length as i64, side, side], Kind::Uint8).to_kind(Kind::Float);
    let three = |values: &[f32; 3]| Tensor::from_slice(values).view([1, 3, 1, 1, 1]);
    (pixels - three(&transform.mean)) / three(&transform.std)
}

/// Checks for each video the decoded frames, the network's input, the outputs of the reference implementation, and the feature
/// file.
#[test]
fn results_equal_those_of_the_original() {
    reeldeck_model::device::keep_memory();
    let (figures, recipe) = figures();
    let folder = tempfile::tempdir().unwrap();
    let Model::Slowonly(model) = &recipe.model else { panic!("a SlowOnly recipe") };
    let network = Network::new(model);
    let weights = seeded::weights(&network);
    let plain = PlainModel::new(network, &weights);
    let mut worker = worker(folder.path(), &recipe);
    for (number, (name, video)) in figures.videos.iter().enumerate() {
        let path = make(folder.path(), name, video);
        let feature = folder.path().join(format!("features/{name}.safetensors"));
        worker.send(&job(number as u64, &path, &feature));

        let (collect, facts) = Collect::from(&path, &recipe);
        check_clips(name, video, &collect, &facts);

        let plan = collect.plan.as_ref().unwrap();
        let row = |clip: &Vec<u64>| {
            let clip = normalised(&collect.clip(clip), recipe.sampling.length, &recipe.transform);
            let (_, logits) = plain.forward(&clip).unwrap();
            Vec::<f32>::try_from(logits.view([-1])).unwrap()
        };
        let rows: Vec<Vec<f32>> = (0..plan.distinct()).map(|clip| row(&plan.clip(clip).collect())).collect();
        check_logits(
            name,
            "plain",
            plan.clip_of().collect::<Vec<_>>().into_iter().map(|clip| rows[clip].as_slice()),
            video,
        );

        worker.expect_done(number as u64);
        let feature = Feature::read(&feature).unwrap();
        let logits = &feature.tensors["logits"];
        assert_eq!(logits.shape, [video.logits.len(), video.logits[0].len()], "{name}");
        check_logits(name, "worker", logits.data.chunks_exact(logits.shape[1]), video);
    }
    assert_eq!(worker.finish().messages, []);
}

/// The comparison detects wrong frames, because different clips differ by far more than the accepted difference.
#[test]
fn reference_values_of_different_clips_differ() {
    let (figures, _) = figures();
    let mut least = f32::MAX;
    for (name, video) in &figures.videos {
        for ((a, b), md5) in video.logits.iter().zip(&video.logits[1..]).zip(video.clip_md5.windows(2)) {
            let most = a.iter().zip(b).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
            if md5[0] == md5[1] {
                assert!(most < TOLERANCE / 4.0, "{name}: {most:e}");
            } else {
                least = least.min(most);
            }
        }
    }
    assert!(least > 100.0 * TOLERANCE, "{least:e}");
}
