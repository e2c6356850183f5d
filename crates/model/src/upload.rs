//! The way of pixels to a device, a group of frames at a time.
//!
//! On a CPU they stay where they are. For a GPU they are put together in pinned memory, from which the GPU fetches them on a
//! stream of its own while it computes on the group before. That part has never been run on a GPU; the tests run all of it
//! that needs none.

use std::ffi::{c_char, c_void};

use tch::{Device, Kind, Tensor};

use crate::error::ModelError;
use crate::native::{Raw, checked, made, raw};

unsafe extern "C" {
    fn reeldeck_lane(index: i8, out: &mut *mut c_void) -> *mut c_char;
    fn reeldeck_lane_free(lane: *mut c_void);
    fn reeldeck_enter(lane: *const c_void, out: &mut *mut c_void) -> *mut c_char;
    fn reeldeck_wait(lane: *const c_void) -> *mut c_char;
    fn reeldeck_settle(lane: *const c_void, made: Raw) -> *mut c_char;
    fn reeldeck_pinned(bytes: i64, out: &mut Raw) -> *mut c_char;
    fn reeldeck_send(lane: *const c_void, from: Raw, out: &mut Raw) -> *mut c_char;
}

/// A stream of a GPU beside the one that the model computes on.
pub struct Lane(*mut c_void);

// SAFETY: a stream is a number to libtorch, which any thread may use; it is only read once it is made.
unsafe impl Send for Lane {}

impl Lane {
    /// Of this GPU.
    ///
    /// # Errors
    /// What libtorch reports.
    pub fn new(gpu: usize) -> Result<Self, ModelError> {
        let index = i8::try_from(gpu).map_err(|_| ModelError::Device(format!("no GPU has the number {gpu}")))?;
        let mut lane = std::ptr::null_mut();
        // SAFETY: without an error, the call writes a pointer to what is freed by `reeldeck_lane_free` alone.
        checked(unsafe { reeldeck_lane(index, &mut lane) })?;
        Ok(Self(lane))
    }

    /// Has all go over it that this thread gives the GPU from now on. Its address, to CUDA; libtorch keeps its streams as long
    /// as the process lives.
    ///
    /// # Errors
    /// What libtorch reports.
    pub fn enter(&self) -> Result<*mut c_void, ModelError> {
        let mut stream = std::ptr::null_mut();
        // SAFETY: the lane is alive; the call writes an address that nobody frees.
        checked(unsafe { reeldeck_enter(self.0, &mut stream) })?;
        Ok(stream)
    }

    /// Waits until all that was given to it is done.
    ///
    /// # Errors
    /// What libtorch reports.
    pub fn wait(&self) -> Result<(), ModelError> {
        // SAFETY: the lane is alive.
        checked(unsafe { reeldeck_wait(self.0) })
    }

    /// The same, for something that was made on it and is used by the model.
    ///
    /// # Errors
    /// What libtorch reports.
    pub fn settle(&self, made: &Tensor) -> Result<(), ModelError> {
        // SAFETY: lane and tensor are alive during the call.
        checked(unsafe { reeldeck_settle(self.0, raw(made)) })
    }

    /// Starts to send; what is computed with the result waits for it on the GPU.
    fn send(&self, pixels: &Tensor) -> Result<Tensor, ModelError> {
        // SAFETY: lane and tensor are alive during the call. libtorch keeps the pinned memory until it has been read.
        made(|out| unsafe { reeldeck_send(self.0, raw(pixels), out) })
    }
}

impl Drop for Lane {
    fn drop(&mut self) {
        // SAFETY: the pointer came from `reeldeck_lane` and is freed once.
        unsafe { reeldeck_lane_free(self.0) };
    }
}

/// How pixels come to a device.
pub struct Upload {
    device: Device,
    way: Way,
}

enum Way {
    /// As they are: on a CPU nothing is to be done, and on a GPU libtorch does it, and waits.
    Plain,
    /// Through pinned memory, on a stream of its own.
    Lane(Lane),
    /// As to a GPU, with memory of any kind and nothing to send to.
    #[cfg(test)]
    Staged,
}

impl Upload {
    /// For this device. Where a GPU gives no stream, pixels go there all the same.
    pub fn new(device: Device) -> Self {
        let lane = match device {
            Device::Cuda(gpu) => Lane::new(gpu).map_err(|error| slowly(gpu, &error)).ok(),
            _ => None,
        };
        Self { device, way: lane.map_or(Way::Plain, Way::Lane) }
    }

    /// As to a GPU, on the CPU.
    #[cfg(test)]
    pub fn staged() -> Self {
        Self { device: Device::Cpu, way: Way::Staged }
    }

    fn memory(&self, bytes: usize) -> Result<Option<Tensor>, ModelError> {
        match &self.way {
            Way::Plain => Ok(None),
            // There may be less of this memory than of other. SAFETY: the call makes a fresh tensor.
            Way::Lane(_) => Ok(made(|out| unsafe { reeldeck_pinned(bytes as i64, out) }).ok()),
            #[cfg(test)]
            Way::Staged => Ok(Some(Tensor::f_zeros([bytes as i64], (Kind::Uint8, Device::Cpu))?)),
        }
    }
}

fn slowly(gpu: usize, error: &ModelError) {
    eprintln!("note: no second stream on GPU {gpu}, which waits for pixels while it fetches them: {error}");
}

/// The pixels of a group of frames that is not yet full.
#[derive(Default)]
pub struct Group {
    /// Those of the first frames that are on the device, or on their way.
    there: Vec<Tensor>,
    /// On a CPU.
    bytes: Vec<u8>,
    /// For a GPU; how much of it is filled.
    staged: Option<(Tensor, usize)>,
}

impl Group {
    /// Appends pixels. No more than `room` bytes will come before the group is taken.
    ///
    /// # Errors
    /// What libtorch reports, and more than that.
    pub fn push(&mut self, upload: &Upload, room: usize, pixels: &[u8]) -> Result<(), ModelError> {
        if self.staged.is_none() && self.bytes.is_empty() {
            self.staged = upload.memory(room)?.map(|memory| (memory, 0));
        }
        let Some((memory, filled)) = &mut self.staged else {
            self.bytes.extend_from_slice(pixels);
            return Ok(());
        };
        if *filled + pixels.len() > memory.numel() {
            return Err(ModelError::Internal("a frame has more pixels than there is room for".into()));
        }
        // SAFETY: the tensor is a row of bytes in the host's memory and nobody else's: it was made for this group, and is
        // sent only when it is full. The pixels fit behind those that are there.
        unsafe {
            let to = memory.data_ptr().cast::<u8>().add(*filled);
            std::ptr::copy_nonoverlapping(pixels.as_ptr(), to, pixels.len());
        }
        *filled += pixels.len();
        Ok(())
    }

    /// Appends pixels that are on the device.
    ///
    /// # Errors
    /// What libtorch reports.
    pub fn push_there(&mut self, upload: &Upload, pixels: &Tensor) -> Result<(), ModelError> {
        if self.staged.is_some() || !self.bytes.is_empty() {
            let before = self.send(upload)?;
            self.there.push(before);
        }
        self.there.push(pixels.f_flatten(0, -1)?);
        Ok(())
    }

    /// Takes the pixels, a row of bytes on the device or on their way there; the group is empty then.
    ///
    /// # Errors
    /// What libtorch reports.
    pub fn take(&mut self, upload: &Upload) -> Result<Tensor, ModelError> {
        if self.there.is_empty() {
            return self.send(upload);
        }
        let mut parts = std::mem::take(&mut self.there);
        if self.staged.is_some() || !self.bytes.is_empty() {
            parts.push(self.send(upload)?);
        }
        Ok(Tensor::f_cat(&parts, 0)?)
    }

    /// Starts to send what is on the host.
    fn send(&mut self, upload: &Upload) -> Result<Tensor, ModelError> {
        let Some((memory, filled)) = self.staged.take() else {
            let pixels = Tensor::f_from_data_size(&self.bytes, &[self.bytes.len() as i64], Kind::Uint8)?;
            self.bytes.clear();
            return Ok(pixels.f_to(upload.device)?);
        };
        let pixels = memory.f_narrow(0, 0, filled as i64)?;
        match &upload.way {
            Way::Lane(lane) => lane.send(&pixels),
            _ => Ok(pixels),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_group_is_taken_as_it_was_pushed_either_way() {
        for upload in [Upload::new(Device::Cpu), Upload::staged()] {
            let mut group = Group::default();
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
    fn pixels_that_are_there_and_pixels_that_are_not_keep_their_order() {
        for upload in [Upload::new(Device::Cpu), Upload::staged()] {
            let mut group = Group::default();
            let there = |from: u8| Tensor::from_slice(&[from, from + 1]).view([1, 2]);
            for order in ["tt", "th", "ht", "hthht", "hh"] {
                let mut expected = vec![];
                for (at, which) in order.chars().enumerate() {
                    let first = at as u8 * 10;
                    expected.extend([first, first + 1]);
                    match which {
                        't' => group.push_there(&upload, &there(first)).unwrap(),
                        _ => group.push(&upload, 12, &[first, first + 1]).unwrap(),
                    }
                }
                assert_eq!(Vec::<u8>::try_from(group.take(&upload).unwrap()).unwrap(), expected, "{order}");
            }
        }
    }

    #[test]
    fn more_than_there_is_room_for_is_an_error_and_no_write() {
        let (upload, mut group) = (Upload::staged(), Group::default());
        group.push(&upload, 4, &[1, 2, 3]).unwrap();
        assert!(matches!(group.push(&upload, 4, &[4, 5]), Err(ModelError::Internal(_))));
        assert_eq!(Vec::<u8>::try_from(group.take(&upload).unwrap()).unwrap(), [1, 2, 3]);
    }

    /// No test loads CUDA's libraries, not even where there are some.
    #[test]
    fn without_cuda_there_is_an_error_and_no_crash() {
        for gpu in [0, 1, 127, 1000] {
            let error = Lane::new(gpu).err().unwrap();
            assert!(matches!(error, ModelError::Torch(_) | ModelError::Device(_)), "{error}");
            // What goes there is refused, not lost.
            let (upload, mut group) = (Upload::new(Device::Cuda(gpu)), Group::default());
            group.push(&upload, 4, &[1, 2]).unwrap();
            assert!(group.take(&upload).is_err());
        }
        // SAFETY: the call makes a tensor or says why not.
        assert!(made(|out| unsafe { reeldeck_pinned(64, out) }).is_err());
    }
}
