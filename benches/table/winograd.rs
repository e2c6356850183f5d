//! Our own algorithms against oneDNN's direct one: each layer of the network, and the whole network.

use std::time::Instant;

use reeldeck_common::recipe::{Model, Recipe};
use reeldeck_model::expansion::{Expansion, Tensors, Weights};
use reeldeck_model::fast::FastModel;
use reeldeck_model::network::Network;
use reeldeck_model::onednn::{self, Shape};
use reeldeck_model::winograd::{After, Isa, Size, Taps, Winograd};
use reeldeck_model::{Algorithm, Backbone, Choice, Setup, seeded};
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
fn row(name: &str, runs: [Vec<f64>; 2], per: f64) -> String {
    let [direct, winograd] = &runs;
    let mut ratios: Vec<f64> = direct.iter().zip(winograd).map(|(direct, winograd)| direct / winograd).collect();
    ratios.sort_by(f64::total_cmp);
    let [least, most] = [ratios[0], ratios[ratios.len() - 1]];
    let [direct, winograd] = runs.map(|all| all.into_iter().fold(f64::MAX, f64::min) * 1e3 / per);
    format!("| {name} | {direct:.1} | {winograd:.1} | {:.2} | {least:.2} to {most:.2} |", median(ratios))
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
    println!("{}", row(&format!("{name}, {input} to {output}, {side}² ({times} of them)"), runs, 1.0));
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
    println!("\nEnds of blocks, milliseconds for {FRAMES} frames, shortest:\n");
    println!("| 1×1 | direct | fused | times faster, median | range |\n|---|---|---|---|---|");
    for one in ENDS {
        end(one, options.threads as usize, turns);
    }
    let recipe = Recipe::find("slowonly-r50-8x8-k700").unwrap();
    let Model::Slowonly(network) = &recipe.model else { panic!("a SlowOnly recipe") };
    let network = Network::new(network);
    let weights = seeded::weights(&network);
    let build = |choice| FastModel::with_setup(&network, &weights, &Setup::of(&recipe, Device::Cpu, choice)).unwrap();
    let direct = build(Choice::Direct);
    let folder = tempfile::tempdir().unwrap();
    let chosen = folder.path().join("convolutions.json");
    let others = [Choice::Always(&[Algorithm::Winograd]), Choice::Fastest(&chosen)].map(build);
    let (crop, length) = (recipe.transform.output().0, recipe.sampling.length);
    let frames = model::frames(crop, length);
    println!("\nThe whole network, milliseconds per clip:\n");
    println!("| convolutions | direct | these | times faster, median | range | largest difference of the logits |");
    println!("|---|---|---|---|---|---|");
    let run = |model: &FastModel| model::run(model, &frames, length).logits;
    let logits = run(&direct);
    for other in &others {
        let most = logits.iter().zip(run(other)).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
        let runs = in_turns(turns, [&mut || drop(run(&direct)), &mut || drop(run(other))]);
        println!("{} {most:.1e} |", row(other.convolutions().unwrap_or_default(), runs, model::CLIPS as f64));
    }
    println!();
}

/// The end of a block: channels of the expanding convolution, channels and stride of the shortcut's, channels of the next block's
/// first convolution, side of the result, and how often it occurs.
type End = (usize, usize, Option<(usize, usize)>, Option<usize>, usize, usize);

const ENDS: [End; 10] = [
    (64, 256, Some((64, 1)), Some(64), 64, 1),
    (64, 256, None, Some(64), 64, 1),
    (64, 256, None, Some(128), 64, 1),
    (128, 512, Some((256, 2)), Some(128), 32, 1),
    (128, 512, None, Some(128), 32, 2),
    (128, 512, None, None, 32, 1),
    (256, 1024, Some((512, 2)), None, 16, 1),
    (256, 1024, None, None, 16, 5),
    (512, 2048, Some((1024, 2)), None, 8, 1),
    (512, 2048, None, None, 8, 2),
];

/// A 1×1 convolution in oneDNN's layout, and its numbers.
struct Direct {
    packed: Tensor,
    bias: Tensor,
    shape: Shape,
    numbers: [Vec<f32>; 2],
}

impl Direct {
    fn new(input: usize, output: usize, stride: usize, side: usize) -> Self {
        let [i, o, s] = [input, output, side].map(|n| n as i64);
        let weight = Tensor::randn([o, i, 1, 1], (Kind::Float, Device::Cpu)) * (1.0 / input as f64).sqrt();
        let bias = Tensor::randn([o], (Kind::Float, Device::Cpu));
        let shape = Shape { padding: [0, 0], stride: [stride as i64; 2] };
        let packed = onednn::pack(&weight, &shape, [FRAMES as i64, i, s, s]).unwrap();
        let numbers = [&weight, &bias].map(|x| Vec::try_from(x.flatten(0, -1)).unwrap());
        Self { packed, bias, shape, numbers }
    }

    fn run(&self, x: &Tensor, relu: bool) -> Tensor {
        onednn::conv(x, &self.packed, &self.bias, &self.shape, relu).unwrap()
    }

    fn weights(&self) -> Weights<'_> {
        Weights { weights: &self.numbers[0], bias: &self.numbers[1] }
    }
}

fn end((input, output, shortcut, next, side, times): End, threads: usize, turns: usize) {
    let before = side * shortcut.map_or(1, |(_, stride)| stride);
    let expanding = Direct::new(input, output, 1, side);
    let own = shortcut.map(|(channels, stride)| (Direct::new(channels, output, stride, before), stride));
    let reducing = next.map(|channels| Direct::new(output, channels, 1, side));
    let random = |channels: usize, side: usize| {
        Tensor::rand([FRAMES as i64, side as i64, side as i64, channels as i64], (Kind::Float, Device::Cpu))
    };
    let (y, x) = (random(input, side), random(shortcut.map_or(output, |(channels, _)| channels), before));
    let [y_numbers, x_numbers] = [&y, &x].map(|x| Vec::<f32>::try_from(x.flatten(0, -1)).unwrap());
    let (y, x) = (y.permute([0, 3, 1, 2]), x.permute([0, 3, 1, 2]));
    let with_stride = own.as_ref().map(|(conv, stride)| (conv.weights(), *stride));
    let fused =
        Expansion::new(Isa::fastest(), expanding.weights(), with_stride, reducing.as_ref().map(Direct::weights))
            .unwrap();
    let pixels = FRAMES * side * side;
    let (mut sum, mut reduced) = (vec![0.0; pixels * output], vec![0.0; pixels * next.unwrap_or(0)]);
    let mut of_direct = x.shallow_clone();
    let runs = in_turns(
        turns,
        [
            &mut || {
                let mut sum = own.as_ref().map_or_else(|| of_direct.shallow_clone(), |(conv, _)| conv.run(&x, false));
                onednn::conv_add_relu(&mut sum, &y, &expanding.packed, &expanding.bias, &expanding.shape).unwrap();
                if let Some(reducing) = &reducing {
                    drop(reducing.run(&sum, true));
                }
                of_direct = if own.is_some() { of_direct.shallow_clone() } else { sum };
            },
            &mut || {
                let tensors = Tensors {
                    y: &y_numbers,
                    x: own.as_ref().map(|_| (x_numbers.as_slice(), [before; 2])),
                    sum: &mut sum,
                    reduced: reducing.as_ref().map(|_| reduced.as_mut_slice()),
                };
                fused.run(tensors, [side; 2], threads).unwrap();
            },
        ],
    );
    let shortcut = shortcut.map(|(channels, stride)| format!(", shortcut of {channels} with stride {stride}"));
    let next = next.map(|channels| format!(", then to {channels}"));
    let (shortcut, next) = (shortcut.unwrap_or_default(), next.unwrap_or_default());
    println!("{}", row(&format!("{input} to {output}{shortcut}{next}, {side}² ({times} of them)"), runs, 1.0));
}
