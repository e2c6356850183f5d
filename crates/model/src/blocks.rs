//! The convolutions and bottleneck blocks of ResNets: batch normalisation is folded into the convolutions, and every layer is
//! a 2D convolution over channels-last memory.

use tch::{Device, Kind, Tensor};

use crate::conv::{Axes, Backend, Conv, Epilogue};
use crate::error::ModelError;
use crate::network::{BlockSpec, ConvSpec};
use crate::onednn::{self, Shape};
use crate::weights::{Weights, check};

const EPSILON: f32 = 1e-5;

/// A bottleneck block.
pub(crate) struct Block {
    conv1: Conv,
    conv2: Conv,
    conv3: Conv,
    shortcut: Option<Conv>,
}

/// Builds the layers of a network whose clips have `length` frames.
pub(crate) struct Builder<'w> {
    pub(crate) weights: &'w Weights,
    pub(crate) device: Device,
    pub(crate) kind: Kind,
    pub(crate) length: i64,
    pub(crate) backend: Backend,
}

/// The usual number of frames in a forward pass. oneDNN chooses the layout of weights for it.
const USUAL_FRAMES: i64 = 16;

impl Builder<'_> {
    /// Builds a convolution with the normalisation folded in: y = γ (w·x − μ) / √(σ² + ε) + β becomes
    /// w' = w γ/√(σ² + ε), b' = β − μ γ/√(σ² + ε). `side` is the side of the input image, and becomes that of the output.
    ///
    /// # Errors
    /// When weights are invalid, memory runs out, or libtorch fails.
    pub(crate) fn conv(&self, spec: &ConvSpec, side: &mut i64) -> Result<Conv, ModelError> {
        let weight = self.weights.array(&format!("{}.conv.weight", spec.name))?;
        let (folded, bias) = if spec.is_normalised {
            let bn = |part: &str| self.weights.array(&format!("{}.bn.{part}", spec.name));
            let (gamma, beta, mean, var) = (bn("weight")?, bn("bias")?, bn("running_mean")?, bn("running_var")?);
            let scale: Vec<f32> = gamma.data.iter().zip(&var.data).map(|(g, v)| g / (v + EPSILON).sqrt()).collect();
            let bias = beta.data.iter().zip(&mean.data).zip(&scale).map(|((b, m), s)| b - m * s).collect();
            let per_output = weight.data.len() / scale.len();
            let rows = weight.data.chunks_exact(per_output).zip(&scale);
            (rows.flat_map(|(row, scale)| row.iter().map(move |w| w * scale)).collect(), bias)
        } else {
            (weight.data.clone(), vec![0.0; spec.output])
        };
        let (folded, bias): (Vec<f32>, Vec<f32>) = (folded, bias);
        check(&spec.name, &folded)?;
        check(&spec.name, &bias)?;
        let [t, h, w] = spec.kernel.map(|k| k as i64);
        let (input, output) = (spec.input as i64, spec.output as i64);
        let [stride_t, stride] = [spec.stride_t as i64, spec.stride as i64];
        let (kernel, shape, usual_input, axes) = match (t, h) {
            (1, _) => {
                let shape = Shape { padding: [(h - 1) / 2; 2], stride: [stride; 2] };
                ([output, input, h, w], shape, [USUAL_FRAMES, input, *side, *side], Axes::Space)
            }
            (_, 1) => {
                let clips = (USUAL_FRAMES / self.length).max(1);
                let shape = Shape { padding: [(t - 1) / 2, 0], stride: [stride_t, 1] };
                ([output, input, t, 1], shape, [clips, input, self.length, *side * *side], Axes::Time)
            }
            _ => {
                // Over time and space: the caller stacks the channels of `t` frames.
                let shape = Shape { padding: [(h - 1) / 2; 2], stride: [stride; 2] };
                ([output, t * input, h, w], shape, [USUAL_FRAMES, t * input, *side, *side], Axes::Space)
            }
        };
        *side = (*side - 1) / stride + 1;
        let folded = Tensor::from_slice(&folded).f_view([output, input, t, h, w])?;
        let folded = if t > 1 && h > 1 { folded.f_permute([0, 2, 1, 3, 4])? } else { folded };
        let weight = channels_last(&folded.f_reshape(kernel)?)?;
        let mut weight = weight.f_to(self.device)?.f_to_kind(self.kind)?;
        if self.backend == Backend::OneDnn {
            weight = onednn::pack(&weight, &shape, usual_input)?;
        }
        let bias = Tensor::from_slice(&bias).f_to(self.device)?.f_to_kind(self.kind)?;
        Ok(Conv { weight, bias, channels: output, shape, axes, backend: self.backend })
    }

    /// Builds a block. `side` is the side of the input image, and becomes that of the output.
    ///
    /// # Errors
    /// As [`Builder::conv`].
    pub(crate) fn block(&self, spec: &BlockSpec, side: &mut i64) -> Result<Block, ModelError> {
        let mut shortcut_side = *side;
        let shortcut = spec.shortcut.as_ref().map(|conv| self.conv(conv, &mut shortcut_side)).transpose()?;
        let (conv1, conv2) = (self.conv(&spec.conv1, side)?, self.conv(&spec.conv2, side)?);
        Ok(Block { conv1, conv2, conv3: self.conv(&spec.conv3, side)?, shortcut })
    }
}

/// Copies an N×C×H×W tensor to channels-last memory, in which the channels of a pixel are adjacent.
fn channels_last(x: &Tensor) -> Result<Tensor, ModelError> {
    Ok(x.f_permute([0, 2, 3, 1])?.f_contiguous()?.f_permute([0, 3, 1, 2])?)
}

impl Block {
    /// `x` is frames × channels × height × width, and a clip has `length` frames.
    ///
    /// # Errors
    /// When memory runs out or libtorch fails.
    pub(crate) fn run(&self, x: Tensor, length: i64) -> Result<Tensor, ModelError> {
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
