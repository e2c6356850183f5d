//! Matrix products with a matrix whose columns are in panels, in the order in which they are read.

use super::simd::Simd;

/// Vectors in a row of a panel.
pub(crate) const PANEL: usize = 2;

/// Numbers that are fetched ahead of the product, in rows of a panel.
const AHEAD: usize = 12;

/// A product C = A B of `rows` × `inner` and `inner` × `panels` panels.
#[derive(Clone, Copy)]
pub(crate) struct Product {
    pub(crate) rows: usize,
    pub(crate) inner: usize,
    pub(crate) panels: usize,
    /// A, and the distance of its rows.
    pub(crate) a: *const f32,
    pub(crate) a_stride: usize,
    /// B, one panel after the other.
    pub(crate) b: *const f32,
    /// C, and the distance of its rows.
    pub(crate) c: *mut f32,
    pub(crate) c_stride: usize,
}

/// Computes a product. Every number of C is a sum in the order of the inner dimension, so it does not depend on the rows beside it.
///
/// # Safety
/// The processor has the instruction set, and the pointers are valid for the sizes.
#[inline(always)]
pub(crate) unsafe fn product<S: Simd>(p: Product) {
    let tiles = p.rows.div_ceil(S::ROWS);
    if tiles == 0 {
        return;
    }
    let (least, larger) = (p.rows / tiles, p.rows % tiles);
    // A panel stays in the cache while all rows use it.
    for panel in 0..p.panels {
        let mut row = 0;
        for tile in 0..tiles {
            let rows = least + usize::from(tile < larger);
            // SAFETY: the tile is inside the matrices.
            unsafe {
                let a = p.a.add(row * p.a_stride);
                let b = p.b.add(panel * p.inner * PANEL * S::LANES);
                let c = p.c.add(row * p.c_stride + panel * PANEL * S::LANES);
                let at = (a, p.a_stride, b, c, p.c_stride, p.inner);
                match rows {
                    1 => tile_of::<S, 1>(at),
                    2 => tile_of::<S, 2>(at),
                    3 => tile_of::<S, 3>(at),
                    4 => tile_of::<S, 4>(at),
                    5 => tile_of::<S, 5>(at),
                    6 => tile_of::<S, 6>(at),
                    7 => tile_of::<S, 7>(at),
                    8 => tile_of::<S, 8>(at),
                    9 => tile_of::<S, 9>(at),
                    10 => tile_of::<S, 10>(at),
                    11 => tile_of::<S, 11>(at),
                    12 => tile_of::<S, 12>(at),
                    13 => tile_of::<S, 13>(at),
                    _ => tile_of::<S, 14>(at),
                }
            }
            row += rows;
        }
    }
}

/// The product of `ROWS` rows and a panel, in registers.
#[inline(always)]
unsafe fn tile_of<S: Simd, const ROWS: usize>(
    (a, a_stride, mut b, c, c_stride, inner): (*const f32, usize, *const f32, *mut f32, usize, usize),
) {
    // SAFETY: as the caller promises. A prefetch may be of any address.
    unsafe {
        let mut sums = [[S::splat(0.0); PANEL]; ROWS];
        for k in 0..inner {
            let factors = [S::load(b), S::load(b.add(S::LANES))];
            S::prefetch(b.wrapping_add(PANEL * S::LANES * AHEAD));
            if S::LANES == 16 {
                S::prefetch(b.wrapping_add(PANEL * S::LANES * AHEAD + S::LANES));
            }
            b = b.add(PANEL * S::LANES);
            for (row, sum) in sums.iter_mut().enumerate() {
                let factor = S::splat(*a.add(row * a_stride + k));
                sum[0] = S::mul_add(factor, factors[0], sum[0]);
                sum[1] = S::mul_add(factor, factors[1], sum[1]);
            }
        }
        for (row, sum) in sums.iter().enumerate() {
            let c = c.add(row * c_stride);
            S::store(c, sum[0]);
            S::store(c.add(S::LANES), sum[1]);
        }
    }
}
