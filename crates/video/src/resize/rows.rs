//! Where the resizer reads pixels from.

#[cfg(target_arch = "x86_64")]
use crate::simd::{self, Avx2, Planes};

/// Gives rows of RGB pixels of one decoded frame.
pub trait RgbRows {
    /// Writes the pixels `x0..x1` of row `y` to `out`, three bytes per pixel.
    fn row(&mut self, y: usize, x0: usize, x1: usize, out: &mut [u8]);

    /// Writes the same pixels with each channel in a row of its own. `x0` must be even.
    #[cfg(target_arch = "x86_64")]
    fn planes(&mut self, simd: Avx2, y: usize, x0: usize, x1: usize, out: &mut Planes);
}

/// A frame that is already RGB24.
pub struct RgbPicture<'a> {
    /// The pixels, row by row.
    pub data: &'a [u8],
    /// Bytes from one row to the next.
    pub stride: usize,
}

impl RgbRows for RgbPicture<'_> {
    fn row(&mut self, y: usize, x0: usize, x1: usize, out: &mut [u8]) {
        let start = y * self.stride + x0 * 3;
        out.copy_from_slice(&self.data[start..start + (x1 - x0) * 3]);
    }

    #[cfg(target_arch = "x86_64")]
    fn planes(&mut self, simd: Avx2, y: usize, x0: usize, x1: usize, out: &mut Planes) {
        let start = y * self.stride + x0 * 3;
        simd::layout::split_channels(simd, &self.data[start..start + (x1 - x0) * 3], out);
    }
}
