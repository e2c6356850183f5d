//! The fast implementation of the network: batch normalisation is folded into the convolutions, every layer is a 2D
//! convolution over channels-last memory, activations are fused into the convolutions, and the layers that see a single frame
//! are separate from those that see whole clips, so that frames are not computed twice.

use reeldeck_common::recipe::{Precision, Transform};
use tch::{Device, Kind, Tensor};

use crate::conv::{Axes, Backend, Conv, Epilogue};
use crate::device::kind;
use crate::error::ModelError;
use crate::network::{BlockSpec, ConvSpec, HEAD_BIAS, HEAD_WEIGHT, Network};
use crate::onednn::{self, Shape};
use crate::upload::Upload;
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
    device: Device,
    pub(crate) upload: Upload,
    kind: Kind,
    crop: i64,
    length: i64,
    mean: Tensor,
    std: Tensor,
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
        let crop = transform.output().0 as i64;
        let mut side = crop;
        let stem = builder.conv(&network.stem, &mut side)?;
        side = (side - 1) / 2 + 1;
        let mut blocks = |stages: &[Vec<BlockSpec>]| {
            stages.iter().flatten().map(|block| builder.block(block, &mut side)).collect::<Result<Vec<_>, _>>()
        };
        Ok(Self {
            device,
            upload: Upload::new(device),
            kind: builder.kind,
            crop,
            length: builder.length,
            mean: Tensor::from_slice(&transform.mean).f_to(device)?,
            std: Tensor::from_slice(&transform.std).f_to(device)?,
            stem,
            framewise: blocks(&network.stages[..network.framewise])?,
            clipwise: blocks(&network.stages[network.framewise..])?,
            head_weight: builder.tensor(HEAD_WEIGHT)?,
            head_bias: builder.tensor(HEAD_BIAS)?,
        })
    }

    /// The number of frames in a group, which the framewise layers compute together. It must not depend on timing, because
    /// results of different groupings differ in the last digits. On a CPU it is 16: with fewer frames libtorch runs oneDNN on
    /// a single thread, and more frames gain nothing. On a GPU the overhead of a call does not depend on the number of frames.
    /// There a group has 64 frames for the default of 20 clips, and half as many when a lack of memory halves the clips.
    pub fn group_size(&self, batch: usize) -> usize {
        if self.device == Device::Cpu { 16 } else { (batch * 64 / 20).clamp(1, 64) }
    }

    /// The device that computes.
    pub fn device(&self) -> Device {
        self.device
    }

    /// The size of a frame in bytes.
    pub(crate) fn frame_bytes(&self) -> usize {
        (self.crop * self.crop * 3) as usize
    }

    /// Runs the framewise layers. `pixels` contains frames of crop × crop × 3 bytes, RGB, on the device. Returns frames ×
    /// channels × height × width.
    ///
    /// # Errors
    /// When memory runs out or libtorch fails.
    pub fn frames(&self, pixels: &Tensor) -> Result<Tensor, ModelError> {
        let _guard = tch::no_grad_guard();
        let count = pixels.numel() as i64 / (self.crop * self.crop * 3);
        let x = pixels.f_view([count, self.crop, self.crop, 3])?;
        // The same operations as the original: subtraction and division in 32 bits.
        let x = x.f_to_kind(Kind::Float)?.f_sub_(&self.mean)?.f_div_(&self.std)?;
        let x = x.f_permute([0, 3, 1, 2])?.f_to_kind(self.kind)?;
        let x = self.stem.output(&x, 1, Epilogue::Relu)?;
        let mut x = x.f_max_pool2d([3, 3], [2, 2], [1, 1], [1, 1], false)?;
        for block in &self.framewise {
            x = block.run(x, 1)?;
        }
        Ok(x)
    }

    /// Runs the layers that see whole clips. `frames` contains the results of [`FastModel::frames`] for whole clips, in order.
    /// Returns `pooled` (clips × channels) and `logits` (clips × classes) in 32 bits on the device. A GPU may still be
    /// computing them.
    ///
    /// # Errors
    /// When memory runs out or libtorch fails.
    pub fn clips(&self, frames: Tensor) -> Result<(Tensor, Tensor), ModelError> {
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
        Ok((pooled, logits))
    }
}
