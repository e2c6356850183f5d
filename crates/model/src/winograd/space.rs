//! Tiles of 4×4 outputs of an image.

use super::transform::{self, INPUTS, OUTPUTS};
use super::{Job, load};
use crate::cpu::simd::Simd;

/// The frame of a tile, and the position of its first output.
#[inline(always)]
fn place(job: &Job<'_>, row: usize) -> (usize, usize, usize) {
    let (down, across) = (job.size.height.div_ceil(OUTPUTS), job.size.width.div_ceil(OUTPUTS));
    (row / (down * across), row / across % down * OUTPUTS, row % across * OUTPUTS)
}

/// Transforms the inputs of a tile to a row of each of the 36 matrices.
///
/// # Safety
/// The row is one of the job's, and `to` is its place in the first matrix.
#[inline(always)]
pub(super) unsafe fn input<S: Simd>(job: &Job<'_>, row: usize, to: *mut f32) {
    let (frame, top, left) = place(job, row);
    let (height, width) = (job.size.height, job.size.width);
    // SAFETY: as the caller promises.
    unsafe {
        let mut from = [[job.pixel(None); INPUTS]; INPUTS];
        for (y, from) in from.iter_mut().enumerate() {
            for (x, from) in from.iter_mut().enumerate() {
                // The first input is one pixel before the first output.
                let (y, x) = (top + y, left + x);
                if (1..=height).contains(&y) && (1..=width).contains(&x) {
                    *from = job.pixel(Some((frame * height + y - 1) * width + x - 1));
                }
            }
        }
        let mut channel = 0;
        while channel < job.conv.input {
            let rest = job.conv.input - channel;
            let mut columns = [[S::splat(0.0); INPUTS]; INPUTS];
            for x in 0..INPUTS {
                let mut d = [S::splat(0.0); INPUTS];
                for (d, from) in d.iter_mut().zip(&from) {
                    *d = load::<S>(from[x].add(channel), rest);
                }
                let v = transform::input::<S>(d);
                for (row, v) in columns.iter_mut().zip(v) {
                    row[x] = v;
                }
            }
            for (y, d) in columns.into_iter().enumerate() {
                let v = transform::input::<S>(d);
                for (x, v) in v.into_iter().enumerate() {
                    S::store(to.add((y * INPUTS + x) * job.layout.input[1] + channel), v);
                }
            }
            channel += S::LANES;
        }
    }
}

/// Transforms a row of each of the 36 products to the outputs of a tile, and finishes them.
///
/// # Safety
/// The row is one of the job's, and `from` is its place in the first product.
#[inline(always)]
pub(super) unsafe fn output<S: Simd>(job: &Job<'_>, row: usize, from: *const f32) {
    let (frame, top, left) = place(job, row);
    let (height, width) = (job.size.height, job.size.width);
    let mut channel = 0;
    // SAFETY: as the caller promises.
    unsafe {
        while channel < job.conv.output {
            let mut columns = [[S::splat(0.0); INPUTS]; OUTPUTS];
            for x in 0..INPUTS {
                let mut m = [S::splat(0.0); INPUTS];
                for (y, m) in m.iter_mut().enumerate() {
                    *m = S::load(from.add((y * INPUTS + x) * job.layout.output[1] + channel));
                }
                let v = transform::output::<S>(m);
                for (row, v) in columns.iter_mut().zip(v) {
                    row[x] = v;
                }
            }
            for (y, m) in columns.into_iter().enumerate() {
                let v = transform::output::<S>(m);
                for (x, v) in v.into_iter().enumerate() {
                    let (y, x) = (top + y, left + x);
                    if y < height && x < width {
                        job.finish::<S>((frame * height + y) * width + x, channel, v);
                    }
                }
            }
            channel += S::LANES;
        }
    }
}
