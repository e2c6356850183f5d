//! libtorch's fused cuDNN convolutions on a GPU: bias, addition and ReLU in the same kernel, where a walk of its own for each over
//! the result would take longer than the convolution. **Never run on a GPU so far**, so they are tried before they are used, and with them whether the
//! plain ones are what they should be.

use reeldeck_common::recipe::Precision;
use tch::{Device, Kind, Tensor};

use crate::device;
use crate::error::ModelError;
use crate::onednn::Shape;

/// A convolution, and zero instead of all that is less.
///
/// # Errors
/// What libtorch reports, everywhere but on a GPU.
pub fn conv_relu(x: &Tensor, weight: &Tensor, bias: &Tensor, shape: &Shape) -> Result<Tensor, ModelError> {
    Ok(x.f_cudnn_convolution_relu(weight, Some(bias), shape.stride, shape.padding, [1, 1], 1)?)
}

/// A convolution added to `sum`, and zero instead of all that is less.
///
/// # Errors
/// As [`conv_relu`].
pub fn conv_add_relu(
    sum: &Tensor,
    x: &Tensor,
    weight: &Tensor,
    bias: &Tensor,
    shape: &Shape,
) -> Result<Tensor, ModelError> {
    Ok(x.f_cudnn_convolution_add_relu(weight, sum, 1, Some(bias), shape.stride, shape.padding, [1, 1], 1)?)
}

/// A convolution as they are tried: kernel, stride, padding. The kinds that the network has.
const TRIALS: [([i64; 2], i64, [i64; 2]); 4] =
    [([1, 1], 1, [0, 0]), ([3, 3], 1, [1, 1]), ([3, 3], 2, [1, 1]), ([3, 1], 1, [1, 0])];

/// By how much results may differ that are about 1. What cuDNN calls TF32 has ten bits and differs by some 5e-4, bfloat16 has
/// seven.
fn bearable(precision: Precision) -> f64 {
    match precision {
        Precision::Fp32 => 1e-4,
        Precision::Tf32 => 5e-3,
        Precision::Bf16 => 0.05,
    }
}

/// Makes sure that convolutions on this device are what the precision promises, above all that nobody shortens fp32's products:
/// they are compared with the CPU's. Whether the fused ones are as good, or why not.
///
/// # Errors
/// [`ModelError::Device`] where the plain ones are not.
pub fn try_out(device: Device, precision: Precision) -> Result<Result<(), String>, ModelError> {
    let _guard = tch::no_grad_guard();
    let (mut plain, mut fused) = (0.0_f64, Ok(0.0_f64));
    for (kernel, stride, padding) in TRIALS {
        let trial = Trial::new(precision, kernel, Shape { padding, stride: [stride; 2] })?;
        plain = worse(plain, trial.plain(device)?);
        fused = fused.and_then(|before| Ok(worse(before, trial.fused(device).map_err(|error| error.to_string())?)));
    }
    let most = bearable(precision);
    // What is not a number is not within anything.
    let within = |off: f64| off <= most;
    if !within(plain) {
        return Err(ModelError::Device(format!(
            "convolutions on {device:?} are off by {plain:.1e}, more than {precision:?} may be ({most:.0e}): something shortens \
             them, perhaps TF32; set NVIDIA_TF32_OVERRIDE=0, or choose another precision in the recipe"
        )));
    }
    Ok(fused.and_then(|off| if within(off) { Ok(()) } else { Err(format!("they are off by {off:.1e}")) }))
}

/// The larger one; `max` would pass over what is not a number.
fn worse(a: f64, b: f64) -> f64 {
    if a.is_nan() || b.is_nan() { f64::NAN } else { a.max(b) }
}

/// A small convolution, and what it gives on the CPU.
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
    fn new(precision: Precision, kernel: [i64; 2], shape: Shape) -> Result<Self, ModelError> {
        const CHANNELS: i64 = 64;
        let kind = device::kind(precision);
        // Numbers from -1 to 1 that repeat nowhere near, of this kind, but kept in 32 bits.
        let numbers = |size: [i64; 4], step: i64, scale: f64| -> Result<Tensor, ModelError> {
            let [n, c, h, w] = size;
            let steps = Tensor::f_arange(n * c * h * w, (Kind::Int64, Device::Cpu))?.f_mul_scalar(step)?;
            let numbers =
                steps.f_remainder(199)?.f_to_kind(Kind::Float)?.f_sub_scalar(99)?.f_mul_scalar(scale / 99.0)?;
            // The channels of a pixel lie together.
            let numbers = numbers.f_reshape([n, h, w, c])?.f_permute([0, 3, 1, 2])?;
            Ok(numbers.f_to_kind(kind)?.f_to_kind(Kind::Float)?)
        };
        let x = numbers([2, CHANNELS, 12, 12], 7, 1.0)?;
        let scale = ((CHANNELS * kernel[0] * kernel[1]) as f64).sqrt().recip();
        let weight = numbers([CHANNELS, CHANNELS, kernel[0], kernel[1]], 11, scale)?;
        let bias = numbers([1, CHANNELS, 1, 1], 13, 1.0)?.f_flatten(0, -1)?;
        let expected = x.f_conv2d(&weight, Some(&bias), shape.stride, shape.padding, [1, 1], 1)?;
        let (_, _, height, width) = expected.size4()?;
        let sum = numbers([2, CHANNELS, height, width], 17, 1.0)?;
        Ok(Self { kind, shape, x, weight, bias, sum, expected })
    }

    fn on(&self, device: Device) -> Result<[Tensor; 4], ModelError> {
        let there = |tensor: &Tensor| -> Result<Tensor, ModelError> { Ok(tensor.f_to(device)?.f_to_kind(self.kind)?) };
        Ok([there(&self.x)?, there(&self.weight)?, there(&self.bias)?, there(&self.sum)?])
    }

    /// By how much the plain convolution is off at most.
    fn plain(&self, device: Device) -> Result<f64, ModelError> {
        let [x, weight, bias, _] = self.on(device)?;
        let Shape { stride, padding } = self.shape;
        off(&x.f_conv2d(&weight, Some(&bias), stride, padding, [1, 1], 1)?, &self.expected)
    }

    /// The same of the fused ones.
    fn fused(&self, device: Device) -> Result<f64, ModelError> {
        let [x, weight, bias, sum] = self.on(device)?;
        let relu = off(&conv_relu(&x, &weight, &bias, &self.shape)?, &self.expected.f_relu()?)?;
        let added = conv_add_relu(&sum, &x, &weight, &bias, &self.shape)?;
        Ok(worse(relu, off(&added, &self.expected.f_add(&self.sum)?.f_relu()?)?))
    }
}

fn off(found: &Tensor, expected: &Tensor) -> Result<f64, ModelError> {
    let off = found.f_to(Device::Cpu)?.f_to_kind(Kind::Float)?.f_sub(expected)?;
    Ok(f64::try_from(off.f_abs()?.f_max()?)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn on_a_cpu_plain_convolutions_pass_and_fused_ones_have_a_reason_not_to() {
        for precision in [Precision::Fp32, Precision::Tf32, Precision::Bf16] {
            assert!(!try_out(Device::Cpu, precision).unwrap().unwrap_err().is_empty(), "{precision:?}");
        }
    }

    /// As on a GPU that shortens products without saying so.
    #[test]
    fn what_is_shortened_is_not_taken_for_fp32() {
        for (kernel, stride, padding) in TRIALS {
            let trial = Trial::new(Precision::Fp32, kernel, Shape { padding, stride: [stride; 2] }).unwrap();
            // The ten bits of TF32, cut from the inputs.
            let cut = |tensor: &Tensor| {
                let bits: Vec<f32> = Vec::try_from(tensor.contiguous().flatten(0, -1)).unwrap();
                let cut: Vec<f32> = bits.iter().map(|n| f32::from_bits((n.to_bits() + 0x1000) & !0x1fff)).collect();
                Tensor::from_slice(&cut).view_as(&tensor.contiguous())
            };
            let shape = &trial.shape;
            let found =
                cut(&trial.x).conv2d(&cut(&trial.weight), Some(&trial.bias), shape.stride, shape.padding, [1, 1], 1);
            let off = off(&found, &trial.expected).unwrap();
            assert!(off > bearable(Precision::Fp32) && off <= bearable(Precision::Tf32), "{kernel:?}: {off}");
            let plain = trial.plain(Device::Cpu).unwrap();
            assert!(plain <= 1e-5, "{kernel:?}: {plain}");
        }
        assert!(worse(1.0, f64::NAN).is_nan() && worse(f64::NAN, 1.0).is_nan());
    }
}
