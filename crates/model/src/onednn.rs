//! libtorch's fused oneDNN convolutions on a CPU: weights in oneDNN's own order, and what follows a convolution done while its
//! result is still in the cache. tch does not wrap them; `native/fused.cpp` calls them by name.

use std::ffi::c_char;

use tch::{Device, Kind, Tensor};

use crate::error::ModelError;
use crate::native::{Raw, checked, made, raw};

/// Padding and stride over height and width.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct Shape {
    /// Pixels of zeros around the input.
    pub padding: [i64; 2],
    /// Pixels from one output to the next.
    pub stride: [i64; 2],
}

unsafe extern "C" {
    fn reeldeck_pack(weight: Raw, shape: &Shape, input: &[i64; 4], out: &mut Raw) -> *mut c_char;
    fn reeldeck_conv(x: Raw, weight: Raw, bias: Raw, shape: &Shape, relu: bool, out: &mut Raw) -> *mut c_char;
    fn reeldeck_conv_add_relu(sum: Raw, x: Raw, weight: Raw, bias: Raw, shape: &Shape) -> *mut c_char;
}

/// Whether there are such convolutions for numbers of this kind on this processor: bfloat16 needs AVX-512.
pub fn works(kind: Kind) -> bool {
    let _guard = tch::no_grad_guard();
    let shape = Shape { padding: [1, 1], stride: [1, 1] };
    let tried = || -> Result<(), ModelError> {
        let of = |size: &[i64]| Tensor::f_zeros(size, (kind, Device::Cpu));
        let (x, weight, bias) = (of(&[1, 16, 4, 4])?, of(&[16, 16, 3, 3])?, of(&[16])?);
        let weight = pack(&weight, &shape, [1, 16, 4, 4])?;
        let mut sum = conv(&x, &weight, &bias, &shape, true)?;
        conv_add_relu(&mut sum, &x, &weight, &bias, &shape)
    };
    tried().is_ok()
}

/// A convolution's weights in the order in which oneDNN wants them for inputs of about the size `input` (N, C, H, W). Inputs of
/// other sizes are as good, and perhaps slower. The result is of no other use.
///
/// # Errors
/// What libtorch reports.
pub fn pack(weight: &Tensor, shape: &Shape, input: [i64; 4]) -> Result<Tensor, ModelError> {
    // SAFETY: the tensor is alive during the call, which only reads it.
    made(|out| unsafe { reeldeck_pack(raw(weight), shape, &input, out) })
}

/// A convolution, and perhaps zero instead of all that is less.
///
/// # Errors
/// What libtorch reports.
pub fn conv(x: &Tensor, weight: &Tensor, bias: &Tensor, shape: &Shape, relu: bool) -> Result<Tensor, ModelError> {
    // SAFETY: the tensors are alive during the call, which only reads them.
    made(|out| unsafe { reeldeck_conv(raw(x), raw(weight), raw(bias), shape, relu, out) })
}

/// A convolution added to `sum` in its place, and zero instead of all that is less.
///
/// # Errors
/// What libtorch reports.
pub fn conv_add_relu(
    sum: &mut Tensor,
    x: &Tensor,
    weight: &Tensor,
    bias: &Tensor,
    shape: &Shape,
) -> Result<(), ModelError> {
    // SAFETY: the tensors are alive during the call. It writes to the memory of `sum`, as any of tch's calls in place does.
    checked(unsafe { reeldeck_conv_add_relu(raw(sum), raw(x), raw(weight), raw(bias), shape) })
}
