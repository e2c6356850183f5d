//! The fast implementation of the network: batch normalisation is folded into the convolutions, every layer is a 2D
//! convolution over channels-last memory, activations are fused into the convolutions, and the layers that see a single frame
//! are separate from those that see whole clips, so that frames are not computed twice.

use reeldeck_common::recipe::{Precision, Transform};
use tch::{Device, Kind, Tensor};

use crate::backbone::{Backbone, Family, Rows, Setup};
use crate::conv::{Axes, Backend, Conv, Epilogue};
use crate::device::kind;
use crate::error::ModelError;
use crate::input::Input;
use crate::network::{BlockSpec, ConvSpec, HEAD_BIAS, HEAD_WEIGHT, Network};
use crate::onednn::{self, Shape};
use crate::weights::{Array, Weights};

const EPSILON: f32 = 1e-5;

/// The largest valid weight; the weights of trained networks are far smaller. Fused ReLUs turn NaN into zero, so the outputs do
/// not reveal damaged weights, and the weights themselves are checked.
const MAX_WEIGHT: f32 = 1e12;

fn check(name: &str, numbers: &[f32]) -> Result<(), ModelError> {
    // False for NaN.
    let valid = numbers.iter().all(|number| number.abs() < MAX_WEIGHT);
    if valid { Ok(()) } else { Err(ModelError::InvalidWeights(name.to_owned())) }
}

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
}

struct Block {
    conv1: Conv,
    conv2: Conv,
    conv3: Conv,
    shortcut: Option<Conv>,
}

struct Builder<'w> {
    weights: &'w Weights,
    device: Device,
    kind: Kind,
    length: i64,
    backend: Backend,
}

/// The usual number of frames in a forward pass. oneDNN chooses the layout of weights for it.
const USUAL_FRAMES: i64 = 16;

impl Builder<'_> {
    fn array(&self, name: &str) -> Result<&Array, ModelError> {
        self.weights.get(name).ok_or_else(|| ModelError::Internal(format!("no weight {name}")))
    }

    /// Builds a convolution with the normalisation folded in: y = γ (w·x − μ) / √(σ² + ε) + β becomes
    /// w' = w γ/√(σ² + ε), b' = β − μ γ/√(σ² + ε). `side` is the side of the input image, and becomes that of the output.
    fn conv(&self, spec: &ConvSpec, side: &mut i64) -> Result<Conv, ModelError> {
        let bn = |part: &str| self.array(&format!("{}.bn.{part}", spec.name));
        let (gamma, beta, mean, var) = (bn("weight")?, bn("bias")?, bn("running_mean")?, bn("running_var")?);
        let weight = self.array(&format!("{}.conv.weight", spec.name))?;
        let scale: Vec<f32> = gamma.data.iter().zip(&var.data).map(|(g, v)| g / (v + EPSILON).sqrt()).collect();
        let bias: Vec<f32> = beta.data.iter().zip(&mean.data).zip(&scale).map(|((b, m), s)| b - m * s).collect();
        let per_output = weight.data.len() / scale.len();
        let rows = weight.data.chunks_exact(per_output).zip(&scale);
        let folded: Vec<f32> = rows.flat_map(|(row, scale)| row.iter().map(move |w| w * scale)).collect();
        check(&spec.name, &folded)?;
        check(&spec.name, &bias)?;
        let [t, h, w] = spec.kernel.map(|k| k as i64);
        let (input, output, stride) = (spec.input as i64, spec.output as i64, spec.stride as i64);
        let (kernel, shape, usual_input, axes) = match t {
            1 => {
                let shape = Shape { padding: [(h - 1) / 2; 2], stride: [stride; 2] };
                ([output, input, h, w], shape, [USUAL_FRAMES, input, *side, *side], Axes::Space)
            }
            _ => {
                let clips = (USUAL_FRAMES / self.length).max(1);
                let shape = Shape { padding: [1, 0], stride: [1, 1] };
                ([output, input, t, 1], shape, [clips, input, self.length, *side * *side], Axes::Time)
            }
        };
        *side = (*side - 1) / stride + 1;
        let weight = channels_last(&Tensor::from_slice(&folded).f_reshape(kernel)?)?;
        let mut weight = weight.f_to(self.device)?.f_to_kind(self.kind)?;
        if self.backend == Backend::OneDnn {
            weight = onednn::pack(&weight, &shape, usual_input)?;
        }
        let bias = Tensor::from_slice(&bias).f_to(self.device)?.f_to_kind(self.kind)?;
        Ok(Conv { weight, bias, channels: output, shape, axes, backend: self.backend })
    }

    fn block(&self, spec: &BlockSpec, side: &mut i64) -> Result<Block, ModelError> {
        let mut shortcut_side = *side;
        let shortcut = spec.shortcut.as_ref().map(|conv| self.conv(conv, &mut shortcut_side)).transpose()?;
        let (conv1, conv2) = (self.conv(&spec.conv1, side)?, self.conv(&spec.conv2, side)?);
        Ok(Block { conv1, conv2, conv3: self.conv(&spec.conv3, side)?, shortcut })
    }

    fn tensor(&self, name: &str) -> Result<Tensor, ModelError> {
        let array = self.array(name)?;
        check(name, &array.data)?;
        let shape: Vec<i64> = array.shape.iter().map(|n| *n as i64).collect();
        Ok(Tensor::from_slice(&array.data).f_reshape(shape)?.f_to(self.device)?)
    }
}

/// Copies an N×C×H×W tensor to channels-last memory, in which the channels of a pixel are adjacent.
fn channels_last(x: &Tensor) -> Result<Tensor, ModelError> {
    Ok(x.f_permute([0, 2, 3, 1])?.f_contiguous()?.f_permute([0, 3, 1, 2])?)
}

impl Block {
    fn run(&self, x: Tensor, length: i64) -> Result<Tensor, ModelError> {
        let y = self.conv1.output(&x, length, Epilogue::Relu)?;
        let y = self.conv2.output(&y, length, Epilogue::Relu)?;
        let mut sum = match &self.shortcut {
            Some(conv) => conv.output(&x, length, Epilogue::None)?,
            // The first block of each stage has a shortcut, so `x` is the result of a block and not shared.
            None => x,
        };
        self.conv3.run(&y, length, Epilogue::AddRelu(&mut sum))?;
        Ok(sum)
    }
}

impl FastModel {
    /// Builds the network on a device with its fastest backend. `length` is the number of frames of a clip.
    ///
    /// # Errors
    /// When weights are invalid, convolutions on the device are imprecise, memory runs out, or libtorch fails.
    pub fn new(
        network: &Network,
        weights: &Weights,
        transform: &Transform,
        length: usize,
        precision: Precision,
        device: Device,
    ) -> Result<Self, ModelError> {
        let backend = Backend::fastest(device, precision)?;
        Self::with_backend(network, weights, transform, length, precision, device, backend)
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
        let _guard = tch::no_grad_guard();
        let builder = Builder { weights, device, kind: kind(precision), length: length as i64, backend };
        let mut side = transform.output().0 as i64;
        let stem = builder.conv(&network.stem, &mut side)?;
        side = (side - 1) / 2 + 1;
        let mut blocks = |stages: &[Vec<BlockSpec>]| {
            stages.iter().flatten().map(|block| builder.block(block, &mut side)).collect::<Result<Vec<_>, _>>()
        };
        Ok(Self {
            input: Input::new(transform, device)?,
            kind: builder.kind,
            length: builder.length,
            stem,
            framewise: blocks(&network.stages[..network.framewise])?,
            clipwise: blocks(&network.stages[network.framewise..])?,
            head_weight: builder.tensor(HEAD_WEIGHT)?,
            head_bias: builder.tensor(HEAD_BIAS)?,
        })
    }
}

impl Backbone for FastModel {
    fn input(&self) -> &Input {
        &self.input
    }

    /// Returns frames × channels × height × width.
    fn frames(&self, pixels: &Tensor) -> Result<Tensor, ModelError> {
        let _guard = tch::no_grad_guard();
        let x = self.input.normalised(pixels)?.f_permute([0, 3, 1, 2])?.f_to_kind(self.kind)?;
        let x = self.stem.output(&x, 1, Epilogue::Relu)?;
        let mut x = x.f_max_pool2d([3, 3], [2, 2], [1, 1], [1, 1], false)?;
        for block in &self.framewise {
            x = block.run(x, 1)?;
        }
        Ok(x)
    }

    fn clips(&self, frames: Tensor) -> Result<Rows, ModelError> {
        let _guard = tch::no_grad_guard();
        let mut x = frames;
        for block in &self.clipwise {
            x = block.run(x, self.length)?;
        }
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
        let Setup { transform, length, precision, device } = *setup;
        Ok(Box::new(FastModel::new(self, weights, transform, length, precision, device)?))
    }
}

/// Chosen so that the activations of a deep ResNet neither vanish nor explode.
fn seeded_range(name: &str, shape: &[usize]) -> (f32, f32) {
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
