//! Tests of modules, which libtorch traces here: no Python is needed.

use std::path::{Path, PathBuf};

use reeldeck_common::digest::sha256;
use reeldeck_common::recipe::{Filter, Model, Precision, Recipe, Resize, Sampling, TorchScript, Transform};
use reeldeck_model::clips::{ClipRunner, Outputs};
use reeldeck_model::tch::{CModule, Device, Kind, Tensor};
use reeldeck_model::{Backbone, Choice, ModelError, load};
use tempfile::TempDir;

use crate::support::{frame, needed};

const SIDE: i64 = 32;

/// A convolution and a mean: batch × 3 × 4 × 32 × 32 to batch × 7.
fn saved() -> (TempDir, PathBuf) {
    let weight = (Tensor::arange(7 * 3 * 2 * 3 * 3, (Kind::Float, Device::Cpu)) * 0.7).sin().view([7, 3, 2, 3, 3]);
    let mut forward = |inputs: &[Tensor]| {
        let y = inputs[0].conv3d(&weight, None::<&Tensor>, [1, 2, 2], [0, 0, 0], [1, 1, 1], 1).relu();
        vec![y.mean_dim([2_i64, 3, 4].as_slice(), false, Kind::Float)]
    };
    let example = [Tensor::zeros([1, 3, 4, SIDE, SIDE], (Kind::Float, Device::Cpu))];
    let module = CModule::create_by_tracing("Small", "forward", &example, &mut forward).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("small.pt");
    module.save(&path).unwrap();
    (folder, path)
}

fn recipe(path: &Path, width: usize) -> Recipe {
    let resize = Resize::Exact { height: SIDE as usize, width: SIDE as usize };
    let transform =
        Transform { resize, filter: Filter::OpencvU8, crop: None, scale: 255.0, mean: [0.4; 3], std: [0.2; 3] };
    let sha256 = sha256(&std::fs::read(path).unwrap());
    let model = Model::Torchscript(TorchScript { module: path.to_owned(), sha256, width });
    let base = Recipe::find("slowonly-r50-8x8-k700").unwrap();
    Recipe { model, transform, sampling: Sampling::windows(3, 4, 1), precision: Precision::Fp32, ..base }
}

fn windows() -> Vec<Vec<u64>> {
    (0..5).map(|clip| (0..4).map(|k| clip * 3 + k).collect()).collect()
}

fn run(backbone: &dyn Backbone) -> Result<Outputs, ModelError> {
    let mut runner = ClipRunner::new(backbone, windows(), 2);
    for index in needed(&windows()) {
        runner.push(index, &frame(index, SIDE as usize))?;
    }
    runner.finish()?.fetch()
}

#[test]
fn a_module_gives_the_same_as_when_libtorch_runs_it_directly() {
    let (_folder, path) = saved();
    let backbone = load(&recipe(&path, 7), Some((&path, "")), Device::Cpu, Choice::Direct).unwrap();
    let outputs = run(&*backbone).unwrap();
    let module = CModule::load(&path).unwrap();
    let mut expected = vec![];
    for clip in windows().chunks(2) {
        let pixels: Vec<u8> = clip.iter().flatten().flat_map(|index| frame(*index, SIDE as usize)).collect();
        let x = Tensor::from_data_size(&pixels, &[clip.len() as i64, 4, SIDE, SIDE, 3], Kind::Uint8);
        let mean = Tensor::from_slice(&[0.4_f32; 3]);
        let x = (x.to_kind(Kind::Float) / 255.0 - mean) / Tensor::from_slice(&[0.2_f32; 3]);
        let y = module.forward_ts(&[x.permute([0, 4, 1, 2, 3]).contiguous()]).unwrap();
        expected.extend(Vec::<f32>::try_from(y.flatten(0, -1)).unwrap());
    }
    assert_eq!((outputs.clips, outputs.logits.len()), (5, 0));
    assert!(outputs.pooled == expected, "{:?} and {expected:?}", outputs.pooled);
    assert!(run(&*backbone).unwrap() == outputs, "the second video differs");
}

#[test]
fn only_the_pinned_module_is_run() {
    let (_folder, path) = saved();
    let mut other = recipe(&path, 7);
    if let Model::Torchscript(model) = &mut other.model {
        model.sha256 = "00".repeat(32);
    }
    let error = load(&other, Some((&path, "")), Device::Cpu, Choice::Direct).err().unwrap();
    assert!(matches!(error, ModelError::OtherModule { .. }), "{error}");
    assert!(error.to_string().contains("small.pt is not the one that the recipe pins: its SHA-256 is "), "{error}");
    let error = load(&recipe(&path, 7), None, Device::Cpu, Choice::Direct).err().unwrap();
    assert!(matches!(error, ModelError::NoCheckpoint), "{error}");
}

#[test]
fn a_module_that_fails_for_every_clip_is_not_loaded() {
    let (_folder, path) = saved();
    let error =
        |recipe: Recipe| load(&recipe, Some((&path, "")), Device::Cpu, Choice::Direct).err().unwrap().to_string();
    let found = error(recipe(&path, 8));
    assert!(found.contains("small.pt returns [1, 7] for [1, 3, 4, 32, 32], and the recipe says [1, 8]"), "{found}");
    let mut short = recipe(&path, 7);
    // Its convolution needs two frames.
    short.sampling = Sampling::windows(3, 1, 1);
    let found = error(short);
    assert!(found.contains("small.pt fails for a test clip: "), "{found}");
    assert!(found.contains("size"), "{found}");
}

#[test]
fn a_file_that_is_no_module_and_a_module_that_returns_nan_are_named() {
    let (folder, path) = saved();
    let error = |recipe: &Recipe| load(recipe, Some((&path, "")), Device::Cpu, Choice::Direct).err().unwrap();
    let mut forward = |inputs: &[Tensor]| {
        let mean = inputs[0].mean_dim([2_i64, 3, 4].as_slice(), false, Kind::Float);
        vec![(mean - 1000.0).log()]
    };
    let example = [Tensor::zeros([1, 3, 4, SIDE, SIDE], (Kind::Float, Device::Cpu))];
    CModule::create_by_tracing("Nan", "forward", &example, &mut forward).unwrap().save(&path).unwrap();
    let found = error(&recipe(&path, 3)).to_string();
    assert!(found.contains("small.pt returns numbers that are not finite for a test clip"), "{found}");
    std::fs::write(&path, "no module").unwrap();
    let found = error(&recipe(&path, 3)).to_string();
    assert!(found.contains("small.pt cannot be loaded; save it with torch.jit.save: "), "{found}");
    let gone = recipe(&path, 3);
    drop(folder);
    let found = error(&gone).to_string();
    assert!(found.contains("small.pt; correct `module` in the recipe, or name the file with --checkpoint"), "{found}");
}
