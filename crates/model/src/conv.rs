//! A convolution of the fast network together with the operations that follow it, on the fastest backend of the device.

use tch::{Device, Kind, Tensor};

use crate::cudnn::{self, Fusion};
use crate::device;
use crate::error::ModelError;
use crate::onednn::{self, Shape};
use crate::winograd::{After, Size, Winograd};

/// A convolution with the normalisation folded into its weights.
pub(crate) struct Conv {
    /// Channels of the output.
    pub(crate) channels: i64,
    pub(crate) shape: Shape,
    pub(crate) axes: Axes,
    pub(crate) kernel: Kernel,
}

/// A convolution's weights, in the form that its algorithm needs.
pub(crate) enum Kernel {
    /// For libtorch.
    Direct { weight: Tensor, bias: Tensor, backend: Backend, fusion: Fusion },
    /// Transformed.
    Winograd(Winograd),
}

/// The axes of a convolution's kernel.
#[derive(Clone, Copy)]
pub(crate) enum Axes {
    /// Height and width of a frame.
    Space,
    /// Neighbouring frames, one pixel.
    Time,
}

/// The implementation of convolutions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Backend {
    /// libtorch's convolution, followed by separate operations.
    Unfused,
    /// oneDNN's fused convolutions. The weights are in oneDNN's layout.
    OneDnn,
    /// cuDNN's fused convolutions, except those that fail or are imprecise.
    Cudnn,
}

impl Backend {
    /// The fastest backend for numbers of this kind on this device.
    pub fn fastest(device: Device, kind: Kind) -> Self {
        match device {
            Device::Cpu if onednn::is_available(kind) => Self::OneDnn,
            Device::Cuda(_) => Self::Cudnn,
            _ => Self::Unfused,
        }
    }
}

/// The operations that follow a convolution.
pub(crate) enum Epilogue<'a> {
    /// None.
    None,
    /// ReLU.
    Relu,
    /// Adds the result to this tensor in place, then ReLU.
    AddRelu(&'a mut Tensor),
}

impl Conv {
    /// Runs the convolution. `x` is frames × channels × height × width, and a clip has `length` frames. `None` for
    /// [`Epilogue::AddRelu`].
    ///
    /// # Errors
    /// When memory runs out or libtorch fails.
    pub(crate) fn run(&self, x: &Tensor, length: i64, epilogue: Epilogue<'_>) -> Result<Option<Tensor>, ModelError> {
        if x.device() == Device::Cpu {
            let (frames, _, height, width) = x.size4()?;
            let [down, across] = self.shape.stride;
            let pixels = frames * (height / down + 1) * (width / across + 1);
            // Four bytes a number for every precision. With bfloat16, half of them are for temporary results.
            device::check_room((pixels * self.channels * 4) as usize)?;
        }
        let (weights, how) = match &self.kernel {
            Kernel::Direct { weight, bias, backend, fusion } => ((weight, bias), (*backend, fusion)),
            Kernel::Winograd(winograd) => return self.run_winograd(winograd, x, length, epilogue),
        };
        let apply = |x: &Tensor, epilogue| self.apply(x, weights, how, epilogue);
        match self.axes {
            Axes::Space => apply(x, epilogue),
            Axes::Time => {
                // The same memory viewed as clips × channels × length × pixels, for a convolution of height 3 or more and width 1 without a copy.
                let (frames, channels, height, width) = x.size4()?;
                let clips = frames / length;
                let viewed = x
                    .f_permute([0, 2, 3, 1])?
                    .f_view([clips, length, height * width, channels])?
                    .f_permute([0, 3, 1, 2])?;
                let Some(y) = apply(&viewed, epilogue)? else { return Ok(None) };
                let y = y.f_permute([0, 2, 3, 1])?.f_contiguous()?;
                // With a stride over time, there are fewer frames than before.
                Ok(Some(y.f_view([-1, height, width, self.channels])?.f_permute([0, 3, 1, 2])?))
            }
        }
    }

    fn run_winograd(
        &self,
        winograd: &Winograd,
        x: &Tensor,
        length: i64,
        epilogue: Epilogue<'_>,
    ) -> Result<Option<Tensor>, ModelError> {
        let (frames, _, height, width) = x.size4()?;
        let [frames, length, height, width] = [frames, length, height, width].map(|n| n as usize);
        let size = Size { frames, length, height, width };
        let threads = usize::try_from(tch::get_num_threads()).unwrap_or(1);
        // No copy: activations are channels-last.
        let x = x.f_permute([0, 2, 3, 1])?.f_contiguous()?;
        let run = |after, y: &mut Tensor| {
            device::check_room(winograd.scratch_bytes(size, threads))?;
            let (inputs, outputs) = (x.numel(), y.numel());
            // SAFETY: both tensors are contiguous numbers of 32 bits on the CPU, and libtorch does not use them meanwhile. Each
            // has memory of its own.
            let (x, y) = unsafe {
                let x = std::slice::from_raw_parts(x.data_ptr().cast::<f32>(), inputs);
                (x, std::slice::from_raw_parts_mut(y.data_ptr().cast::<f32>(), outputs))
            };
            winograd.run(x, y, size, after, threads).ok_or(ModelError::NoMemory)
        };
        if let Epilogue::AddRelu(sum) = epilogue {
            let mut y = sum.f_permute([0, 2, 3, 1])?.f_contiguous()?;
            run(After::AddRelu, &mut y)?;
            *sum = y.f_permute([0, 3, 1, 2])?;
            return Ok(None);
        }
        let after = if matches!(epilogue, Epilogue::Relu) { After::Relu } else { After::Nothing };
        let shape = [frames as i64, height as i64, width as i64, self.channels];
        let mut y = Tensor::f_empty(shape, (Kind::Float, Device::Cpu))?;
        run(after, &mut y)?;
        Ok(Some(y.f_permute([0, 3, 1, 2])?))
    }

    fn apply(
        &self,
        x: &Tensor,
        (weight, bias): (&Tensor, &Tensor),
        (backend, fusion): (Backend, &Fusion),
        epilogue: Epilogue<'_>,
    ) -> Result<Option<Tensor>, ModelError> {
        let shape = &self.shape;
        let unfused = || x.f_conv2d(weight, Some(bias), shape.stride, shape.padding, [1, 1], 1);
        match (epilogue, backend) {
            (Epilogue::AddRelu(sum), backend) => {
                match backend {
                    Backend::OneDnn => onednn::conv_add_relu(sum, x, weight, bias, shape)?,
                    Backend::Cudnn => {
                        let fused = || cudnn::conv_add_relu(sum, x, weight, bias, shape);
                        *sum = fusion.run(fused, || Ok(unfused()?.f_add_(sum)?.f_relu_()?))?;
                    }
                    Backend::Unfused => drop(sum.f_add_(&unfused()?)?.f_relu_()?),
                }
                return Ok(None);
            }
            (Epilogue::Relu, Backend::OneDnn) => onednn::conv(x, weight, bias, shape, true),
            (Epilogue::Relu, Backend::Cudnn) => {
                fusion.run(|| cudnn::conv_relu(x, weight, bias, shape), || Ok(unfused()?.f_relu_()?))
            }
            (Epilogue::Relu, Backend::Unfused) => Ok(unfused()?.f_relu_()?),
            (Epilogue::None, Backend::OneDnn) => onednn::conv(x, weight, bias, shape, false),
            (Epilogue::None, _) => Ok(unfused()?),
        }
        .map(Some)
    }

    /// The same as [`Conv::run`] for an epilogue that returns a tensor.
    ///
    /// # Errors
    /// As [`Conv::run`].
    pub(crate) fn output(&self, x: &Tensor, length: i64, epilogue: Epilogue<'_>) -> Result<Tensor, ModelError> {
        let output = self.run(x, length, epilogue)?;
        output.ok_or_else(|| ModelError::Internal("a convolution gave nothing".into()))
    }
}
