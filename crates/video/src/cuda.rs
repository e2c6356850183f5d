//! The little of CUDA's driver that FFmpeg must be told when its pictures are computed with by others: the context that CUDA's
//! own libraries use. **Never run on a GPU so far.**

use std::ffi::{c_int, c_uint, c_void};
use std::ptr;

use crate::error::VideoError;

/// FFmpeg's `AVCUDADeviceContext`, part of its public interface and the same in all its releases; its header is left out of
/// the bindings where there is no CUDA to compile with.
#[repr(C)]
pub struct CudaDevice {
    /// The context.
    pub context: *mut c_void,
    /// The stream that everything is done on.
    pub stream: *mut c_void,
    internal: *mut c_void,
}

/// The context of a GPU that CUDA's own libraries use, held.
pub struct PrimaryContext {
    driver: libloading::Library,
    device: c_int,
    /// For calls of the driver.
    pub context: *mut c_void,
}

impl PrimaryContext {
    /// Of the GPU of this number, as CUDA counts them.
    ///
    /// # Errors
    /// Where there is no driver or no such GPU.
    pub fn of(gpu: usize) -> Result<Self, VideoError> {
        let refused = |why: String| VideoError::NoGpu(why);
        let number = c_int::try_from(gpu).map_err(|_| refused(format!("no GPU has the number {gpu}")))?;
        // SAFETY: loading the driver runs its initialisers, as every program does that uses CUDA. The functions have these
        // types in every release of its interface; `Out` is where they write.
        unsafe {
            let driver = libloading::Library::new("libcuda.so.1").map_err(|error| refused(error.to_string()))?;
            let call = |name: &str, code: c_int| match code {
                0 => Ok(()),
                code => Err(refused(format!("{name} says {code}"))),
            };
            let missing = |error: libloading::Error| refused(error.to_string());
            let start = driver.get::<unsafe extern "C" fn(c_uint) -> c_int>(b"cuInit\0").map_err(missing)?;
            call("cuInit", start(0))?;
            let find =
                driver.get::<unsafe extern "C" fn(*mut c_int, c_int) -> c_int>(b"cuDeviceGet\0").map_err(missing)?;
            let mut device = 0;
            call("cuDeviceGet", find(&mut device, number))?;
            let retain = driver
                .get::<unsafe extern "C" fn(*mut *mut c_void, c_int) -> c_int>(b"cuDevicePrimaryCtxRetain\0")
                .map_err(missing)?;
            let mut context = ptr::null_mut();
            call("cuDevicePrimaryCtxRetain", retain(&mut context, device))?;
            Ok(Self { driver, device, context })
        }
    }
}

impl Drop for PrimaryContext {
    fn drop(&mut self) {
        // SAFETY: as above; it was retained once. Releases since CUDA 11 have the function by its second name.
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
    fn without_a_driver_or_a_gpu_there_is_a_reason() {
        // A GPU of this number there is nowhere.
        let error = PrimaryContext::of(100_000).err().unwrap();
        assert!(error.to_string().starts_with("no CUDA: "), "{error}");
        assert!(matches!(PrimaryContext::of(usize::MAX), Err(VideoError::NoGpu(_))));
    }
}
