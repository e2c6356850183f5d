//! Conversions for calls of the C++ functions in `native/`.

use std::ffi::{CStr, c_char, c_void};

use tch::Tensor;

use crate::error::ModelError;

/// A pointer to a tensor of libtorch.
pub(crate) type Raw = *mut c_void;

/// The pointer of a tensor, for a call.
pub(crate) fn raw(tensor: &Tensor) -> Raw {
    tensor.as_ptr().cast::<c_void>().cast_mut()
}

/// Converts the error message that a function returned, if any.
///
/// # Errors
/// When there is a message.
pub(crate) fn check(error: *mut c_char) -> Result<(), ModelError> {
    if error.is_null() {
        return Ok(());
    }
    // SAFETY: a pointer that is not null is a C string from strdup that the caller owns.
    let text = unsafe {
        let text = CStr::from_ptr(error).to_string_lossy().into_owned();
        libc::free(error.cast());
        text
    };
    Err(tch::TchError::Torch(text).into())
}

/// The tensor that a function created.
///
/// # Errors
/// When the function returned an error message.
pub(crate) fn tensor_from(call: impl FnOnce(&mut Raw) -> *mut c_char) -> Result<Tensor, ModelError> {
    let mut out = std::ptr::null_mut();
    check(call(&mut out))?;
    // SAFETY: on success `out` is a new tensor on the heap, which tch's tensor owns and frees.
    Ok(unsafe { Tensor::from_ptr(out.cast()) })
}
