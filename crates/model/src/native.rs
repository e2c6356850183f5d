//! Tensors and errors on their way over the bridge to libtorch's C++ (the folder `native`).

use std::ffi::{CStr, c_char, c_void};

use tch::Tensor;

use crate::error::ModelError;

/// A pointer to libtorch's tensor, as tch has it.
pub type Raw = *mut c_void;

/// The tensor, for a call.
pub fn raw(tensor: &Tensor) -> Raw {
    tensor.as_ptr().cast::<c_void>().cast_mut()
}

/// What a function of the bridge returned, as an error where it is one.
pub fn checked(error: *mut c_char) -> Result<(), ModelError> {
    if error.is_null() {
        return Ok(());
    }
    // SAFETY: a pointer that is not null is a C string from strdup, and nobody else's.
    let text = unsafe {
        let text = CStr::from_ptr(error).to_string_lossy().into_owned();
        libc::free(error.cast());
        text
    };
    Err(tch::TchError::Torch(text).into())
}

/// The tensor that a function of the bridge made.
pub fn made(call: impl FnOnce(&mut Raw) -> *mut c_char) -> Result<Tensor, ModelError> {
    let mut out = std::ptr::null_mut();
    checked(call(&mut out))?;
    // SAFETY: without an error, `out` is a fresh tensor on the heap, which is what tch's tensors point to and free.
    Ok(unsafe { Tensor::from_ptr(out.cast()) })
}
