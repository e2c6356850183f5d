//! Matrix products with a matrix whose columns are in panels, in the order in which they are read.

use super::simd::Simd;

/// Vectors in a row of a panel.
pub(crate) const PANEL: usize = 2;

/// Numbers that are fetched ahead of the product, in rows of a panel.
const AHEAD: usize = 12;

/// A matrix whose rows have a constant distance.
#[derive(Clone, Copy)]
pub(crate) struct Rows {
    pub(crate) first: *const f32,
    pub(crate) stride: usize,
    /// Numbers of a row.
    pub(crate) len: usize,
}

impl Rows {
    /// No numbers.
    pub(crate) const NONE: Self = Self { first: std::ptr::null(), stride: 0, len: 0 };
}

/// A product C = A B. A has `rows` rows, each with those of both parts one after the other. B has `panels` panels.
#[derive(Clone, Copy)]
pub(crate) struct Product {
    pub(crate) rows: usize,
    pub(crate) panels: usize,
    pub(crate) a: [Rows; 2],
    /// B, one panel after the other.
    pub(crate) b: *const f32,
}

/// What becomes of C.
pub(crate) trait Finish<S: Simd> {
    /// Takes the vectors of a panel's width of a row, from a column on.
    ///
    /// # Safety
    /// The processor has the instruction set, and C has the row and the columns.
    unsafe fn take(&self, row: usize, column: usize, sums: [S::V; PANEL]);
}

/// Writes C to memory.
pub(crate) struct Store {
    pub(crate) to: *mut f32,
    pub(crate) stride: usize,
}

impl<S: Simd> Finish<S> for Store {
    #[inline(always)]
    unsafe fn take(&self, row: usize, column: usize, sums: [S::V; PANEL]) {
        // SAFETY: as the caller promises.
        unsafe {
            let to = self.to.add(row * self.stride + column);
            S::store(to, sums[0]);
            S::store(to.add(S::LANES), sums[1]);
        }
    }
}

/// Computes a product. Every number of C is a sum in the order of the inner dimension, so it does not depend on the rows beside it.
///
/// # Safety
/// The processor has the instruction set, and the pointers are valid for the sizes.
#[inline(always)]
pub(crate) unsafe fn product<S: Simd>(p: Product, finish: &impl Finish<S>) {
    let tiles = p.rows.div_ceil(S::ROWS);
    if tiles == 0 {
        return;
    }
    let (least, larger) = (p.rows / tiles, p.rows % tiles);
    let inner = p.a[0].len + p.a[1].len;
    // A panel stays in the cache while all rows use it.
    for panel in 0..p.panels {
        let mut row = 0;
        for tile in 0..tiles {
            let rows = least + usize::from(tile < larger);
            // SAFETY: the tile is inside the matrices.
            unsafe {
                let b = p.b.add(panel * inner * PANEL * S::LANES);
                let at = (p.a, b, row, panel * PANEL * S::LANES);
                match rows {
                    1 => tile_of::<S, 1>(at, finish),
                    2 => tile_of::<S, 2>(at, finish),
                    3 => tile_of::<S, 3>(at, finish),
                    4 => tile_of::<S, 4>(at, finish),
                    5 => tile_of::<S, 5>(at, finish),
                    6 => tile_of::<S, 6>(at, finish),
                    7 => tile_of::<S, 7>(at, finish),
                    8 => tile_of::<S, 8>(at, finish),
                    9 => tile_of::<S, 9>(at, finish),
                    10 => tile_of::<S, 10>(at, finish),
                    11 => tile_of::<S, 11>(at, finish),
                    12 => tile_of::<S, 12>(at, finish),
                    13 => tile_of::<S, 13>(at, finish),
                    _ => tile_of::<S, 14>(at, finish),
                }
            }
            row += rows;
        }
    }
}

/// The product of `ROWS` rows and a panel, in registers.
#[inline(always)]
unsafe fn tile_of<S: Simd, const ROWS: usize>(
    (a, mut b, first, column): ([Rows; 2], *const f32, usize, usize),
    finish: &impl Finish<S>,
) {
    // SAFETY: as the caller promises. A prefetch may be of any address.
    unsafe {
        let mut sums = [[S::splat(0.0); PANEL]; ROWS];
        for part in a {
            let a = part.first.wrapping_add(first * part.stride);
            for k in 0..part.len {
                let factors = [S::load(b), S::load(b.add(S::LANES))];
                S::prefetch(b.wrapping_add(PANEL * S::LANES * AHEAD));
                if S::LANES == 16 {
                    S::prefetch(b.wrapping_add(PANEL * S::LANES * AHEAD + S::LANES));
                }
                b = b.add(PANEL * S::LANES);
                for (row, sum) in sums.iter_mut().enumerate() {
                    let factor = S::splat(*a.add(row * part.stride + k));
                    sum[0] = S::mul_add(factor, factors[0], sum[0]);
                    sum[1] = S::mul_add(factor, factors[1], sum[1]);
                }
            }
        }
        for (row, sum) in sums.iter().enumerate() {
            finish.take(first + row, column, *sum);
        }
    }
}
