//! GPU streams for copies, and pinned host memory for them. **Never run on a GPU so far.**

use std::ffi::{c_char, c_void};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::sleep;
use std::time::Duration;

use tch::{Device, Tensor};

use crate::error::ModelError;
use crate::native::{Raw, check, raw, tensor_from};

unsafe extern "C" {
    fn reeldeck_stream_new(index: i8, out: &mut *mut c_void) -> *mut c_char;
    fn reeldeck_stream_free(stream: *mut c_void);
    fn reeldeck_stream_send(stream: *const c_void, from: Raw, out: &mut Raw) -> *mut c_char;
    fn reeldeck_stream_fetch(
        stream: *const c_void,
        from: *const Raw,
        count: usize,
        out: *mut Raw,
        arrived: &mut *mut c_void,
    ) -> *mut c_char;
    fn reeldeck_event_query(event: *const c_void, done: &mut bool) -> *mut c_char;
    fn reeldeck_event_free(event: *mut c_void);
    fn reeldeck_pinned(bytes: i64, out: &mut Raw) -> *mut c_char;
}

/// How often a thread looks for an event. CUDA's own wait takes a whole core, which decoding needs.
const POLL_INTERVAL: Duration = Duration::from_micros(300);

/// Whether no more memory may be used by two streams.
static ARE_AVOIDED: AtomicBool = AtomicBool::new(false);

/// Makes all copies use the model's stream from now on. libtorch's allocator frees memory that two streams have used only when nothing is
/// captured. If CUDA refuses the end of a capture, the allocator never learns of it, and such memory would stay until the process ends.
pub(crate) fn avoid() {
    ARE_AVOIDED.store(true, Ordering::Relaxed);
}

/// Whether copies may have a stream of their own.
pub(crate) fn are_usable() -> bool {
    !ARE_AVOIDED.load(Ordering::Relaxed)
}

/// A GPU stream that is separate from the model's.
pub(crate) struct CopyStream(*mut c_void);

// SAFETY: libtorch's streams may be used from any thread, and the value is only read after its creation.
unsafe impl Send for CopyStream {}

impl CopyStream {
    /// A stream of this device; an error if it is not a GPU that libtorch has.
    pub(crate) fn new(device: Device) -> Result<Self, ModelError> {
        let Device::Cuda(gpu) = device else { return Err(ModelError::Device(format!("{device:?} has no streams"))) };
        let index = i8::try_from(gpu).map_err(|_| ModelError::Device(format!("no GPU has the number {gpu}")))?;
        let mut stream = std::ptr::null_mut();
        // SAFETY: on success the call writes a pointer that only `reeldeck_stream_free` frees.
        check(unsafe { reeldeck_stream_new(index, &mut stream) })?;
        Ok(Self(stream))
    }

    /// The pointer, for a call.
    pub(crate) fn as_ptr(&self) -> *const c_void {
        self.0
    }

    /// Starts a copy from pinned memory. Later work on the calling thread's stream waits for it on the GPU.
    pub(crate) fn send(&self, pixels: &Tensor) -> Result<Tensor, ModelError> {
        // SAFETY: stream and tensor are valid during the call. libtorch keeps the pinned memory until it has been copied.
        tensor_from(|out| unsafe { reeldeck_stream_send(self.0, raw(pixels), out) })
    }

    /// Starts copies to pinned memory. They wait on the GPU for the work that the calling thread has submitted, and its later work
    /// does not wait for them. Their content is defined after the event.
    pub(crate) fn fetch<const N: usize>(&self, tensors: [&Tensor; N]) -> Result<([Tensor; N], Event), ModelError> {
        let from = tensors.map(raw);
        let (mut out, mut arrived) = ([std::ptr::null_mut(); N], std::ptr::null_mut());
        // SAFETY: stream and tensors are valid during the call, which reads N pointers and writes as many.
        check(unsafe { reeldeck_stream_fetch(self.0, from.as_ptr(), N, out.as_mut_ptr(), &mut arrived) })?;
        // SAFETY: on success these are new tensors on the heap, which tch's tensors own and free.
        Ok((out.map(|tensor| unsafe { Tensor::from_ptr(tensor.cast()) }), Event(arrived)))
    }
}

impl Drop for CopyStream {
    fn drop(&mut self) {
        // SAFETY: the pointer came from `reeldeck_stream_new` and is freed once.
        unsafe { reeldeck_stream_free(self.0) };
    }
}

/// A point in the work of a stream.
pub(crate) struct Event(*mut c_void);

// SAFETY: CUDA's events may be used from any thread; only one thread has this value at a time.
unsafe impl Send for Event {}

impl Event {
    /// Waits until the stream has reached it.
    ///
    /// # Errors
    /// When the device fails.
    pub(crate) fn wait(&self) -> Result<(), ModelError> {
        let mut done = false;
        loop {
            // SAFETY: the event is valid, and the call writes a flag.
            check(unsafe { reeldeck_event_query(self.0, &mut done) })?;
            if done {
                return Ok(());
            }
            sleep(POLL_INTERVAL);
        }
    }
}

impl Drop for Event {
    fn drop(&mut self) {
        // SAFETY: the pointer came from `reeldeck_stream_fetch` and is freed once.
        unsafe { reeldeck_event_free(self.0) };
    }
}

/// Pinned host memory for this number of bytes. libtorch reuses it only after pending copies from it.
///
/// # Errors
/// When there is none left, or no GPU.
pub(crate) fn pinned(bytes: usize) -> Result<Tensor, ModelError> {
    // SAFETY: the call creates a tensor or returns an error.
    tensor_from(|out| unsafe { reeldeck_pinned(bytes as i64, out) })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// No test of this crate loads CUDA's libraries, even if they are installed.
    #[test]
    fn without_cuda_there_is_an_error() {
        for gpu in [0, 1, 127, 1000] {
            let error = CopyStream::new(Device::Cuda(gpu)).err().unwrap();
            assert!(matches!(error, ModelError::Torch(_) | ModelError::Device(_)), "{error}");
        }
        assert!(CopyStream::new(Device::Cpu).is_err());
        assert!(pinned(64).is_err());
    }
}
