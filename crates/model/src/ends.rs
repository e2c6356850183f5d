//! The ends of bottleneck blocks: separate convolutions, or [`Expansion`].

use std::time::Instant;

use tch::{Device, Kind, Tensor};

use crate::algorithms::Algorithm;
use crate::builder::{Builder, Folded, USUAL_FRAMES};
use crate::conv::{Backend, Conv, Epilogue};
use crate::cpu::simd::Isa;
use crate::device;
use crate::error::ModelError;
use crate::expansion::{Expansion, Tensors, Weights};
use crate::network::{BlockSpec, ConvSpec};

/// What follows the second convolution of a block.
pub(crate) enum End {
    /// The third convolution and the one of the shortcut, one after the other.
    Separate { conv3: Conv, shortcut: Option<Conv> },
    /// Both together, perhaps with the first convolution of the next block.
    Fused(Expansion),
}

impl End {
    /// Whether it includes the first convolution of the next block.
    pub(crate) fn reduces(&self) -> bool {
        matches!(self, Self::Fused(expansion) if expansion.reduced().is_some())
    }

    /// Runs it on the input of the block and the result of its second convolution, both frames × channels × height × width.
    /// Returns the result of the block, and of the next block's first convolution if that is included.
    ///
    /// # Errors
    /// When memory runs out or libtorch fails.
    pub(crate) fn run(&self, x: Tensor, y: &Tensor) -> Result<(Tensor, Option<Tensor>), ModelError> {
        match self {
            Self::Separate { conv3, shortcut } => {
                let mut sum = match shortcut {
                    Some(conv) => conv.output(&x, 1, Epilogue::None)?,
                    // The first block of each stage has a shortcut, so `x` is the result of a block and not shared.
                    None => x,
                };
                conv3.run(y, 1, Epilogue::AddRelu(&mut sum))?;
                Ok((sum, None))
            }
            Self::Fused(expansion) => run_fused(expansion, &x, y),
        }
    }
}

fn run_fused(expansion: &Expansion, x: &Tensor, y: &Tensor) -> Result<(Tensor, Option<Tensor>), ModelError> {
    let (frames, _, height, width) = y.size4()?;
    let (_, _, height_before, width_before) = x.size4()?;
    // No copies: activations are channels-last.
    let [x, y] = [x, y].map(|tensor| tensor.f_permute([0, 2, 3, 1])?.f_contiguous());
    let (x, y) = (x?, y?);
    let threads = usize::try_from(tch::get_num_threads()).unwrap_or(1);
    let new = |channels: usize| {
        device::check_room((frames * height * width) as usize * channels * size_of::<f32>())?;
        let shape = [frames, height, width, channels as i64];
        Ok::<_, ModelError>(Tensor::f_empty(shape, (Kind::Float, Device::Cpu))?)
    };
    device::check_room(expansion.scratch_bytes(threads))?;
    let (mut sum, x) = if expansion.has_shortcut() { (new(expansion.output())?, Some(x)) } else { (x, None) };
    let mut reduced = expansion.reduced().map(new).transpose()?;
    // SAFETY: the tensors are contiguous numbers of 32 bits on the CPU, libtorch does not use them meanwhile, and each has memory
    // of its own.
    let (inputs, [sum_numbers, reduced_numbers]) = unsafe {
        let read = |tensor: &Tensor| std::slice::from_raw_parts(tensor.data_ptr().cast::<f32>(), tensor.numel());
        let write =
            |tensor: &mut Tensor| std::slice::from_raw_parts_mut(tensor.data_ptr().cast::<f32>(), tensor.numel());
        ((read(&y), x.as_ref().map(read)), [Some(write(&mut sum)), reduced.as_mut().map(write)])
    };
    let before = [height_before, width_before].map(|side| side as usize);
    let tensors = Tensors {
        y: inputs.0,
        x: inputs.1.map(|x| (x, before)),
        sum: sum_numbers.unwrap_or_default(),
        reduced: reduced_numbers,
    };
    expansion.run(tensors, [height as usize, width as usize], threads).ok_or(ModelError::NoMemory)?;
    let back = |tensor: Tensor| tensor.f_permute([0, 3, 1, 2]);
    Ok((back(sum)?, reduced.map(back).transpose()?))
}

impl Builder<'_> {
    /// Builds the end of a block whose input and result have these sides. It includes the next block's first convolution where that
    /// is possible and faster.
    ///
    /// # Errors
    /// As [`Builder::conv`].
    pub(crate) fn end(
        &self,
        spec: &BlockSpec,
        next: Option<&ConvSpec>,
        [before, side]: [i64; 2],
    ) -> Result<End, ModelError> {
        let convs = || [Some(&spec.conv3), spec.shortcut.as_ref(), next].into_iter().flatten();
        let direct = |conv: &ConvSpec, side| self.direct(conv, side, &self.fold(conv)?);
        let separate = || {
            let shortcut = spec.shortcut.as_ref().map(|conv| direct(conv, before)).transpose()?;
            Ok::<_, ModelError>(End::Separate { conv3: direct(&spec.conv3, side)?, shortcut })
        };
        let fused = || Ok::<_, ModelError>(End::Fused(self.fused(spec, next)?));
        let is_possible = self.backend == Backend::OneDnn
            && self.kind() == Kind::Float
            && convs().all(|conv| Expansion::fits(&[conv.input, conv.output]));
        let mut built = [None, None];
        let place = |algorithm| usize::from(algorithm == Algorithm::Fused);
        let algorithm = if is_possible {
            let products: usize = convs().map(|conv| conv.input * conv.output).sum();
            let products = products as i64 * USUAL_FRAMES * side * side;
            self.algorithms.choose(&name(spec, next, side), products, Algorithm::Fused, |algorithm| {
                let slot = &mut built[place(algorithm)];
                if slot.is_none() {
                    *slot = Some(match algorithm {
                        Algorithm::Fused => (fused()?, None),
                        _ => (separate()?, next.map(|next| direct(next, side)).transpose()?),
                    });
                }
                let Some((end, next)) = slot else { return Err(ModelError::NoMemory) };
                let ones = |channels: usize, side: i64| {
                    let shape = [USUAL_FRAMES, side, side, channels as i64];
                    Tensor::f_ones(shape, (self.kind(), self.device))?.f_permute([0, 3, 1, 2])
                };
                let (x, y) = (ones(spec.conv1.input, before)?, ones(spec.conv3.input, side)?);
                let started = Instant::now();
                let (sum, _) = end.run(x, &y)?;
                if let Some(next) = next {
                    drop(next.output(&sum, 1, Epilogue::Relu)?);
                }
                Ok(started.elapsed())
            })?
        } else {
            Algorithm::Direct
        };
        let end = match (built[place(algorithm)].take(), algorithm) {
            (Some((end, _)), _) => end,
            (None, Algorithm::Fused) => fused()?,
            (None, _) => separate()?,
        };
        // A block counts its own first convolution, unless this includes it.
        let counted = convs().count() - usize::from(next.is_some() && !end.reduces());
        (0..counted).for_each(|_| self.algorithms.count(algorithm));
        Ok(end)
    }

    fn fused(&self, spec: &BlockSpec, next: Option<&ConvSpec>) -> Result<Expansion, ModelError> {
        let conv3 = self.fold(&spec.conv3)?;
        let shortcut =
            spec.shortcut.as_ref().map(|conv| Ok::<_, ModelError>((self.fold(conv)?, conv.stride))).transpose()?;
        let next = next.map(|conv| self.fold(conv)).transpose()?;
        let shortcut = shortcut.as_ref().map(|(folded, stride)| (folded.weights(), *stride));
        Expansion::new(Isa::fastest(), conv3.weights(), shortcut, next.as_ref().map(Folded::weights))
            .ok_or(ModelError::NoMemory)
    }
}

impl Folded {
    fn weights(&self) -> Weights<'_> {
        Weights { weights: &self.weight, bias: &self.bias }
    }
}

/// What the end of a block is called among the measurements.
fn name(spec: &BlockSpec, next: Option<&ConvSpec>, side: i64) -> String {
    let ConvSpec { input, output, .. } = spec.conv3;
    let shortcut =
        spec.shortcut.as_ref().map(|conv| format!(", shortcut of {} with stride {}", conv.input, conv.stride));
    let next = next.map(|conv| format!(", then to {}", conv.output));
    let (shortcut, next) = (shortcut.unwrap_or_default(), next.unwrap_or_default());
    format!("end of a block, {input} to {output} channels{shortcut}{next}, {USUAL_FRAMES} frames of {side}×{side}")
}
