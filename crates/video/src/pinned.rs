//! Pinned host memory for frames that are downloaded from a GPU. **Never run on a GPU so far.**

use std::ffi::c_void;
use std::ptr;
use std::sync::Arc;

use ff::ffi;
use ffmpeg_next as ff;

use crate::cuda::CudaThread;

/// Buffers for frames of one size. A buffer returns to the pool when the last frame that refers to it is dropped.
pub(crate) struct PinnedPool {
    thread: Arc<CudaThread>,
    pool: *mut ffi::AVBufferPool,
    /// Bytes of each buffer.
    size: usize,
}

impl PinnedPool {
    /// A pool in the memory of this thread's context.
    pub(crate) fn new(thread: Arc<CudaThread>) -> Self {
        Self { thread, pool: ptr::null_mut(), size: 0 }
    }

    /// Gives an NV12 frame of even size a buffer. Without memory the frame stays without one.
    pub(crate) fn provide(&mut self, frame: &mut ff::frame::Video) {
        let (width, height) = (frame.width() as usize, frame.height() as usize);
        let stride = width.next_multiple_of(64);
        let luma = stride * height;
        self.resize(luma + luma / 2);
        // SAFETY: the pool is valid or null, and a buffer of it has room for both planes. The frame has no buffer yet.
        unsafe {
            if self.pool.is_null() {
                return;
            }
            let buffer = ffi::av_buffer_pool_get(self.pool);
            if buffer.is_null() {
                return;
            }
            let raw = frame.as_mut_ptr();
            (*raw).buf[0] = buffer;
            ((*raw).data[0], (*raw).data[1]) = ((*buffer).data, (*buffer).data.add(luma));
            ((*raw).linesize[0], (*raw).linesize[1]) = (stride as i32, stride as i32);
        }
    }

    fn resize(&mut self, size: usize) {
        if self.size == size {
            return;
        }
        // SAFETY: the old pool lives until its last buffer is returned. The new one holds a reference to the context.
        unsafe {
            ffi::av_buffer_pool_uninit(&mut self.pool);
            let thread = Arc::into_raw(Arc::clone(&self.thread)).cast_mut().cast();
            self.pool = ffi::av_buffer_pool_init2(size, thread, Some(alloc), Some(release));
            if self.pool.is_null() {
                release(thread);
            }
        }
        self.size = size;
    }
}

impl Drop for PinnedPool {
    fn drop(&mut self) {
        // SAFETY: the pool is ours; null is allowed.
        unsafe { ffi::av_buffer_pool_uninit(&mut self.pool) };
    }
}

/// Called by FFmpeg to add a buffer to a pool. `thread` is the pool's reference.
unsafe extern "C" fn alloc(thread: *mut c_void, size: usize) -> *mut ffi::AVBufferRef {
    // SAFETY: the pool's reference is alive. The buffer gets one of its own, which `free` drops.
    unsafe {
        let context = thread.cast::<CudaThread>().cast_const();
        let Some(memory) = (*context).alloc_pinned(size) else { return ptr::null_mut() };
        Arc::increment_strong_count(context);
        let buffer = ffi::av_buffer_create(memory, size, Some(free), thread, 0);
        if buffer.is_null() {
            free(thread, memory);
        }
        buffer
    }
}

/// Called by FFmpeg to free a buffer. Drops the buffer's reference.
unsafe extern "C" fn free(thread: *mut c_void, memory: *mut u8) {
    // SAFETY: the memory comes from `alloc`, which stored the reference.
    unsafe {
        let thread = Arc::from_raw(thread.cast::<CudaThread>().cast_const());
        thread.free_pinned(memory);
    }
}

/// Called by FFmpeg when a pool is freed. Drops the pool's reference.
unsafe extern "C" fn release(thread: *mut c_void) {
    // SAFETY: the pool stored the reference.
    drop(unsafe { Arc::from_raw(thread.cast::<CudaThread>().cast_const()) });
}
