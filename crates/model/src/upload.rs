//! Transfers pixels to a device, a group of frames at a time.
//!
//! On a CPU the pixels stay in place. For a GPU, decode threads write them into slabs of pinned memory, and the GPU copies each slab
//! on a separate stream while it computes the previous group. **The GPU path has never been run on a GPU**; the worker's tests run
//! it on a fake one.

use std::ops::{Deref, DerefMut};
use std::slice;
use std::sync::Arc;

use tch::{Device, Kind, Tensor};
use tracing::warn;

use crate::error::ModelError;
use crate::streams::{self, CopyStream, pinned};

/// Transfers pixels to a device.
pub(crate) struct Upload {
    device: Device,
    /// For pinned memory.
    stream: Option<CopyStream>,
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
        Self { device, stream }
    }

    /// Starts the transfer of a row of bytes, in pinned memory if `is_pinned`.
    fn send(&self, pixels: &Tensor, is_pinned: bool) -> Result<Tensor, ModelError> {
        match &self.stream {
            Some(stream) if is_pinned && streams::are_usable() => stream.send(pixels),
            // libtorch's blocking transfer, which does nothing on a CPU.
            _ => Ok(pixels.f_to(self.device)?),
        }
    }
}

/// Makes slabs for the frames of one size.
#[derive(Clone, Copy)]
pub struct Slabs {
    frame_bytes: usize,
    is_pinned: bool,
}

impl Slabs {
    /// In pinned memory.
    pub(crate) fn pinned(frame_bytes: usize) -> Self {
        Self { frame_bytes, is_pinned: true }
    }

    /// The places for the frames of a video, in groups of this size.
    pub fn places(self, group_size: usize) -> Places {
        Places { slabs: self, group_size: group_size.max(1), current: None }
    }
}

/// Memory for the frames of a group. It is freed with the last frame in it and the group. libtorch's allocator reuses pinned memory only
/// after the transfers from it.
struct Slab {
    memory: Tensor,
    /// The first byte.
    start: *mut u8,
    frame_bytes: usize,
    is_pinned: bool,
}

// SAFETY: the places of a slab do not overlap, and each is in one thread at a time. Only the thread that has got all frames of the
// group uses the tensor.
unsafe impl Send for Slab {}
// SAFETY: as above.
unsafe impl Sync for Slab {}

/// The places for the frames of a video, in order.
pub struct Places {
    slabs: Slabs,
    group_size: usize,
    /// The current slab, and how many of its places are given away.
    current: Option<(Arc<Slab>, usize)>,
}

impl Places {
    /// The place for the next frame. `None` if there is no pinned memory left.
    pub fn next_place(&mut self) -> Option<Place> {
        let Slabs { frame_bytes, is_pinned } = self.slabs;
        let (slab, at) = match self.current.take().filter(|(_, given)| *given < self.group_size) {
            Some(current) => current,
            None => {
                let bytes = self.group_size * frame_bytes;
                let memory = if is_pinned {
                    pinned(bytes).ok()?
                } else {
                    Tensor::f_zeros([bytes as i64], (Kind::Uint8, Device::Cpu)).ok()?
                };
                let start = memory.data_ptr().cast();
                (Arc::new(Slab { memory, start, frame_bytes, is_pinned }), 0)
            }
        };
        self.current = Some((Arc::clone(&slab), at + 1));
        Some(Place { slab, at })
    }

    /// Continues with a new slab, as for another video.
    pub fn restart(&mut self) {
        self.current = None;
    }
}

/// The place of a frame in a slab.
pub struct Place {
    slab: Arc<Slab>,
    at: usize,
}

impl Deref for Place {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        let Slab { start, frame_bytes, .. } = *self.slab;
        // SAFETY: the slab has this place, which belongs to this value alone, and lives as long.
        unsafe { slice::from_raw_parts(start.add(self.at * frame_bytes), frame_bytes) }
    }
}

impl DerefMut for Place {
    fn deref_mut(&mut self) -> &mut [u8] {
        let Slab { start, frame_bytes, .. } = *self.slab;
        // SAFETY: as above.
        unsafe { slice::from_raw_parts_mut(start.add(self.at * frame_bytes), frame_bytes) }
    }
}

/// The bytes of a frame.
pub enum Pixels {
    /// In memory of their own.
    Bytes(Vec<u8>),
    /// In a slab.
    Place(Place),
}

impl Deref for Pixels {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        match self {
            Self::Bytes(bytes) => bytes,
            Self::Place(place) => place,
        }
    }
}

/// The pixels of a group of frames, in order.
#[derive(Default)]
pub(crate) struct FrameGroup {
    /// The pixels, if they are not in a slab.
    bytes: Vec<u8>,
    /// A slab that has the pixels in its first places, as many as the number says.
    slab: Option<(Arc<Slab>, usize)>,
}

impl FrameGroup {
    /// Appends a frame. It is not copied if the whole group is in one slab.
    pub(crate) fn push(&mut self, pixels: Pixels) {
        match pixels {
            Pixels::Place(Place { slab, at }) if self.continues(&slab, at) => self.slab = Some((slab, at + 1)),
            other => self.push_bytes(&other),
        }
    }

    /// Whether a place in a slab follows the frames so far.
    fn continues(&self, slab: &Arc<Slab>, at: usize) -> bool {
        match &self.slab {
            Some((current, filled)) => Arc::ptr_eq(current, slab) && *filled == at,
            None => self.bytes.is_empty() && at == 0,
        }
    }

    /// Appends a frame by copying it.
    pub(crate) fn push_bytes(&mut self, pixels: &[u8]) {
        if let Some((slab, filled)) = self.slab.take() {
            (0..filled).for_each(|at| self.bytes.extend_from_slice(&Place { slab: Arc::clone(&slab), at }));
        }
        self.bytes.extend_from_slice(pixels);
    }

    /// Starts the transfer of all pixels. Returns them as a row of bytes on the device or on their way there. The group is empty
    /// afterwards.
    ///
    /// # Errors
    /// When libtorch fails.
    pub(crate) fn take(&mut self, upload: &Upload) -> Result<Tensor, ModelError> {
        if let Some((slab, filled)) = self.slab.take() {
            let pixels = slab.memory.f_narrow(0, 0, (filled * slab.frame_bytes) as i64)?;
            return upload.send(&pixels, slab.is_pinned);
        }
        let pixels = Tensor::f_from_data_size(&self.bytes, &[self.bytes.len() as i64], Kind::Uint8)?;
        self.bytes.clear();
        upload.send(&pixels, false)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    impl Slabs {
        /// In memory of any kind.
        pub(crate) fn on_host(frame_bytes: usize) -> Self {
            Self { frame_bytes, is_pinned: false }
        }
    }

    fn frame(places: &mut Places, value: u8) -> Pixels {
        let mut place = places.next_place().unwrap();
        place.fill(value);
        Pixels::Place(place)
    }

    fn bytes(group: &mut FrameGroup) -> Vec<u8> {
        Vec::try_from(group.take(&Upload::new(Device::Cpu)).unwrap()).unwrap()
    }

    #[test]
    fn a_group_contains_the_pushed_pixels_in_order() {
        let (mut group, mut places) = (FrameGroup::default(), Slabs::on_host(2).places(3));
        for round in 0..3 {
            let frames = [0, 1, 2].map(|at| frame(&mut places, round * 3 + at));
            let start = frames[0].as_ptr();
            frames.into_iter().for_each(|frame| group.push(frame));
            let sent = group.take(&Upload::new(Device::Cpu)).unwrap();
            assert_eq!(sent.data_ptr().cast_const().cast(), start, "no frame is copied");
            let expected = [0, 1, 2].map(|at| [round * 3 + at; 2]).concat();
            assert_eq!(Vec::<u8>::try_from(sent).unwrap(), expected);
        }
        group.push(frame(&mut places, 7));
        assert_eq!(bytes(&mut group), [7, 7], "not full");
        group.push(Pixels::Bytes(vec![1, 2]));
        group.push(Pixels::Bytes(vec![3, 4]));
        assert_eq!(bytes(&mut group), [1, 2, 3, 4]);
    }

    /// A group is in several places if pinned memory runs out while it is filled, or if a slab is not used any more.
    #[test]
    fn frames_of_several_slabs_and_of_other_memory_are_joined() {
        let (mut group, mut places) = (FrameGroup::default(), Slabs::on_host(1).places(3));
        group.push(frame(&mut places, 1));
        group.push(frame(&mut places, 2));
        group.push(Pixels::Bytes(vec![3]));
        places.restart();
        (4..9).for_each(|value| group.push(frame(&mut places, value)));
        assert_eq!(bytes(&mut group), [1, 2, 3, 4, 5, 6, 7, 8]);
        // A group that begins in the middle of a slab.
        group.push(frame(&mut places, 9));
        assert_eq!(bytes(&mut group), [9]);
        assert!(Slabs::pinned(4).places(2).next_place().is_none(), "without CUDA there is no pinned memory");
    }

    #[test]
    fn without_cuda_there_is_an_error() {
        let (upload, mut group) = (Upload::new(Device::Cuda(1000)), FrameGroup::default());
        group.push_bytes(&[1, 2]);
        assert!(group.take(&upload).is_err());
    }
}
