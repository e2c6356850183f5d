//! Tests of the vision transformer against a plain implementation, operation by operation as in the paper.

use std::io::Cursor;

use reeldeck_common::digest::sha256;
use reeldeck_common::recipe::{Filter, Model, Precision, Recipe, Resize, Sampling, Transform, VideoMae};
use reeldeck_model::clips::{ClipRunner, Outputs};
use reeldeck_model::tch::{Device, Kind, Tensor};
use reeldeck_model::weights::Weights;
use reeldeck_model::{Backbone, Choice, Family, ModelError, Setup, checkpoint, family, seeded};

use crate::support::{frame, needed, relative};

const SIDE: usize = 32;

/// A network with the proportions of the giant one: its MLP ratio is no whole number.
const MODEL: VideoMae = VideoMae {
    patch: 8,
    width: 44,
    depth: 3,
    heads: 4,
    mlp_ratio: 48.0 / 11.0,
    frames: 4,
    tubelet: 2,
    classes: Some(5),
};

fn transform(filter: Filter) -> Transform {
    let resize = Resize::Exact { height: SIDE, width: SIDE };
    Transform { resize, filter, crop: None, scale: 255.0, mean: [0.0; 3], std: [1.0; 3] }
}

fn build(model: &VideoMae, weights: &Weights, filter: Filter, precision: Precision) -> Box<dyn Backbone> {
    let transform = transform(filter);
    model
        .build(
            weights,
            &Setup {
                transform: &transform,
                length: model.frames,
                precision,
                device: Device::Cpu,
                choice: Choice::Direct,
            },
        )
        .unwrap()
}

/// Windows of four frames every three frames: neighbours share frames.
fn windows() -> Vec<Vec<u64>> {
    (0..5).map(|clip| (0..4).map(|k| clip * 3 + k).collect()).collect()
}

fn run(backbone: &dyn Backbone, filter: Filter, batch: usize) -> Outputs {
    let mut runner = ClipRunner::new(backbone, windows(), batch);
    let mut outputs = Outputs::default();
    let mut add = |more: Outputs| {
        outputs.clips += more.clips;
        outputs.pooled.extend(more.pooled);
        outputs.logits.extend(more.logits);
    };
    for index in needed(&windows()) {
        let bytes = frame(index, SIDE);
        let pixels = match filter {
            Filter::OpencvU8 => bytes,
            Filter::TorchF32 => bytes.iter().flat_map(|value| f32::from(*value).to_ne_bytes()).collect(),
        };
        runner.push(index, &pixels).unwrap();
        // Rows can be taken at any time.
        add(runner.take().fetch().unwrap());
    }
    add(runner.finish().unwrap().fetch().unwrap());
    outputs
}

/// The network without fused operations, in 32 bits.
fn plain(model: &VideoMae, weights: &Weights) -> (Vec<f32>, Vec<f32>) {
    let get = |name: &str| {
        let array = weights.get(name).unwrap();
        let shape: Vec<i64> = array.shape.iter().map(|n| *n as i64).collect();
        Tensor::from_slice(&array.data).reshape(shape)
    };
    let pixels: Vec<u8> = windows().iter().flatten().flat_map(|index| frame(*index, SIDE)).collect();
    let side = SIDE as i64;
    let x = Tensor::from_data_size(&pixels, &[5, 4, side, side, 3], Kind::Uint8).to_kind(Kind::Float) / 255.0;
    let x = x.permute([0, 4, 1, 2, 3]).contiguous();
    let stride = [model.tubelet, model.patch, model.patch].map(|n| n as i64);
    let (weight, bias) = (get("patch_embed.proj.weight"), get("patch_embed.proj.bias"));
    let x = x.conv3d(&weight, Some(&bias), stride, [0, 0, 0], [1, 1, 1], 1);
    let mut x = x.flatten(2, -1).transpose(1, 2);
    let (_, tokens, width) = x.size3().unwrap();
    let table: Vec<f32> = (0..tokens)
        .flat_map(|position| (0..width).map(move |j| (position, j)))
        .map(|(position, j)| {
            let angle = position as f64 / 10000_f64.powf((2 * (j / 2)) as f64 / width as f64);
            if j % 2 == 0 { angle.sin() as f32 } else { angle.cos() as f32 }
        })
        .collect();
    x += Tensor::from_slice(&table).view([1, tokens, width]);
    let heads = model.heads as i64;
    let norm = |x: &Tensor, name: &str| {
        let (weight, bias) = (get(&format!("{name}.weight")), get(&format!("{name}.bias")));
        let mean = x.mean_dim(-1, true, Kind::Float);
        let variance = (x - &mean).square().mean_dim(-1, true, Kind::Float);
        (x - mean) / (variance + 1e-6).sqrt() * weight + bias
    };
    let linear =
        |x: &Tensor, name: &str| x.linear(&get(&format!("{name}.weight")), Some(&get(&format!("{name}.bias"))));
    for block in 0..model.depth {
        let name = |part: &str| format!("blocks.{block}.{part}");
        let y = norm(&x, &name("norm1"));
        let qkv = y.linear(&get(&name("attn.qkv.weight")), None::<&Tensor>);
        let part = |number: i64| qkv.narrow(2, number * width, width);
        let split = |x: Tensor| x.view([5, tokens, heads, width / heads]).transpose(1, 2);
        let q = split(part(0) + get(&name("attn.q_bias"))) * ((width / heads) as f64).powf(-0.5);
        let (k, v) = (split(part(1).contiguous()), split(part(2) + get(&name("attn.v_bias"))));
        let attention = q.matmul(&k.transpose(-2, -1)).softmax(-1, Kind::Float);
        let y = attention.matmul(&v).transpose(1, 2).reshape([5, tokens, width]);
        x += linear(&y, &name("attn.proj"));
        let y = linear(&norm(&x, &name("norm2")), &name("mlp.fc1")).gelu("none");
        x += linear(&y, &name("mlp.fc2"));
    }
    let pooled = norm(&x.mean_dim(1, false, Kind::Float), "fc_norm");
    let logits = linear(&pooled, "head");
    let numbers = |x: Tensor| Vec::<f32>::try_from(x.flatten(0, -1)).unwrap();
    (numbers(pooled), numbers(logits))
}

fn max_abs(a: &[f32], b: &[f32]) -> f32 {
    assert_eq!(a.len(), b.len());
    a.iter().zip(b).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max)
}

#[test]
fn the_vision_transformer_equals_the_plain_one() {
    let weights = seeded::weights(&MODEL);
    let (pooled, logits) = plain(&MODEL, &weights);
    for filter in [Filter::OpencvU8, Filter::TorchF32] {
        let backbone = build(&MODEL, &weights, filter, Precision::Fp32);
        for batch in [1, 2, 5] {
            let outputs = run(&*backbone, filter, batch);
            assert_eq!(outputs.clips, 5);
            let error = max_abs(&outputs.pooled, &pooled).max(max_abs(&outputs.logits, &logits));
            assert!(error < 2e-5, "{filter:?}, batch {batch}: {error}");
        }
    }
    assert!(relative(&pooled[..44], &pooled[44..88]) > 1e-2, "the clips do not differ");
}

#[test]
fn short_precisions_are_close() {
    let weights = seeded::weights(&MODEL);
    let exact = run(&*build(&MODEL, &weights, Filter::TorchF32, Precision::Fp32), Filter::TorchF32, 2);
    for (precision, bound) in [(Precision::Bf16, 2e-2), (Precision::Fp16, 2e-3)] {
        let short = run(&*build(&MODEL, &weights, Filter::TorchF32, precision), Filter::TorchF32, 2);
        let error = relative(&short.pooled, &exact.pooled);
        assert!(error > 0.0 && error < bound, "{precision:?}: {error}");
    }
}

#[test]
fn without_classes_there_are_no_logits_and_the_head_is_not_read() {
    let weights = seeded::weights(&MODEL);
    let headless = VideoMae { classes: None, ..MODEL };
    let mut file = Cursor::new(vec![]);
    checkpoint::write(&mut file, &MODEL, &weights).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("vit.pth");
    std::fs::write(&path, file.get_ref()).unwrap();
    let digest = sha256(file.get_ref());
    let transform = transform(Filter::TorchF32);
    assert!(checkpoint::load(&path, &digest, &MODEL, &transform).unwrap() == weights);
    let loaded = checkpoint::load(&path, &digest, &headless, &transform).unwrap();
    let outputs = run(&*build(&headless, &loaded, Filter::TorchF32, Precision::Fp32), Filter::TorchF32, 2);
    assert!(outputs.logits.is_empty());
    assert!(max_abs(&outputs.pooled, &plain(&MODEL, &weights).0) < 2e-5);
    let other = VideoMae { depth: 2, width: 48, heads: 4, ..MODEL };
    let Err(ModelError::Misfit { reason, .. }) = checkpoint::load(&path, &digest, &other, &transform) else { panic!() };
    assert!(reason.contains("13 unexpected: blocks.2.attn.proj.bias,"), "{reason}");
    assert!(reason.contains("patch_embed.proj.weight [44, 3, 2, 8, 8] instead of [48, 3, 2, 8, 8]"), "{reason}");
}

#[test]
fn a_recipe_of_any_family_with_a_checkpoint_can_be_loaded_with_seeded_weights() {
    let base = Recipe::find("slowonly-r50-8x8-k700").unwrap();
    let transform = transform(Filter::TorchF32);
    let recipe = Recipe { model: Model::Videomae(MODEL), transform, sampling: Sampling::windows(3, 4, 1), ..base };
    let backbone = reeldeck_model::load(&recipe, None, Device::Cpu, Choice::Direct).unwrap();
    let weights = seeded::weights(&*family(&recipe.model).unwrap());
    let pooled = run(&*backbone, Filter::TorchF32, 2).pooled;
    assert!(max_abs(&pooled, &plain(&MODEL, &weights).0) < 2e-5);
}
