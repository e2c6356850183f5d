//! The primary CUDA context of a GPU, which libtorch uses too, with a stream and pinned memory for one thread. **Never run on a
//! GPU so far**; the tests use a fake driver.

use std::ffi::{OsStr, c_int, c_uint, c_void};
use std::ptr;

use libloading::{Library, Symbol};

use crate::error::VideoError;

/// FFmpeg's `AVCUDADeviceContext`. It is part of the public interface and the same in all releases, but the bindings lack it
/// because its header needs CUDA's headers.
#[repr(C)]
pub(crate) struct CudaDevice {
    pub(crate) context: *mut c_void,
    pub(crate) stream: *mut c_void,
    internal: *mut c_void,
}

/// The retained primary context of a GPU, and a stream in it.
pub(crate) struct CudaThread {
    driver: Library,
    device: c_int,
    /// The CUDA context.
    pub(crate) context: *mut c_void,
    /// The CUDA stream, which does not wait for the default stream. Null until it is created.
    pub(crate) stream: *mut c_void,
}

// SAFETY: CUDA's driver may be called from any thread; each call below makes the context current itself.
unsafe impl Send for CudaThread {}
// SAFETY: as above, and nothing is modified after the creation.
unsafe impl Sync for CudaThread {}

/// Creates a stream that does not synchronise with the default stream.
const NON_BLOCKING: c_uint = 1;

/// A function of the driver that takes a handle.
type Handle = unsafe extern "C" fn(*mut c_void) -> c_int;
/// A function of the driver that writes a property of a device.
type Query<T> = unsafe extern "C" fn(*mut T, c_int) -> c_int;

fn refused(why: impl ToString) -> VideoError {
    VideoError::NoGpu(why.to_string())
}

fn check(name: &str, code: c_int) -> Result<(), VideoError> {
    if code == 0 { Ok(()) } else { Err(refused(format_args!("{name} failed with code {code}"))) }
}

impl CudaThread {
    /// Retains the primary context of the GPU with this CUDA number and creates a stream.
    ///
    /// # Errors
    /// If there is no driver or no such GPU, or the driver fails.
    pub(crate) fn new(gpu: usize) -> Result<Self, VideoError> {
        Self::with_driver("libcuda.so.1".as_ref(), gpu)
    }

    /// Uses the driver library of this name.
    fn with_driver(driver: &OsStr, gpu: usize) -> Result<Self, VideoError> {
        let number = c_int::try_from(gpu).map_err(|_| refused(format_args!("no GPU has the number {gpu}")))?;
        // SAFETY: loading the driver runs its initialisers, as in every program that uses CUDA. The functions have these types
        // in every release of its interface, and write to their first argument.
        unsafe {
            let driver = Library::new(driver).map_err(refused)?;
            let start = driver.get::<unsafe extern "C" fn(c_uint) -> c_int>(b"cuInit\0").map_err(refused)?;
            check("cuInit", start(0))?;
            let find = driver.get::<Query<c_int>>(b"cuDeviceGet\0").map_err(refused)?;
            let mut device = 0;
            check("cuDeviceGet", find(&mut device, number))?;
            let retain = driver.get::<Query<*mut c_void>>(b"cuDevicePrimaryCtxRetain\0").map_err(refused)?;
            let mut context = ptr::null_mut();
            check("cuDevicePrimaryCtxRetain", retain(&mut context, device))?;
            let mut thread = Self { driver, device, context, stream: ptr::null_mut() };
            let mut stream = ptr::null_mut();
            type Create = unsafe extern "C" fn(*mut *mut c_void, c_uint) -> c_int;
            thread.call("cuStreamCreate", |create: &Create| create(&mut stream, NON_BLOCKING))?;
            thread.stream = stream;
            Ok(thread)
        }
    }

    /// Calls a function of the driver while the context is current.
    ///
    /// # Safety
    /// `F` is the type of the function.
    unsafe fn call<F>(&self, name: &str, call: impl FnOnce(&F) -> c_int) -> Result<(), VideoError> {
        // SAFETY: these functions have these types in every release; the caller guarantees the third one's.
        unsafe {
            let function: Symbol<'_, F> = self.driver.get(name.as_bytes()).map_err(refused)?;
            let push: Symbol<'_, Handle> = self.driver.get(b"cuCtxPushCurrent_v2\0").map_err(refused)?;
            type Pop = unsafe extern "C" fn(*mut *mut c_void) -> c_int;
            let pop: Symbol<'_, Pop> = self.driver.get(b"cuCtxPopCurrent_v2\0").map_err(refused)?;
            check("cuCtxPushCurrent", push(self.context))?;
            let result = check(name, call(&function));
            let mut previous = ptr::null_mut();
            check("cuCtxPopCurrent", pop(&mut previous))?;
            result
        }
    }

    /// Allocates pinned host memory, to which the GPU copies without the help of the CPU. `None` if there is none left.
    pub(crate) fn alloc_pinned(&self, bytes: usize) -> Option<*mut u8> {
        let mut memory = ptr::null_mut();
        type Alloc = unsafe extern "C" fn(*mut *mut c_void, usize, c_uint) -> c_int;
        // SAFETY: the function has this type, and writes an address that `free_pinned` accepts.
        let done = unsafe { self.call("cuMemHostAlloc", |alloc: &Alloc| alloc(&mut memory, bytes, 0)) };
        done.is_ok().then_some(memory.cast()).filter(|memory: &*mut u8| !memory.is_null())
    }

    /// Frees pinned memory.
    ///
    /// # Safety
    /// The address comes from [`Self::alloc_pinned`] and is freed once.
    pub(crate) unsafe fn free_pinned(&self, memory: *mut u8) {
        // SAFETY: see above. A failure leaves the memory allocated, which is harmless.
        let _ = unsafe { self.call("cuMemFreeHost", |free: &Handle| free(memory.cast())) };
    }
}

impl Drop for CudaThread {
    fn drop(&mut self) {
        // SAFETY: the stream and the reference to the context belong to this value. Since CUDA 11 the function that releases
        // the context has the `_v2` name.
        unsafe {
            if !self.stream.is_null() {
                let _ = self.call("cuStreamDestroy_v2", |destroy: &Handle| destroy(self.stream));
            }
            for name in [&b"cuDevicePrimaryCtxRelease_v2\0"[..], b"cuDevicePrimaryCtxRelease\0"] {
                if let Ok(release) = self.driver.get::<unsafe extern "C" fn(c_int) -> c_int>(name) {
                    release(self.device);
                    return;
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_missing_driver_or_gpu_is_reported() {
        // No machine has a GPU of this number.
        let error = CudaThread::new(100_000).err().unwrap();
        assert!(error.to_string().starts_with("no CUDA: "), "{error}");
        assert!(matches!(CudaThread::new(usize::MAX), Err(VideoError::NoGpu(_))));
    }

    /// A fake driver with two GPUs, in C, with the types of CUDA's header. The second GPU has no room for a stream.
    const DRIVER: &str = "
        #include <stddef.h>
        #include <stdlib.h>
        int begun, held, streams, pinned, depth;
        int cuInit(unsigned flags) { begun = flags == 0; return 0; }
        int cuDeviceGet(int *device, int ordinal) {
            if (!begun) return 3;
            if (ordinal >= 2) return 101;
            *device = ordinal + 40;
            return 0;
        }
        int cuDevicePrimaryCtxRetain(void **context, int device) {
            held += device;
            *context = device == 40 ? &held : &begun;
            return 0;
        }
        int cuDevicePrimaryCtxRelease_v2(int device) { held -= device; return 0; }
        static void *current;
        int cuCtxPushCurrent_v2(void *context) { depth++; current = context; return 0; }
        int cuCtxPopCurrent_v2(void **context) { depth--; *context = current; current = 0; return 0; }
        int cuStreamCreate(void **stream, unsigned flags) {
            if (current != &held || flags != 1) return 2;
            return streams++, *stream = &streams, 0;
        }
        int cuStreamDestroy_v2(void *stream) { return current == &held && stream == &streams ? streams--, 0 : 1; }
        int cuMemHostAlloc(void **memory, size_t bytes, unsigned flags) {
            if (current != &held || bytes > 1000) return 2;
            return pinned++, *memory = malloc(bytes), 0;
        }
        int cuMemFreeHost(void *memory) { return pinned--, free(memory), 0; }
    ";

    #[test]
    fn everything_is_released_even_after_a_failure() {
        let folder = tempfile::tempdir().unwrap();
        let (source, library) = (folder.path().join("driver.c"), folder.path().join("libcuda.so.1"));
        std::fs::write(&source, DRIVER).unwrap();
        let mut compile = std::process::Command::new("cc");
        compile.args(["-shared", "-fPIC", "-o"]).args([&library, &source]);
        assert!(compile.status().unwrap().success());
        // SAFETY: the library is the one above, and these are ints in it.
        let numbers = || unsafe {
            let library = Library::new(&library).unwrap();
            ["held", "streams", "pinned", "depth"]
                .map(|name| library.get::<*const c_int>(name.as_bytes()).unwrap().read())
        };
        // Keeps the library, and thus its numbers.
        // SAFETY: as above.
        let _library = unsafe { Library::new(&library).unwrap() };
        let open = |gpu| CudaThread::with_driver(library.as_os_str(), gpu);
        let error = open(2).err().unwrap();
        assert_eq!(error.to_string(), "no CUDA: cuDeviceGet failed with code 101");
        let error = open(1).err().unwrap();
        assert_eq!(error.to_string(), "no CUDA: cuStreamCreate failed with code 2");
        assert_eq!(numbers(), [0; 4]);
        let thread = open(0).unwrap();
        assert!(!thread.context.is_null() && !thread.stream.is_null());
        assert!(thread.alloc_pinned(1001).is_none());
        let memory = thread.alloc_pinned(1000).unwrap();
        assert_eq!(numbers(), [40, 1, 1, 0]);
        // SAFETY: the memory was allocated above.
        unsafe { thread.free_pinned(memory) };
        drop(thread);
        assert_eq!(numbers(), [0; 4]);
    }
}
