//! The primary CUDA context, which CUDA's runtime libraries use. FFmpeg must decode in the same context if libtorch is to process
//! its frames on the GPU. **Never run on a GPU so far.**

use std::ffi::{OsStr, c_int, c_uint, c_void};
use std::ptr;

use crate::error::VideoError;

/// FFmpeg's `AVCUDADeviceContext`. It is part of the public interface and the same in all releases, but the bindings lack it
/// because its header needs CUDA's headers.
#[repr(C)]
pub struct CudaDevice {
    /// The CUDA context.
    pub context: *mut c_void,
    /// The CUDA stream for all work.
    pub stream: *mut c_void,
    internal: *mut c_void,
}

/// The retained primary context of a GPU.
pub struct PrimaryContext {
    driver: libloading::Library,
    device: c_int,
    /// The context, for calls of the driver.
    pub context: *mut c_void,
    /// Bytes of memory of the GPU.
    pub memory: usize,
}

impl PrimaryContext {
    /// Retains the primary context of the GPU with this CUDA number.
    ///
    /// # Errors
    /// If there is no driver or no such GPU.
    pub fn of(gpu: usize) -> Result<Self, VideoError> {
        Self::with_driver("libcuda.so.1".as_ref(), gpu)
    }

    /// Uses the driver library of this name.
    fn with_driver(driver: &OsStr, gpu: usize) -> Result<Self, VideoError> {
        let refused = |why: String| VideoError::NoGpu(why);
        let number = c_int::try_from(gpu).map_err(|_| refused(format!("no GPU has the number {gpu}")))?;
        // SAFETY: loading the driver runs its initialisers, as in every program that uses CUDA. The functions have these types
        // in every release of its interface, and write to their first argument.
        unsafe {
            let driver = libloading::Library::new(driver).map_err(|error| refused(error.to_string()))?;
            let call = |name: &str, code: c_int| match code {
                0 => Ok(()),
                code => Err(refused(format!("{name} failed with code {code}"))),
            };
            let missing = |error: libloading::Error| refused(error.to_string());
            let start = driver.get::<unsafe extern "C" fn(c_uint) -> c_int>(b"cuInit\0").map_err(missing)?;
            call("cuInit", start(0))?;
            let find = driver.get::<Query<c_int>>(b"cuDeviceGet\0").map_err(missing)?;
            let mut device = 0;
            call("cuDeviceGet", find(&mut device, number))?;
            let total = driver.get::<Query<usize>>(b"cuDeviceTotalMem_v2\0").map_err(missing)?;
            let mut memory = 0;
            call("cuDeviceTotalMem", total(&mut memory, device))?;
            let retain = driver.get::<Query<*mut c_void>>(b"cuDevicePrimaryCtxRetain\0").map_err(missing)?;
            let mut context = ptr::null_mut();
            call("cuDevicePrimaryCtxRetain", retain(&mut context, device))?;
            Ok(Self { driver, device, context, memory })
        }
    }
}

/// A function of the driver that writes a property of a device.
type Query<T> = unsafe extern "C" fn(*mut T, c_int) -> c_int;

impl Drop for PrimaryContext {
    fn drop(&mut self) {
        // SAFETY: as above; the context was retained once. Since CUDA 11 the function has the `_v2` name.
        unsafe {
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
        let error = PrimaryContext::of(100_000).err().unwrap();
        assert!(error.to_string().starts_with("no CUDA: "), "{error}");
        assert!(matches!(PrimaryContext::of(usize::MAX), Err(VideoError::NoGpu(_))));
    }

    /// A fake driver with two GPUs, in C, with the types of CUDA's header.
    const DRIVER: &str = "
        #include <stddef.h>
        int begun, held;
        int cuInit(unsigned flags) { begun = flags == 0; return 0; }
        int cuDeviceGet(int *device, int ordinal) {
            if (!begun) return 3;
            if (ordinal >= 2) return 101;
            *device = ordinal + 40;
            return 0;
        }
        int cuDeviceTotalMem_v2(size_t *bytes, int device) { *bytes = (size_t)device << 32; return 0; }
        int cuDevicePrimaryCtxRetain(void **context, int device) {
            held += device;
            *context = &held;
            return 0;
        }
        int cuDevicePrimaryCtxRelease_v2(int device) { held -= device; return 0; }
    ";

    #[test]
    fn the_context_is_retained_until_dropped() {
        let folder = tempfile::tempdir().unwrap();
        let (source, library) = (folder.path().join("driver.c"), folder.path().join("libcuda.so.1"));
        std::fs::write(&source, DRIVER).unwrap();
        let mut compile = std::process::Command::new("cc");
        compile.args(["-shared", "-fPIC", "-o"]).args([&library, &source]);
        assert!(compile.status().unwrap().success());
        // SAFETY: the library is the one above, and `held` is an int in it.
        let held = || unsafe {
            let library = libloading::Library::new(&library).unwrap();
            library.get::<*const c_int>(b"held\0").unwrap().read()
        };
        let refused = PrimaryContext::with_driver(library.as_os_str(), 2).err().unwrap();
        assert_eq!(refused.to_string(), "no CUDA: cuDeviceGet failed with code 101");
        let [first, second] = [0, 1].map(|gpu| PrimaryContext::with_driver(library.as_os_str(), gpu).unwrap());
        assert!(!first.context.is_null() && first.memory == 40 << 32 && second.memory == 41 << 32);
        assert_eq!(held(), 81);
        drop(first);
        assert_eq!(held(), 41);
    }
}
