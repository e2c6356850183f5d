//! libtorch's fused cuDNN convolutions on a GPU: bias, addition and ReLU run in the kernel of the convolution, because separate
//! passes over the result would take longer than the convolution. **They have never been run on a GPU**, so they are verified
//! before use, together with the precision of unfused convolutions.

use std::ffi::c_char;

use reeldeck_common::recipe::Precision;
use tch::{Device, Kind, Tensor};

use crate::device;
use crate::error::ModelError;
use crate::native::{Raw, raw, tensor_from};
use crate::onednn::Shape;

unsafe extern "C" {
    fn reeldeck_cudnn_conv_add_relu(
        sum: Raw,
        x: Raw,
        weight: Raw,
        bias: Raw,
        shape: &Shape,
        out: &mut Raw,
    ) -> *mut c_char;
}

/// A convolution followed by ReLU.
///
/// # Errors
/// When libtorch fails, which includes all tensors outside a GPU.
pub(crate) fn conv_relu(x: &Tensor, weight: &Tensor, bias: &Tensor, shape: &Shape) -> Result<Tensor, ModelError> {
    Ok(x.f_cudnn_convolution_relu(weight, Some(bias), shape.stride, shape.padding, [1, 1], 1)?)
}

/// The sum of `sum` and a convolution, followed by ReLU.
///
/// # Errors
/// As [`conv_relu`].
pub(crate) fn conv_add_relu(
    sum: &Tensor,
    x: &Tensor,
    weight: &Tensor,
    bias: &Tensor,
    shape: &Shape,
) -> Result<Tensor, ModelError> {
    // SAFETY: the tensors are valid during the call, which only reads them.
    tensor_from(|out| unsafe { reeldeck_cudnn_conv_add_relu(raw(sum), raw(x), raw(weight), raw(bias), shape, out) })
}

/// Channels of the input, kernel, stride and padding of the convolutions that are verified: the kinds in the network. The last
/// one is the first layer, whose three channels some algorithms of cuDNN do not support.
const TRIALS: [(i64, [i64; 2], i64, [i64; 2]); 5] = [
    (64, [1, 1], 1, [0, 0]),
    (64, [3, 3], 1, [1, 1]),
    (64, [3, 3], 2, [1, 1]),
    (64, [3, 1], 1, [1, 0]),
    (3, [7, 7], 2, [3, 3]),
];

/// The largest accepted error of results of magnitude 1. TF32 has ten bits and an error of about 5e-4; bfloat16 has seven bits.
fn tolerance(precision: Precision) -> f64 {
    match precision {
        Precision::Fp32 => 1e-4,
        Precision::Tf32 => 5e-3,
        Precision::Bf16 => 0.05,
        Precision::Fp16 => 0.01,
    }
}

/// Compares convolutions on this device with the CPU's. The inner result tells whether the fused ones are precise enough.
///
/// # Errors
/// [`ModelError::Device`] when the unfused ones are not precise enough, for example because fp32 products are computed as TF32.
pub(crate) fn verify(device: Device, precision: Precision) -> Result<Result<(), String>, ModelError> {
    let _guard = tch::no_grad_guard();
    let (mut unfused, mut fused) = (0.0_f64, Ok(0.0_f64));
    for (channels, kernel, stride, padding) in TRIALS {
        let trial = Trial::new(precision, channels, kernel, Shape { padding, stride: [stride; 2] })?;
        unfused = larger(unfused, trial.unfused_error(device)?);
        fused =
            fused.and_then(|before| Ok(larger(before, trial.fused_error(device).map_err(|error| error.to_string())?)));
    }
    let most = tolerance(precision);
    // False for NaN.
    let within = |error: f64| error <= most;
    if !within(unfused) {
        return Err(ModelError::Device(format!(
            "convolutions on {device:?} are off by {unfused:.1e}, more than {precision:?} may be ({most:.0e}): something \
             shortens them, perhaps TF32; set NVIDIA_TF32_OVERRIDE=0, or choose another precision in the recipe"
        )));
    }
    Ok(fused.and_then(|error| if within(error) { Ok(()) } else { Err(format!("they are off by {error:.1e}")) }))
}

/// The larger number, or NaN if one is NaN; `max` would ignore it.
fn larger(a: f64, b: f64) -> f64 {
    if a.is_nan() || b.is_nan() { f64::NAN } else { a.max(b) }
}

/// A small convolution and its result on the CPU.
struct Trial {
    kind: Kind,
    shape: Shape,
    x: Tensor,
    weight: Tensor,
    bias: Tensor,
    sum: Tensor,
    expected: Tensor,
}

impl Trial {
    fn new(precision: Precision, input: i64, kernel: [i64; 2], shape: Shape) -> Result<Self, ModelError> {
        const OUTPUT: i64 = 64;
        let kind = device::kind(precision);
        // Numbers from -scale to scale with a long period, rounded to this kind, but stored in 32 bits.
        let numbers = |size: [i64; 4], step: i64, scale: f64| -> Result<Tensor, ModelError> {
            let [n, c, h, w] = size;
            let steps = Tensor::f_arange(n * c * h * w, (Kind::Int64, Device::Cpu))?.f_mul_scalar(step)?;
            let numbers =
                steps.f_remainder(199)?.f_to_kind(Kind::Float)?.f_sub_scalar(99)?.f_mul_scalar(scale / 99.0)?;
            // Channels-last memory.
            let numbers = numbers.f_reshape([n, h, w, c])?.f_permute([0, 3, 1, 2])?;
            Ok(numbers.f_to_kind(kind)?.f_to_kind(Kind::Float)?)
        };
        let x = numbers([2, input, 12, 12], 7, 1.0)?;
        let scale = ((input * kernel[0] * kernel[1]) as f64).sqrt().recip();
        let weight = numbers([OUTPUT, input, kernel[0], kernel[1]], 11, scale)?;
        let bias = numbers([1, OUTPUT, 1, 1], 13, 1.0)?.f_flatten(0, -1)?;
        let expected = x.f_conv2d(&weight, Some(&bias), shape.stride, shape.padding, [1, 1], 1)?;
        let (_, _, height, width) = expected.size4()?;
        let sum = numbers([2, OUTPUT, height, width], 17, 1.0)?;
        Ok(Self { kind, shape, x, weight, bias, sum, expected })
    }

    /// Input, weight, bias and summand on a device.
    fn tensors_on(&self, device: Device) -> Result<[Tensor; 4], ModelError> {
        let copy = |tensor: &Tensor| -> Result<Tensor, ModelError> { Ok(tensor.f_to(device)?.f_to_kind(self.kind)?) };
        Ok([copy(&self.x)?, copy(&self.weight)?, copy(&self.bias)?, copy(&self.sum)?])
    }

    /// The largest error of the unfused convolution.
    fn unfused_error(&self, device: Device) -> Result<f64, ModelError> {
        let [x, weight, bias, _] = self.tensors_on(device)?;
        let Shape { stride, padding } = self.shape;
        max_error(&x.f_conv2d(&weight, Some(&bias), stride, padding, [1, 1], 1)?, &self.expected)
    }

    /// The largest error of the fused convolutions.
    fn fused_error(&self, device: Device) -> Result<f64, ModelError> {
        let [x, weight, bias, sum] = self.tensors_on(device)?;
        // libtorch gives cuDNN the uninitialised output as a summand with the factor zero, and 0 · NaN is NaN. The allocator
        // reuses this memory for the output, so that a NaN shows now and not in a feature.
        drop(Tensor::f_full(sum.size(), f64::NAN, (self.kind, Device::Cpu))?.f_to(device)?);
        let relu = max_error(&conv_relu(&x, &weight, &bias, &self.shape)?, &self.expected.f_relu()?)?;
        let added = conv_add_relu(&sum, &x, &weight, &bias, &self.shape)?;
        Ok(larger(relu, max_error(&added, &self.expected.f_add(&self.sum)?.f_relu()?)?))
    }
}

fn max_error(found: &Tensor, expected: &Tensor) -> Result<f64, ModelError> {
    let difference = found.f_to(Device::Cpu)?.f_to_kind(Kind::Float)?.f_sub(expected)?;
    Ok(f64::try_from(difference.f_abs()?.f_max()?)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn on_a_cpu_only_unfused_convolutions_pass() {
        for precision in [Precision::Fp32, Precision::Tf32, Precision::Bf16] {
            assert!(!verify(Device::Cpu, precision).unwrap().unwrap_err().is_empty(), "{precision:?}");
        }
    }

    #[test]
    fn tf32_products_are_not_accepted_as_fp32() {
        for (channels, kernel, stride, padding) in TRIALS {
            let trial = Trial::new(Precision::Fp32, channels, kernel, Shape { padding, stride: [stride; 2] }).unwrap();
            // Round the inputs to the ten bits of TF32.
            let round = |tensor: &Tensor| {
                let exact: Vec<f32> = Vec::try_from(tensor.contiguous().flatten(0, -1)).unwrap();
                let rounded: Vec<f32> =
                    exact.iter().map(|n| f32::from_bits((n.to_bits() + 0x1000) & !0x1fff)).collect();
                Tensor::from_slice(&rounded).view_as(&tensor.contiguous())
            };
            let Shape { stride, padding } = trial.shape;
            let found = round(&trial.x).conv2d(&round(&trial.weight), Some(&trial.bias), stride, padding, [1, 1], 1);
            let error = max_error(&found, &trial.expected).unwrap();
            assert!(error > tolerance(Precision::Fp32) && error <= tolerance(Precision::Tf32), "{kernel:?}: {error}");
            let error = trial.unfused_error(Device::Cpu).unwrap();
            assert!(error <= 1e-5, "{kernel:?}: {error}");
        }
        assert!(larger(1.0, f64::NAN).is_nan() && larger(f64::NAN, 1.0).is_nan());
    }
}
