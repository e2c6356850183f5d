//! Small networks, generated frames and clips, and functions to run them.

use std::collections::HashMap;

use reeldeck_common::recipe::{Precision, SlowOnly, Transform};
use reeldeck_model::clips::{ClipRunner, Outputs};
use reeldeck_model::fast::FastModel;
use reeldeck_model::network::Network;
use reeldeck_model::plain::PlainModel;
use reeldeck_model::seeded;
use reeldeck_model::tch::{Device, Kind, Tensor};
use reeldeck_model::weights::{Array, Weights};
use reeldeck_model::{Algorithm, Backend, Choice, ModelError, Setup};

pub fn model(depth: u32, inflate: [u8; 4]) -> SlowOnly {
    SlowOnly { depth, base_channels: 4, inflate, classes: 7 }
}

pub fn transform(crop: usize) -> Transform {
    Transform::short_side(crop, crop, [123.675, 116.28, 103.53], [58.395, 57.12, 57.375])
}

/// A frame: shapes that move with its index and differ by channel, and some noise.
pub fn frame(index: u64, side: usize) -> Vec<u8> {
    let (t, mut noise) = (index as usize, index as u32 ^ 0x9e37_79b9);
    let mut out = Vec::with_capacity(side * side * 3);
    for (y, x) in (0..side).flat_map(|y| (0..side).map(move |x| (y, x))) {
        for channel in 0..3 {
            noise = noise.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            let stripes = if (x / 9 + y / (5 + channel) + t / 2).is_multiple_of(3) { 90 } else { 0 };
            out.push((40 + (x * (channel + 1) + y * 2 + t * 5) % 100 + stripes + (noise >> 28) as usize) as u8);
        }
    }
    out
}

/// Distinct clips of `length` frames at an interval of 8 over `total` frames. The single clip of a short video wraps around.
pub fn clips(total: u64, count: u64, length: u64) -> Vec<Vec<u64>> {
    let last = total.saturating_sub((length - 1) * 8 + 1);
    let mut starts: Vec<u64> = (0..count).map(|i| i * last / (count - 1).max(1)).collect();
    starts.dedup();
    starts.iter().map(|start| (0..length).map(|k| (start + 8 * k) % total).collect()).collect()
}

/// The indices of all frames of the clips, ascending.
pub fn needed(clips: &[Vec<u64>]) -> Vec<u64> {
    let mut frames: Vec<u64> = clips.iter().flatten().copied().collect();
    frames.sort_unstable();
    frames.dedup();
    frames
}

/// A network and its weights.
pub struct Net {
    pub network: Network,
    pub weights: Weights,
    pub crop: usize,
    pub length: usize,
}

impl Net {
    pub fn new(depth: u32, inflate: [u8; 4], crop: usize, length: usize) -> Self {
        Self::of(&model(depth, inflate), crop, length)
    }

    /// A network whose channels are whole vectors.
    pub fn wide(inflate: [u8; 4], crop: usize, length: usize) -> Self {
        Self::of(&SlowOnly { base_channels: 32, ..model(50, inflate) }, crop, length)
    }

    fn of(model: &SlowOnly, crop: usize, length: usize) -> Self {
        let network = Network::new(model);
        let weights = seeded::weights(&network);
        Self { network, weights, crop, length }
    }

    pub fn fast(&self, precision: Precision) -> FastModel {
        self.try_fast(precision).unwrap()
    }

    pub fn try_fast(&self, precision: Precision) -> Result<FastModel, ModelError> {
        let transform = transform(self.crop);
        FastModel::new(&self.network, &self.weights, &transform, self.length, precision, Device::Cpu)
    }

    /// The network with these algorithms wherever they are possible.
    pub fn using(&self, algorithms: &[Algorithm]) -> FastModel {
        let (transform, length, precision) = (transform(self.crop), self.length, Precision::Fp32);
        let choice = Choice::Always(algorithms);
        let setup = Setup { transform: &transform, length, precision, device: Device::Cpu, choice };
        FastModel::with_setup(&self.network, &self.weights, &setup).unwrap()
    }

    /// The network without fused convolutions.
    pub fn unfused(&self, precision: Precision) -> FastModel {
        let Self { network, weights, crop, length } = self;
        let (transform, device, backend) = (transform(*crop), Device::Cpu, Backend::Unfused);
        FastModel::with_backend(network, weights, &transform, *length, precision, device, backend).unwrap()
    }

    /// Computes all clips with the reference implementation.
    pub fn plain(&self, clips: &[Vec<u64>]) -> Outputs {
        let (side, length) = (self.crop as i64, self.length as i64);
        let pixels: Vec<u8> = clips.iter().flatten().flat_map(|index| frame(*index, self.crop)).collect();
        let shape = [clips.len() as i64, length, side, side, 3];
        let x = Tensor::from_data_size(&pixels, &shape, Kind::Uint8).to_kind(Kind::Float);
        let transform = transform(self.crop);
        let x = (x - Tensor::from_slice(&transform.mean)) / Tensor::from_slice(&transform.std);
        let model = PlainModel::new(self.network.clone(), &self.weights);
        let (pooled, logits) = model.forward(&x.permute([0, 4, 1, 2, 3]).contiguous()).unwrap();
        let numbers = |x: Tensor| Vec::<f32>::try_from(x.flatten(0, -1)).unwrap();
        Outputs { clips: clips.len(), pooled: numbers(pooled), logits: numbers(logits) }
    }

    /// The network with one weight changed.
    pub fn with(mut self, name: &str, change: impl Fn(&mut Array)) -> Self {
        let mut arrays: HashMap<String, Array> = self
            .network
            .entries()
            .into_iter()
            .map(|(n, _)| (n.clone(), self.weights.get(&n).unwrap().clone()))
            .collect();
        change(arrays.get_mut(name).unwrap());
        self.weights = Weights::new(&self.network.entries(), arrays).unwrap();
        self
    }
}

/// Computes the clips.
pub fn run(model: &FastModel, clips: &[Vec<u64>], batch: usize, crop: usize) -> Result<Outputs, ModelError> {
    let mut runner = ClipRunner::new(model, clips.to_vec(), batch);
    for index in needed(clips) {
        runner.push(index, &frame(index, crop))?;
    }
    runner.finish()?.fetch()
}

/// |a − b| / |b| in the L2 norm.
pub fn relative(a: &[f32], b: &[f32]) -> f64 {
    assert_eq!(a.len(), b.len());
    let square = |x: f32| f64::from(x) * f64::from(x);
    let (off, all): (f64, f64) = a.iter().zip(b).fold((0.0, 0.0), |(o, n), (a, b)| (o + square(a - b), n + square(*b)));
    (off / all).sqrt()
}
