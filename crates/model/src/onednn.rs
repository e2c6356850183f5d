//! libtorch's fused oneDNN convolutions on a CPU: the weights are in oneDNN's layout, and the operations that follow a
//! convolution run while its result is still in the cache. tch does not wrap them; `native/fused.cpp` calls them by name.

use std::ffi::c_char;

use tch::{Device, Kind, Tensor};

use crate::error::ModelError;
use crate::native::{Raw, check, raw, tensor_from};

/// Padding and stride over height and width.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct Shape {
    /// Zero padding around the input, in pixels.
    pub padding: [i64; 2],
    /// Distance between outputs, in pixels.
    pub stride: [i64; 2],
}

unsafe extern "C" {
    fn reeldeck_pack(weight: Raw, shape: &Shape, input: &[i64; 4], out: &mut Raw) -> *mut c_char;
    fn reeldeck_conv(x: Raw, weight: Raw, bias: Raw, shape: &Shape, relu: bool, out: &mut Raw) -> *mut c_char;
    fn reeldeck_conv_add_relu(sum: Raw, x: Raw, weight: Raw, bias: Raw, shape: &Shape) -> *mut c_char;
}

/// Whether this processor has fused convolutions for numbers of this kind. bfloat16 needs AVX-512.
pub fn is_available(kind: Kind) -> bool {
    let _guard = tch::no_grad_guard();
    let shape = Shape { padding: [1, 1], stride: [1, 1] };
    let run = || -> Result<(), ModelError> {
        let zeros = |size: &[i64]| Tensor::f_zeros(size, (kind, Device::Cpu));
        let (x, weight, bias) = (zeros(&[1, 16, 4, 4])?, zeros(&[16, 16, 3, 3])?, zeros(&[16])?);
        let weight = pack(&weight, &shape, [1, 16, 4, 4])?;
        let mut sum = conv(&x, &weight, &bias, &shape, true)?;
        conv_add_relu(&mut sum, &x, &weight, &bias, &shape)
    };
    run().is_ok()
}

/// Reorders the weights of a convolution into oneDNN's layout for inputs of the size `input` (N, C, H, W). Inputs of other
/// sizes work too, but may be slower. The result is valid only for the functions of this module.
///
/// # Errors
/// When libtorch fails.
pub fn pack(weight: &Tensor, shape: &Shape, input: [i64; 4]) -> Result<Tensor, ModelError> {
    // SAFETY: the tensor is valid during the call, which only reads it.
    tensor_from(|out| unsafe { reeldeck_pack(raw(weight), shape, &input, out) })
}

/// A convolution, followed by ReLU if `relu`.
///
/// # Errors
/// When libtorch fails.
pub fn conv(x: &Tensor, weight: &Tensor, bias: &Tensor, shape: &Shape, relu: bool) -> Result<Tensor, ModelError> {
    // SAFETY: the tensors are valid during the call, which only reads them.
    tensor_from(|out| unsafe { reeldeck_conv(raw(x), raw(weight), raw(bias), shape, relu, out) })
}

/// Adds a convolution to `sum` in place, followed by ReLU.
///
/// # Errors
/// When libtorch fails.
pub fn conv_add_relu(
    sum: &mut Tensor,
    x: &Tensor,
    weight: &Tensor,
    bias: &Tensor,
    shape: &Shape,
) -> Result<(), ModelError> {
    // SAFETY: the tensors are valid during the call. It writes to the memory of `sum`, which is borrowed mutably.
    check(unsafe { reeldeck_conv_add_relu(raw(sum), raw(x), raw(weight), raw(bias), shape) })
}
