//! Compares the fast implementation with the reference, for many shapes of networks and videos.

use reeldeck_common::recipe::Precision;
use reeldeck_model::network::{HEAD_BIAS, HEAD_WEIGHT};
use reeldeck_model::{Algorithm, Backbone, ModelError};

use crate::support::{Net, clips, relative, run};

/// The largest accepted relative L2 error in fp32. Folding the normalisation changes the rounding; at most 3e-7 was measured.
const FP32: f64 = 1e-5;
/// The same in bfloat16; at most 6e-3 was measured.
const BF16: f64 = 1e-2;

struct Case {
    depth: u32,
    inflate: [u8; 4],
    crop: usize,
    length: usize,
    batch: usize,
    /// Frames of the video.
    total: u64,
}

const fn case(depth: u32, inflate: [u8; 4], crop: usize, length: usize, batch: usize, total: u64) -> Case {
    Case { depth, inflate, crop, length, batch, total }
}

/// Each value of each property occurs at least twice. Clips span 25 frames (length 4) or 57 frames (length 8).
const CASES: &[Case] = &[
    case(50, [0, 0, 1, 1], 64, 8, 1, 100),
    case(50, [0, 0, 1, 1], 64, 8, 2, 300),
    case(50, [0, 0, 1, 1], 96, 8, 3, 63),
    case(50, [0, 0, 1, 1], 97, 4, 5, 40),
    case(50, [0, 0, 1, 1], 64, 8, 4, 30),
    case(50, [0, 0, 0, 0], 64, 8, 3, 80),
    case(50, [0, 0, 0, 0], 96, 4, 2, 7),
    case(50, [1, 1, 1, 1], 64, 8, 5, 120),
    case(50, [1, 1, 1, 1], 75, 4, 1, 24),
    case(50, [0, 1, 1, 1], 96, 4, 3, 60),
    case(50, [0, 1, 1, 1], 64, 8, 2, 56),
    case(50, [0, 1, 0, 1], 64, 8, 2, 90),
    case(50, [1, 0, 0, 0], 64, 1, 2, 9),
    case(101, [0, 0, 1, 1], 64, 8, 3, 75),
    case(101, [0, 0, 0, 0], 64, 4, 5, 20),
    case(101, [1, 1, 1, 1], 64, 4, 2, 31),
    case(101, [0, 1, 1, 1], 96, 8, 1, 1),
];

impl Case {
    fn name(&self) -> String {
        let Self { depth, inflate, crop, length, batch, total } = self;
        format!("depth {depth}, inflate {inflate:?}, crop {crop}, length {length}, batch {batch}, {total} frames")
    }

    fn clips(&self) -> Vec<Vec<u64>> {
        clips(self.total, 8, self.length as u64)
    }
}

#[test]
fn fast_matches_the_reference() {
    let mut most = 0.0_f64;
    for case in CASES {
        let net = Net::new(case.depth, case.inflate, case.crop, case.length);
        let clips = case.clips();
        let fast = run(&net.fast(Precision::Fp32), &clips, case.batch, case.crop).unwrap();
        let plain = net.plain(&clips);
        assert_eq!(fast.clips, clips.len());
        for (what, fast, plain) in [("pooled", &fast.pooled, &plain.pooled), ("logits", &fast.logits, &plain.logits)] {
            let error = relative(fast, plain);
            assert!(error <= FP32, "{what}, {}: {error:e}", case.name());
            most = most.max(error);
        }
    }
    println!("fp32: relative L2 at most {most:.1e} over {} cases", CASES.len());
}

#[test]
fn winograd_matches_the_reference() {
    for case in CASES {
        let net = Net::new(case.depth, case.inflate, case.crop, case.length);
        let clips = case.clips();
        let model = net.using(&[Algorithm::Winograd]);
        // Without AVX-512 and AVX2, too, it is chosen here.
        assert!(model.convolutions().unwrap().starts_with("Winograd F(4,3) in "), "{:?}", model.convolutions());
        let found = run(&model, &clips, case.batch, case.crop).unwrap();
        let plain = net.plain(&clips);
        let error = relative(&found.pooled, &plain.pooled).max(relative(&found.logits, &plain.logits));
        assert!(error <= FP32, "{}: {error:e}", case.name());
    }
}

#[test]
fn fused_ends_of_blocks_match_the_reference() {
    // Blocks whose first convolution belongs to the block before, and blocks of which none does.
    for (inflate, crop, batch) in [([0, 0, 1, 1], 64, 2), ([0, 0, 0, 0], 75, 3), ([1, 1, 1, 1], 64, 1)] {
        let net = Net::wide(inflate, crop, 4);
        let clips = clips(40, 4, 4);
        let plain = net.plain(&clips);
        for algorithms in [&[Algorithm::Fused][..], &[Algorithm::Winograd, Algorithm::Fused]] {
            let model = net.using(algorithms);
            let words = model.convolutions().unwrap();
            assert!(words.contains("fused ends of blocks in ") && words.contains(" of 53"), "{words}");
            let found = run(&model, &clips, batch, crop).unwrap();
            let error = relative(&found.pooled, &plain.pooled).max(relative(&found.logits, &plain.logits));
            assert!(error <= FP32, "{inflate:?}, {algorithms:?}: {error:e}");
        }
    }
}

/// A fused convolution rounds once less, which matters in bfloat16.
#[test]
fn fused_matches_unfused() {
    for (precision, bound) in [(Precision::Fp32, 1e-6), (Precision::Bf16, BF16)] {
        for case in CASES {
            let net = Net::new(case.depth, case.inflate, case.crop, case.length);
            let clips = case.clips();
            let fused = run(&net.fast(precision), &clips, case.batch, case.crop).unwrap();
            let unfused = run(&net.unfused(precision), &clips, case.batch, case.crop).unwrap();
            let error = relative(&fused.pooled, &unfused.pooled).max(relative(&fused.logits, &unfused.logits));
            assert!(error <= bound, "{precision:?}, {}: {error:e}", case.name());
        }
    }
}

/// The class with the highest score of each clip.
fn winners(logits: &[f32], classes: usize) -> Vec<usize> {
    let winner = |row: &[f32]| (0..classes).max_by(|a, b| row[*a].total_cmp(&row[*b])).unwrap();
    logits.chunks_exact(classes).map(winner).collect()
}

#[test]
fn bf16_is_close_to_fp32() {
    let (mut most, mut agree, mut all) = (0.0_f64, 0, 0);
    for case in CASES {
        let net = Net::new(case.depth, case.inflate, case.crop, case.length);
        let clips = case.clips();
        let exact = run(&net.fast(Precision::Fp32), &clips, case.batch, case.crop).unwrap();
        let short = run(&net.fast(Precision::Bf16), &clips, case.batch, case.crop).unwrap();
        let error = relative(&short.logits, &exact.logits).max(relative(&short.pooled, &exact.pooled));
        assert!(error <= BF16, "{}: {error:e}", case.name());
        assert!(error > 1e-5, "{}: {error:e}: this is not bfloat16", case.name());
        let (short, exact) = (winners(&short.logits, 7), winners(&exact.logits, 7));
        agree += short.iter().zip(&exact).filter(|(a, b)| a == b).count();
        all += exact.len();
        most = most.max(error);
    }
    println!("bf16: relative L2 at most {most:.1e}, top-1 class the same for {agree} of {all} clips");
}

#[test]
fn tf32_on_a_cpu_is_fp32() {
    let net = Net::new(50, [0, 0, 1, 1], 64, 8);
    let clips = clips(70, 4, 8);
    let outputs = [Precision::Fp32, Precision::Tf32].map(|p| run(&net.fast(p), &clips, 2, 64).unwrap());
    assert!(outputs[0] == outputs[1]);
}

#[test]
fn damaged_weights_are_detected_when_loading() {
    for (name, value) in [
        ("backbone.layer3.2.conv2.conv.weight", f32::NAN),
        ("backbone.layer2.1.conv3.conv.weight", 3e38),
        ("backbone.layer1.0.conv1.bn.bias", f32::INFINITY),
        ("backbone.layer4.0.downsample.bn.running_var", -1.0),
        (HEAD_BIAS, f32::NAN),
        (HEAD_WEIGHT, f32::INFINITY),
    ] {
        for precision in [Precision::Fp32, Precision::Bf16] {
            let net = Net::new(50, [0, 0, 1, 1], 64, 8).with(name, |array| array.data[0] = value);
            let part = name.trim_end_matches(".conv.weight").split(".bn.").next().unwrap();
            let error = net.try_fast(precision).err().unwrap();
            assert!(matches!(&error, ModelError::InvalidWeights(found) if found == part), "{name}: {error}");
        }
    }
}

/// Large weights may be valid one by one and still overflow together.
#[test]
fn outputs_that_are_not_finite_are_an_error() {
    let clips = clips(70, 4, 8);
    let net = Net::new(50, [0, 0, 1, 1], 64, 8)
        .with("backbone.layer4.2.conv3.conv.weight", |array| array.data.fill(1e11))
        .with("backbone.layer4.1.conv3.conv.weight", |array| array.data.fill(1e11))
        .with("backbone.layer4.0.conv3.conv.weight", |array| array.data.fill(1e11))
        .with(HEAD_WEIGHT, |array| array.data.fill(1e11));
    for precision in [Precision::Fp32, Precision::Bf16] {
        let result = run(&net.fast(precision), &clips, 2, 64);
        assert!(matches!(result, Err(ModelError::NotFinite)), "{result:?}");
    }
}
