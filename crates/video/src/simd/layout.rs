//! Conversion between separate channels and interleaved pixels.

use std::arch::x86_64::*;

use super::vector::{load, load_half, padded, store, store_half};
use super::{Avx2, Planes};

/// `INTERLEAVE[k][c]` selects the bytes of channel c for the k-th 16 bytes of 16 interleaved pixels.
const INTERLEAVE: [[[i8; 16]; 3]; 3] = masks(false);
/// `SPLIT[c][k]` selects the bytes of channel c from the k-th 16 bytes of 16 interleaved pixels.
const SPLIT: [[[i8; 16]; 3]; 3] = masks(true);

const fn masks(split: bool) -> [[[i8; 16]; 3]; 3] {
    let mut all = [[[-1; 16]; 3]; 3];
    let mut byte = 0;
    while byte < 48 {
        let (pixel, channel) = (byte / 3, byte % 3);
        if split {
            all[channel][byte / 16][pixel] = (byte % 16) as i8;
        } else {
            all[byte / 16][channel][byte % 16] = pixel as i8;
        }
        byte += 1;
    }
    all
}

#[inline]
#[target_feature(enable = "avx2")]
fn mask(bytes: &[i8; 16]) -> __m128i {
    load_half(&bytes.map(|byte| byte as u8))
}

/// Fills `out` with interleaved pixels, starting at pixel `first` of the rows.
pub(crate) fn interleave_channels(_simd: Avx2, rows: &Planes, first: usize, out: &mut [u8]) {
    // SAFETY: an `Avx2` exists only on a processor with AVX2.
    unsafe { interleave(rows, first, out) }
}

#[target_feature(enable = "avx2")]
fn interleave(rows: &Planes, first: usize, out: &mut [u8]) {
    let interleaver = Interleaver::new();
    let [red, green, blue] = rows.0.each_ref().map(|row| row[first..].as_chunks::<32>().0);
    let (whole, rest) = out.as_chunks_mut::<96>();
    let at = whole.len();
    for (((red, green), blue), out) in red.iter().zip(green).zip(blue).zip(whole) {
        interleaver.write([load(red), load(green), load(blue)], out);
    }
    if let (false, Some(red), Some(green), Some(blue)) = (rest.is_empty(), red.get(at), green.get(at), blue.get(at)) {
        let mut last = [0; 96];
        interleaver.write([load(red), load(green), load(blue)], &mut last);
        rest.copy_from_slice(&last[..rest.len()]);
    }
}

/// The shuffle masks that interleave 32 pixels.
pub(crate) struct Interleaver([[__m256i; 3]; 3]);

impl Interleaver {
    /// Loads the masks.
    #[inline]
    #[target_feature(enable = "avx2")]
    pub(crate) fn new() -> Self {
        let mut all = [[_mm256_setzero_si256(); 3]; 3];
        for (row, masks) in all.iter_mut().zip(&INTERLEAVE) {
            for (wide, bytes) in row.iter_mut().zip(masks) {
                *wide = _mm256_broadcastsi128_si256(mask(bytes));
            }
        }
        Self(all)
    }

    /// Writes 32 pixels.
    #[inline]
    #[target_feature(enable = "avx2")]
    pub(crate) fn write(&self, [red, green, blue]: [__m256i; 3], out: &mut [u8; 96]) {
        let part = |k: usize| {
            let [r, g, b] = self.0[k];
            let (r, g) = (_mm256_shuffle_epi8(red, r), _mm256_shuffle_epi8(green, g));
            _mm256_or_si256(_mm256_or_si256(r, g), _mm256_shuffle_epi8(blue, b))
        };
        // Each 128-bit half holds bytes of a different group of 16 pixels.
        let (a, b, c) = (part(0), part(1), part(2));
        let parts = [
            _mm256_permute2x128_si256(a, b, 0x20),
            _mm256_permute2x128_si256(c, a, 0x30),
            _mm256_permute2x128_si256(b, c, 0x31),
        ];
        for (part, out) in parts.into_iter().zip(out.as_chunks_mut::<32>().0) {
            store(out, part);
        }
    }
}

/// Splits interleaved pixels into channels.
pub(crate) fn split_channels(_simd: Avx2, pixels: &[u8], out: &mut Planes) {
    // SAFETY: an `Avx2` exists only on a processor with AVX2.
    unsafe { split(pixels, out) }
}

#[target_feature(enable = "avx2")]
fn split(pixels: &[u8], out: &mut Planes) {
    let (whole, rest) = pixels.as_chunks::<48>();
    let last: [u8; 48] = padded(rest);
    let with_rest = whole.iter().chain((!rest.is_empty()).then_some(&last));
    let [red, green, blue] = out.rows().map(|row| row.as_chunks_mut::<16>().0);
    for (((pixels, red), green), blue) in with_rest.zip(red).zip(green).zip(blue) {
        for (masks, out) in SPLIT.iter().zip([red, green, blue]) {
            let mut channel = _mm_setzero_si128();
            for (bytes, part) in masks.iter().zip(pixels.as_chunks::<16>().0) {
                channel = _mm_or_si128(channel, _mm_shuffle_epi8(load_half(part), mask(bytes)));
            }
            store_half(out, channel);
        }
    }
}
