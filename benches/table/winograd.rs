//! Winograd's algorithm against oneDNN's direct one: each layer of the network, and the whole network.

use std::time::Instant;

use reeldeck_common::recipe::{Model, Recipe};
use reeldeck_model::fast::FastModel;
use reeldeck_model::network::Network;
use reeldeck_model::onednn::{self, Shape};
use reeldeck_model::winograd::{After, Isa, Size, Taps, Winograd};
use reeldeck_model::{Backbone, Choice, Setup, seeded};
use tch::{Device, Kind, Tensor};

use crate::{Options, model};

/// The layers of SlowOnly: taps, channels of input and output, the side of a frame, and how often it occurs.
const LAYERS: [(Taps, usize, usize, usize, usize); 8] = [
    (Taps::Space, 64, 64, 64, 3),
    (Taps::Space, 128, 128, 32, 3),
    (Taps::Space, 256, 256, 16, 5),
    (Taps::Space, 512, 512, 8, 2),
    (Taps::Time, 512, 256, 32, 1),
    (Taps::Time, 1024, 256, 16, 5),
    (Taps::Time, 1024, 512, 16, 1),
    (Taps::Time, 2048, 512, 8, 2),
];

/// Frames of a measurement: two clips.
const FRAMES: usize = 16;

fn median(mut numbers: Vec<f64>) -> f64 {
    numbers.sort_by(f64::total_cmp);
    numbers[numbers.len() / 2]
}

/// Seconds of each of two runs, in turns.
fn in_turns(turns: usize, mut runs: [&mut dyn FnMut(); 2]) -> [Vec<f64>; 2] {
    let mut seconds = [vec![], vec![]];
    for turn in 0..=turns {
        for (run, seconds) in runs.iter_mut().zip(&mut seconds) {
            let started = Instant::now();
            run();
            // The first runs are slower.
            if turn > 0 {
                seconds.push(started.elapsed().as_secs_f64());
            }
        }
    }
    seconds
}

/// The row of two runs: the shortest of each in milliseconds, and the median and the range of how many times faster the second is.
fn row(name: &str, runs: [Vec<f64>; 2], per: f64) {
    let [direct, winograd] = &runs;
    let mut ratios: Vec<f64> = direct.iter().zip(winograd).map(|(direct, winograd)| direct / winograd).collect();
    ratios.sort_by(f64::total_cmp);
    let [least, most] = [ratios[0], ratios[ratios.len() - 1]];
    let [direct, winograd] = runs.map(|all| all.into_iter().fold(f64::MAX, f64::min) * 1e3 / per);
    println!("| {name} | {direct:.1} | {winograd:.1} | {:.2} | {least:.2} to {most:.2} |", median(ratios));
}

fn layer((taps, input, output, side, times): (Taps, usize, usize, usize, usize), threads: usize, turns: usize) {
    let (frames, length) = (FRAMES as i64, 8);
    let [i, o, s] = [input, output, side].map(|n| n as i64);
    let random = |shape: &[i64]| Tensor::randn(shape, (Kind::Float, Device::Cpu));
    let (name, kernel, shape, of_input) = match taps {
        Taps::Space => ("3×3", [3, 3], Shape { padding: [1, 1], stride: [1, 1] }, [frames, s, s, i]),
        Taps::Time => ("3×1×1", [3, 1], Shape { padding: [1, 0], stride: [1, 1] }, [frames / length, length, s * s, i]),
    };
    let weight = random(&[o, i, kernel[0], kernel[1]]) * 0.05;
    let bias = random(&[o]);
    let numbers = |x: &Tensor| Vec::<f32>::try_from(x.contiguous().flatten(0, -1)).unwrap();
    let winograd = Winograd::new(Isa::fastest(), taps, &numbers(&weight), &numbers(&bias)).unwrap();
    let x = random(&of_input).relu();
    let (x, inputs) = (x.permute([0, 3, 1, 2]), numbers(&x));
    let packed = onednn::pack(&weight, &shape, <[i64; 4]>::try_from(x.size()).unwrap()).unwrap();
    let mut outputs = vec![0.0; FRAMES * side * side * output];
    let size = Size { frames: FRAMES, length: length as usize, height: side, width: side };
    let runs = in_turns(
        turns,
        [&mut || drop(onednn::conv(&x, &packed, &bias, &shape, true).unwrap()), &mut || {
            winograd.run(&inputs, &mut outputs, size, After::Relu, threads).unwrap()
        }],
    );
    row(&format!("{name}, {input} to {output}, {side}² ({times} of them)"), runs, 1.0);
}

/// Prints the tables.
pub fn table(options: &Options) {
    tch::set_num_threads(options.threads);
    tch::manual_seed(1);
    let turns = if options.short { 5 } else { 15 };
    println!("Direct convolutions (oneDNN) and Winograd's ({:?}) in turns, {turns} of them.", Isa::fastest());
    println!("Layers, milliseconds for {FRAMES} frames, shortest:\n");
    println!("| layer | direct | Winograd | times faster, median | range |\n|---|---|---|---|---|");
    for one in LAYERS {
        layer(one, options.threads as usize, turns);
    }
    let recipe = Recipe::find("slowonly-r50-8x8-k700").unwrap();
    let Model::Slowonly(network) = &recipe.model else { panic!("a SlowOnly recipe") };
    let network = Network::new(network);
    let weights = seeded::weights(&network);
    let build = |choice| FastModel::with_setup(&network, &weights, &Setup::of(&recipe, Device::Cpu, choice)).unwrap();
    let (direct, winograd) = (build(Choice::Direct), build(Choice::Winograd));
    let (crop, length) = (recipe.transform.output().0, recipe.sampling.length);
    let frames = model::frames(crop, length);
    println!("\nThe whole network, milliseconds per clip, {}:\n", winograd.convolutions().unwrap_or_default());
    println!("| | direct | Winograd | times faster, median | range |\n|---|---|---|---|---|");
    let run = |model: &FastModel| drop(model::run(model, &frames, length));
    let runs = in_turns(turns, [&mut || run(&direct), &mut || run(&winograd)]);
    row("fp32", runs, model::CLIPS as f64);
    let [direct, winograd] = [&direct, &winograd].map(|model| model::run(model, &frames, length).logits);
    let pairs = direct.iter().zip(&winograd);
    let most = pairs.map(|(direct, winograd)| (direct - winograd).abs()).fold(0.0, f32::max);
    println!("\nThe logits differ by at most {most:.1e}.\n");
}
