//! The fast implementation of the network: batch normalisation is folded into the convolutions, every layer is a 2D
//! convolution over channels-last memory, activations are fused into the convolutions, and the layers that see a single frame
//! are separate from those that see whole clips, so that frames are not computed twice.

use reeldeck_common::recipe::{Precision, Transform};
use tch::{Device, Kind, Tensor};

use crate::algorithms::{Algorithms, Choice};
use crate::backbone::{Backbone, Family, Setup};
use crate::blocks::{self, Block};
use crate::builder::Builder;
use crate::conv::{Backend, Conv, Epilogue};
use crate::device::kind;
use crate::error::ModelError;
use crate::input::Input;
use crate::network::{BlockSpec, HEAD_BIAS, HEAD_WEIGHT, Network};
use crate::rows::Rows;
use crate::weights::Weights;

/// A network on a device.
pub struct FastModel {
    pub(crate) input: Input,
    kind: Kind,
    length: i64,
    stem: Conv,
    /// The blocks that see a single frame.
    framewise: Vec<Block>,
    /// The blocks that see whole clips.
    clipwise: Vec<Block>,
    head_weight: Tensor,
    head_bias: Tensor,
    convolutions: Option<String>,
}

impl FastModel {
    /// Builds the network on a device with its fastest backend. `length` is the number of frames of a clip.
    ///
    /// # Errors
    /// When weights are invalid, memory runs out, or libtorch fails.
    pub fn new(
        network: &Network,
        weights: &Weights,
        transform: &Transform,
        length: usize,
        precision: Precision,
        device: Device,
    ) -> Result<Self, ModelError> {
        let choice = Choice::Direct;
        Self::with_setup(network, weights, &Setup { transform, length, precision, device, choice })
    }

    /// Builds the network with its fastest backend.
    ///
    /// # Errors
    /// As [`FastModel::new`].
    pub fn with_setup(network: &Network, weights: &Weights, setup: &Setup<'_>) -> Result<Self, ModelError> {
        Self::build(network, weights, setup, Backend::fastest(setup.device, kind(setup.precision)))
    }

    /// Builds the network on a device with this backend.
    ///
    /// # Errors
    /// As [`FastModel::new`].
    pub fn with_backend(
        network: &Network,
        weights: &Weights,
        transform: &Transform,
        length: usize,
        precision: Precision,
        device: Device,
        backend: Backend,
    ) -> Result<Self, ModelError> {
        let choice = Choice::Direct;
        Self::build(network, weights, &Setup { transform, length, precision, device, choice }, backend)
    }

    fn build(network: &Network, weights: &Weights, setup: &Setup<'_>, backend: Backend) -> Result<Self, ModelError> {
        let _guard = tch::no_grad_guard();
        let Setup { transform, length, precision, device, choice } = *setup;
        let algorithms = &Algorithms::new(choice);
        let builder = Builder { weights, device, precision, length: length as i64, backend, algorithms };
        let mut side = transform.output().0 as i64;
        let stem = builder.conv(&network.stem, &mut side)?;
        side = (side - 1) / 2 + 1;
        let mut blocks = |stages: &[Vec<BlockSpec>]| builder.blocks(stages.iter().flatten(), &mut side);
        Ok(Self {
            input: Input::new(transform, device)?,
            kind: builder.kind(),
            length: builder.length,
            stem,
            framewise: blocks(&network.stages[..network.framewise])?,
            clipwise: blocks(&network.stages[network.framewise..])?,
            head_weight: weights.tensor(HEAD_WEIGHT, device)?,
            head_bias: weights.tensor(HEAD_BIAS, device)?,
            convolutions: (device == Device::Cpu).then(|| algorithms.describe()),
        })
    }
}

impl Backbone for FastModel {
    fn input(&self) -> &Input {
        &self.input
    }

    fn convolutions(&self) -> Option<&str> {
        self.convolutions.as_deref()
    }

    /// Returns frames × channels × height × width.
    fn frames(&self, pixels: &Tensor) -> Result<Tensor, ModelError> {
        let _guard = tch::no_grad_guard();
        let x = self.input.normalised(pixels)?.f_permute([0, 3, 1, 2])?.f_to_kind(self.kind)?;
        let x = self.stem.output(&x, 1, Epilogue::Relu)?;
        blocks::run(&self.framewise, x.f_max_pool2d([3, 3], [2, 2], [1, 1], [1, 1], false)?, 1)
    }

    fn clips(&self, frames: Tensor) -> Result<Rows, ModelError> {
        let _guard = tch::no_grad_guard();
        let x = blocks::run(&self.clipwise, frames, self.length)?;
        let (count, channels, _, _) = x.size4()?;
        let pooled = x.f_mean_dim([2_i64, 3].as_slice(), false, Kind::Float)?;
        let pooled = pooled.f_view([count / self.length, self.length, channels])?;
        let pooled = pooled.f_mean_dim([1_i64].as_slice(), false, Kind::Float)?;
        let logits = pooled.f_linear(&self.head_weight, Some(&self.head_bias))?;
        Ok(Rows { pooled, logits: Some(logits) })
    }
}

impl Family for Network {
    fn entries(&self) -> Vec<(String, Vec<usize>)> {
        self.entries()
    }

    fn seeded_range(&self, name: &str, shape: &[usize]) -> (f32, f32) {
        seeded_range(name, shape)
    }

    fn build(&self, weights: &Weights, setup: &Setup<'_>) -> Result<Box<dyn Backbone>, ModelError> {
        Ok(Box::new(FastModel::with_setup(self, weights, setup)?))
    }
}

/// Chosen so that the activations of a deep ResNet neither vanish nor explode.
pub(crate) fn seeded_range(name: &str, shape: &[usize]) -> (f32, f32) {
    if name == HEAD_WEIGHT {
        return (-0.04, 0.04);
    }
    if name == HEAD_BIAS {
        return (-0.5, 0.5);
    }
    if name.ends_with(".conv.weight") {
        let fan_in = shape.iter().skip(1).product::<usize>() as f32;
        let bound = (6.0 / fan_in).sqrt();
        return (-bound, bound);
    }
    match name.rsplit('.').next() {
        Some("weight") if name.contains(".conv3.") => (0.3, 0.5),
        Some("weight") => (0.8, 1.2),
        Some("running_var") => (0.5, 1.5),
        _ => (-0.1, 0.1),
    }
}
