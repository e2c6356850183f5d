//! The speed of the network compared with the peak of oneDNN's convolutions on this machine.

use std::collections::BTreeMap;
use std::time::Instant;

use reeldeck_common::recipe::{Model, Precision, Recipe};
use reeldeck_model::clips::{ClipRunner, Outputs};
use reeldeck_model::fast::FastModel;
use reeldeck_model::network::{ConvSpec, Network};
use reeldeck_model::onednn::{self, Shape};
use reeldeck_model::plain::PlainModel;
use reeldeck_model::seeded;
use tch::{Device, Kind, Tensor};

use crate::Options;

/// Clips of a run.
pub const CLIPS: usize = 4;

/// CPU time of this process in seconds.
fn cpu() -> f64 {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: the structure is valid for writing, and the clock exists on every Linux.
    unsafe { libc::clock_gettime(libc::CLOCK_PROCESS_CPUTIME_ID, &mut time) };
    time.tv_sec as f64 + time.tv_nsec as f64 * 1e-9
}

/// Channels, side and kernel of the convolutions with which the peak is measured, on eight channels-last images.
const PEAKS: [(i64, i64, i64); 4] = [(256, 64, 1), (256, 64, 3), (1024, 32, 1), (1024, 32, 3)];

/// The duration of a run in seconds. With one thread it is CPU time, which does not depend on other load. Several threads
/// busy-wait for each other, so it is wall time, and the machine must be idle.
fn seconds(run: impl FnOnce()) -> f64 {
    if tch::get_num_threads() == 1 {
        let before = cpu();
        run();
        return cpu() - before;
    }
    let started = Instant::now();
    run();
    started.elapsed().as_secs_f64()
}

/// The shortest duration of a run within `time` seconds, after a warm-up run.
fn best(time: f64, mut run: impl FnMut()) -> f64 {
    run();
    let (mut all, mut best, mut runs) = (0.0, f64::MAX, 0);
    while all < time || runs < 2 {
        let one = seconds(&mut run);
        all += one;
        best = best.min(one);
        runs += 1;
    }
    best
}

fn channels_last(x: &Tensor) -> Tensor {
    x.permute([0, 2, 3, 1]).contiguous().permute([0, 3, 1, 2])
}

/// GFLOP/s of a convolution.
fn peak((channels, side, kernel): (i64, i64, i64), kind: Kind, time: f64) -> f64 {
    let random = |shape: [i64; 4]| channels_last(&Tensor::randn(shape, (Kind::Float, Device::Cpu)).to_kind(kind));
    let x = random([8, channels, side, side]);
    let weight = random([channels, channels, kernel, kernel]);
    let padding = kernel / 2;
    let seconds = best(time, || {
        drop(x.conv2d(&weight, None::<&Tensor>, [1, 1], [padding, padding], [1, 1], 1));
    });
    2.0 * (8 * channels * channels * kernel * kernel * side * side) as f64 / seconds / 1e9
}

/// A convolution of the network with its input.
struct SingleConv {
    x: Tensor,
    weight: Tensor,
    bias: Tensor,
    shape: Shape,
    /// How many times it occurs in the network.
    times: f64,
}

/// The distinct convolutions of the network, for sixteen frames.
fn single_convs(network: &Network, crop: usize, length: usize, kind: Kind) -> Vec<SingleConv> {
    let mut found = BTreeMap::<[i64; 6], f64>::new();
    let mut add = |conv: &ConvSpec, side: usize| {
        let [t, h, _] = conv.kernel.map(|k| k as i64);
        let key = [conv.input as i64, conv.output as i64, t, h, conv.stride as i64, side as i64];
        *found.entry(key).or_default() += 1.0;
    };
    add(&network.stem, crop);
    let mut side = crop / 4;
    for block in network.stages.iter().flatten() {
        add(&block.conv1, side);
        add(&block.conv2, side);
        block.shortcut.iter().for_each(|conv| add(conv, side));
        side /= block.conv2.stride;
        add(&block.conv3, side);
    }
    let (frames, length) = (16, length as i64);
    let random = |shape: [i64; 4]| channels_last(&Tensor::randn(shape, (Kind::Float, Device::Cpu)).to_kind(kind));
    let build = |([input, output, t, h, stride, side], times): ([i64; 6], f64)| {
        let (input_shape, kernel, padding) = match t {
            1 => ([frames, input, side, side], [output, input, h, h], [h / 2; 2]),
            _ => ([frames / length, input, length, side * side], [output, input, t, 1], [1, 0]),
        };
        let shape = Shape { padding, stride: [stride; 2] };
        let weight = onednn::pack(&random(kernel), &shape, input_shape).unwrap();
        let bias = Tensor::zeros([output], (kind, Device::Cpu));
        SingleConv { x: random(input_shape), weight, bias, shape, times }
    };
    found.into_iter().map(build).collect()
}

/// Seconds per clip of all convolutions and of the whole network, from the shortest run of each. They run alternately, so that
/// other load on the machine affects both.
fn interleaved(time: f64, convs: &[SingleConv], length: usize, mut whole: impl FnMut()) -> (f64, f64) {
    let mut least = vec![f64::MAX; convs.len()];
    let mut network = f64::MAX;
    let (mut spent, mut rounds) = (0.0, 0);
    while spent < time || rounds < 3 {
        for (conv, least) in convs.iter().zip(&mut least) {
            let one = seconds(|| drop(onednn::conv(&conv.x, &conv.weight, &conv.bias, &conv.shape, true).unwrap()));
            *least = least.min(one);
        }
        let one = seconds(&mut whole);
        network = network.min(one);
        spent += one;
        rounds += 1;
    }
    let all: f64 = convs.iter().zip(&least).map(|(conv, least)| conv.times * least).sum();
    (all * length as f64 / 16.0, network / CLIPS as f64)
}

/// The peak speed of convolutions in GFLOP/s.
struct Peaks {
    highest: f64,
    weighted: f64,
}

const SINGLE: &str = "1×1";

impl Peaks {
    fn new(work: &BTreeMap<&'static str, f64>, reached: [f64; 4]) -> Self {
        let best = |single: bool| {
            let of_size = PEAKS.iter().zip(reached).filter(|((_, _, kernel), _)| (*kernel == 1) == single);
            of_size.map(|(_, speed)| speed).fold(0.0, f64::max)
        };
        let all: f64 = work.values().sum();
        let time: f64 = work.iter().map(|(name, work)| work / best(*name == SINGLE)).sum();
        Self { highest: best(true).max(best(false)), weighted: all / time }
    }
}

/// Billions of multiply-adds per clip, by kind of kernel.
pub fn work(network: &Network, crop: usize, length: usize) -> BTreeMap<&'static str, f64> {
    let mut work = BTreeMap::new();
    let mut add = |conv: &ConvSpec, side: usize| {
        let kernel: usize = conv.kernel.iter().product();
        let name = match conv.kernel {
            [1, 1, 1] => SINGLE,
            [3, 1, 1] => "3×1×1",
            _ => "3×3 and 7×7",
        };
        *work.entry(name).or_default() += (conv.input * conv.output * kernel * side * side * length) as f64 / 1e9;
    };
    add(&network.stem, crop / 2);
    let mut side = crop / 4;
    for block in network.stages.iter().flatten() {
        add(&block.conv1, side);
        side /= block.conv2.stride;
        add(&block.conv2, side);
        add(&block.conv3, side);
        block.shortcut.iter().for_each(|conv| add(conv, side));
    }
    work
}

/// The frames of clips that do not share frames.
pub fn frames(crop: usize, length: usize) -> Vec<Vec<u8>> {
    let value = |i: usize, t: usize| (40 + (i / 3 % crop + i / (3 * crop) * (1 + i % 3) + t * 5) % 170) as u8;
    (0..CLIPS * length).map(|t| (0..crop * crop * 3).map(|i| value(i, t)).collect()).collect()
}

/// Runs them through a network.
pub fn run(model: &FastModel, frames: &[Vec<u8>], length: usize) -> Outputs {
    let clips: Vec<Vec<u64>> =
        (0..CLIPS).map(|clip| (0..length).map(|k| (clip * length + k) as u64).collect()).collect();
    let mut runner = ClipRunner::new(model, clips, CLIPS);
    for (index, pixels) in frames.iter().enumerate() {
        runner.push(index as u64, pixels).unwrap();
    }
    runner.finish().unwrap().fetch().unwrap()
}

fn relative(a: &[f32], b: &[f32]) -> f64 {
    let square = |x: f32| f64::from(x).powi(2);
    let (off, all): (f64, f64) = a.iter().zip(b).fold((0.0, 0.0), |(o, n), (a, b)| (o + square(a - b), n + square(*b)));
    (off / all).sqrt()
}

/// The plain formulation on the same frames.
fn plain(model: &PlainModel<'_>, frames: &[Vec<u8>], recipe: &Recipe) -> Vec<f32> {
    let (side, length) = (recipe.transform.output().0 as i64, recipe.sampling.length as i64);
    let shape = [CLIPS as i64, length, side, side, 3];
    let x = Tensor::from_data_size(&frames.concat(), &shape, Kind::Uint8).to_kind(Kind::Float);
    let x = (x - Tensor::from_slice(&recipe.transform.mean)) / Tensor::from_slice(&recipe.transform.std);
    let (_, logits) = model.forward(&x.permute([0, 4, 1, 2, 3]).contiguous()).unwrap();
    Vec::try_from(logits.flatten(0, -1)).unwrap()
}

/// Prints the tables of the model.
pub fn table(options: &Options) {
    tch::set_num_threads(options.threads);
    tch::manual_seed(1);
    let recipe = Recipe::find("slowonly-r50-8x8-k700").unwrap();
    let Model::Slowonly(model) = &recipe.model else { panic!("a SlowOnly recipe") };
    let network = Network::new(model);
    let (crop, length) = (recipe.transform.output().0, recipe.sampling.length);
    let work = work(&network, crop, length);
    let all: f64 = work.values().sum();
    let shares: Vec<String> = work.iter().map(|(name, w)| format!("{name} {w:.2}")).collect();

    let most = if options.short { 0.5 } else { 1.5 };
    println!("Convolutions alone, best within {most} s, GFLOP/s:\n");
    println!("| | 256 ch 64², 1×1 | 256 ch 64², 3×3 | 1024 ch 32², 1×1 | 1024 ch 32², 3×3 |\n|---|---|---|---|---|");
    let peaks = [Kind::Float, Kind::BFloat16].map(|kind| {
        let reached = PEAKS.map(|shape| peak(shape, kind, most));
        println!("| {kind:?} | {} |", reached.map(|p| format!("{p:.0}")).join(" | "));
        Peaks::new(&work, reached)
    });

    println!(
        "\nThe whole network, {all:.2} G multiply-adds per clip ({}), {CLIPS} clips of {length} frames, {}.",
        shares.join(", "),
        if options.threads == 1 { "CPU time of one thread" } else { "wall time" },
    );
    println!(
        "`of the highest` compares with the fastest convolution above. `of the weighted` compares with a network in which"
    );
    println!("each kernel is as fast as the fastest of its size above and nothing else takes time:\n");
    println!(
        "| | s/clip | GFLOP/s | of the highest | of the weighted | its convolutions alone, s/clip | of them | relative L2 |"
    );
    println!("|---|---|---|---|---|---|---|---|");
    let weights = seeded::weights(&network);
    let frames = frames(crop, length);
    let time = if options.short { 6.0 } else { 30.0 };
    let row = |name: &str, seconds: f64, peaks: &Peaks, alone: Option<f64>, off: Option<f64>| {
        let speed = 2.0 * all / seconds;
        let off = off.map_or("–".into(), |off| format!("{off:.1e}"));
        let (highest, weighted) = (100.0 * speed / peaks.highest, 100.0 * speed / peaks.weighted);
        let alone = alone.map_or("– | –".into(), |alone| format!("{alone:.3} | {:.0} %", 100.0 * alone / seconds));
        println!("| {name} | {seconds:.3} | {speed:.0} | {highest:.0} % | {weighted:.0} % | {alone} | {off} |");
    };
    let reference = {
        let model = PlainModel::new(network.clone(), &weights);
        let mut logits = vec![];
        let seconds = best(time / 3.0, || logits = plain(&model, &frames, &recipe));
        row("plain, fp32", seconds / CLIPS as f64, &peaks[0], None, None);
        logits
    };
    for (name, precision, peak) in
        [("fast, fp32", Precision::Fp32, &peaks[0]), ("fast, bf16", Precision::Bf16, &peaks[1])]
    {
        let model = FastModel::new(&network, &weights, &recipe.transform, length, precision, Device::Cpu).unwrap();
        let kind = if precision == Precision::Bf16 { Kind::BFloat16 } else { Kind::Float };
        let convs = single_convs(&network, crop, length, kind);
        let mut outputs = Outputs::default();
        let (convs, seconds) = interleaved(time, &convs, length, || outputs = run(&model, &frames, length));
        row(name, seconds, peak, Some(convs), Some(relative(&outputs.logits, &reference)));
    }
    println!();
}
