//! The speed of the network with frames from memory, on any device, compared with the peak of the device's matrix units.
//!
//! `… -- fed --device cuda:0 --precision bf16` prints a line of JSON; `--unfused` disables fused convolutions. For a GPU,
//! `REELDECK_TORCH_LIB` and `LD_LIBRARY_PATH` name the folder of its libtorch; `NVIDIA_TF32_OVERRIDE=0` prevents TF32 products
//! in fp32.

use std::path::PathBuf;
use std::time::Instant;

use reeldeck_common::recipe::{Model, Precision, Recipe};
use reeldeck_model::clips::{ClipRunner, Computed};
use reeldeck_model::fast::FastModel;
use reeldeck_model::network::Network;
use reeldeck_model::{Backend, device, seeded};
use tch::{Cuda, Device, Kind, Tensor};

use crate::{Options, model};

/// The size of a measurement.
struct Size {
    /// Clips of a video and of a forward pass.
    clips: usize,
    batch: usize,
    /// Side of the square matrices, and channels and side of the images, with which the peak is measured.
    matrix: i64,
    image: [i64; 2],
    seconds: f64,
}

const GPU: Size = Size { clips: 100, batch: 20, matrix: 8192, image: [4096, 32], seconds: 10.0 };
const CPU: Size = Size { clips: 4, batch: 2, matrix: 2048, image: [512, 32], seconds: 3.0 };

fn synchronize(device: Device) {
    if let Device::Cuda(index) = device {
        Cuda::synchronize(index as i64);
    }
}

/// Runs per second, after a warm-up run.
fn rate(device: Device, seconds: f64, mut run: impl FnMut()) -> f64 {
    run();
    synchronize(device);
    let (started, mut rounds) = (Instant::now(), 0);
    while rounds < 2 || started.elapsed().as_secs_f64() < seconds {
        // Several runs without waiting keep a GPU busy.
        (0..4).for_each(|_| run());
        synchronize(device);
        rounds += 4;
    }
    f64::from(rounds) / started.elapsed().as_secs_f64()
}

/// TFLOP/s of a matrix product or of the equivalent convolution, whichever is faster: libtorch uses TF32 only in convolutions.
fn peak(device: Device, kind: Kind, size: &Size) -> f64 {
    let random = |shape: &[i64]| Tensor::randn(shape, (Kind::Float, device)).to_kind(kind);
    let (n, [channels, side]) = (size.matrix, size.image);
    let (a, b) = (random(&[n, n]), random(&[n, n]));
    let products = rate(device, size.seconds / 3.0, || drop(a.matmul(&b))) * 2.0 * (n as f64).powi(3);
    let x = random(&[8, side, side, channels]).permute([0, 3, 1, 2]);
    let weight = random(&[channels, 1, 1, channels]).permute([0, 3, 1, 2]);
    let convolve = || drop(x.conv2d(&weight, None::<&Tensor>, [1, 1], [0, 0], [1, 1], 1));
    let work = 2.0 * (8 * side * side * channels * channels) as f64;
    products.max(rate(device, size.seconds / 3.0, convolve) * work) / 1e12
}

/// Prints the speed of a device.
pub fn print(options: &Options, name: &str, precision: &str, unfused: bool) {
    if name != "cpu" {
        let folder = std::env::var_os("REELDECK_TORCH_LIB").map(PathBuf::from).expect("REELDECK_TORCH_LIB is not set");
        device::load_cuda(&folder).unwrap();
    }
    tch::set_num_threads(options.threads);
    let _guard = tch::no_grad_guard();
    let (device, size) = (device::find(name).unwrap(), if name == "cpu" { CPU } else { GPU });
    let precision = match precision {
        "fp32" => Precision::Fp32,
        "tf32" => Precision::Tf32,
        "bf16" => Precision::Bf16,
        "fp16" => Precision::Fp16,
        other => panic!("no precision {other}"),
    };
    device::set_arithmetic(precision).unwrap();
    let peak = peak(device, device::kind(precision), &size);
    let recipe = Recipe::find("slowonly-r50-8x8-k700").unwrap();
    let Model::Slowonly(model) = &recipe.model else { panic!("a SlowOnly recipe") };
    let network = Network::new(model);
    let (crop, length) = (recipe.transform.output().0, recipe.sampling.length);
    let weights = seeded::weights(&network);
    let backend = if unfused { Backend::Unfused } else { Backend::fastest(device, device::kind(precision)) };
    let transform = &recipe.transform;
    let model = FastModel::with_backend(&network, &weights, transform, length, precision, device, backend).unwrap();
    // Clips do not share frames, so every frame is computed.
    let clips: Vec<Vec<u64>> =
        (0..size.clips).map(|clip| (0..length).map(|k| (clip * length + k) as u64).collect()).collect();
    let frames: Vec<Vec<u8>> =
        (0..16).map(|t| (0..crop * crop * 3).map(|at| (40 + (at / 3 * (t + 1) + at) % 170) as u8).collect()).collect();
    let video = || {
        let mut runner = ClipRunner::new(&model, clips.clone(), size.batch);
        for index in 0..(size.clips * length) as u64 {
            runner.push(index, &frames[index as usize % frames.len()]).unwrap();
        }
        runner.finish().unwrap()
    };
    // As in a worker, the outputs of a video are fetched while the device computes the next one.
    let mut before: Computed = video();
    let mut done = 0;
    synchronize(device);
    let started = Instant::now();
    while done < 2 || started.elapsed().as_secs_f64() < size.seconds {
        let next = video();
        let outputs = std::mem::replace(&mut before, next).fetch().unwrap();
        assert_eq!(outputs.clips, size.clips);
        done += 1;
    }
    synchronize(device);
    let speed = (done * size.clips) as f64 / started.elapsed().as_secs_f64();
    before.fetch().unwrap();
    let all: f64 = model::work(&network, crop, length).values().sum();
    let tflops = speed * all * 2.0 / 1e3;
    println!(
        "{{\"device\": \"{name}\", \"clips_per_s\": {speed:.3}, \"tflops\": {tflops:.4}, \"peak_tflops\": {peak:.4}, \"share\": {:.4}}}",
        tflops / peak
    );
}
