//! Tiles of four outputs of one pixel over time.

use super::transform::{self, INPUTS, OUTPUTS};
use super::{Job, load};
use crate::cpu::simd::Simd;

/// The first frame of a tile's clip, the frame of its first output in the clip, and its pixel in a frame.
#[inline(always)]
fn place(job: &Job<'_>, row: usize) -> (usize, usize, usize) {
    let tiles = job.size.length.div_ceil(OUTPUTS);
    let (pixel, tile) = (row / tiles, row % tiles);
    let pixels = job.size.pixels();
    (pixel / pixels * job.size.length, tile * OUTPUTS, pixel % pixels)
}

/// Transforms the inputs of a tile to a row of each of the 6 matrices.
///
/// # Safety
/// The row is one of the job's, and `to` is its place in the first matrix.
#[inline(always)]
pub(super) unsafe fn input<S: Simd>(job: &Job<'_>, row: usize, to: *mut f32) {
    let (clip, first, pixel) = place(job, row);
    // SAFETY: as the caller promises.
    unsafe {
        let mut from = [job.pixel(None); INPUTS];
        for (frame, from) in (first..).zip(&mut from) {
            // The first input is one frame before the first output.
            if (1..=job.size.length).contains(&frame) {
                *from = job.pixel(Some((clip + frame - 1) * job.size.pixels() + pixel));
            }
        }
        let mut channel = 0;
        while channel < job.conv.input {
            let rest = job.conv.input - channel;
            let mut d = [S::splat(0.0); INPUTS];
            for (d, from) in d.iter_mut().zip(from) {
                *d = load::<S>(from.add(channel), rest);
            }
            let v = transform::input::<S>(d);
            for (point, v) in v.into_iter().enumerate() {
                S::store(to.add(point * job.layout.input[1] + channel), v);
            }
            channel += S::LANES;
        }
    }
}

/// Transforms a row of each of the 6 products to the outputs of a tile, and finishes them.
///
/// # Safety
/// The row is one of the job's, and `from` is its place in the first product.
#[inline(always)]
pub(super) unsafe fn output<S: Simd>(job: &Job<'_>, row: usize, from: *const f32) {
    let (clip, first, pixel) = place(job, row);
    let mut channel = 0;
    // SAFETY: as the caller promises.
    unsafe {
        while channel < job.conv.output {
            let mut m = [S::splat(0.0); INPUTS];
            for (point, m) in m.iter_mut().enumerate() {
                *m = S::load(from.add(point * job.layout.output[1] + channel));
            }
            let v = transform::output::<S>(m);
            for (at, v) in v.into_iter().enumerate() {
                if first + at < job.size.length {
                    job.finish::<S>((clip + first + at) * job.size.pixels() + pixel, channel, v);
                }
            }
            channel += S::LANES;
        }
    }
}
