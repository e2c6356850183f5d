//! swscale's conversion of 8-bit 4:2:0 to RGB24, bit for bit, for only the pixels that are needed.

use crate::coefficients::Coefficients;
use crate::resize::RgbRows;
#[cfg(target_arch = "x86_64")]
use crate::simd::{self, Avx2, Planes};

/// A decoded 8-bit frame in three planes, with chroma halved in both directions.
pub struct Yuv420<'a> {
    /// Y, U and V.
    pub planes: [&'a [u8]; 3],
    /// Bytes from one row to the next, for each plane.
    pub strides: [usize; 3],
    /// Matrix and range.
    pub coefficients: Coefficients,
}

impl Yuv420<'_> {
    /// The Y, U and V samples of the pixels `x0..x1` of row `y`.
    fn samples(&self, y: usize, x0: usize, x1: usize) -> [&[u8]; 3] {
        let at = |plane: usize, row: usize, from: usize, to: usize| {
            let start = row * self.strides[plane];
            &self.planes[plane][start + from..start + to]
        };
        let (left, right) = (x0 / 2, x1.div_ceil(2));
        [at(0, y, x0, x1), at(1, y / 2, left, right), at(2, y / 2, left, right)]
    }
}

impl RgbRows for Yuv420<'_> {
    #[cfg(target_arch = "x86_64")]
    fn planes(&mut self, simd: Avx2, y: usize, x0: usize, x1: usize, out: &mut Planes) {
        let [luma, u, v] = self.samples(y, x0, x1);
        simd::convert::yuv_to_planes(simd, luma, [u, v], &self.coefficients, out);
    }

    fn row(&mut self, y: usize, x0: usize, x1: usize, mut out: &mut [u8]) {
        let coefficients = &self.coefficients;
        let [mut luma, mut u, mut v] = self.samples(y, x0, x1);
        if x0 % 2 == 1 {
            // The row starts with the second pixel of a chroma sample.
            out[..3].copy_from_slice(&coefficients.pixel(luma[0], coefficients.chroma(u[0], v[0])));
            (luma, u, v, out) = (&luma[1..], &u[1..], &v[1..], &mut out[3..]);
        }
        let (pairs, last) = luma.as_chunks::<2>();
        let (pixels, rest) = out.as_chunks_mut::<6>();
        for (((luma, u), v), out) in pairs.iter().zip(u).zip(v).zip(pixels) {
            let chroma = coefficients.chroma(*u, *v);
            let (a, b) = (coefficients.pixel(luma[0], chroma), coefficients.pixel(luma[1], chroma));
            *out = [a[0], a[1], a[2], b[0], b[1], b[2]];
        }
        if let ([luma], Some(u), Some(v)) = (last, u.last(), v.last()) {
            rest.copy_from_slice(&coefficients.pixel(*luma, coefficients.chroma(*u, *v)));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_part_of_a_row_equals_that_part_of_the_whole_row() {
        let noise: Vec<u8> = (0..4000u32).map(|i| (i.wrapping_mul(2654435761) >> 24) as u8).collect();
        let mut picture = Yuv420 {
            planes: [&noise[..40 * 37], &noise[100..100 + 20 * 19], &noise[900..900 + 20 * 19]],
            strides: [40, 20, 20],
            coefficients: Coefficients::new([104597, 132201, 25675, 53279], false),
        };
        let mut whole = vec![0; 39 * 3];
        picture.row(11, 0, 39, &mut whole);
        for x0 in 0..39 {
            for x1 in x0 + 1..=39 {
                let mut part = vec![0; (x1 - x0) * 3];
                picture.row(11, x0, x1, &mut part);
                assert_eq!(part, whole[x0 * 3..x1 * 3], "{x0}..{x1}");
            }
        }
    }
}
