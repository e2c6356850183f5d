//! 8-bit 4:2:0 to RGB with swscale's integers, 32 pixels at a time.

use std::arch::x86_64::*;

use super::vector::{load, load_half, padded, store};
use super::{Avx2, Planes};
use crate::coefficients::Coefficients;

/// Converts one row: luma samples, and half as many (rounded up) U and V samples. The contents of `out` beyond the row are
/// unspecified.
pub(crate) fn yuv_to_planes(
    _simd: Avx2,
    luma: &[u8],
    chroma: [&[u8]; 2],
    coefficients: &Coefficients,
    out: &mut Planes,
) {
    // SAFETY: an `Avx2` exists only on a processor with AVX2.
    unsafe { row(luma, chroma, coefficients, out) }
}

#[target_feature(enable = "avx2")]
fn row(luma: &[u8], [u, v]: [&[u8]; 2], coefficients: &Coefficients, out: &mut Planes) {
    let factors = Factors::new(coefficients);
    let [red, green, blue] = out.rows();
    let (red, green, blue) = (red.as_chunks_mut().0, green.as_chunks_mut().0, blue.as_chunks_mut().0);
    let ((whole, rest), (whole_u, rest_u), (whole_v, rest_v)) = (luma.as_chunks(), u.as_chunks(), v.as_chunks());
    let to = red.iter_mut().zip(green.iter_mut()).zip(blue.iter_mut());
    for (((luma, u), v), ((red, green), blue)) in whole.iter().zip(whole_u).zip(whole_v).zip(to) {
        factors.convert(luma, u, v, [red, green, blue]);
    }
    // An odd width has a chroma sample for half a pair: 31 pixels may have all 16.
    let at = whole.len();
    if let (false, Some(red), Some(green), Some(blue)) =
        (rest.is_empty(), red.get_mut(at), green.get_mut(at), blue.get_mut(at))
    {
        let (u, v) = (whole_u.get(at).copied(), whole_v.get(at).copied());
        let (u, v) = (u.unwrap_or_else(|| padded(rest_u)), v.unwrap_or_else(|| padded(rest_v)));
        factors.convert(&padded(rest), &u, &v, [red, green, blue]);
    }
}

struct Factors {
    y_offset: __m256i,
    y: __m256i,
    v_to_r: __m256i,
    u_to_g: __m256i,
    v_to_g: __m256i,
    u_to_b: __m256i,
}

impl Factors {
    #[inline]
    #[target_feature(enable = "avx2")]
    fn new(c: &Coefficients) -> Self {
        // `Coefficients::new` limits all of them to 16 bits.
        let all = |value: i32| _mm256_set1_epi16(value as i16);
        Self {
            y_offset: all(c.y_offset),
            y: all(c.y),
            v_to_r: all(c.v_to_r),
            u_to_g: all(c.u_to_g),
            v_to_g: all(c.v_to_g),
            u_to_b: all(c.u_to_b),
        }
    }

    #[inline]
    #[target_feature(enable = "avx2")]
    fn convert(&self, luma: &[u8; 32], u: &[u8; 16], v: &[u8; 16], out: [&mut [u8; 32]; 3]) {
        let centre = _mm256_set1_epi16(1024);
        let chroma =
            |bytes: &[u8; 16]| _mm256_sub_epi16(_mm256_slli_epi16(_mm256_cvtepu8_epi16(load_half(bytes)), 3), centre);
        let (u, v) = (chroma(u), chroma(v));
        let green = _mm256_add_epi16(_mm256_mulhi_epi16(u, self.u_to_g), _mm256_mulhi_epi16(v, self.v_to_g));
        let added = [_mm256_mulhi_epi16(v, self.v_to_r), green, _mm256_mulhi_epi16(u, self.u_to_b)];
        // A chroma sample belongs to an even pixel and the odd pixel after it, which are the two halves of a word.
        let luma = load(luma);
        let scaled =
            |words: __m256i| _mm256_mulhi_epi16(_mm256_sub_epi16(_mm256_slli_epi16(words, 3), self.y_offset), self.y);
        let even = scaled(_mm256_and_si256(luma, _mm256_set1_epi16(0xff)));
        let odd = scaled(_mm256_srli_epi16(luma, 8));
        let alternating = _mm256_setr_epi8(
            0, 8, 1, 9, 2, 10, 3, 11, 4, 12, 5, 13, 6, 14, 7, 15, 0, 8, 1, 9, 2, 10, 3, 11, 4, 12, 5, 13, 6, 14, 7, 15,
        );
        for (added, out) in added.into_iter().zip(out) {
            // The sums fit in 16 bits; packing clips them to 0..=255.
            let both = _mm256_packus_epi16(_mm256_add_epi16(even, added), _mm256_add_epi16(odd, added));
            store(out, _mm256_shuffle_epi8(both, alternating));
        }
    }
}
