//! Three rows of channels to one of pixels, and back.

use std::arch::x86_64::*;

use super::vector::{load, load_half, padded, store, store_half};
use super::{Avx2, Planes};

/// Where the bytes of a channel go, or come from: `MASKS[k][c]` picks for the k-th 16 bytes of 16 pixels those of channel c.
const MASKS: [[[i8; 16]; 3]; 3] = masks(false);
/// The other way: `APART[c][k]` picks for channel c those that lie in the k-th 16 bytes.
const APART: [[[i8; 16]; 3]; 3] = masks(true);

const fn masks(apart: bool) -> [[[i8; 16]; 3]; 3] {
    let mut all = [[[-1; 16]; 3]; 3];
    let mut byte = 0;
    while byte < 48 {
        let (pixel, channel) = (byte / 3, byte % 3);
        if apart {
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

/// Fills `out` with pixels, from pixel `first` of the rows on.
pub fn interleave(_simd: Avx2, rows: &Planes, first: usize, out: &mut [u8]) {
    // SAFETY: an `Avx2` exists only where the processor has it.
    unsafe { together(rows, first, out) }
}

#[target_feature(enable = "avx2")]
fn together(rows: &Planes, first: usize, out: &mut [u8]) {
    let weave = Weave::new();
    let [red, green, blue] = rows.0.each_ref().map(|row| row[first..].as_chunks::<32>().0);
    let (whole, rest) = out.as_chunks_mut::<96>();
    let at = whole.len();
    for (((red, green), blue), out) in red.iter().zip(green).zip(blue).zip(whole) {
        weave.write([load(red), load(green), load(blue)], out);
    }
    if let (false, Some(red), Some(green), Some(blue)) = (rest.is_empty(), red.get(at), green.get(at), blue.get(at)) {
        let mut last = [0; 96];
        weave.write([load(red), load(green), load(blue)], &mut last);
        rest.copy_from_slice(&last[..rest.len()]);
    }
}

/// The masks that put 32 pixels together.
pub struct Weave([[__m256i; 3]; 3]);

impl Weave {
    /// Loads the masks.
    #[inline]
    #[target_feature(enable = "avx2")]
    pub fn new() -> Self {
        let mut all = [[_mm256_setzero_si256(); 3]; 3];
        for (row, masks) in all.iter_mut().zip(&MASKS) {
            for (wide, bytes) in row.iter_mut().zip(masks) {
                *wide = _mm256_broadcastsi128_si256(mask(bytes));
            }
        }
        Self(all)
    }

    /// Writes 32 pixels.
    #[inline]
    #[target_feature(enable = "avx2")]
    pub fn write(&self, [red, green, blue]: [__m256i; 3], out: &mut [u8; 96]) {
        let part = |k: usize| {
            let [r, g, b] = self.0[k];
            let (r, g) = (_mm256_shuffle_epi8(red, r), _mm256_shuffle_epi8(green, g));
            _mm256_or_si256(_mm256_or_si256(r, g), _mm256_shuffle_epi8(blue, b))
        };
        // Each half of these belongs to 16 pixels of its own.
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

/// Takes pixels of three bytes apart.
pub fn split(_simd: Avx2, pixels: &[u8], out: &mut Planes) {
    // SAFETY: an `Avx2` exists only where the processor has it.
    unsafe { apart(pixels, out) }
}

#[target_feature(enable = "avx2")]
fn apart(pixels: &[u8], out: &mut Planes) {
    let (whole, rest) = pixels.as_chunks::<48>();
    let last: [u8; 48] = padded(rest);
    let with_rest = whole.iter().chain((!rest.is_empty()).then_some(&last));
    let [red, green, blue] = out.rows().map(|row| row.as_chunks_mut::<16>().0);
    for (((pixels, red), green), blue) in with_rest.zip(red).zip(green).zip(blue) {
        for (masks, out) in APART.iter().zip([red, green, blue]) {
            let mut channel = _mm_setzero_si128();
            for (bytes, part) in masks.iter().zip(pixels.as_chunks::<16>().0) {
                channel = _mm_or_si128(channel, _mm_shuffle_epi8(load_half(part), mask(bytes)));
            }
            store_half(out, channel);
        }
    }
}
