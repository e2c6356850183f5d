//! A single layer of the fast network: a convolution and what follows it, by the fastest way that the device has.

use reeldeck_common::recipe::Precision;
use tch::{Device, Tensor};

use crate::cudnn;
use crate::device;
use crate::error::ModelError;
use crate::onednn::{self, Shape};

/// A convolution with what was folded into it.
pub struct Conv {
    pub weight: Tensor,
    pub bias: Tensor,
    pub channels: i64,
    pub shape: Shape,
    pub reach: Reach,
    pub way: Way,
}

/// Over what a convolution looks.
#[derive(Clone, Copy)]
pub enum Reach {
    /// Height and width of one frame.
    Space,
    /// Three neighbouring frames, one pixel.
    Time,
}

/// By which convolutions.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Way {
    /// What follows a convolution walks over its result.
    Plain,
    /// oneDNN's fused ones; the weight is in its order.
    OneDnn,
    /// cuDNN's fused ones.
    Cudnn,
}

/// The fastest way that this device has.
///
/// # Errors
/// Where convolutions are not what the precision promises.
pub fn way(device: Device, precision: Precision) -> Result<Way, ModelError> {
    match device {
        Device::Cpu if onednn::works(device::kind(precision)) => Ok(Way::OneDnn),
        Device::Cuda(gpu) => {
            let fused = cudnn::try_out(device, precision)?;
            Ok(fused.map_or_else(|why| slowly(gpu, &why), |()| Way::Cudnn))
        }
        _ => Ok(Way::Plain),
    }
}

fn slowly(gpu: usize, why: &str) -> Way {
    eprintln!("note: no fused convolutions on GPU {gpu}, which is slower without: {why}");
    Way::Plain
}

/// What follows a convolution.
pub enum Then<'a> {
    /// Nothing.
    Nothing,
    /// Zero instead of all that is less.
    Relu,
    /// It is added to this, in its place; then as above.
    AddRelu(&'a mut Tensor),
}

impl Conv {
    /// `x` is frames × channels × height × width, `length` frames a clip. `None` where the result was added to another.
    ///
    /// # Errors
    /// What libtorch reports.
    pub fn run(&self, x: &Tensor, length: i64, then: Then<'_>) -> Result<Option<Tensor>, ModelError> {
        if x.device() == Device::Cpu {
            let (frames, _, height, width) = x.size4()?;
            let [down, across] = self.shape.stride;
            let pixels = frames * (height / down + 1) * (width / across + 1);
            // In 32 bits whatever the precision: half of it is then for what is made on the way.
            device::check_room((pixels * self.channels * 4) as usize)?;
        }
        match self.reach {
            Reach::Space => self.apply(x, then),
            Reach::Time => {
                // The same memory seen as clips × channels × length × pixels: a 3×1 convolution, nothing is moved.
                let (frames, channels, height, width) = x.size4()?;
                let clips = frames / length;
                let seen = x
                    .f_permute([0, 2, 3, 1])?
                    .f_view([clips, length, height * width, channels])?
                    .f_permute([0, 3, 1, 2])?;
                let Some(y) = self.apply(&seen, then)? else { return Ok(None) };
                let y = y.f_permute([0, 2, 3, 1])?.f_contiguous()?;
                Ok(Some(y.f_view([frames, height, width, self.channels])?.f_permute([0, 3, 1, 2])?))
            }
        }
    }

    fn apply(&self, x: &Tensor, then: Then<'_>) -> Result<Option<Tensor>, ModelError> {
        let Self { weight, bias, shape, way, .. } = self;
        let plain = || x.f_conv2d(weight, Some(bias), shape.stride, shape.padding, [1, 1], 1);
        match (then, way) {
            (Then::AddRelu(sum), way) => {
                match way {
                    Way::OneDnn => onednn::conv_add_relu(sum, x, weight, bias, shape)?,
                    Way::Cudnn => *sum = cudnn::conv_add_relu(sum, x, weight, bias, shape)?,
                    Way::Plain => drop(sum.f_add_(&plain()?)?.f_relu_()?),
                }
                return Ok(None);
            }
            (Then::Relu, Way::OneDnn) => onednn::conv(x, weight, bias, shape, true),
            (Then::Relu, Way::Cudnn) => cudnn::conv_relu(x, weight, bias, shape),
            (Then::Relu, Way::Plain) => Ok(plain()?.f_relu_()?),
            (Then::Nothing, Way::OneDnn) => onednn::conv(x, weight, bias, shape, false),
            (Then::Nothing, _) => Ok(plain()?),
        }
        .map(Some)
    }

    /// As [`Conv::run`], where the result is not added to another.
    ///
    /// # Errors
    /// What libtorch reports.
    pub fn output(&self, x: &Tensor, length: i64, then: Then<'_>) -> Result<Tensor, ModelError> {
        let output = self.run(x, length, then)?;
        output.ok_or_else(|| ModelError::Internal("a convolution gave nothing".into()))
    }
}
