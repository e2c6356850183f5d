//! swscale's own conversion of 8-bit 4:2:0 to RGB24, to the bit, for just the pixels that are needed.

use crate::resize::RgbRows;
#[cfg(target_arch = "x86_64")]
use crate::simd::{self, Avx2, Planes};

/// The integers of one matrix and range.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Coefficients {
    // Each fits in 16 bits.
    pub(crate) y_offset: i32,
    pub(crate) y: i32,
    pub(crate) v_to_r: i32,
    pub(crate) u_to_g: i32,
    pub(crate) v_to_g: i32,
    pub(crate) u_to_b: i32,
}

impl Coefficients {
    /// From the four numbers of swscale's table for a matrix (Cr to R, Cb to B, Cb to G, Cr to G, each times 65536) and
    /// whether luma uses the full range.
    pub fn new(table: [i32; 4], full_range: bool) -> Self {
        let mut chroma = table.map(i64::from);
        let (mut luma, mut offset) = (1_i64 << 16, 0);
        if full_range {
            chroma = chroma.map(|c| c * 224 / 255);
        } else {
            luma = luma * 255 / 219;
            offset = 16_i64 << 16;
        }
        let round = |value: i64| ((value + (1 << 15)) >> 16).clamp(-0x8000, 0x7fff) as i32;
        let [cr_r, cb_b, cb_g, cr_g] = chroma;
        Self {
            y_offset: round(offset << 3),
            y: round(luma << 13),
            v_to_r: round(cr_r << 13),
            u_to_g: round(-cb_g << 13),
            v_to_g: round(-cr_g << 13),
            u_to_b: round(cb_b << 13),
        }
    }

    /// What is taken from eight times Y, what that is multiplied by, and what eight times V, U, V and U, each less 1024, are
    /// multiplied by for red, green, green and blue; then each is divided by 65536, rounded down, before they are added.
    pub fn numbers(&self) -> [i32; 6] {
        [self.y_offset, self.y, self.v_to_r, self.u_to_g, self.v_to_g, self.u_to_b]
    }

    fn chroma(&self, u: u8, v: u8) -> [i32; 3] {
        let u = (i32::from(u) << 3) - 1024;
        let v = (i32::from(v) << 3) - 1024;
        [(v * self.v_to_r) >> 16, ((u * self.u_to_g) >> 16) + ((v * self.v_to_g) >> 16), (u * self.u_to_b) >> 16]
    }

    fn pixel(&self, luma: u8, chroma: [i32; 3]) -> [u8; 3] {
        let y = (((i32::from(luma) << 3) - self.y_offset) * self.y) >> 16;
        chroma.map(|c| (y + c).clamp(0, 255) as u8)
    }
}

/// One decoded picture in three planes, chroma halved both ways.
pub struct Yuv420<'a> {
    /// Y, U and V.
    pub planes: [&'a [u8]; 3],
    /// Bytes from one row to the next, for each plane.
    pub strides: [usize; 3],
    /// Matrix and range.
    pub coefficients: Coefficients,
}

impl Yuv420<'_> {
    /// The samples of the pixels `x0..x1` of row `y`: Y, U, V.
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
        simd::yuv(simd, luma, [u, v], &self.coefficients, out);
    }

    fn row(&mut self, y: usize, x0: usize, x1: usize, mut out: &mut [u8]) {
        let coefficients = &self.coefficients;
        let [mut luma, mut u, mut v] = self.samples(y, x0, x1);
        if x0 % 2 == 1 {
            // The right half of a chroma sample comes alone.
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
    fn known_integers() {
        let bt601 = Coefficients::new([104597, 132201, 25675, 53279], false);
        assert_eq!((bt601.y_offset, bt601.y), (128, 9539));
        assert_eq!((bt601.v_to_r, bt601.u_to_g, bt601.v_to_g, bt601.u_to_b), (13075, -3209, -6660, 16525));
        let full = Coefficients::new([104597, 132201, 25675, 53279], true);
        assert_eq!((full.y_offset, full.y), (0, 8192));
        assert_eq!((full.v_to_r, full.u_to_g, full.v_to_g, full.u_to_b), (11485, -2819, -5850, 14516));
        let bt709 = Coefficients::new([117489, 138438, 13975, 34925], false);
        assert_eq!((bt709.v_to_r, bt709.u_to_g, bt709.v_to_g, bt709.u_to_b), (14686, -1747, -4366, 17305));
    }

    #[test]
    fn any_part_of_a_row_equals_that_part_of_the_whole_row() {
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
