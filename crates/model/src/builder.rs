//! Builds the convolutions of ResNets: batch normalisation is folded into them, and each is a 2D convolution over channels-last
//! memory.

use std::time::{Duration, Instant};

use reeldeck_common::recipe::Precision;
use tch::{Device, Kind, Tensor};

use crate::algorithms::{Algorithm, Algorithms};
use crate::conv::{Axes, Backend, Conv, Epilogue, Kernel};
use crate::cudnn::Fusion;
use crate::device;
use crate::error::ModelError;
use crate::network::ConvSpec;
use crate::onednn::{self, Shape};
use crate::weights::{Weights, check};
use crate::winograd::{Isa, Taps, Winograd};

const EPSILON: f32 = 1e-5;

/// Builds the layers of a network whose clips have `length` frames.
pub(crate) struct Builder<'w> {
    pub(crate) weights: &'w Weights,
    pub(crate) device: Device,
    pub(crate) precision: Precision,
    pub(crate) length: i64,
    pub(crate) backend: Backend,
    pub(crate) algorithms: &'w Algorithms<'w>,
}

/// The usual number of frames in a forward pass. oneDNN chooses the layout of weights for it, and algorithms are measured with it.
pub(crate) const USUAL_FRAMES: i64 = 16;

/// The numbers of a convolution with the normalisation folded in.
pub(crate) struct Folded {
    /// Output channels × input channels × time × height × width.
    pub(crate) weight: Vec<f32>,
    pub(crate) bias: Vec<f32>,
}

impl Builder<'_> {
    /// The type of the weights.
    pub(crate) fn kind(&self) -> Kind {
        device::kind(self.precision)
    }

    /// Folds the normalisation into a convolution: y = γ (w·x − μ) / √(σ² + ε) + β becomes w' = w γ/√(σ² + ε),
    /// b' = β − μ γ/√(σ² + ε).
    pub(crate) fn fold(&self, spec: &ConvSpec) -> Result<Folded, ModelError> {
        let weight = self.weights.array(&format!("{}.conv.weight", spec.name))?;
        let folded = if spec.is_normalised {
            let bn = |part: &str| self.weights.array(&format!("{}.bn.{part}", spec.name));
            let (gamma, beta, mean, var) = (bn("weight")?, bn("bias")?, bn("running_mean")?, bn("running_var")?);
            let scale: Vec<f32> = gamma.data.iter().zip(&var.data).map(|(g, v)| g / (v + EPSILON).sqrt()).collect();
            let bias = beta.data.iter().zip(&mean.data).zip(&scale).map(|((b, m), s)| b - m * s).collect();
            let per_output = weight.data.len() / scale.len();
            let rows = weight.data.chunks_exact(per_output).zip(&scale);
            Folded { weight: rows.flat_map(|(row, scale)| row.iter().map(move |w| w * scale)).collect(), bias }
        } else {
            Folded { weight: weight.data.clone(), bias: vec![0.0; spec.output] }
        };
        check(&spec.name, &folded.weight)?;
        check(&spec.name, &folded.bias)?;
        Ok(folded)
    }

    /// Builds a convolution with the normalisation folded in. `side` is the side of the input image, and becomes that of the
    /// output.
    ///
    /// # Errors
    /// When weights are invalid, memory runs out, or libtorch fails.
    pub(crate) fn conv(&self, spec: &ConvSpec, side: &mut i64) -> Result<Conv, ModelError> {
        let folded = self.fold(spec)?;
        let build = |algorithm| match (algorithm, taps(spec)) {
            (Algorithm::Winograd, Some(taps)) => self.winograd(spec, taps, &folded),
            _ => self.direct(spec, *side, &folded),
        };
        let is_possible = taps(spec).is_some() && self.backend == Backend::OneDnn && self.kind() == Kind::Float;
        let (algorithm, built) = if is_possible { self.choose(spec, *side, build)? } else { (Algorithm::Direct, None) };
        let conv = built.map_or_else(|| build(algorithm), Ok)?;
        self.algorithms.count(algorithm);
        *side = (*side - 1) / spec.stride as i64 + 1;
        Ok(conv)
    }

    /// Chooses the algorithm of a convolution. If it had to be measured, the convolution is already built.
    fn choose(
        &self,
        spec: &ConvSpec,
        side: i64,
        build: impl Fn(Algorithm) -> Result<Conv, ModelError>,
    ) -> Result<(Algorithm, Option<Conv>), ModelError> {
        let [t, h, w] = spec.kernel;
        let ConvSpec { input, output, .. } = spec;
        let layer = format!("{t}×{h}×{w}, {input} to {output} channels, {} frames of {side}×{side}", self.length);
        let clips = (USUAL_FRAMES / self.length).max(1);
        let shape = [clips * self.length, *input as i64, side, side];
        let products = shape.iter().product::<i64>() * (t * h * w * output) as i64;
        let (mut x, mut built) = (None, [None, None]);
        let algorithm = self.algorithms.choose(&layer, products, Algorithm::Winograd, |algorithm| {
            if x.is_none() {
                x = Some(channels_last(&Tensor::f_rand(shape, (self.kind(), self.device))?)?);
            }
            let slot = &mut built[algorithm as usize];
            if slot.is_none() {
                *slot = Some(build(algorithm)?);
            }
            let (Some(conv), Some(x)) = (slot, &x) else { return Ok(Duration::MAX) };
            let started = Instant::now();
            drop(conv.output(x, self.length, Epilogue::Relu)?);
            Ok(started.elapsed())
        })?;
        Ok((algorithm, built[algorithm as usize].take()))
    }

    fn winograd(&self, spec: &ConvSpec, taps: Taps, folded: &Folded) -> Result<Conv, ModelError> {
        let (shape, _, _, axes) = self.geometry(spec, 1);
        let winograd = Winograd::new(Isa::fastest(), taps, &folded.weight, &folded.bias).ok_or(ModelError::NoMemory)?;
        Ok(Conv { channels: spec.output as i64, shape, axes, kernel: Kernel::Winograd(winograd) })
    }

    pub(crate) fn direct(&self, spec: &ConvSpec, side: i64, folded: &Folded) -> Result<Conv, ModelError> {
        let [t, h, w] = spec.kernel.map(|k| k as i64);
        let (input, output) = (spec.input as i64, spec.output as i64);
        let (shape, kernel, usual_input, axes) = self.geometry(spec, side);
        let weight = Tensor::from_slice(&folded.weight).f_view([output, input, t, h, w])?;
        let weight = if t > 1 && h > 1 { weight.f_permute([0, 2, 1, 3, 4])? } else { weight };
        let weight = channels_last(&weight.f_reshape(kernel)?)?;
        let mut weight = weight.f_to(self.device)?.f_to_kind(self.kind())?;
        if self.backend == Backend::OneDnn {
            weight = onednn::pack(&weight, &shape, usual_input)?;
        }
        let bias = Tensor::from_slice(&folded.bias).f_to(self.device)?.f_to_kind(self.kind())?;
        let (backend, fusion) = (self.backend, Fusion::new(self.precision));
        Ok(Conv { channels: output, shape, axes, kernel: Kernel::Direct { weight, bias, backend, fusion } })
    }

    /// A convolution as one over two axes: padding and stride, the size of the kernel and of the usual input, and the axes.
    fn geometry(&self, spec: &ConvSpec, side: i64) -> (Shape, [i64; 4], [i64; 4], Axes) {
        let [t, h, w] = spec.kernel.map(|k| k as i64);
        let (input, output) = (spec.input as i64, spec.output as i64);
        let [stride_t, stride] = [spec.stride_t as i64, spec.stride as i64];
        match (t, h) {
            (1, _) => {
                let shape = Shape { padding: [(h - 1) / 2; 2], stride: [stride; 2] };
                (shape, [output, input, h, w], [USUAL_FRAMES, input, side, side], Axes::Space)
            }
            (_, 1) => {
                let clips = (USUAL_FRAMES / self.length).max(1);
                let shape = Shape { padding: [(t - 1) / 2, 0], stride: [stride_t, 1] };
                (shape, [output, input, t, 1], [clips, input, self.length, side * side], Axes::Time)
            }
            _ => {
                // Over time and space: the caller stacks the channels of `t` frames.
                let shape = Shape { padding: [(h - 1) / 2; 2], stride: [stride; 2] };
                (shape, [output, t * input, h, w], [USUAL_FRAMES, t * input, side, side], Axes::Space)
            }
        }
    }
}

/// The taps of a convolution for which Winograd's algorithm exists here.
fn taps(spec: &ConvSpec) -> Option<Taps> {
    match (spec.kernel, spec.stride, spec.stride_t) {
        ([1, 3, 3], 1, 1) => Some(Taps::Space),
        ([3, 1, 1], 1, 1) => Some(Taps::Time),
        _ => None,
    }
}

/// Copies an N×C×H×W tensor to channels-last memory, in which the channels of a pixel are adjacent.
fn channels_last(x: &Tensor) -> Result<Tensor, ModelError> {
    Ok(x.f_permute([0, 2, 3, 1])?.f_contiguous()?.f_permute([0, 3, 1, 2])?)
}
