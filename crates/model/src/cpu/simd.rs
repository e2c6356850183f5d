//! Vectors of 32-bit floats: AVX-512, AVX2, and plain numbers.

/// An instruction set.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Isa {
    /// Vectors of 16 numbers.
    #[cfg(target_arch = "x86_64")]
    Avx512,
    /// Vectors of 8 numbers, with fused multiply-add.
    #[cfg(target_arch = "x86_64")]
    Avx2,
    /// Single numbers, on any processor.
    Plain,
}

impl Isa {
    /// The instruction sets of this processor, the fastest first.
    pub fn available() -> Vec<Self> {
        let mut found = vec![];
        #[cfg(target_arch = "x86_64")]
        {
            if is_x86_feature_detected!("avx512f") {
                found.push(Self::Avx512);
            }
            if is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma") {
                found.push(Self::Avx2);
            }
        }
        found.push(Self::Plain);
        found
    }

    /// The fastest of this processor.
    pub fn fastest() -> Self {
        Self::available()[0]
    }

    /// Numbers in a vector.
    pub(crate) fn lanes(self) -> usize {
        match self {
            #[cfg(target_arch = "x86_64")]
            Self::Avx512 => Avx512::LANES,
            #[cfg(target_arch = "x86_64")]
            Self::Avx2 => Avx2::LANES,
            Self::Plain => Plain::LANES,
        }
    }
}

/// The operations of an instruction set.
///
/// # Safety
/// Of all functions: the processor has the instruction set, and pointers are valid for as many numbers as are read or written.
pub(crate) trait Simd {
    /// A vector.
    type V: Copy;
    /// Numbers in a vector.
    const LANES: usize;
    /// Rows of the largest tile of a matrix product. Twice as many vectors and three more fit in the registers.
    const ROWS: usize;

    /// A vector of equal numbers.
    unsafe fn splat(x: f32) -> Self::V;
    /// Reads a vector.
    unsafe fn load(from: *const f32) -> Self::V;
    /// Writes a vector.
    unsafe fn store(to: *mut f32, v: Self::V);
    /// a + b.
    unsafe fn add(a: Self::V, b: Self::V) -> Self::V;
    /// a − b.
    unsafe fn sub(a: Self::V, b: Self::V) -> Self::V;
    /// The greater one of each pair.
    unsafe fn max(a: Self::V, b: Self::V) -> Self::V;
    /// a b + c.
    unsafe fn mul_add(a: Self::V, b: Self::V, c: Self::V) -> Self::V;
    /// c − a b.
    unsafe fn mul_sub(a: Self::V, b: Self::V, c: Self::V) -> Self::V;
    /// Fetches a cache line that will be read soon.
    #[inline(always)]
    unsafe fn prefetch(_at: *const f32) {}

    /// The same, into the second level of the cache.
    #[inline(always)]
    unsafe fn prefetch_far(_at: *const f32) {}

    /// Reads `count` numbers, at most a vector. The rest is 0.
    #[inline(always)]
    unsafe fn load_first(from: *const f32, count: usize) -> Self::V {
        let mut numbers = [0.0; MOST_LANES];
        // SAFETY: `from` is valid for `count` numbers, and the array for `LANES`.
        unsafe {
            std::ptr::copy_nonoverlapping(from, numbers.as_mut_ptr(), count.min(Self::LANES));
            Self::load(numbers.as_ptr())
        }
    }

    /// Writes the first `count` numbers, at most a vector.
    #[inline(always)]
    unsafe fn store_first(to: *mut f32, v: Self::V, count: usize) {
        let mut numbers = [0.0; MOST_LANES];
        // SAFETY: `to` is valid for `count` numbers, and the array for `LANES`.
        unsafe {
            Self::store(numbers.as_mut_ptr(), v);
            std::ptr::copy_nonoverlapping(numbers.as_ptr(), to, count.min(Self::LANES));
        }
    }
}

/// The most numbers in a vector.
const MOST_LANES: usize = 16;

/// [`Isa::Plain`].
pub(crate) struct Plain;

impl Simd for Plain {
    type V = f32;
    const LANES: usize = 1;
    const ROWS: usize = 4;

    #[inline(always)]
    unsafe fn splat(x: f32) -> f32 {
        x
    }
    #[inline(always)]
    unsafe fn load(from: *const f32) -> f32 {
        // SAFETY: as the caller promises.
        unsafe { *from }
    }
    #[inline(always)]
    unsafe fn store(to: *mut f32, v: f32) {
        // SAFETY: as the caller promises.
        unsafe { *to = v }
    }
    #[inline(always)]
    unsafe fn add(a: f32, b: f32) -> f32 {
        a + b
    }
    #[inline(always)]
    unsafe fn sub(a: f32, b: f32) -> f32 {
        a - b
    }
    #[inline(always)]
    unsafe fn max(a: f32, b: f32) -> f32 {
        a.max(b)
    }
    #[inline(always)]
    unsafe fn mul_add(a: f32, b: f32, c: f32) -> f32 {
        a * b + c
    }
    #[inline(always)]
    unsafe fn mul_sub(a: f32, b: f32, c: f32) -> f32 {
        c - a * b
    }
}

#[cfg(target_arch = "x86_64")]
pub(crate) use x86::{Avx2, Avx512};

#[cfg(target_arch = "x86_64")]
mod x86 {
    use std::arch::x86_64::*;

    use super::Simd;

    /// Implements [`Simd`] by the intrinsics of an instruction set.
    macro_rules! simd {
        ($name:ident, $doc:expr, $vector:ty, $lanes:expr, $rows:expr, $splat:ident, $load:ident, $store:ident, $add:ident,
         $sub:ident, $max:ident, $mul_add:ident, $mul_sub:ident) => {
            #[doc = $doc]
            pub(crate) struct $name;

            // SAFETY of all calls: as the callers promise.
            impl Simd for $name {
                type V = $vector;
                const LANES: usize = $lanes;
                const ROWS: usize = $rows;

                #[inline(always)]
                unsafe fn splat(x: f32) -> $vector {
                    // SAFETY: as above.
                    unsafe { $splat(x) }
                }
                #[inline(always)]
                unsafe fn load(from: *const f32) -> $vector {
                    // SAFETY: as above.
                    unsafe { $load(from) }
                }
                #[inline(always)]
                unsafe fn store(to: *mut f32, v: $vector) {
                    // SAFETY: as above.
                    unsafe { $store(to, v) }
                }
                #[inline(always)]
                unsafe fn add(a: $vector, b: $vector) -> $vector {
                    // SAFETY: as above.
                    unsafe { $add(a, b) }
                }
                #[inline(always)]
                unsafe fn sub(a: $vector, b: $vector) -> $vector {
                    // SAFETY: as above.
                    unsafe { $sub(a, b) }
                }
                #[inline(always)]
                unsafe fn max(a: $vector, b: $vector) -> $vector {
                    // SAFETY: as above.
                    unsafe { $max(a, b) }
                }
                #[inline(always)]
                unsafe fn mul_add(a: $vector, b: $vector, c: $vector) -> $vector {
                    // SAFETY: as above.
                    unsafe { $mul_add(a, b, c) }
                }
                #[inline(always)]
                unsafe fn mul_sub(a: $vector, b: $vector, c: $vector) -> $vector {
                    // SAFETY: as above.
                    unsafe { $mul_sub(a, b, c) }
                }
                #[inline(always)]
                unsafe fn prefetch(at: *const f32) {
                    // SAFETY: a prefetch of any address is allowed.
                    unsafe { _mm_prefetch::<_MM_HINT_T0>(at.cast()) }
                }
                #[inline(always)]
                unsafe fn prefetch_far(at: *const f32) {
                    // SAFETY: as above.
                    unsafe { _mm_prefetch::<_MM_HINT_T1>(at.cast()) }
                }
            }
        };
    }

    simd!(
        Avx512,
        "[`Isa::Avx512`](super::Isa::Avx512).",
        __m512,
        16,
        14,
        _mm512_set1_ps,
        _mm512_loadu_ps,
        _mm512_storeu_ps,
        _mm512_add_ps,
        _mm512_sub_ps,
        _mm512_max_ps,
        _mm512_fmadd_ps,
        _mm512_fnmadd_ps
    );
    simd!(
        Avx2,
        "[`Isa::Avx2`](super::Isa::Avx2).",
        __m256,
        8,
        6,
        _mm256_set1_ps,
        _mm256_loadu_ps,
        _mm256_storeu_ps,
        _mm256_add_ps,
        _mm256_sub_ps,
        _mm256_max_ps,
        _mm256_fmadd_ps,
        _mm256_fnmadd_ps
    );
}
