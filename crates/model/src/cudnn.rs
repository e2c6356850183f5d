//! libtorch's fused cuDNN convolutions on a GPU: bias, addition and ReLU run in the kernel of the convolution, because separate
//! passes over the result would take longer than the convolution. **They have never been run on a GPU**, so the first run of each
//! one is compared with the unfused convolution, and a later failure falls back to it.

use std::ffi::c_char;
use std::sync::atomic::{AtomicU8, Ordering};

use reeldeck_common::error::ErrorKind;
use reeldeck_common::recipe::Precision;
use tch::Tensor;
use tracing::warn;

use crate::error::ModelError;
use crate::native::{Raw, raw, tensor_from};
use crate::onednn::Shape;
use crate::trial::distance;

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

const UNTRIED: u8 = 0;
const USED: u8 = 1;
const AVOIDED: u8 = 2;

/// Whether a convolution is run fused.
pub(crate) struct Fusion {
    state: AtomicU8,
    /// The largest accepted relative L2 distance from the unfused convolution.
    tolerance: f64,
}

impl Fusion {
    /// For a convolution that was not run yet.
    pub(crate) fn new(precision: Precision) -> Self {
        let tolerance = match precision {
            // TF32 has ten bits, which gives 3e-4.
            Precision::Fp32 => 1e-4,
            Precision::Tf32 | Precision::Fp16 => 3e-3,
            Precision::Bf16 => 0.02,
        };
        Self { state: AtomicU8::new(UNTRIED), tolerance }
    }

    /// Runs the convolution, fused if that works. Both ways must return a tensor of their own.
    ///
    /// # Errors
    /// When memory runs out, or when both ways fail.
    pub(crate) fn run(
        &self,
        fused: impl Fn() -> Result<Tensor, ModelError>,
        unfused: impl Fn() -> Result<Tensor, ModelError>,
    ) -> Result<Tensor, ModelError> {
        match self.state.load(Ordering::Relaxed) {
            UNTRIED => self.compare(fused, unfused()?),
            USED => fused().or_else(|error| {
                if error.kind() == ErrorKind::OutOfMemory {
                    return Err(error);
                }
                // If the device is lost, this fails, too. The first error says why.
                let Ok(result) = unfused() else { return Err(error) };
                self.avoid(&error.to_string());
                Ok(result)
            }),
            _ => unfused(),
        }
    }

    fn compare(&self, fused: impl Fn() -> Result<Tensor, ModelError>, expected: Tensor) -> Result<Tensor, ModelError> {
        // libtorch gives cuDNN the uninitialised output as a summand with the factor zero, and 0 · NaN is NaN. The allocator
        // reuses this memory for the output, so that a NaN shows now and not in a feature.
        drop(expected.f_full_like(f64::NAN)?);
        match fused().and_then(|found| Ok((distance(&found, &expected)?, found))) {
            Ok((off, found)) if off <= self.tolerance => {
                self.state.store(USED, Ordering::Relaxed);
                return Ok(found);
            }
            Ok((off, _)) => self.avoid(&format!("its results are off by {off:.1e}")),
            // The unfused convolution has just had enough memory, so a missing algorithm has another reason.
            Err(error) if error.kind() == ErrorKind::OutOfMemory && !error.lacks_algorithm() => return Err(error),
            Err(error) => self.avoid(&error.to_string()),
        }
        Ok(expected)
    }

    fn avoid(&self, why: &str) {
        self.state.store(AVOIDED, Ordering::Relaxed);
        warn!("a fused convolution is not used, which makes the GPU slower: {why}");
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use super::*;

    fn failed(text: &str) -> ModelError {
        ModelError::Torch(tch::TchError::Torch(text.into()))
    }

    const NO_ALGORITHM: &str = "GET was unable to find an engine to execute this computation";

    #[test]
    fn a_fused_convolution_that_is_wrong_or_fails_is_not_run_again() {
        let right = || Ok(Tensor::from_slice(&[1_f32, 2.0]));
        let off = |by: f32| move || Ok(Tensor::from_slice(&[1.0 + by, 2.0]));
        let fusion = || Fusion::new(Precision::Fp32);
        for (fused, is_used) in [
            (Box::new(off(0.0)) as Box<dyn Fn() -> Result<Tensor, ModelError>>, true),
            (Box::new(off(1e-5)), true),
            (Box::new(off(1e-3)), false),
            (Box::new(off(f32::NAN)), false),
            (Box::new(|| Err(failed("a text that is not known"))), false),
            (Box::new(|| Err(failed(NO_ALGORITHM))), false),
        ] {
            let (fusion, runs) = (fusion(), Cell::new(0));
            for _ in 0..3 {
                let count = || (runs.set(runs.get() + 1), fused()).1;
                let found = fusion.run(count, right).unwrap();
                assert!(distance(&found, &right().unwrap()).unwrap() <= 1e-5);
            }
            assert_eq!(runs.get(), if is_used { 3 } else { 1 });
        }
    }

    #[test]
    fn a_failure_of_a_proven_convolution_falls_back_unless_it_means_a_lack_of_memory() {
        let right = || Ok(Tensor::from_slice(&[1_f32]));
        for (text, falls_back) in [
            ("a text that is not known", true),
            ("cuDNN error: CUDNN_STATUS_INTERNAL_ERROR", true),
            (NO_ALGORITHM, false),
        ] {
            let fusion = Fusion::new(Precision::Fp32);
            drop(fusion.run(right, right).unwrap());
            assert_eq!(fusion.run(|| Err(failed(text)), right).is_ok(), falls_back, "{text}");
            let both = fusion.run(|| Err(failed(text)), || Err(failed("the second error")));
            let said = both.unwrap_err().to_string();
            assert_eq!(
                said.contains("the second error"),
                falls_back,
                "once it is avoided, only the other is run: {said}"
            );
        }
        let fusion = Fusion::new(Precision::Fp32);
        drop(fusion.run(right, right).unwrap());
        let both = fusion.run(|| Err(failed("the device is lost")), || Err(failed("the device is lost, too")));
        assert!(both.unwrap_err().to_string().ends_with("the device is lost"), "the first error says why");
    }

    /// At the first run, too, a shortage is none of the convolution's faults.
    #[test]
    fn a_lack_of_memory_says_nothing_about_a_convolution() {
        let fusion = Fusion::new(Precision::Fp32);
        let right = || Ok(Tensor::from_slice(&[1_f32]));
        let error = fusion.run(|| Err(failed("CUDA out of memory. Tried to allocate 2 GiB")), right).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::OutOfMemory);
        let runs = Cell::new(0);
        drop(fusion.run(|| (runs.set(1), right()).1, right).unwrap());
        assert_eq!(runs.get(), 1);
    }
}
