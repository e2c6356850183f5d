//! Transfers pixels to a device, a group of frames at a time.
//!
//! On a CPU the pixels stay in place. For a GPU they are collected in pinned memory, and the GPU copies them on a separate
//! stream while it computes the previous group. **The GPU path has never been run**; the tests run all of it that needs no
//! GPU.

use tch::{Device, Kind, Tensor};
use tracing::warn;

use crate::error::ModelError;
use crate::streams::{CopyStream, pinned};

/// Transfers pixels to a device.
pub(crate) struct Upload {
    device: Device,
    method: Method,
}

enum Method {
    /// libtorch's blocking transfer, which does nothing on a CPU.
    Blocking,
    /// Through pinned memory, on a separate stream.
    Stream(CopyStream),
    /// Through memory of any kind, without a transfer.
    #[cfg(test)]
    Staged,
}

impl Upload {
    /// For this device. Without a separate stream, the transfer to a GPU is slower.
    pub(crate) fn new(device: Device) -> Self {
        let stream = match device {
            Device::Cuda(gpu) => CopyStream::new(device)
                .inspect_err(|error| warn!(gpu, "no stream for copies, so the GPU waits for them: {error}"))
                .ok(),
            _ => None,
        };
        Self { device, method: stream.map_or(Method::Blocking, Method::Stream) }
    }

    /// The steps for a GPU, on the CPU.
    #[cfg(test)]
    pub(crate) fn staged() -> Self {
        Self { device: Device::Cpu, method: Method::Staged }
    }

    /// Memory for a group of frames; `None` if the transfer needs none.
    fn memory(&self, bytes: usize) -> Result<Option<Tensor>, ModelError> {
        match &self.method {
            Method::Blocking => Ok(None),
            // Pinned memory is limited; without it the transfer is blocking.
            Method::Stream(_) => Ok(pinned(bytes).ok()),
            #[cfg(test)]
            Method::Staged => Ok(Some(Tensor::f_zeros([bytes as i64], (Kind::Uint8, Device::Cpu))?)),
        }
    }
}

/// The pixels of a group of frames, in order.
#[derive(Default)]
pub(crate) struct FrameGroup {
    /// The pixels for a blocking transfer.
    bytes: Vec<u8>,
    /// The pixels in memory for another transfer, and how many bytes of it are filled.
    staged: Option<(Tensor, usize)>,
}

impl FrameGroup {
    /// Appends the pixels of a frame. The group may have `capacity` bytes altogether.
    ///
    /// # Errors
    /// When the group exceeds its capacity, or libtorch fails.
    pub(crate) fn push(&mut self, upload: &Upload, capacity: usize, pixels: &[u8]) -> Result<(), ModelError> {
        if self.staged.is_none() && self.bytes.is_empty() {
            self.staged = upload.memory(capacity)?.map(|memory| (memory, 0));
        }
        let Some((memory, filled)) = &mut self.staged else {
            self.bytes.extend_from_slice(pixels);
            return Ok(());
        };
        if *filled + pixels.len() > memory.numel() {
            return Err(ModelError::Internal("a frame has more pixels than there is room for".into()));
        }
        // SAFETY: the tensor is a row of bytes in host memory that belongs to this group alone until it is sent. The check
        // above ensures that the pixels fit behind the filled part.
        unsafe {
            let to = memory.data_ptr().cast::<u8>().add(*filled);
            std::ptr::copy_nonoverlapping(pixels.as_ptr(), to, pixels.len());
        }
        *filled += pixels.len();
        Ok(())
    }

    /// Starts the transfer of all pixels. Returns them as a row of bytes on the device or on their way there. The group is empty
    /// afterwards.
    ///
    /// # Errors
    /// When libtorch fails.
    pub(crate) fn take(&mut self, upload: &Upload) -> Result<Tensor, ModelError> {
        let Some((memory, filled)) = self.staged.take() else {
            let pixels = Tensor::f_from_data_size(&self.bytes, &[self.bytes.len() as i64], Kind::Uint8)?;
            self.bytes.clear();
            return Ok(pixels.f_to(upload.device)?);
        };
        let pixels = memory.f_narrow(0, 0, filled as i64)?;
        match &upload.method {
            Method::Stream(stream) => stream.send(&pixels),
            _ => Ok(pixels),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_group_contains_the_pushed_pixels_in_order() {
        for upload in [Upload::new(Device::Cpu), Upload::staged()] {
            let mut group = FrameGroup::default();
            for round in 0..3_u8 {
                let parts = [vec![round; 5], vec![], vec![round + 100; 7]];
                parts.iter().for_each(|part| group.push(&upload, 12, part).unwrap());
                assert_eq!(Vec::<u8>::try_from(group.take(&upload).unwrap()).unwrap(), parts.concat());
            }
            group.push(&upload, 12, &[1, 2, 3]).unwrap();
            assert_eq!(Vec::<u8>::try_from(group.take(&upload).unwrap()).unwrap(), [1, 2, 3], "not full");
        }
    }

    #[test]
    fn pixels_over_the_capacity_are_an_error() {
        let (upload, mut group) = (Upload::staged(), FrameGroup::default());
        group.push(&upload, 4, &[1, 2, 3]).unwrap();
        assert!(matches!(group.push(&upload, 4, &[4, 5]), Err(ModelError::Internal(_))));
        assert_eq!(Vec::<u8>::try_from(group.take(&upload).unwrap()).unwrap(), [1, 2, 3]);
    }

    #[test]
    fn without_cuda_there_is_an_error() {
        let (upload, mut group) = (Upload::new(Device::Cuda(1000)), FrameGroup::default());
        group.push(&upload, 4, &[1, 2]).unwrap();
        assert!(group.take(&upload).is_err());
    }
}
