//! Loads and stores of whole vectors from and to arrays of the same size.

use std::arch::x86_64::{__m128i, __m256i, _mm_loadu_si128, _mm_storeu_si128, _mm256_loadu_si256, _mm256_storeu_si256};

/// Loads 32 bytes.
#[inline]
#[target_feature(enable = "avx2")]
pub(crate) fn load(from: &[u8; 32]) -> __m256i {
    // SAFETY: the array is as long as the vector, and the load needs no alignment.
    unsafe { _mm256_loadu_si256(from.as_ptr().cast()) }
}

/// Loads 16 numbers of 16 bits.
#[inline]
#[target_feature(enable = "avx2")]
pub(crate) fn load_words(from: &[i16; 16]) -> __m256i {
    // SAFETY: as above.
    unsafe { _mm256_loadu_si256(from.as_ptr().cast()) }
}

/// Loads 16 bytes.
#[inline]
#[target_feature(enable = "avx2")]
pub(crate) fn load_half(from: &[u8; 16]) -> __m128i {
    // SAFETY: as above.
    unsafe { _mm_loadu_si128(from.as_ptr().cast()) }
}

/// Stores 32 bytes.
#[inline]
#[target_feature(enable = "avx2")]
pub(crate) fn store(to: &mut [u8; 32], value: __m256i) {
    // SAFETY: the array is as long as the vector, and the store needs no alignment.
    unsafe { _mm256_storeu_si256(to.as_mut_ptr().cast(), value) }
}

/// Stores 16 bytes.
#[inline]
#[target_feature(enable = "avx2")]
pub(crate) fn store_half(to: &mut [u8; 16], value: __m128i) {
    // SAFETY: as above.
    unsafe { _mm_storeu_si128(to.as_mut_ptr().cast(), value) }
}

/// Stores 8 numbers of 16 bits.
#[inline]
#[target_feature(enable = "avx2")]
pub(crate) fn store_words(to: &mut [i16; 8], value: __m128i) {
    // SAFETY: as above.
    unsafe { _mm_storeu_si128(to.as_mut_ptr().cast(), value) }
}

/// Up to `N` bytes, padded with zeros.
#[inline]
pub(crate) fn padded<const N: usize>(bytes: &[u8]) -> [u8; N] {
    let mut all = [0; N];
    for (to, from) in all.iter_mut().zip(bytes) {
        *to = *from;
    }
    all
}
