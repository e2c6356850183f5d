//! The first work of a GPU: one clip through the recipe's network, compared with the same clip on the CPU. No feature is written by
//! a GPU that computes something else than the recipe says, such as TF32 for fp32.

use std::time::Instant;

use reeldeck_common::recipe::{Filter, Precision, Transform};
use tch::{Device, Kind, Tensor};
use tracing::debug;

use crate::algorithms::Choice;
use crate::backbone::{Backbone, Setup};
use crate::error::ModelError;
use crate::rows::Rows;

/// The largest accepted relative L2 distance of the outputs from the CPU's in fp32. Sums in another order give 1e-6, TF32 1e-3.
fn tolerance(precision: Precision) -> f64 {
    match precision {
        Precision::Fp32 => 1e-4,
        Precision::Tf32 | Precision::Fp16 => 0.01,
        Precision::Bf16 => 0.05,
    }
}

/// Compares a network with the same one that `build` makes for the CPU. On a CPU it does nothing.
///
/// # Errors
/// [`ModelError::Device`] when they differ by more than the precision allows; errors of either network.
pub(crate) fn run(
    model: &dyn Backbone,
    setup: &Setup<'_>,
    build: impl FnOnce(&Setup<'_>) -> Result<Box<dyn Backbone>, ModelError>,
) -> Result<(), ModelError> {
    let Setup { transform, length, precision, device, .. } = *setup;
    if device == Device::Cpu {
        return Ok(());
    }
    let (started, _guard) = (Instant::now(), tch::no_grad_guard());
    let clip = clip(transform, length)?;
    let on_cpu = build(&Setup { precision: Precision::Fp32, device: Device::Cpu, choice: Choice::Direct, ..*setup })?;
    let expected = outputs(&*on_cpu, &clip)?;
    let found = outputs(model, &clip.f_to(device)?)?;
    let mut off = 0.0_f64;
    for (found, expected) in found.iter().zip(&expected) {
        // If the CPU's are not finite, the checkpoint is damaged, which the first video says.
        if bool::try_from(expected.f_isfinite()?.f_all()?)? {
            off = larger(off, distance(found, expected)?);
        }
    }
    debug!(off, seconds = started.elapsed().as_secs_f32(), "compared one clip with the CPU");
    let most = tolerance(precision);
    // False for NaN.
    if off <= most {
        return Ok(());
    }
    Err(ModelError::Device(format!(
        "the network on {device:?} is off by {off:.1e} from that on the CPU, more than {name} may be ({most:.0e}): something \
         shortens its numbers, perhaps TF32; set NVIDIA_TF32_OVERRIDE=0, or choose another precision in the recipe",
        name = precision.name()
    )))
}

/// The larger number, or NaN if one is NaN; `max` would ignore it.
fn larger(a: f64, b: f64) -> f64 {
    if a.is_nan() || b.is_nan() { f64::NAN } else { a.max(b) }
}

/// The bytes of the frames of one clip, with all values from 0 to 254.
fn clip(transform: &Transform, length: usize) -> Result<Tensor, ModelError> {
    let (height, width) = transform.output();
    let numbers = Tensor::f_arange((length * height * width * 3) as i64, (Kind::Int64, Device::Cpu))?;
    let numbers = numbers.f_mul_scalar(7919)?.f_remainder(255)?;
    Ok(match transform.filter {
        Filter::OpencvU8 => numbers.f_to_kind(Kind::Uint8)?,
        Filter::TorchF32 => numbers.f_to_kind(Kind::Float)?.f_view_dtype(Kind::Uint8)?,
    })
}

/// All outputs for the frames of one clip, in 32 bits on the host.
fn outputs(model: &dyn Backbone, clip: &Tensor) -> Result<Vec<Tensor>, ModelError> {
    let Rows { pooled, logits } = model.clips(model.frames(clip)?)?;
    let to_host = |rows: Tensor| Ok(rows.f_to(Device::Cpu)?.f_to_kind(Kind::Float)?);
    [Some(pooled), logits].into_iter().flatten().map(to_host).collect()
}

/// The L2 norm of the difference divided by that of `expected`, which may be on any device.
///
/// # Errors
/// When libtorch fails.
pub(crate) fn distance(found: &Tensor, expected: &Tensor) -> Result<f64, ModelError> {
    let (found, expected) = (found.f_to_kind(Kind::Float)?, expected.f_to_kind(Kind::Float)?);
    let off = f64::try_from(found.f_sub(&expected)?.f_norm()?)?;
    // All zeros are right if both are.
    Ok(if off == 0.0 { 0.0 } else { off / f64::try_from(expected.f_norm()?)? })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_distance_is_relative_and_never_hides_nan() {
        let tensor = |numbers: &[f32]| Tensor::from_slice(numbers);
        let of = |found: &[f32], expected: &[f32]| distance(&tensor(found), &tensor(expected)).unwrap();
        assert_eq!(of(&[0.0; 2], &[0.0; 2]), 0.0);
        assert!((of(&[300.0, 401.0], &[300.0, 400.0]) - 0.002).abs() < 1e-6);
        assert!(of(&[f32::NAN, 1.0], &[1.0, 1.0]).is_nan());
        assert!(of(&[1.0], &[0.0]).is_infinite());
        assert!(larger(1.0, f64::NAN).is_nan() && larger(f64::NAN, 1.0).is_nan());
    }

    #[test]
    fn the_clip_has_the_size_and_the_type_of_the_recipe() {
        let bytes = Transform::short_side(32, 32, [100.0; 3], [50.0; 3]);
        let floats = Transform { filter: Filter::TorchF32, ..bytes };
        for transform in [bytes, floats] {
            assert_eq!(clip(&transform, 8).unwrap().numel(), 8 * transform.frame_bytes());
        }
    }
}
