//! The transforms of F(4,3): four outputs of a convolution with three taps from six products, at the points 0, ±1, ±2 and ∞
//! (Lavin and Gray, 2016).

use crate::cpu::simd::Simd;

/// Outputs of a tile.
pub(crate) const OUTPUTS: usize = 4;
/// Inputs of a tile, and products.
pub(crate) const INPUTS: usize = 6;
/// Taps of the kernel.
pub(crate) const TAPS: usize = 3;

/// Transforms six inputs.
#[inline(always)]
pub(crate) unsafe fn input<S: Simd>(d: [S::V; INPUTS]) -> [S::V; INPUTS] {
    // SAFETY: as the caller promises.
    unsafe {
        let (two, four, five) = (S::splat(2.0), S::splat(4.0), S::splat(5.0));
        let (p, q) = (S::mul_sub(four, d[2], d[4]), S::mul_sub(four, d[1], d[3]));
        let (r, s) = (S::sub(d[4], d[2]), S::sub(d[3], d[1]));
        [
            S::mul_add(four, d[0], S::mul_sub(five, d[2], d[4])),
            S::add(p, q),
            S::sub(p, q),
            S::mul_add(two, s, r),
            S::mul_sub(two, s, r),
            S::mul_add(four, d[1], S::mul_sub(five, d[3], d[5])),
        ]
    }
}

/// Transforms six products to four outputs.
#[inline(always)]
pub(crate) unsafe fn output<S: Simd>(m: [S::V; INPUTS]) -> [S::V; OUTPUTS] {
    // SAFETY: as the caller promises.
    unsafe {
        let (s12, d12) = (S::add(m[1], m[2]), S::sub(m[1], m[2]));
        let (s34, d34) = (S::add(m[3], m[4]), S::sub(m[3], m[4]));
        [
            S::add(S::add(m[0], s12), s34),
            S::mul_add(S::splat(2.0), d34, d12),
            S::mul_add(S::splat(4.0), s34, s12),
            S::add(S::mul_add(S::splat(8.0), d34, d12), m[5]),
        ]
    }
}

/// Transforms three taps.
pub(crate) fn taps(g: [f64; TAPS]) -> [f64; INPUTS] {
    let (even, odd) = (g[0] + g[2], g[1]);
    let (wide, double) = (g[0] / 24.0 + g[2] / 6.0, g[1] / 12.0);
    [g[0] / 4.0, -(even + odd) / 6.0, -(even - odd) / 6.0, wide + double, wide - double, g[2]]
}
