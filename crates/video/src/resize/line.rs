//! A part of one source row with separate channels, read with vector instructions where the processor has them.

use super::rows::RgbRows;
#[cfg(target_arch = "x86_64")]
use crate::simd::{Avx2, Planes};

/// Room for a part of a row.
pub(super) enum Line {
    /// Interleaved pixels, then their channels.
    Scalar { pixels: Vec<u8>, channels: [Vec<u8>; 3] },
    #[cfg(target_arch = "x86_64")]
    Avx2(Avx2, Planes),
}

impl Line {
    /// Room for this many pixels.
    pub(super) fn new(pixels: usize) -> Self {
        #[cfg(target_arch = "x86_64")]
        if let Some(simd) = Avx2::detect() {
            return Self::Avx2(simd, Planes::new(pixels));
        }
        Self::scalar(pixels)
    }

    /// The same without vector instructions.
    pub(super) fn scalar(pixels: usize) -> Self {
        let channel = || vec![0; pixels];
        Self::Scalar { pixels: vec![0; pixels * 3], channels: [channel(), channel(), channel()] }
    }

    /// The pixels `x0..x1` of row `y`, by channel. `x0` must be even.
    pub(super) fn read(&mut self, rows: &mut dyn RgbRows, y: usize, (x0, x1): (usize, usize)) -> [&[u8]; 3] {
        match self {
            Self::Scalar { pixels, channels } => {
                rows.row(y, x0, x1, pixels);
                for (at, pixel) in pixels.as_chunks::<3>().0.iter().enumerate() {
                    channels.iter_mut().zip(pixel).for_each(|(channel, value)| channel[at] = *value);
                }
                channels.each_ref().map(Vec::as_slice)
            }
            #[cfg(target_arch = "x86_64")]
            Self::Avx2(simd, planes) => {
                rows.planes(*simd, y, x0, x1, planes);
                planes.0.each_ref().map(Vec::as_slice)
            }
        }
    }
}
