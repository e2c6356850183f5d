//! The frames that a network receives: their way to the device, and their normalisation; the way of the outputs to the host.

use reeldeck_common::recipe::{Filter, Transform};
use tch::{Device, Kind, Tensor};

use crate::download::Download;
use crate::error::ModelError;
use crate::upload::{Slabs, Upload};

/// Receives transformed frames: height × width × 3 values in R, G, B order from 0 to 255, one byte each, or native `f32` for
/// the filter `torch-f32`.
pub struct Input {
    device: Device,
    pub(crate) upload: Upload,
    pub(crate) download: Download,
    kind: Kind,
    height: i64,
    width: i64,
    frame_bytes: usize,
    /// Divides the values first, unless it is 1. A tensor, because tch panics when an operation with a scalar fails.
    scale: Option<Tensor>,
    mean: Tensor,
    std: Tensor,
}

impl Input {
    /// For frames of a transform.
    ///
    /// # Errors
    /// When libtorch fails.
    pub fn new(transform: &Transform, device: Device) -> Result<Self, ModelError> {
        let (height, width) = transform.output();
        let on_device = |values: &[f32]| Tensor::from_slice(values).f_to(device);
        Ok(Self {
            device,
            upload: Upload::new(device),
            download: Download::new(device),
            kind: match transform.filter {
                Filter::OpencvU8 => Kind::Uint8,
                Filter::TorchF32 => Kind::Float,
            },
            height: height as i64,
            width: width as i64,
            frame_bytes: transform.frame_bytes(),
            scale: (transform.scale != 1.0).then(|| on_device(&[transform.scale])).transpose()?,
            mean: on_device(&transform.mean)?,
            std: on_device(&transform.std)?,
        })
    }

    /// The device that computes.
    pub fn device(&self) -> Device {
        self.device
    }

    /// Memory for frames that the device can copy by itself; `None` on a CPU, which copies nothing.
    pub fn slabs(&self) -> Option<Slabs> {
        (self.device != Device::Cpu).then(|| Slabs::pinned(self.frame_bytes))
    }

    /// The size of a frame in bytes.
    pub fn frame_bytes(&self) -> usize {
        self.frame_bytes
    }

    /// Normalises frames, given as their bytes in a row on the device. Returns frames × height × width × 3 in 32 bits.
    ///
    /// # Errors
    /// When libtorch fails.
    pub fn normalised(&self, pixels: &Tensor) -> Result<Tensor, ModelError> {
        let pixels = match self.kind {
            Kind::Uint8 => pixels.f_to_kind(Kind::Float)?,
            kind => pixels.f_view_dtype(kind)?,
        };
        let mut x = pixels.f_view([-1, self.height, self.width, 3])?;
        if let Some(scale) = &self.scale {
            x = x.f_div(scale)?;
        }
        // The same operations as the original: subtraction and division in 32 bits.
        Ok(x.f_sub(&self.mean)?.f_div_(&self.std)?)
    }
}
