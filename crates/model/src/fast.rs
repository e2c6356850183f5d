//! The same network as fast as libtorch can: batch normalisation folded into the convolutions, every layer as a 2D
//! convolution over channels-last memory, and the layers that see one frame at a time apart from those that see several.
//! Each convolution also does what follows it: no second walk over its result.

use reeldeck_common::recipe::{Precision, Transform};
use tch::{Device, Kind, Tensor};

use crate::conv::{Conv, Reach, Then, Way, way};
use crate::device::kind;
use crate::error::ModelError;
use crate::network::{BlockSpec, ConvSpec, HEAD_BIAS, HEAD_WEIGHT, Network};
use crate::onednn::{self, Shape};
use crate::upload::Upload;
use crate::weights::{Array, Weights};

const EPSILON: f32 = 1e-5;

/// No weight of a trained network is near this. Fused convolutions make zero of what is not a number, as hardware takes the
/// larger of two: what a damaged weight does would not be seen in the results, so it is looked for in the weights.
const IMMENSE: f32 = 1e12;

fn check(name: &str, numbers: &[f32]) -> Result<(), ModelError> {
    // What is not a number is not within anything.
    let fine = numbers.iter().all(|number| number.abs() < IMMENSE);
    if fine { Ok(()) } else { Err(ModelError::Immense(name.to_owned())) }
}

/// A network ready to run on one device.
pub struct FastModel {
    device: Device,
    pub(crate) upload: Upload,
    kind: Kind,
    crop: i64,
    length: i64,
    mean: Tensor,
    std: Tensor,
    stem: Conv,
    framewise: Vec<Block>,
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

struct Maker<'w> {
    weights: &'w Weights,
    device: Device,
    kind: Kind,
    length: i64,
    way: Way,
}

/// Frames that the weights are put in order for: as many as go through the network together at most times.
const USUAL_FRAMES: i64 = 16;

impl Maker<'_> {
    fn array(&self, name: &str) -> Result<&Array, ModelError> {
        self.weights.get(name).ok_or_else(|| ModelError::Internal(format!("no weight {name}")))
    }

    /// Folds the normalisation: y = γ (w·x − μ) / √(σ² + ε) + β becomes w' = w γ/√(σ² + ε), b' = β − μ γ/√(σ² + ε).
    /// `side` is that of the pictures that come in; it becomes that of those that go out.
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
        let (kernel, shape, seen, reach) = match t {
            1 => {
                let seen = [USUAL_FRAMES, input, *side, *side];
                ([output, input, h, w], Shape { padding: [(h - 1) / 2; 2], stride: [stride; 2] }, seen, Reach::Space)
            }
            _ => {
                let seen = [(USUAL_FRAMES / self.length).max(1), input, self.length, *side * *side];
                ([output, input, t, 1], Shape { padding: [1, 0], stride: [1, 1] }, seen, Reach::Time)
            }
        };
        *side = (*side - 1) / stride + 1;
        let weight = channels_last(&Tensor::from_slice(&folded).f_reshape(kernel)?)?;
        let mut weight = weight.f_to(self.device)?.f_to_kind(self.kind)?;
        if self.way == Way::OneDnn {
            weight = onednn::pack(&weight, &shape, seen)?;
        }
        let bias = Tensor::from_slice(&bias).f_to(self.device)?.f_to_kind(self.kind)?;
        Ok(Conv { weight, bias, channels: output, shape, reach, way: self.way })
    }

    fn block(&self, spec: &BlockSpec, side: &mut i64) -> Result<Block, ModelError> {
        let mut beside = *side;
        let shortcut = spec.shortcut.as_ref().map(|conv| self.conv(conv, &mut beside)).transpose()?;
        let (conv1, conv2) = (self.conv(&spec.conv1, side)?, self.conv(&spec.conv2, side)?);
        Ok(Block { conv1, conv2, conv3: self.conv(&spec.conv3, side)?, shortcut })
    }

    fn plain(&self, name: &str) -> Result<Tensor, ModelError> {
        let array = self.array(name)?;
        check(name, &array.data)?;
        let shape: Vec<i64> = array.shape.iter().map(|n| *n as i64).collect();
        Ok(Tensor::from_slice(&array.data).f_reshape(shape)?.f_to(self.device)?)
    }
}

/// Rearranges N×C×H×W in memory so that the channels of a pixel lie together; the shape stays.
fn channels_last(x: &Tensor) -> Result<Tensor, ModelError> {
    Ok(x.f_permute([0, 2, 3, 1])?.f_contiguous()?.f_permute([0, 3, 1, 2])?)
}

impl Block {
    fn run(&self, x: Tensor, length: i64) -> Result<Tensor, ModelError> {
        let y = self.conv1.output(&x, length, Then::Relu)?;
        let y = self.conv2.output(&y, length, Then::Relu)?;
        let mut sum = match &self.shortcut {
            Some(conv) => conv.output(&x, length, Then::Nothing)?,
            // Every stage begins with a block that has a convolution here: this is one's result, and nobody else's.
            None => x,
        };
        self.conv3.run(&y, length, Then::AddRelu(&mut sum))?;
        Ok(sum)
    }
}

impl FastModel {
    /// Folds the weights and moves them to the device.
    ///
    /// # Errors
    /// What libtorch reports, lack of memory above all.
    pub fn new(
        network: &Network,
        weights: &Weights,
        transform: &Transform,
        length: usize,
        precision: Precision,
        device: Device,
    ) -> Result<Self, ModelError> {
        let (kind, way) = (kind(precision), way(device, precision)?);
        let maker = Maker { weights, device, kind, length: length as i64, way };
        Self::make(&maker, network, transform)
    }

    /// The same without fused convolutions: as it runs on processors that oneDNN has no such ones for, and on GPUs for which
    /// cuDNN has none.
    ///
    /// # Errors
    /// As above.
    pub fn unfused(
        network: &Network,
        weights: &Weights,
        transform: &Transform,
        length: usize,
        precision: Precision,
        device: Device,
    ) -> Result<Self, ModelError> {
        let maker = Maker { weights, device, kind: kind(precision), length: length as i64, way: Way::Plain };
        Self::make(&maker, network, transform)
    }

    fn make(maker: &Maker<'_>, network: &Network, transform: &Transform) -> Result<Self, ModelError> {
        let _guard = tch::no_grad_guard();
        let device = maker.device;
        let crop = transform.crop as i64;
        let mut side = crop;
        let stem = maker.conv(&network.stem, &mut side)?;
        side = (side - 1) / 2 + 1;
        let mut blocks = |stages: &[Vec<BlockSpec>]| {
            stages.iter().flatten().map(|block| maker.block(block, &mut side)).collect::<Result<Vec<_>, _>>()
        };
        Ok(Self {
            device,
            upload: Upload::new(device),
            kind: maker.kind,
            crop,
            length: maker.length,
            mean: Tensor::from_slice(&transform.mean).f_to(device)?,
            std: Tensor::from_slice(&transform.std).f_to(device)?,
            stem,
            framewise: blocks(&network.stages[..network.framewise])?,
            clipwise: blocks(&network.stages[network.framewise..])?,
            head_weight: maker.plain(HEAD_WEIGHT)?,
            head_bias: maker.plain(HEAD_BIAS)?,
        })
    }

    /// Frames that go through the framewise layers together. One size for all videos: the grouping must not depend on timing,
    /// or two runs would differ in the last digit. On a CPU at least 16, below which libtorch leaves oneDNN on a single
    /// thread; more would gain nothing there, while on a GPU each call costs the same whatever is in it. Where memory sufficed
    /// for few clips together only, `batch`, it does for as many frames as they have.
    pub fn frames_together(&self, batch: usize) -> usize {
        if self.device == Device::Cpu { 16 } else { (batch * self.length as usize).clamp(1, 64) }
    }

    /// Bytes of a frame.
    pub(crate) fn frame_bytes(&self) -> usize {
        (self.crop * self.crop * 3) as usize
    }

    /// The layers that see each frame alone. `pixels` holds whole frames of crop × crop × 3 bytes, RGB, on the device.
    ///
    /// # Errors
    /// What libtorch reports.
    pub fn frames(&self, pixels: &Tensor) -> Result<Tensor, ModelError> {
        let _guard = tch::no_grad_guard();
        let count = pixels.numel() as i64 / (self.crop * self.crop * 3);
        let x = pixels.f_view([count, self.crop, self.crop, 3])?;
        // As the original: subtract, then a true division, in 32 bits.
        let x = x.f_to_kind(Kind::Float)?.f_sub_(&self.mean)?.f_div_(&self.std)?;
        let x = x.f_permute([0, 3, 1, 2])?.f_to_kind(self.kind)?;
        let x = self.stem.output(&x, 1, Then::Relu)?;
        let mut x = x.f_max_pool2d([3, 3], [2, 2], [1, 1], [1, 1], false)?;
        for block in &self.framewise {
            x = block.run(x, 1)?;
        }
        Ok(x)
    }

    /// The layers that see whole clips. `frames` holds what [`FastModel::frames`] gave for the frames of whole clips, in
    /// order. Returns `pooled` and `logits` in 32 bits on the device, a row a clip; a GPU may still be at it then.
    ///
    /// # Errors
    /// What libtorch reports.
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
